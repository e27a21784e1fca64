"""Started kernels. ("Kernel" alone never means a process here.)"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class RunState(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    ENDED = "ended"


class EndReason(StrEnum):
    STOPPED_BY_OWNER = "stopped_by_owner"
    STOPPED_BY_ADMIN = "stopped_by_admin"
    START_FAILED = "start_failed"
    HOST_LOST = "host_lost"
    """Its host no longer reports it: the process died or the host restarted."""


@dataclass(frozen=True)
class RunningKernel:
    """A kernel somebody started. ``id`` is ours, a random UUID in canonical form."""

    id: str
    owner: str
    team: str
    kernel: str
    version: str
    spec_name: str
    host: str
    """Name of the kernel host endpoint it runs at."""
    state: RunState
    started_at: datetime
    ended_at: datetime | None = None
    end_reason: EndReason | None = None


@dataclass(frozen=True)
class Grant:
    """What the bridge needs to reach one running kernel.

    ``secret`` opens exactly this kernel at its host; it is derived, never stored.
    """

    kernel_id: str
    owner: str
    team: str
    spec_name: str
    host_url: str
    host_kernel_id: str
    secret: str

    def __repr__(self) -> str:
        return f"Grant(kernel_id={self.kernel_id!r}, owner={self.owner!r}, team={self.team!r})"
