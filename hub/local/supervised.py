"""One process under the supervisor: started or adopted, watched through a pidfd, ended in bounded time."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import psutil

from hub.local.layout import PRIVATE_FILE
from hub.local.plan import SECRETS_VARIABLE, ProcessPlan
from hub.local.state import ProcessId

KILL_PATIENCE = timedelta(seconds=1)
"""After SIGKILL."""

_LOOK_EVERY = timedelta(milliseconds=20)

MAX_LOG_BYTES = 5 * 2**20
"""A log larger than this is put aside when its process is started; one old log is kept."""


class Supervised:
    """A process of ours, as a child or adopted from an earlier supervisor."""

    def __init__(self, process_id: ProcessId, child: subprocess.Popen[bytes] | None) -> None:
        self.id = process_id
        self._child = child
        self._pidfd = os.pidfd_open(process_id.pid)

    @staticmethod
    def start(plan: ProcessPlan, log: Path, cwd: Path) -> Supervised:
        """Start a process in a session of its own: it outlives a supervisor that is killed.

        Raises
        ------
        OSError
        """
        if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
            log.rename(log.with_suffix(".log.old"))
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE_FILE), "ab") as output:
            child = subprocess.Popen(  # noqa: S603 # the plan is ours
                plan.argv,
                env=dict(plan.environment),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                umask=0o077,
            )
        return Supervised(ProcessId.of(child.pid), child)

    @staticmethod
    def adopt(process_id: ProcessId) -> Supervised | None:
        """Take over a process that an earlier supervisor started, if it still runs."""
        if process_id.process() is None:
            return None
        try:
            return Supervised(process_id, None)
        except ProcessLookupError:
            return None

    async def ended(self) -> str:
        """Wait for its end; how it ended, in words."""
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        loop.add_reader(self._pidfd, gone.set)
        try:
            await gone.wait()
        finally:
            loop.remove_reader(self._pidfd)
        if self._child is None:
            return "ended"
        return _in_words(self._child.wait())

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def kill_group(self) -> None:
        """SIGKILL to it and whatever it left behind in its session."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.id.pid, signal.SIGKILL)

    def close(self) -> None:
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


def end_processes(ids: Sequence[ProcessId], patience: timedelta) -> None:
    """SIGTERM to all at once, SIGKILL to those that have not ended after ``patience``."""
    alive = [found for process_id in ids if (found := process_id.process()) is not None]
    for process in alive:
        with suppress(psutil.Error):
            process.terminate()
    for process_id in _until_ended(ids, patience):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process_id.pid, signal.SIGKILL)
    _until_ended(ids, KILL_PATIENCE)


def strays(secrets_dir: Path, known: Collection[ProcessId]) -> list[ProcessId]:
    """Processes of an installation that its state does not know.

    There are some if a supervisor was killed between starting a process and noting
    it, or if the state file was lost. Only our own processes are pointed to the
    folders in ``secrets_dir``; kernels and user servers are not.
    """
    prefix = f"{secrets_dir}{os.sep}"
    pids = {process_id.pid for process_id in known}
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid not in pids and process.environ().get(SECRETS_VARIABLE, "").startswith(prefix):
                found.append(ProcessId.of(process.pid))
    return found


def _until_ended(ids: Sequence[ProcessId], patience: timedelta) -> list[ProcessId]:
    """Those that still run after ``patience``; one that its parent has not noticed the end of has ended."""
    deadline = time.monotonic() + patience.total_seconds()
    left = list(ids)
    while left := [process_id for process_id in left if process_id.process()]:
        if time.monotonic() > deadline:
            break
        time.sleep(_LOOK_EVERY.total_seconds())
    return left


def _in_words(status: int) -> str:
    if status >= 0:
        return f"exit code {status}"
    with suppress(ValueError):
        return f"killed by {signal.Signals(-status).name}"
    return f"killed by signal {-status}"
