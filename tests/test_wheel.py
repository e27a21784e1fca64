"""What a built wheel holds: exactly the three packages, with everything they need at run time."""

from __future__ import annotations

import configparser
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.checkout import ROOT, tracked_files

PACKAGES = {"hub", "spawner", "gateway_bridge"}
TIME_LIMIT_SECONDS = 120


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """The wheel, built from this checkout by the locked build backend."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=TIME_LIMIT_SECONDS,
    )
    (built,) = folder.glob("*.whl")
    return zipfile.Path(built)


def names(wheel: zipfile.Path) -> set[str]:
    return set(wheel.root.namelist())


def metadata(wheel: zipfile.Path) -> zipfile.Path:
    (folder,) = (item for item in wheel.iterdir() if item.name.endswith(".dist-info"))
    return folder


def test_the_top_level_is_the_three_packages(wheel: zipfile.Path) -> None:
    top_level = {item.name for item in wheel.iterdir()}
    assert top_level == PACKAGES | {metadata(wheel).name}


def test_it_holds_every_file_of_the_packages(wheel: zipfile.Path) -> None:
    """Migrations, templates, manifests and markers are read at run time, not only modules imported."""
    ours = {str(path.relative_to(ROOT)) for path in tracked_files(*PACKAGES)}
    assert ours <= names(wheel)


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_types_are_marked(wheel: zipfile.Path, package: str) -> None:
    assert f"{package}/py.typed" in names(wheel)


@pytest.mark.parametrize(
    "pattern", ["hub/migrations/versions/*.py", "hub/migrations/env.py", "hub/templates/*.html"]
)
def test_files_read_at_run_time_are_there(wheel: zipfile.Path, pattern: str) -> None:
    assert any(Path(name).match(pattern) for name in names(wheel)), pattern


def test_nothing_of_tests_or_caches_is_there(wheel: zipfile.Path) -> None:
    assert not [
        name for name in names(wheel) if "__pycache__" in name or name.startswith(("tests/", "docs/"))
    ]


def test_entry_points(wheel: zipfile.Path) -> None:
    entry_points = configparser.ConfigParser(delimiters="=")
    entry_points.optionxform = str  # type: ignore[assignment,method-assign] # names are case-sensitive here
    entry_points.read_string((metadata(wheel) / "entry_points.txt").read_text())
    assert {section: dict(entry_points[section]) for section in entry_points.sections()} == {
        "console_scripts": {
            "granary": "hub.cli:main",
            "granary-singleuser": "spawner.singleuser.main:main",
        },
        "jupyterhub.spawners": {"granary-local": "spawner.local:GranaryLocalSpawner"},
    }


def test_it_says_who_may_use_it(wheel: zipfile.Path) -> None:
    text = (metadata(wheel) / "METADATA").read_text()
    assert "License-Expression: BSD-3-Clause" in text
    assert "Requires-Python: >=3.11" in text
