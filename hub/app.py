"""The control plane's process: settings in, objects wired, served until told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import uvicorn
from fastapi import APIRouter, FastAPI
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from hub import migrations
from hub.api import audit, catalogue, health, internal, me, publications, running
from hub.api.dependencies import Services
from hub.api.edge import Edge
from hub.api.errors import install
from hub.api.openapi import describe
from hub.artifacts.environment import EnvironmentStore
from hub.domain.audit import Cause
from hub.hubapi import HubIdentity
from hub.launchers.base import Launcher
from hub.launchers.endpoint import JupyterEndpointLauncher
from hub.process import load_settings, setup_logging
from hub.services.auditing import AuditService
from hub.services.catalogue import CatalogueService
from hub.services.database import POOL_SIZE, Database
from hub.services.governance import GovernanceService
from hub.services.publishing import Builder, Publishing
from hub.services.reconciling import Reconciler
from hub.services.running import RunningKernels
from hub.settings import ControlSettings
from hub.storage.engine import database_url, open_engine

PREFIX = "/services/granary"
"""Under which the public proxy forwards to this process."""

API_PREFIX = f"{PREFIX}/api/v1"

HOST_NAME = "local"
"""What the one kernel host is called in the books."""

STOP_BOUND = timedelta(seconds=3)
"""For requests under way when the process is told to stop."""

LOOP_STOP_BOUND = timedelta(seconds=1)
"""For the loops to end after that; what they leave behind is settled at the next start."""

KEEP_ALIVE = timedelta(seconds=75)
"""For idle connections; longer than our own clients keep theirs."""

EXIT_CANNOT_START = 1

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ControlPlane:
    """The wired objects of one process."""

    services: Services
    reconciler: Reconciler
    launcher: Launcher

    @staticmethod
    def build(
        settings: ControlSettings, engine: Engine, builder: Builder, launcher: Launcher
    ) -> ControlPlane:
        database = Database(engine)
        homes = settings.homes_dir
        services = Services(
            database=database,
            identity=HubIdentity(settings.hub_api_url),
            catalogue=CatalogueService(database),
            governance=GovernanceService(database, utc_now),
            publishing=Publishing(database, builder, launcher, homes, utc_now, new_id),
            running=RunningKernels(database, launcher, builder, homes, utc_now, new_id),
            audit=AuditService(database),
            contact=settings.contact,
            internal_secret=settings.internal_secret.get_secret_value(),
        )
        return ControlPlane(services, Reconciler(database, launcher, utc_now), launcher)


def create_app(
    settings: ControlSettings, *, builder: Builder | None = None, launcher: Launcher | None = None
) -> FastAPI:
    """The control plane as an ASGI application.

    Parameters
    ----------
    builder, launcher
        Instead of those that the settings name; for tests.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _running(settings, builder, launcher) as plane:
            app.state.services, app.state.reconciler = plane.services, plane.reconciler
            yield

    app = FastAPI(
        title="Granary control plane",
        summary="Kernels, releases, channels, entitlements and running kernels.",
        version="1",
        openapi_url=f"{API_PREFIX}/openapi.json",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # a redirect would believe the Host header
        generate_unique_id_function=lambda route: route.name,
        lifespan=lifespan,
    )
    public = APIRouter(prefix=API_PREFIX)
    for part in (me, catalogue, publications, running, audit):
        public.include_router(part.router)
    app.include_router(public)
    app.include_router(internal.router)
    app.include_router(health.router)
    app.include_router(health.index_router, prefix=PREFIX)
    app.add_middleware(Edge)
    install(app)
    describe(app)
    return app


@asynccontextmanager
async def _running(
    settings: ControlSettings, builder: Builder | None, launcher: Launcher | None
) -> AsyncIterator[ControlPlane]:
    """Everything that lives as long as the process does, ended in reverse order."""
    engine = open_engine(database_url(settings.database_url.get_secret_value()), pool_size=POOL_SIZE)
    builder = builder or EnvironmentStore(settings.store_dir)
    plane = ControlPlane.build(
        settings,
        engine,
        builder,
        launcher
        or JupyterEndpointLauncher(
            HOST_NAME, settings.kernel_host_url, settings.kernel_host_secret.get_secret_value()
        ),
    )
    services = plane.services
    async with AsyncExitStack() as stack:
        stack.callback(services.database.close)
        stack.push_async_callback(plane.launcher.aclose)
        stack.push_async_callback(services.identity.aclose)
        stack.callback(builder.close)
        await asyncio.to_thread(migrations.upgrade, engine)
        teams = [team.to_domain() for team in settings.teams]
        await services.governance.adopt_teams(teams, Cause("system:configuration", "-"))
        await services.publishing.recover()
        stack.push_async_callback(services.running.drain)
        loops = [
            asyncio.create_task(plane.reconciler.run(), name="reconciler"),
            asyncio.create_task(services.publishing.run(), name="publishing"),
        ]
        stack.push_async_callback(_stop_loops, loops)
        yield plane


async def _stop_loops(loops: list[asyncio.Task[None]]) -> None:
    for loop in loops:
        loop.cancel()
    await asyncio.wait(loops, timeout=LOOP_STOP_BOUND.total_seconds())


def utc_now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 # this is where the process is put together


def new_id() -> str:
    """A random UUID in canonical form."""
    return str(uuid.uuid4())


def main() -> None:
    """``python -m hub.app``: serve until SIGTERM or SIGINT."""
    setup_logging("control")
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)
    settings = load_settings(ControlSettings)
    os.umask(0o077)
    _prepare(settings)
    host, port = settings.listen
    config = uvicorn.Config(
        create_app(settings),
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,  # ours, without queries, is in hub.api.edge
        server_header=False,
        timeout_keep_alive=int(KEEP_ALIVE.total_seconds()),
        timeout_graceful_shutdown=int(STOP_BOUND.total_seconds()),
    )
    # uvicorn stops in order, then raises the signal again for whoever was there before it.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    uvicorn.Server(config).run()


def _prepare(settings: ControlSettings) -> None:
    """Directories and database, before anything listens: what is wrong is one sentence and an exit code."""
    url = database_url(settings.database_url.get_secret_value())
    try:
        settings.store_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if url.get_backend_name() == "sqlite" and url.database:
            Path(url.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        engine = open_engine(url, pool_size=1)
        migrations.upgrade(engine)
        engine.dispose()
    except DBAPIError as error:
        _cannot_start(f"the database does not answer: {str(error.orig).strip()}")
    except (OSError, migrations.DatabaseTooNew) as error:
        _cannot_start(str(error))


def _cannot_start(why: str) -> NoReturn:
    _log.critical("The control plane cannot start: %s", why)
    sys.exit(EXIT_CANNOT_START)


if __name__ == "__main__":
    main()
