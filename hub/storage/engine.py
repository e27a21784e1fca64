"""Connections to the database, set up alike for SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry

BUSY_TIMEOUT = timedelta(seconds=5)
"""How long SQLite waits for another process's write (a backup, an operator's shell)."""

CONNECT_TIMEOUT = timedelta(seconds=2)
"""For a connection to PostgreSQL; its library rounds one second up to two."""

STATEMENT_TIMEOUT = timedelta(seconds=10)
"""PostgreSQL gives up a statement after this; nothing here needs a tenth of it."""

POOL_TIMEOUT = timedelta(seconds=2)
"""For a free connection; readers and the writer together are fewer than the pool."""

WRITER_LOCK = 0x67726177
"""Key of the PostgreSQL advisory lock that makes writing transactions of all replicas take turns."""


def database_url(value: str) -> URL:
    """Read an address such as ``sqlite:////path/file`` or ``postgresql://user@host/name``.

    Raises
    ------
    ValueError
        In words that go into an explanation of a setting.
    """
    try:
        url = make_url(value)
    except ArgumentError as error:
        raise ValueError("write sqlite:////path/to/granary.sqlite or postgresql://user@host/name") from error
    if url.drivername in {"postgresql", "postgres", "postgresql+psycopg"}:
        return url.set(drivername="postgresql+psycopg")
    if url.drivername == "sqlite" and url.database and url.database != ":memory:":
        return url
    raise ValueError("only a sqlite file and postgresql are supported")


def open_engine(url: URL, *, pool_size: int) -> Engine:
    """An engine whose transactions are those this product relies on. Connects on first use."""
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, pool_size=pool_size, pool_timeout=POOL_TIMEOUT.total_seconds())
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    milliseconds = int(STATEMENT_TIMEOUT.total_seconds() * 1000)
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT.total_seconds(),
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": int(CONNECT_TIMEOUT.total_seconds()),
            "options": f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds}",
            "application_name": "granary-control",
        },
    )


def for_reading(engine: Engine) -> Engine:
    """The same connections, for transactions that see one consistent state and change nothing."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(granary_reading=True)
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def take_writers_turn(connection: Connection) -> None:
    """First thing in a writing transaction: wait until no other one is under way, here or elsewhere.

    SQLite did so in ``BEGIN IMMEDIATE``. One at a time makes what a transaction read
    still true when it writes, and gives the audit chain its order.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITER_LOCK})


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    raw: Any = connection
    raw.isolation_level = None  # the driver's own BEGIN comes too late and is never IMMEDIATE
    cursor = raw.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute(f"PRAGMA busy_timeout={int(BUSY_TIMEOUT.total_seconds() * 1000)}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get("granary_reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
