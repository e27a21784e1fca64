"""One kernel's process: started, watched, signalled, ended.

It leads a session and process group of its own, so a signal reaches what it started
too, and nothing it started outlives it. Its death is noticed at once, by a pidfd.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from hub.errors import KernelStartFailed

TAIL_BYTES = 64 * 1024
"""Kept of what a kernel's process writes to its terminal, to explain its end."""

_READ_BYTES = 64 * 1024
_OOM_FILES = (Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat"))
"""Where Linux counts kills for lack of memory: of our cgroup, else of the machine."""

RESET_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD)
"""A shell in the background starts its children with these ignored, and they would stay so in kernels."""


@dataclass(frozen=True)
class Ended:
    """How a process ended; exactly one of ``exit_code`` and ``signal_number`` is set."""

    exit_code: int | None
    signal_number: int | None
    out_of_memory: bool
    """The system killed something for lack of memory while it ran."""


def prepare_for_children() -> None:
    """Called once, early: no signal is ignored or blocked in kernels because it was in our parent.

    Handlers and defaults of ours become defaults in a new program; only "ignore" is inherited.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in RESET_SIGNALS:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def raise_descriptor_limit() -> tuple[int, int]:
    """Allow ourselves as many descriptors as we may have; returns the limit before, for kernels."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    return before


class KernelProcess:
    """A running process and, once it has ended, how.

    Attributes
    ----------
    pid
        Also the id of its process group and session.
    ended
        Done when the process, and its group with it, is gone.
    """

    def __init__(self, popen: subprocess.Popen[bytes], output: int) -> None:
        self.pid = popen.pid
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[Ended] = self._loop.create_future()
        self._popen = popen
        self._output = output
        self._tail = bytearray()
        self._oom_kills = _oom_kills()
        self._pidfd = os.pidfd_open(popen.pid)
        os.set_blocking(output, False)
        self._loop.add_reader(self._pidfd, self._has_ended)
        self._loop.add_reader(output, self._read_output)

    @staticmethod
    def start(
        command: list[str],
        environment: dict[str, str],
        cwd: str,
        *,
        descriptor_limit: tuple[int, int] | None = None,
    ) -> KernelProcess:
        """Start a program.

        Raises
        ------
        KernelStartFailed
            The system refuses: no such program, no such directory, no more processes.
        """
        try:
            output, output_of_child = os.pipe()
        except OSError as error:
            raise KernelStartFailed(f"The kernel host has no room for another kernel: {error}.") from error
        try:
            popen = subprocess.Popen(  # noqa: S603 # the control plane says what to run; no shell sees it
                command,
                env=environment,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output_of_child,
                stderr=output_of_child,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            os.close(output)
            raise KernelStartFailed(f"The kernel's program could not be started: {error}.") from error
        finally:
            os.close(output_of_child)
        if descriptor_limit is not None:
            with suppress(ProcessLookupError):
                resource.prlimit(popen.pid, resource.RLIMIT_NOFILE, descriptor_limit)
        try:
            return KernelProcess(popen, output)
        except OSError as error:
            popen.kill()
            popen.wait()
            os.close(output)
            raise KernelStartFailed(f"The kernel host has no room for another kernel: {error}.") from error

    def tail(self) -> str:
        """The last of what the process wrote to its standard output and error."""
        return self._tail.decode(errors="replace")

    def signal(self, number: int) -> None:
        """Send a signal to the process and what it started; none is sent once it has ended."""
        if not self.ended.done():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    async def ends_within(self, bound: timedelta) -> bool:
        """Wait for the end; False if it does not come in time."""
        await asyncio.wait([self.ended], timeout=bound.total_seconds())
        return self.ended.done()

    def _has_ended(self) -> None:
        # The group goes before its leader is reaped: until then its number cannot mean another group.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        code = self._popen.wait()  # returns at once: the pidfd said so
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._read_output()
        self._close_output()
        if not self.ended.done():
            self.ended.set_result(
                Ended(
                    exit_code=code if code >= 0 else None,
                    signal_number=-code if code < 0 else None,
                    out_of_memory=code == -signal.SIGKILL and _oom_kills() > self._oom_kills,
                )
            )

    def _read_output(self) -> None:
        while self._output >= 0:
            try:
                chunk = os.read(self._output, _READ_BYTES)
            except BlockingIOError:
                return
            if not chunk:
                self._close_output()
                return
            self._tail += chunk
            del self._tail[:-TAIL_BYTES]
            if len(chunk) < _READ_BYTES:
                return

    def _close_output(self) -> None:
        if self._output >= 0:
            self._loop.remove_reader(self._output)
            os.close(self._output)
            self._output = -1


def _oom_kills() -> int:
    for file in _OOM_FILES:
        with suppress(OSError, ValueError):
            for line in file.read_text().splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
    return 0
