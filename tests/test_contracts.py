"""The direction of imports is a test, and so is the test: a wrong import has to be found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("hub", "spawner", "gateway_bridge")
TIME_LIMIT_SECONDS = 120


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the contracts of ``folder/pyproject.toml`` on the packages in ``folder``."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=folder,
        # The folder's packages, not the installed ones; lines wide enough not to break names.
        env=os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_SECONDS,
        check=False,
    )


def test_imports_point_the_way_the_architecture_says() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages' sources, to spoil."""
    folder = tmp_path_factory.mktemp("sources")
    for file in [
        ROOT / "pyproject.toml",
        *(path for name in PACKAGES for path in (ROOT / name).rglob("*.py")),
    ]:
        copy = folder / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    return folder


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("spawner/form.py", "import hub.schema", "What spawner and gateway_bridge may see of hub"),
        ("spawner/form.py", "import gateway_bridge", "strangers"),
        (
            "gateway_bridge/__init__.py",
            "import hub.storage",
            "What spawner and gateway_bridge may see of hub",
        ),
        ("hub/wire.py", "import spawner", "hub knows neither"),
        ("hub/wire.py", "import hub.storage", "Inside hub, imports point downwards"),
        ("hub/domain/names.py", "import hub.policies", "Inside hub, imports point downwards"),
        ("hub/policies/resolve.py", "import time", "no clock"),
        ("hub/domain/people.py", "import sqlalchemy", "no database"),
        ("spawner/plan.py", "import asyncio", "Judging needs no network"),
    ],
)
def test_a_forbidden_import_is_found(sources: Path, file: str, line: str, contract: str) -> None:
    spoilt = sources / file
    text = spoilt.read_text()
    spoilt.write_text(f"{text}\n{line}\n")
    try:
        result = lint_imports(sources)
    finally:
        spoilt.write_text(text)
    assert result.returncode == 1, result.stdout + result.stderr
    broken = [name for name in result.stdout.splitlines() if " BROKEN" in name]
    assert any(contract in name for name in broken), result.stdout
