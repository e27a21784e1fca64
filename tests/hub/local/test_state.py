"""What an installation remembers, and telling one process from another."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from hub.local.state import ProcessId, ProcessRecord, State, read_state, write_state

FULL = State(
    public_url="http://127.0.0.1:8000",
    ports={"public": 8000, "hub": 40001},
    supervisor=ProcessId(4, 5.25),
    processes={
        "hub": ProcessRecord("running", ProcessId(6, 7.5), "abc", 2, "exit code 1", 0.0),
        "control": ProcessRecord("waiting", None, "def", 1, "killed by SIGKILL", 0.5),
    },
)


@pytest.mark.parametrize("state", [State(), FULL])
def test_what_is_written_is_read(tmp_path: Path, state: State):
    write_state(tmp_path / "state.json", state)
    assert read_state(tmp_path / "state.json") == state
    assert stat.S_IMODE((tmp_path / "state.json").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"{}",
        b"\xff",
        b'{"public_url": "", "ports": [], "supervisor": null, "processes": {}}',
        b'{"public_url": "", "ports": {"hub": "x"}, "supervisor": null, "processes": {}}',
        b'{"public_url": "", "ports": {}, "supervisor": {"pid": 1}, "processes": {}}',
        b'{"public_url": "", "ports": {}, "supervisor": null, "processes": {"hub": {"state": "x"}}}',
        (
            b'{"public_url": "", "ports": {}, "supervisor": null,'
            b' "processes": {"hub": {"state": "x", "id": null, "new": 1}}}'
        ),
    ],
)
def test_nothing_readable_is_nothing_remembered(tmp_path: Path, content: bytes):
    (tmp_path / "state.json").write_bytes(content)
    assert read_state(tmp_path / "state.json") == State()


def test_no_file_is_nothing_remembered(tmp_path: Path):
    assert read_state(tmp_path / "state.json") == State()


def test_a_change_of_one_process_leaves_the_others():
    changed = FULL.with_process("hub", ProcessRecord("stopped"))
    assert changed.processes["hub"].state == "stopped"
    assert changed.processes["control"] == FULL.processes["control"]
    assert FULL.processes["hub"].state == "running"


def test_a_process_is_its_id_and_its_start_together():
    ours = ProcessId.of(os.getpid())
    assert ours.process() == psutil.Process()
    assert replace(ours, created=ours.created - 60).process() is None


def test_an_ended_process_is_none_also_while_nobody_has_waited_for_it():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    found = ProcessId.of(child.pid)
    assert found.process() is not None
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert found.process() is None
    child.communicate()
    assert found.process() is None
