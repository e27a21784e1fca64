"""requirements.lock: in step with pyproject.toml, hashed throughout, bound to no host."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
OURS = "jupyterhub-granary"
LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==([^ \\]+)", re.MULTILINE)

LOCK_TEXT = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def locked() -> dict[str, list[Version]]:
    """Versions by name; a package has several where Python versions differ."""
    found: dict[str, list[Version]] = {}
    for name, version in LOCKED.findall(LOCK_TEXT):
        found.setdefault(canonicalize_name(name), []).append(Version(version))
    return found


def direct() -> list[Requirement]:
    """What pyproject.toml itself asks for, extras and build included."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    extras = [text for extra in PROJECT["optional-dependencies"].values() for text in extra]
    asked = [Requirement(text) for text in [*PROJECT["dependencies"], *extras, *build]]
    return [requirement for requirement in asked if requirement.name != OURS]


def test_every_direct_dependency_is_locked_at_a_version_it_allows() -> None:
    versions = locked()
    wrong = [
        f"{requirement}: locked at {[str(version) for version in versions.get(name, [])]}"
        for requirement in direct()
        for name in [canonicalize_name(requirement.name)]
        if name not in versions or not all(v in requirement.specifier for v in versions[name])
    ]
    assert not wrong, "run `make lock`: " + "; ".join(wrong)


def test_every_direct_dependency_is_there_because_we_ask() -> None:
    """A name left over from an older pyproject.toml would have another reason, or none."""
    blocks = re.split(r"\n(?=[a-z0-9])", LOCK_TEXT, flags=re.IGNORECASE)
    ours = {
        canonicalize_name(block.split("==")[0]) for block in blocks if f"{OURS} (pyproject.toml)" in block
    }
    asked = {
        canonicalize_name(req.name) for text in PROJECT["dependencies"] for req in [Requirement(text)]
    } | {
        canonicalize_name(Requirement(text).name)
        for extra in PROJECT["optional-dependencies"].values()
        for text in extra
    }
    assert ours == asked - {OURS}


def test_every_package_is_hashed() -> None:
    for block in re.split(r"\n(?=[a-z0-9])", LOCK_TEXT, flags=re.IGNORECASE):
        assert "--hash=sha256:" in block, block.splitlines()[0]


def test_no_host_is_named() -> None:
    """Where packages come from is the installing machine's choice."""
    assert "://" not in LOCK_TEXT
    assert "--index-url" not in LOCK_TEXT
    assert "--find-links" not in LOCK_TEXT
