"""The runtime directory, and what a host that was killed left in it.

Layout::

    <runtime dir>/host.lock        held by the living host
    <runtime dir>/<12 hex>/        one kernel, mode 0700
        1.json, 1-1 … 1-5 …        connection file (0600) and sockets of its first process
        2.json, …                  of the next, after a restart
        process                    which process runs: see ``Recorded``
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
import shutil
import signal
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

log = logging.getLogger(__name__)

MAX_SOCKET_PATH_BYTES = 107
"""Linux: ``sun_path`` less its zero byte."""

_NAME_BYTES = 6
_LONGEST_NAME = len("/") + 2 * _NAME_BYTES + len("/99999-5")
"""Below the runtime directory."""

_RECORD = "process"
_LOCK = "host.lock"
_SESSION_FIELD = 3
_START_TIME_FIELD = 19
"""Of /proc/<pid>/stat, counted after the program's name: fields 6 and 22."""


class RuntimeDirError(Exception):
    """The runtime directory cannot be used; the text is a sentence that says how to mend it."""


@dataclass(frozen=True)
class Recorded:
    """A process so that it cannot be mistaken for another: ids are used again, start times are not."""

    pid: int
    start_ticks: int
    boot_id: str


class RuntimeDir:
    """The directory of one host, and nobody else's while the object lives.

    Raises
    ------
    RuntimeDirError
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        room = MAX_SOCKET_PATH_BYTES - _LONGEST_NAME
        if len(os.fsencode(self.path)) > room:
            raise RuntimeDirError(
                f"{self.path} is too long for sockets: use a path of at most {room} bytes, "
                "for example below /run or /tmp."
            )
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
            self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise RuntimeDirError(
                f"{self.path} is in use by another kernel host; give each its own directory."
            ) from None
        except OSError as error:
            raise RuntimeDirError(f"{self.path} cannot be used: {error.strerror}.") from error

    def clean(self) -> int:
        """Kill what a host that died has left running, remove its files; returns how many were killed."""
        killed = 0
        for directory in self.path.iterdir():
            if directory.is_dir() and not directory.is_symlink():
                killed += _kill_recorded(directory / _RECORD)
                shutil.rmtree(directory, ignore_errors=True)
        return killed

    def new_kernel_dir(self) -> Path:
        """A new directory for one kernel, readable for nobody else."""
        directory = self.path / secrets.token_hex(_NAME_BYTES)
        directory.mkdir(mode=0o700)
        return directory

    def close(self) -> None:
        """Give the directory up to the next host."""
        os.close(self._lock)


def record_process(kernel_dir: Path, pid: int) -> None:
    """Note which process runs in this directory; one that is gone already needs no note."""
    start_ticks = _start_ticks(pid)
    if start_ticks is not None:
        recorded = Recorded(pid, start_ticks, _boot_id())
        (kernel_dir / _RECORD).write_text(json.dumps(asdict(recorded)))


def remove_kernel_dir(kernel_dir: Path) -> None:
    """Remove a kernel's files, which are small and local."""
    shutil.rmtree(kernel_dir, ignore_errors=True)


def _kill_recorded(record: Path) -> int:
    try:
        recorded = Recorded(**json.loads(record.read_text()))
    except (OSError, ValueError, TypeError):
        return 0
    # A number is not given out anew while a session carries it, even one whose leader has ended.
    if recorded.boot_id != _boot_id() or _start_ticks(recorded.pid) not in {recorded.start_ticks, None}:
        return 0
    members = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    members = [pid for pid in members if _stat_field(pid, _SESSION_FIELD) == recorded.pid]
    for pid in members:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
            log.warning("killed process %d of a kernel whose host is gone", pid)
    return len(members)


def _start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if there is no such process."""
    return _stat_field(pid, _START_TIME_FIELD)


def _stat_field(pid: int, field: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[field])


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
