"""Changelog fragments: named so that they are gathered, and worth reading."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]
FOLDER = ROOT / CONFIG["directory"]
FRAGMENTS = sorted(path for path in FOLDER.iterdir() if path.name not in CONFIG["ignore"])
KINDS = "|".join(kind["directory"] for kind in CONFIG["type"])
MAX_LENGTH = 400
"""Characters; two sentences fit."""


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=lambda path: path.name)
def test_a_fragment_is_well_formed(fragment: Path) -> None:
    assert re.fullmatch(rf"\+[a-z0-9-]+\.({KINDS})\.md", fragment.name)
    text = fragment.read_text().strip()
    assert 0 < len(text) <= MAX_LENGTH
    assert text.endswith((".", "`", ")"))
    assert not text.startswith(("-", "*", "#")), (
        "the list and its headings are made when fragments are gathered"
    )


def test_fragments_can_be_gathered() -> None:
    result = subprocess.run(
        [
            Path(sys.executable).with_name("towncrier"),
            "build",
            "--draft",
            "--version",
            "0",
            "--name",
            "Granary",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    gathered = " ".join(result.stdout.split())
    for fragment in FRAGMENTS:
        assert " ".join(fragment.read_text().split()) in gathered
