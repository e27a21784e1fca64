"""The documentation, built once for all tests that read it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pages import Site

ROOT = Path(__file__).resolve().parents[2]
TIME_LIMIT_SECONDS = 150


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Built as `make docs` does: a warning is an error."""
    folder = tmp_path_factory.mktemp("docs")
    result = subprocess.run(
        [
            Path(sys.executable).with_name("sphinx-build"),
            *("-W", "--keep-going", "-n", "-q", "-b", "html", "-d", folder / "doctrees"),
            ROOT / "docs",
            folder / "html",
        ],
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_SECONDS,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    return Site(folder / "html")
