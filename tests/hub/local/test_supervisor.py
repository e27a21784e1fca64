"""The supervisor on tiny processes: what dies comes back, what hangs is replaced, everything ends in time."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from hub.errors import ProcessFailed
from hub.local import supervisor as supervising
from hub.local.plan import SECRETS_VARIABLE, Health, ProcessPlan
from hub.local.state import ProcessId, ProcessRecord
from hub.local.supervised import Supervised, end_processes, strays
from hub.local.supervisor import Supervisor

PATIENCE_SECONDS = 20

LISTEN = """
import signal, socket, sys
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening", flush=True)
while True:
    answering = listening.accept()[0]
    answering.recv(4096)
    answering.sendall(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: 0\\r\\n\\r\\n")
    answering.close()
"""
FAIL = "import sys; print('what went wrong'); sys.exit(3)"
HANG = "import time; time.sleep(600)"


@pytest.fixture(autouse=True)
def short_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "START_BOUND", timedelta(seconds=5))
    monkeypatch.setattr(supervising, "ADOPTION_BOUND", timedelta(seconds=1))
    monkeypatch.setattr(supervising, "STOP_PATIENCE", timedelta(seconds=1))


class Watched:
    """A supervisor of some plans, and what it told."""

    def __init__(self, directory: Path, *plans: ProcessPlan) -> None:
        self.told: list[tuple[str, ProcessRecord]] = []
        self.healthy: dict[str, bool] = {}
        self.directory = directory
        self.supervisor = Supervisor(
            plans,
            log_of=lambda name: directory / f"{name}.log",
            cwd=directory,
            note=lambda name, record: self.told.append((name, record)),
        )

    @property
    def records(self) -> dict[str, ProcessRecord]:
        return self.supervisor.records

    def id(self, name: str = "one") -> ProcessId:
        found = self.records[name].id
        assert found is not None
        return found

    async def __aenter__(self) -> Watched:
        await self.start({})
        return self

    async def start(self, earlier: dict[str, ProcessRecord]) -> None:
        await self.supervisor.start(
            earlier, lambda plan, _, adopted: self.healthy.update({plan.name: adopted})
        )

    async def __aexit__(self, *_: object) -> None:
        await self.supervisor.stop()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():  # noqa: ASYNC110 # of processes, which tell nobody
                await asyncio.sleep(0.01)


def plan(name: str = "one", script: str = LISTEN, *words: str, after: tuple[str, ...] = ()) -> ProcessPlan:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    argv = (sys.executable, "-ISc", script, str(port), *words)
    return ProcessPlan(name, f"the {name}", argv, {}, Health(port, "/health"), after)


def is_alive(process_id: ProcessId) -> bool:
    return process_id.process() is not None


# -- starting ----------------------------------------------------------------------------


async def test_processes_start_in_order_in_sessions_of_their_own_with_private_logs(tmp_path: Path):
    first, second = plan("first"), plan("second", after=("first",))
    async with Watched(tmp_path, second, first) as watched:
        told = [(name, record.state) for name, record in watched.told]
        assert told.index(("first", "running")) < told.index(("second", "starting"))
        assert os.getsid(watched.id("first").pid) == watched.id("first").pid
        assert (tmp_path / "first.log").read_text() == "listening\n"
        assert (tmp_path / "first.log").stat().st_mode & 0o777 == 0o600
        assert watched.healthy == {"first": False, "second": False}


@pytest.mark.parametrize(
    ("script", "words"), [(FAIL, "ended while it was starting (exit code 3)"), (HANG, "was not ready after")]
)
async def test_one_that_does_not_come_up_is_told_with_its_log_and_takes_the_others_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
):
    monkeypatch.setattr(supervising, "START_BOUND", timedelta(seconds=1))
    watched = Watched(tmp_path, plan("well"), plan("ill", script))
    with pytest.raises(ProcessFailed, match="the ill") as failed:
        await watched.start({})
    assert words in failed.value.message
    assert str(tmp_path / "ill.log") in failed.value.message
    if script == FAIL:
        assert failed.value.details["output"] == ["what went wrong"]
    started = [record.id for _, record in watched.told if record.id]
    await watched.supervisor.stop()
    assert [process_id for process_id in started if is_alive(process_id)] == []


# -- restarting --------------------------------------------------------------------------


async def test_what_is_killed_comes_back_and_says_how_it_ended(tmp_path: Path):
    async with Watched(tmp_path, plan()) as watched:
        before = watched.id()
        os.kill(before.pid, signal.SIGKILL)
        await watched.until(lambda: watched.records["one"].restarts == 1)
        assert is_alive(watched.id())
        assert watched.id() != before
        assert watched.records["one"].last_exit == "killed by SIGKILL"
        waiting = [record for _, record in watched.told if record.state == "waiting"]
        assert [(record.id, record.retry_seconds) for record in waiting] == [(None, 0.5)]


async def test_pauses_grow_while_it_keeps_dying(tmp_path: Path):
    async with Watched(tmp_path, plan()) as watched:
        for restarts in (1, 2):
            os.kill(watched.id().pid, signal.SIGKILL)
            await watched.until(lambda wanted=restarts: watched.records["one"].restarts == wanted)
        pauses = [record.retry_seconds for _, record in watched.told if record.state == "waiting"]
        assert pauses == [0.5, 1.0]


async def test_a_machine_that_cannot_start_it_now_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        supervising, "pause_before_restart", lambda deaths: timedelta(milliseconds=10 * deaths)
    )
    start, refusals = Supervised.start, [OSError(12, "Cannot allocate memory")] * 2

    def no_memory_twice(*arguments: object) -> Supervised:
        if refusals:
            raise refusals.pop()
        return start(*arguments)  # type: ignore[arg-type] # passed on as they came

    async with Watched(tmp_path, plan()) as watched:
        monkeypatch.setattr(Supervised, "start", no_memory_twice)
        os.kill(watched.id().pid, signal.SIGKILL)
        await watched.until(lambda: watched.records["one"].restarts == 1)
        assert refusals == []
        assert is_alive(watched.id())


# -- ending ------------------------------------------------------------------------------


async def test_everything_ends_in_time_even_what_will_not(tmp_path: Path):
    watched = Watched(tmp_path, plan("polite"), plan("rude", LISTEN, "stubborn"))
    await watched.start({})
    ids = [watched.id("polite"), watched.id("rude")]
    began = time.monotonic()
    await watched.supervisor.stop()
    assert time.monotonic() - began < 1 + 1.5
    assert [is_alive(process_id) for process_id in ids] == [False, False]
    assert {record.state for record in watched.records.values()} == {"stopped"}


async def test_one_that_is_down_while_all_end_spoils_nothing(tmp_path: Path):
    watched = Watched(tmp_path, plan("down"), plan("up"))
    await watched.start({})
    other = watched.id("up")
    os.kill(watched.id("down").pid, signal.SIGKILL)
    await watched.until(lambda: watched.records["down"].state == "waiting")
    await watched.supervisor.stop()
    assert not is_alive(other)


def test_ending_does_not_wait_for_a_parent_to_notice():
    """The hub looks after its user servers every few seconds only."""
    inattentive = (
        "import subprocess, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", inattentive], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = ProcessId.of(int(parent.stdout.readline()))
        began = time.monotonic()
        end_processes([child], timedelta(seconds=10))
        seconds = time.monotonic() - began
        parent.kill()
    assert seconds < 5


# -- taking over -------------------------------------------------------------------------


@pytest.fixture
async def left_behind(tmp_path: Path):
    """A process whose supervisor is gone, its plan and the record of it."""
    the_plan = plan()
    process = Supervised.start(the_plan, tmp_path / "one.log", tmp_path)
    yield the_plan, ProcessRecord("running", process.id, the_plan.fingerprint())
    process.signal(signal.SIGKILL)
    await process.ended()
    process.close()


async def test_a_process_that_fits_is_taken_over_and_looked_after(tmp_path: Path, left_behind):
    the_plan, record = left_behind
    watched = Watched(tmp_path, the_plan)
    await watched.start({"one": record})
    assert watched.healthy == {"one": True}
    assert watched.id() == record.id
    os.kill(watched.id().pid, signal.SIGKILL)
    await watched.until(lambda: watched.records["one"].restarts == 1)
    await watched.supervisor.stop()


async def test_one_that_hangs_is_replaced_not_taken_over(tmp_path: Path, left_behind):
    the_plan, record = left_behind
    os.kill(record.id.pid, signal.SIGSTOP)  # its port accepts, as those of stopped processes do
    watched = Watched(tmp_path, the_plan)
    await watched.start({"one": record})
    assert watched.healthy == {"one": False}
    assert not is_alive(record.id)
    await watched.supervisor.stop()


@pytest.mark.parametrize("change", ["another plan", "another start", "ended"])
async def test_what_does_not_fit_is_not_taken_over(tmp_path: Path, left_behind, change: str):
    _, record = left_behind
    fingerprint, process_id = record.fingerprint, record.id
    if change == "another plan":
        fingerprint = "other"
    elif change == "another start":
        process_id = ProcessId(process_id.pid, process_id.created - 100)
    else:
        os.kill(process_id.pid, signal.SIGKILL)
    watched = Watched(tmp_path, plan("one"))
    await watched.start({"one": ProcessRecord("running", process_id, fingerprint)})
    assert watched.healthy == {"one": False}
    assert watched.id() != process_id
    await watched.supervisor.stop()


def test_processes_nobody_noted_are_found_by_their_secrets(tmp_path: Path):
    environment = {SECRETS_VARIABLE: str(tmp_path / "secrets" / "hub")}
    with (
        subprocess.Popen([sys.executable, "-ISc", HANG], env=environment) as noted,
        subprocess.Popen([sys.executable, "-ISc", HANG], env=environment) as lost,
        subprocess.Popen(
            [sys.executable, "-ISc", HANG], env={SECRETS_VARIABLE: str(tmp_path / "secrets2")}
        ) as anothers,
    ):
        try:
            found = strays(tmp_path / "secrets", [ProcessId.of(noted.pid)])
            assert found == [ProcessId.of(lost.pid)]
        finally:
            for child in (noted, lost, anothers):
                child.kill()
