"""Services on a migrated database, with a clock that stands still until it is moved."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from hub.domain.audit import AuditRecord
from hub.services.auditing import AuditService
from hub.services.database import Database
from hub.services.governance import GovernanceService
from hub.services.running import RunningKernels
from hub.storage import audit
from hub.storage.audit import AuditFilter
from tests.support.catalogue import NOON, put, python_data
from tests.support.launchers import HostInMemory, OwnInterpreter


class StandingClock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def forward(self, by: timedelta) -> None:
        self.now += by


class Stage:
    """What most tests of services need."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = StandingClock()
        self.governance = GovernanceService(database, self.clock)
        self.audit = AuditService(database)

    def running(self, host: HostInMemory) -> RunningKernels:
        return RunningKernels(
            self.database, host, OwnInterpreter(), Path("/homes"), self.clock, lambda: str(uuid.uuid4())
        )

    async def records(self) -> list[AuditRecord]:
        """Oldest first; the chain has to be whole."""
        assert await self.audit.verify() is None
        newest_first = await self.database.read(lambda session: audit.find(session, AuditFilter()))
        return newest_first[::-1]

    async def actions(self) -> list[str]:
        return [record.action for record in await self.records()]


@pytest.fixture
async def stage(database: Database) -> Stage:
    """Teams atlas and borealis, kernel python-data."""
    await database.write(lambda session: put(session, python_data()))
    return Stage(database)


@pytest.fixture
async def bare_stage(database: Database) -> Stage:
    """Teams atlas and borealis, no kernel."""
    await database.write(put)
    return Stage(database)
