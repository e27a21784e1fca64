"""Where transactions are begun and ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import TypeVar

from sqlalchemy import Engine, text
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from hub.errors import DatabaseUnavailable, InvalidRequest
from hub.storage.engine import for_reading, take_writers_turn

READERS = 4
"""Threads, and so transactions that read at the same time."""

POOL_SIZE = READERS + 1
"""One connection a reader and one for the writer."""

WAIT = timedelta(seconds=2)
"""What a request waits for the database before it is refused."""

START_WAIT = timedelta(seconds=1)
"""What a start waits: a person is looking at it."""

BACKGROUND_WAIT = timedelta(seconds=10)
"""What loops and publications wait."""

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Database:
    """Runs work in transactions, off the event loop.

    ``read`` sees one consistent state and changes nothing. ``write`` runs alone:
    one writer thread in this process, and no other replica's transaction beside
    it, so whatever the work has read stays true until it commits. Work raises to
    roll back. It gets a session and must not keep it or hand out rows.

    A caller that stops waiting does not undo work that has begun; work that has
    not begun by then never runs.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reading = for_reading(engine)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="database-reader")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="database-writer")

    async def read(self, work: Callable[[Session], T], *, wait: timedelta = WAIT) -> T:
        """Raises ``DatabaseUnavailable``, ``InvalidRequest`` and whatever ``work`` raises."""
        return await self._run(self._readers, partial(self._read, work), wait)

    async def write(self, work: Callable[[Session], T], *, wait: timedelta = WAIT) -> T:
        """Commit what ``work`` does, all or nothing.

        The one writer is the place to gather several pieces of work into one
        commit when single commits become the limit.

        Raises ``DatabaseUnavailable``, ``InvalidRequest`` and whatever ``work`` raises.
        """
        return await self._run(self._writer, partial(self._write, work), wait)

    async def ping(self) -> None:
        """Raises ``DatabaseUnavailable`` if the database does not answer in time."""
        await self.read(lambda session: session.execute(text("SELECT 1")), wait=START_WAIT)

    def close(self) -> None:
        """Let work that has begun end, refuse the rest, drop all connections."""
        self._readers.shutdown(cancel_futures=True)
        self._writer.shutdown(cancel_futures=True)
        self._engine.dispose()

    def _read(self, work: Callable[[Session], T]) -> T:
        with Session(self._reading, expire_on_commit=False) as session, session.begin():
            return work(session)

    def _write(self, work: Callable[[Session], T]) -> T:
        with Session(self._engine, expire_on_commit=False) as session, session.begin():
            take_writers_turn(session.connection())
            return work(session)

    async def _run(self, pool: ThreadPoolExecutor, work: Callable[[], T], wait: timedelta) -> T:
        future = asyncio.get_running_loop().run_in_executor(pool, work)
        try:
            return await asyncio.wait_for(future, wait.total_seconds())
        except TimeoutError as error:
            raise _unavailable("is not answering in time") from error
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            _log.warning("The database is not answering: %s", error)
            raise _unavailable("is not answering") from error
        except DataError as error:
            raise InvalidRequest("The request holds a text that cannot be stored.") from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise _unavailable("has closed the connection") from error
            raise


def _unavailable(what: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"Granary's database {what}. Running kernels are not affected; try again in a moment."
    )
