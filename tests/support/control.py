"""The control plane inside the tests' process: a real application, database and hub connection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from hub.app import create_app
from hub.launchers.base import Launcher
from hub.services.publishing import Builder
from hub.settings import ControlSettings
from tests.support.launchers import HostInMemory, OwnInterpreter
from tests.support.tokens import TokenHub, header

INTERNAL_SECRET = "internal-secret-0123456789"
HOST_SECRET = "kernel-host-secret-0123456789"
API = "/services/granary/api/v1"
TEAMS = '[{"name": "atlas", "display_name": "Atlas"}, {"name": "borealis", "display_name": "Borealis"}]'


def control_environment(database_url: str, folder: Path, hub_api_url: str) -> dict[str, str]:
    """What the process reads, but for its secrets."""
    return {
        "GRANARY_DATABASE_URL": database_url,
        "GRANARY_STORE_DIR": str(folder / "store"),
        "GRANARY_HOMES_DIR": str(folder / "homes"),
        "GRANARY_HUB_API_URL": hub_api_url,
        "GRANARY_TEAMS": TEAMS,
        "GRANARY_CONTACT": "the data desk",
    }


@dataclass
class Control:
    """A client of it, for people (``people``) and for our own processes (``internal``)."""

    app: FastAPI
    host: Any
    """A ``HostInMemory``, unless the test brought a launcher of its own."""
    hub: TokenHub
    client: httpx.AsyncClient

    async def people(self, role: str, method: str, path: str, **arguments: object) -> httpx.Response:
        headers = {**header(role), **arguments.pop("headers", {})}
        return await self.client.request(method, f"{API}{path}", headers=headers, **arguments)

    async def internal(self, method: str, path: str, **arguments: object) -> httpx.Response:
        headers = {"Authorization": f"Bearer {INTERNAL_SECRET}"}
        return await self.client.request(method, f"/internal/v1{path}", headers=headers, **arguments)


@asynccontextmanager
async def running_control(
    database_url: str,
    folder: Path,
    hub: TokenHub,
    launcher: Launcher | None = None,
    builder: Builder | None = None,
) -> AsyncIterator[Control]:
    """Run it; without a launcher and builder of the test's own, nothing is really started or built."""
    settings = ControlSettings(
        database_url=database_url,
        store_dir=folder / "store",
        homes_dir=folder / "homes",
        hub_api_url=hub.url,
        teams=TEAMS_AS_VALUES,
        contact="the data desk",
        internal_secret=INTERNAL_SECRET,
        kernel_host_secret=HOST_SECRET,
    )
    host = launcher or HostInMemory()
    app = create_app(settings, builder=builder or OwnInterpreter(), launcher=host)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://granary.test") as client,
    ):
        yield Control(app, host, hub, client)


TEAMS_AS_VALUES = (
    {"name": "atlas", "display_name": "Atlas"},
    {"name": "borealis", "display_name": "Borealis"},
)
