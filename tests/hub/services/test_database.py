"""Transactions: alone when writing, consistent when reading, refused in time."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from hub.domain.audit import Cause, Change, find_broken_link
from hub.errors import DatabaseUnavailable, TeamNotFound
from hub.services.catalogue import team_not_found
from hub.services.database import START_WAIT, Database
from hub.storage import audit, revisions
from hub.storage.engine import database_url, open_engine
from tests.support.catalogue import NOON


def tell(session: Session) -> None:
    audit.append(session, Change("x.y", "s", None), Cause("a", "r"), NOON)


async def test_replicas_that_write_together_keep_one_chain(engine: Engine):
    replicas = [Database(engine), Database(engine), Database(engine)]
    await asyncio.gather(*(replicas[number % 3].write(tell) for number in range(60)))
    broken = await replicas[0].read(lambda session: find_broken_link(audit.whole_chain(session)))
    last = await replicas[0].read(lambda session: audit.find(session, audit.AuditFilter(limit=1))[0].seq)
    assert (broken, last) == (None, 60)
    for replica in replicas:
        replica.close()


async def test_what_raises_is_undone(database: Database):
    def half_done(session: Session) -> None:
        tell(session)
        revisions.raise_revision(session, revisions.CATALOGUE)
        raise team_not_found("x")

    with pytest.raises(TeamNotFound):
        await database.write(half_done)
    assert await database.read(lambda session: audit.find(session, audit.AuditFilter())) == []
    assert await database.read(lambda session: revisions.current(session, revisions.CATALOGUE)) == 0


async def test_who_waits_too_long_is_refused_and_what_has_not_begun_never_runs(database: Database):
    begun = time.monotonic()
    slow = asyncio.create_task(database.write(lambda _session: time.sleep(0.5)))
    await asyncio.sleep(0)
    with pytest.raises(DatabaseUnavailable):
        await database.write(tell, wait=timedelta(milliseconds=50))
    assert time.monotonic() - begun < 0.5
    await slow
    assert await database.read(lambda session: audit.find(session, audit.AuditFilter())) == []


@pytest.mark.parametrize(
    "url", ["postgresql://nobody@127.0.0.1:1/none", "sqlite:////nonexistent/directory/file.sqlite"]
)
async def test_a_database_that_is_down_is_an_answer(url: str):
    database = Database(open_engine(database_url(url), pool_size=1))
    begun = time.monotonic()
    with pytest.raises(DatabaseUnavailable):
        await database.ping()
    assert time.monotonic() - begun < START_WAIT.total_seconds() + 1
    database.close()


@pytest.mark.parametrize("value", ["", "mysql://x/y", "sqlite://", "sqlite:///:memory:", "nonsense"])
def test_addresses_that_are_not_supported(value: str):
    with pytest.raises(ValueError, match="sqlite"):
        database_url(value)
