"""A running control plane with a small catalogue."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from hub.services.database import Database
from tests.support.catalogue import put, python_data
from tests.support.control import Control, running_control
from tests.support.postgres import PostgresServer
from tests.support.tokens import TokenHub


@pytest.fixture(scope="module")
def shared_token_hub() -> Iterator[TokenHub]:
    hub = TokenHub().start()
    yield hub
    hub.stop()


@pytest.fixture
def token_hub(shared_token_hub: TokenHub) -> TokenHub:
    shared_token_hub.answer_with, shared_token_hub.delay_seconds = None, 0
    return shared_token_hub


@pytest.fixture
async def control_on_postgres(
    postgres: PostgresServer, migrated_postgres: str, tmp_path: Path, token_hub: TokenHub
) -> AsyncIterator[Control]:
    url = postgres.url(postgres.new_database(migrated_postgres))
    async with running_control(url, tmp_path, token_hub) as running:
        await running.app.state.services.database.write(lambda session: put(session, python_data()))
        yield running


@pytest.fixture
async def control(sqlite_url: str, tmp_path: Path, token_hub: TokenHub) -> AsyncIterator[Control]:
    async with running_control(sqlite_url, tmp_path, token_hub) as running:
        database: Database = running.app.state.services.database
        await database.write(lambda session: put(session, python_data()))
        yield running
