"""Environments as they are on disk: whole or not at all, once per content, never changing again."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from hub.artifacts import environment as module
from hub.artifacts.environment import RECORD, EnvironmentStore, ResolvedEnvironment
from hub.artifacts.manifest import EnvironmentSource
from hub.domain.kernels import Package
from hub.errors import ArtifactMissing, ArtifactTampered, BuildFailed, InvalidManifest
from tests.support.wheels import TINY_KERNEL

TINY = EnvironmentSource((TINY_KERNEL,))


def ignore(_text: str) -> None:
    """Progress nobody follows."""


@pytest.fixture
def resolved(store: EnvironmentStore) -> ResolvedEnvironment:
    return store.resolve(TINY, ignore)


@pytest.fixture
def built(store: EnvironmentStore, resolved: ResolvedEnvironment) -> Path:
    return store.build(resolved, ignore)


def run_python(environment: Path, code: str) -> str:
    return subprocess.run(
        [environment / "bin" / "python", "-c", code],
        env={"PATH": os.environ["PATH"]}, cwd="/", check=True, capture_output=True, text=True, timeout=60,
    ).stdout.strip()  # fmt: skip


# -- resolving ---------------------------------------------------------------------------


def test_the_lock_names_every_package_with_hashes(resolved: ResolvedEnvironment) -> None:
    assert resolved.packages == (Package("ipykernel", "0.0.1"), Package("tiny-part", "1.0"))
    assert resolved.lock_text.count("--hash=sha256:") == 2
    assert resolved.python_version.startswith("3.")


def test_equal_content_has_equal_digests_in_any_store(
    resolved: ResolvedEnvironment, tmp_path: Path, index: dict[str, str]
) -> None:
    elsewhere = EnvironmentStore(tmp_path / "elsewhere", environ=index)
    assert elsewhere.resolve(TINY, ignore).digest == resolved.digest


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_other_content_has_another_digest(
    store: EnvironmentStore, resolved: ResolvedEnvironment, version: str
) -> None:
    other = store.resolve(EnvironmentSource((TINY_KERNEL, f"tiny-extra=={version}")), ignore)
    assert other.digest != resolved.digest


def test_another_python_or_platform_is_other_content(resolved: ResolvedEnvironment) -> None:
    here = resolved.interpreter
    others = [dataclasses.replace(here, version="3.99.0"), dataclasses.replace(here, platform="elsewhere")]
    digests = {module.content_digest(resolved.lock_text, interpreter) for interpreter in (here, *others)}
    assert len(digests) == 3


def test_an_environment_without_a_kernel_is_refused(store: EnvironmentStore) -> None:
    with pytest.raises(InvalidManifest, match="a kernel needs ipykernel; add a line such as ipykernel=="):
        store.resolve(EnvironmentSource(("tiny-extra==1.0",)), ignore)


def test_a_python_that_is_not_installed_is_refused(store: EnvironmentStore) -> None:
    with pytest.raises(InvalidManifest, match=r"release\.environment\.python: Python 3\.99 is not installed"):
        store.resolve(EnvironmentSource((TINY_KERNEL,), python="3.99"), ignore)


def test_a_version_that_does_not_exist_is_told_in_the_message(store: EnvironmentStore) -> None:
    with pytest.raises(BuildFailed, match=r"tiny-extra==9\.9") as refused:
        store.resolve(EnvironmentSource((TINY_KERNEL, "tiny-extra==9.9")), ignore)
    assert refused.value.details["output"]


# -- building ------------------------------------------------------------------------------


def test_what_is_built_can_be_imported(built: Path) -> None:
    assert run_python(built, "import ipykernel, tiny_part; print(ipykernel.__version__)") == "0.0.1"


def test_the_same_content_is_built_once(
    store: EnvironmentStore, resolved: ResolvedEnvironment, built: Path
) -> None:
    before = built.stat().st_ino
    told: list[str] = []
    assert store.build(resolved, told.append) == built
    assert built.stat().st_ino == before
    assert told == ["This content is built already"]


def test_nobody_may_write_and_everybody_may_read(
    store: EnvironmentStore, resolved: ResolvedEnvironment
) -> None:
    previous = os.umask(0o077)
    try:
        built = store.build(resolved, ignore)
    finally:
        os.umask(previous)
    for path in [built, *built.rglob("*")]:
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode):
            assert mode & 0o222 == 0, path
            assert mode & 0o444 == 0o444, path


def test_files_are_no_links_into_a_cache(built: Path) -> None:
    shared = [path for path in built.rglob("*") if path.is_file() and path.lstat().st_nlink > 1]
    assert not shared


def test_every_module_is_compiled_even_where_python_is_told_not_to(
    store: EnvironmentStore, resolved: ResolvedEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    built = store.build(resolved, ignore)
    modules = list(built.glob("lib/python*/site-packages/**/*.py"))
    assert modules
    for source in modules:
        assert Path(importlib.util.cache_from_source(str(source))).exists(), source


def test_using_an_environment_does_not_change_it(
    store: EnvironmentStore, resolved: ResolvedEnvironment, built: Path
) -> None:
    run_python(built, "import ipykernel, tiny_part")
    store.verify(resolved.digest)


def test_nothing_remembers_the_directory_it_was_built_in(built: Path) -> None:
    texts = [path for path in built.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert not [path for path in texts if b".building" in path.read_bytes()]
    code = (
        "import tiny_part, traceback\ntry: tiny_part.fail()\nexcept Exception: print(traceback.format_exc())"
    )
    assert f'File "{built}/lib/' in run_python(built, code)


def test_a_lock_with_other_hashes_is_not_installed(
    store: EnvironmentStore, resolved: ResolvedEnvironment
) -> None:
    head, _, rest = resolved.lock_text.partition("sha256:")
    forged = f"{head}sha256:{'0' * 64}{rest[64:]}"
    with pytest.raises(BuildFailed, match=r"[Hh]ash"):
        store.build(dataclasses.replace(resolved, lock_text=forged), ignore)
    with pytest.raises(ArtifactMissing):
        store.path(resolved.digest)
    assert not [path for path in (store._environments).iterdir() if path.name.endswith(".building")]


# -- finding -----------------------------------------------------------------------------------


def test_a_kernel_is_launched_by_absolute_path(
    store: EnvironmentStore, resolved: ResolvedEnvironment, built: Path
) -> None:
    argv = store.launch_argv(resolved.digest)
    assert argv == [f"{built}/bin/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    assert "would start" in subprocess.check_output(argv, text=True, timeout=60)


@pytest.mark.parametrize("digest", ["", "sha256:", "../../etc", f"sha256:{'a' * 64}\n", f"sha256:{'a' * 64}"])
def test_what_is_not_in_the_store_is_missing(store: EnvironmentStore, digest: str) -> None:
    with pytest.raises(ArtifactMissing):
        store.launch_argv(digest)


def test_a_python_that_is_gone_is_told(
    store: EnvironmentStore, resolved: ResolvedEnvironment, built: Path
) -> None:
    (built / "bin").chmod(0o755)
    (built / "bin" / "python").unlink()
    (built / "bin" / "python").symlink_to("/nowhere/python3.11")
    with pytest.raises(ArtifactMissing, match=r"/nowhere/python3\.11, is no longer installed"):
        store.launch_argv(resolved.digest)


# -- verifying ---------------------------------------------------------------------------------


def edit(built: Path) -> None:
    changed = next(built.glob("lib/python*/site-packages/tiny_part.py"))
    changed.chmod(0o644)
    changed.write_text("def fail(): return 'mine'\n")


def add(built: Path) -> None:
    folder = next(built.glob("lib/python*/site-packages"))
    folder.chmod(0o755)
    (folder / "sitecustomize.py").write_text("print('mine')\n")


def remove(built: Path) -> None:
    folder = next(built.glob("lib/python*/site-packages"))
    folder.chmod(0o755)
    (folder / "tiny_part.py").unlink()


def redirect(built: Path) -> None:
    (built / "bin").chmod(0o755)
    (built / "bin" / "python3").unlink()
    (built / "bin" / "python3").symlink_to("/bin/true")


def drop_record(built: Path) -> None:
    built.chmod(0o755)
    (built / RECORD).unlink()


@pytest.mark.parametrize("change", [edit, add, remove, redirect, drop_record])
def test_a_change_of_any_kind_shows(
    store: EnvironmentStore, resolved: ResolvedEnvironment, built: Path, change: object
) -> None:
    store.verify(resolved.digest)
    assert callable(change)
    change(built)
    with pytest.raises(ArtifactTampered, match="no longer those that were built"):
        store.verify(resolved.digest)
    with pytest.raises(ArtifactTampered):
        store.build(resolved, ignore)


def test_the_record_says_what_is_inside(built: Path, resolved: ResolvedEnvironment) -> None:
    record = json.loads((built / RECORD).read_text())
    assert record["digest"] == resolved.digest
    assert record["packages"] == {"ipykernel": "0.0.1", "tiny-part": "1.0"}
    assert (built / "requirements.lock").read_text() == resolved.lock_text
