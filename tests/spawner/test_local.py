"""Server processes: found again, never mistaken for another, always ended."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from spawner.governed import SpawnRefused
from spawner.local import GranaryLocalSpawner

NASTY_NAMES = ["..", "a/b", "a/../b", "A", "a", "a b", "a--b", "é", "x" * 300, "a@b.c", "a.b.c", "-", "a\nb"]


def spawner_of(name: str, directory: Path, **traits: Any) -> GranaryLocalSpawner:
    return GranaryLocalSpawner(
        user=SimpleNamespace(name=name),
        homes_dir=str(directory / "homes"),
        state_dir=str(directory / "state"),
        **traits,
    )


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that ignores SIGTERM, in a group of its own, with a child."""
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print(subprocess.Popen(['sleep', '300']).pid, flush=True); time.sleep(300)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stdout=subprocess.PIPE)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_homes_of_nasty_names_are_distinct_and_inside(tmp_path: Path):
    homes = [spawner_of(name, tmp_path).home for name in NASTY_NAMES]
    assert len(set(homes)) == len(NASTY_NAMES)
    assert all(home.parent == tmp_path / "homes" and home.resolve() == home for home in homes)
    logs = [spawner_of(name, tmp_path).log_file for name in NASTY_NAMES]
    assert len(set(logs)) == len(NASTY_NAMES)
    assert all(log.parent == tmp_path / "state" / "servers" for log in logs)


def test_directories_are_private(tmp_path: Path):
    spawner = spawner_of("atlas-1", tmp_path)
    spawner._make_directories()
    spawner._open_log().close()
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (spawner.home, spawner.log_file.parent)]
    assert modes == [0o700, 0o700]
    assert stat.S_IMODE(spawner.log_file.stat().st_mode) == 0o600


async def test_a_restarted_hub_finds_the_process(tmp_path: Path, sleeper: subprocess.Popen[bytes]):
    before = spawner_of("atlas-1", tmp_path)
    before.pid, before.created = sleeper.pid, psutil.Process(sleeper.pid).create_time()
    after = spawner_of("atlas-1", tmp_path)
    after.load_state(before.get_state())
    assert await after.poll() is None


async def test_a_reused_process_id_is_another_process(tmp_path: Path, sleeper: subprocess.Popen[bytes]):
    spawner = spawner_of("atlas-1", tmp_path)
    created = psutil.Process(sleeper.pid).create_time()
    spawner.load_state({"pid": sleeper.pid, "created": created - 60})
    assert await spawner.poll() == 0
    await spawner.stop()
    assert sleeper.poll() is None, "a stranger was killed"


async def test_a_server_that_ignores_the_stop_is_ended_with_all_it_started(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
):
    assert sleeper.stdout is not None
    child = int(sleeper.stdout.readline())
    spawner = spawner_of("atlas-1", tmp_path, stop_timeout=0.3)
    spawner.load_state({"pid": sleeper.pid, "created": psutil.Process(sleeper.pid).create_time()})
    started = time.monotonic()
    await spawner.stop()
    assert time.monotonic() - started < 5
    assert sleeper.wait(5) == -signal.SIGKILL
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


async def test_a_server_never_started_is_not_running(tmp_path: Path):
    assert await spawner_of("atlas-1", tmp_path).poll() == 0


async def test_a_server_that_ends_while_it_starts_is_told_at_once(tmp_path: Path):
    spawner = spawner_of("atlas-1", tmp_path, port=1)
    spawner.proc = subprocess.Popen(["false"])  # noqa: ASYNC220 # what the spawner does
    spawner.pid = spawner.proc.pid
    with pytest.raises(SpawnRefused) as failed:
        await spawner._until_listening()
    assert failed.value.status_code == 500
    assert failed.value.headers["Granary-Error"] == "server_start_failed"
    assert failed.value.jupyterhub_message.startswith("JupyterLab ended while it was starting.")


async def test_a_stranger_on_the_port_is_not_the_server(tmp_path: Path, sleeper: subprocess.Popen[bytes]):
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        spawner = spawner_of("atlas-1", tmp_path, port=stranger.getsockname()[1])
        spawner.pid = sleeper.pid
        assert not spawner._listens()
        spawner.pid = os.getpid()
        assert spawner._listens()


def test_a_large_log_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("spawner.local.MAX_LOG_BYTES", 10)
    spawner = spawner_of("atlas-1", tmp_path)
    spawner._make_directories()
    spawner.log_file.write_text("a server's whole long life\n")
    spawner._open_log().close()
    assert spawner.log_file.read_text() == ""
    assert "long life" in spawner.log_file.with_suffix(".log.old").read_text()
