"""Builders at the same time, builders that die, a uv that hangs, an index that refuses."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from uv import find_uv_bin

from hub.artifacts import environment as module
from hub.artifacts.environment import EnvironmentStore, ResolvedEnvironment
from hub.artifacts.manifest import EnvironmentSource
from hub.artifacts.uv import clean_environment, without_credentials
from hub.errors import ArtifactMissing, BuildFailed
from tests.support.hub import wait_until
from tests.support.wheels import TINY_KERNEL

ROOT = Path(__file__).parents[3]
TINY = EnvironmentSource((TINY_KERNEL,))
OTHER = EnvironmentSource((TINY_KERNEL, "tiny-extra==1.0"))

BUILDER = f"""
import sys
from pathlib import Path
from hub.artifacts.environment import EnvironmentStore
from hub.artifacts.manifest import EnvironmentSource

store = EnvironmentStore(Path(sys.argv[1]), uv=sys.argv[2] or None)
resolved = store.resolve(EnvironmentSource(("{TINY_KERNEL}",)), lambda text: None)
store.build(resolved, lambda text: print(text, flush=True))
"""
"""A process of its own that builds ``TINY``."""


def ignore(_text: str) -> None:
    """Progress nobody follows."""


def start_builder(store: Path, index: dict[str, str], uv: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BUILDER, str(store), uv]
    return subprocess.Popen(command, cwd=ROOT, env=index, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def uv_that_hangs_while_installing(tmp_path: Path) -> str:
    """Does everything uv does, but stays in ``pip sync`` for ever; notes its process id."""
    script = tmp_path / "uv-that-hangs"
    script.write_text(
        f"""#!/bin/sh
        if [ "$2" = sync ]; then
            echo $$ > {tmp_path}/hanging.new
            mv {tmp_path}/hanging.new {tmp_path}/hanging
            exec sleep 300
        fi
        exec {os.fsdecode(find_uv_bin())} "$@"
        """
    )
    script.chmod(0o755)
    return str(script)


def hanging_process(tmp_path: Path) -> int:
    return int(
        wait_until(lambda: (tmp_path / "hanging").exists() and (tmp_path / "hanging").read_text(), "uv")
    )


def left_over(store: Path) -> list[Path]:
    return [path for path in (store / "environments").iterdir() if path.name.endswith(".building")]


def test_of_several_builders_one_builds(tmp_path: Path, index: dict[str, str]) -> None:
    builders = [start_builder(tmp_path / "store", index) for _ in range(3)]
    told = [builder.communicate(timeout=60)[0] for builder in builders]
    assert [builder.returncode for builder in builders] == [0, 0, 0]
    assert sum("Installing" in text for text in told) == 1
    assert sum("built already" in text for text in told) == 2


def test_what_a_killed_builder_left_is_cleared_once_nothing_of_it_runs(
    tmp_path: Path, index: dict[str, str], uv_that_hangs_while_installing: str
) -> None:
    root = tmp_path / "store"
    builder = start_builder(root, index, uv_that_hangs_while_installing)
    orphan = hanging_process(tmp_path)
    builder.kill()
    builder.communicate(timeout=10)
    assert len(left_over(root)) == 1

    store = EnvironmentStore(root, environ=index)
    store.build(store.resolve(OTHER, ignore), ignore)
    assert len(left_over(root)) == 1, "its uv still runs and may write there"

    os.kill(orphan, signal.SIGKILL)
    # Another content, built later, finds the rest of the dead one.
    third = EnvironmentSource((TINY_KERNEL, "tiny-extra==2.0"))
    store.build(store.resolve(third, ignore), ignore)
    assert not left_over(root)
    resolved = store.resolve(TINY, ignore)
    with pytest.raises(ArtifactMissing):
        store.path(resolved.digest)
    store.build(resolved, ignore)
    store.verify(resolved.digest)


def test_a_build_that_takes_too_long_is_ended(
    tmp_path: Path,
    index: dict[str, str],
    uv_that_hangs_while_installing: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = EnvironmentStore(tmp_path / "store", uv_that_hangs_while_installing, environ=index)
    resolved = store.resolve(TINY, ignore)
    monkeypatch.setattr(module, "INSTALL_TIMEOUT", timedelta(seconds=1))
    with pytest.raises(BuildFailed, match="Could not install the packages: it took longer than 1 seconds"):
        store.build(resolved, ignore)
    assert not left_over(tmp_path / "store")


def test_a_service_that_stops_ends_its_builds(
    tmp_path: Path, index: dict[str, str], uv_that_hangs_while_installing: str
) -> None:
    store = EnvironmentStore(tmp_path / "store", uv_that_hangs_while_installing, environ=index)
    resolved = store.resolve(TINY, ignore)
    failures: list[BuildFailed] = []
    thread = threading.Thread(target=_expect_failure, args=(store, resolved, failures), daemon=True)
    thread.start()
    hanging_process(tmp_path)
    began = time.monotonic()
    store.close()
    thread.join(10)
    assert time.monotonic() - began < 5
    assert "the service is stopping" in failures[0].message
    with pytest.raises(BuildFailed, match="the service is stopping"):
        store.resolve(TINY, ignore)


def test_a_disk_that_is_full_is_told(
    tmp_path: Path, index: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_root: Path, *, without: str) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store = EnvironmentStore(tmp_path / "store", environ=index)
    resolved = store.resolve(TINY, ignore)
    monkeypatch.setattr(module, "tree_digest", full)
    with pytest.raises(BuildFailed, match="Could not keep what was built: No space left on device"):
        store.build(resolved, ignore)
    assert not left_over(tmp_path / "store")


def test_a_uv_that_cannot_be_run_is_told(tmp_path: Path, index: dict[str, str]) -> None:
    store = EnvironmentStore(tmp_path / "store", str(tmp_path / "nothing"), environ=index)
    with pytest.raises(BuildFailed, match=r"nothing cannot be run \(No such file or directory\)"):
        store.resolve(TINY, ignore)


def test_no_credentials_of_an_index_are_told(tmp_path: Path, index: dict[str, str]) -> None:
    environ = {name: value for name, value in index.items() if name not in {"UV_OFFLINE", "UV_FIND_LINKS"}}
    environ |= {"PIP_INDEX_URL": "http://reader:s3cret-word@127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}
    store = EnvironmentStore(tmp_path / "store", environ=environ)
    with pytest.raises(BuildFailed, match=r"127\.0\.0\.1:9") as refused:
        store.resolve(TINY, ignore)
    told = refused.value.message + str(refused.value.details)
    assert "s3cret-word" not in told
    assert "reader" not in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("https://u:p@index.example/simple failed", "https://index.example/simple failed"),
        ("a http://t0ken@h/x and b ftp://a:b@c/d", "a http://h/x and b ftp://c/d"),
        ("mail me@example.org", "mail me@example.org"),
        ("\x1b[31merror\x1b[0m", "error"),
    ],
)
def test_credentials_are_cut_out_of_text(text: str, told: str) -> None:
    assert without_credentials(text) == told


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ({"SECRET_TOKEN": "x", "PYTHONPATH": "/x", "LD_PRELOAD": "/x", "VIRTUAL_ENV": "/x"}, {}),
        ({"UV_SYSTEM_PYTHON": "1", "UV_NO_VERIFY_HASHES": "1", "UV_LINK_MODE": "hardlink"}, {}),
        ({"HTTPS_PROXY": "http://p"}, {"HTTPS_PROXY": "http://p"}),
        ({"UV_INDEX_CORP_PASSWORD": "p"}, {"UV_INDEX_CORP_PASSWORD": "p"}),
        ({"PIP_INDEX_URL": "https://mirror"}, {"UV_DEFAULT_INDEX": "https://mirror"}),
        ({"PIP_INDEX_URL": "https://mirror", "UV_INDEX_URL": "https://ours"}, {"UV_INDEX_URL": "https://ours"}),
        ({"PIP_CERT": "/pip.crt"}, {"SSL_CERT_FILE": "/pip.crt"}),
    ],
)  # fmt: skip
def test_only_what_says_where_packages_come_from_reaches_uv(
    given: dict[str, str], passed: dict[str, str]
) -> None:
    always = {"UV_PYTHON_DOWNLOADS", "LC_ALL", "UV_SYSTEM_CERTS"}
    kept = {name: value for name, value in clean_environment(given).items() if name not in always}
    assert kept == passed


def _expect_failure(
    store: EnvironmentStore, resolved: ResolvedEnvironment, failures: list[BuildFailed]
) -> None:
    try:
        store.build(resolved, ignore)
    except BuildFailed as error:
        failures.append(error)
