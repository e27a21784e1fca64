"""``granary status`` and ``granary down``: looking at an installation from outside, and ending it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import httpx

from hub.errors import NotRunning, ProcessFailed
from hub.local.health import is_healthy, loopback_client
from hub.local.layout import Layout
from hub.local.plan import HEALTH_PATHS, Health
from hub.local.servers import user_servers
from hub.local.state import ProcessId, ProcessRecord, State, read_state
from hub.local.supervised import end_processes, strays
from hub.local.supervisor import STOP_PATIENCE

DOWN_BOUND = timedelta(seconds=15)
"""For a supervisor to end everything, before it is done without it."""


@dataclass(frozen=True)
class ProcessView:
    """One process as ``status`` shows it."""

    name: str
    state: str
    healthy: bool
    pid: int | None
    uptime_seconds: float | None
    restarts: int
    last_exit: str
    retry_seconds: float


@dataclass(frozen=True)
class Overview:
    """An installation as ``status`` shows it."""

    directory: str
    public_url: str
    supervised: bool
    processes: tuple[ProcessView, ...]
    user_servers: tuple[str, ...]

    @property
    def running(self) -> bool:
        return self.supervised or any(view.pid is not None for view in self.processes)

    @property
    def healthy(self) -> bool:
        return self.supervised and all(view.healthy for view in self.processes)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "healthy": self.healthy}


def look(layout: Layout, now: float) -> Overview:
    """See how an installation is, in bounded time. ``now`` is in seconds since the epoch."""
    state = read_state(layout.state_file)
    health = asyncio.run(_health_of_all(state))
    views = tuple(_view(name, record, health[name], now) for name, record in sorted(state.processes.items()))
    return Overview(
        directory=str(layout.root),
        public_url=state.public_url,
        supervised=state.supervisor is not None and state.supervisor.process() is not None,
        processes=views,
        user_servers=tuple(user_servers(layout.server_pids)),
    )


def end(layout: Layout) -> None:
    """End an installation, with the help of its supervisor or without.

    Raises
    ------
    NotRunning, ProcessFailed
    """
    state = read_state(layout.state_file)
    supervisor = state.supervisor
    ids = [*_ids(state), *strays(layout.secrets_dir, _ids(state)), *([supervisor] if supervisor else [])]
    if not any(process_id.process() for process_id in ids):
        raise NotRunning(f"No installation is running in {layout.root}.", directory=str(layout.root))
    if supervisor is not None and (process := supervisor.process()) is not None:
        process.terminate()
        deadline = time.monotonic() + DOWN_BOUND.total_seconds()
        while supervisor.process() is not None and time.monotonic() < deadline:
            time.sleep(0.05)
        end_processes([supervisor], timedelta(seconds=1))
        state = read_state(layout.state_file)  # it may have started something again meanwhile
    ids = [*_ids(state), *strays(layout.secrets_dir, _ids(state))]
    end_processes([*ids, *user_servers(layout.server_pids).values()], STOP_PATIENCE)
    left = [found.pid for found in ids if found.process() is not None]
    if left:
        raise ProcessFailed(f"These processes do not end: {left}. Look at them with ps.", pids=left)


def _ids(state: State) -> list[ProcessId]:
    return [record.id for record in state.processes.values() if record.id is not None]


async def _health_of_all(state: State) -> dict[str, bool]:
    async with loopback_client() as http:
        names = list(state.processes)
        looks = [_health(name, state.ports, http) for name in names]
        return dict(zip(names, await asyncio.gather(*looks), strict=True))


async def _health(name: str, ports: dict[str, int], http: httpx.AsyncClient) -> bool:
    port, path = HEALTH_PATHS.get(name, ("", None))
    return port in ports and await is_healthy(Health(ports[port], path), http)


def _view(name: str, record: ProcessRecord, healthy: bool, now: float) -> ProcessView:
    alive = record.id is not None and record.id.process() is not None
    return ProcessView(
        name=name,
        state=record.state if alive or record.state in {"waiting", "stopped"} else "dead",
        healthy=alive and healthy,
        pid=record.id.pid if alive and record.id else None,
        uptime_seconds=round(now - record.id.created, 1) if alive and record.id else None,
        restarts=record.restarts,
        last_exit=record.last_exit,
        retry_seconds=record.retry_seconds,
    )
