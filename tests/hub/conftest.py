"""A migrated database of either kind for each test that asks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from hub import migrations
from hub.services.database import POOL_SIZE, Database
from hub.storage.engine import database_url, open_engine
from tests.support.postgres import HOW_TO_INSTALL, PostgresServer, find_binaries, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    binaries = find_binaries()
    if binaries is None:
        pytest.skip(HOW_TO_INSTALL)
    with running_postgres(binaries) as server:
        yield server


@pytest.fixture(scope="session")
def migrated_postgres(postgres: PostgresServer) -> str:
    """Name of a database to copy."""
    name = postgres.new_database()
    _migrate(postgres.url(name))
    return name


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.sqlite"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    path = tmp_path / "granary.sqlite"
    shutil.copy(migrated_sqlite, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def migrated_url(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return str(request.getfixturevalue("sqlite_url"))
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.url(server.new_database(request.getfixturevalue("migrated_postgres")))


@pytest.fixture
def engine(migrated_url: str) -> Iterator[Engine]:
    opened = open_engine(database_url(migrated_url), pool_size=POOL_SIZE)
    yield opened
    opened.dispose()


@pytest.fixture
def database(engine: Engine) -> Iterator[Database]:
    opened = Database(engine)
    yield opened
    opened.close()


def _migrate(url: str) -> None:
    opened = open_engine(database_url(url), pool_size=1)
    migrations.upgrade(opened)
    opened.dispose()
