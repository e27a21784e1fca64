"""What an installation remembers between commands: addresses and processes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from hub.local.layout import write_private

SAME_START_SECONDS = 1.0
"""Two readings of one process's start differ by less; a reused process id differs by far more."""


@dataclass(frozen=True)
class ProcessId:
    """A process beyond doubt: ids are reused, id and start together are not."""

    pid: int
    created: float
    """When it started, seconds since the epoch."""

    @staticmethod
    def of(pid: int) -> ProcessId:
        """Raises ``psutil.Error`` if there is none."""
        return ProcessId(pid, psutil.Process(pid).create_time())

    def process(self) -> psutil.Process | None:
        """The process, unless it has ended."""
        try:
            found = psutil.Process(self.pid)
            same = abs(found.create_time() - self.created) < SAME_START_SECONDS
            return found if same and found.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None


@dataclass(frozen=True)
class ProcessRecord:
    """One of our processes, as the supervisor last saw it."""

    state: str
    """``starting``, ``running``, ``waiting`` (to be started again), ``stopped``."""
    id: ProcessId | None = None
    fingerprint: str = ""
    """Of the plan it was started by; another plan needs another process."""
    restarts: int = 0
    last_exit: str = ""
    retry_seconds: float = 0.0


@dataclass(frozen=True)
class State:
    """The content of ``state.json``."""

    public_url: str = ""
    ports: dict[str, int] = field(default_factory=dict)
    """Port by process; ``public`` is the one people use."""
    supervisor: ProcessId | None = None
    processes: dict[str, ProcessRecord] = field(default_factory=dict)

    def with_process(self, name: str, record: ProcessRecord) -> State:
        return replace(self, processes={**self.processes, name: record})


def read_state(path: Path) -> State:
    """The remembered state; nothing readable there is nothing remembered."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        return State(
            public_url=str(found["public_url"]),
            ports={str(name): int(port) for name, port in found["ports"].items()},
            supervisor=_process_id(found["supervisor"]),
            processes={
                name: ProcessRecord(**{**record, "id": _process_id(record["id"])})
                for name, record in found["processes"].items()
            },
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return State()


def write_state(path: Path, state: State) -> None:
    write_private(path, json.dumps(asdict(state), indent=2) + "\n")


def _process_id(found: dict[str, Any] | None) -> ProcessId | None:
    return None if found is None else ProcessId(int(found["pid"]), float(found["created"]))
