"""One far end and one hub for all; a user server for whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.userserver import OnePersonHub, StockFarEnd, UserServer, Wire


@pytest.fixture(scope="session")
def far_end(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StockFarEnd]:
    far_end = StockFarEnd(tmp_path_factory.mktemp("farend"))
    far_end.start()
    yield far_end
    far_end.end()


@pytest.fixture(scope="session")
def hub() -> Iterator[OnePersonHub]:
    hub = OnePersonHub()
    yield hub
    hub.close()


@pytest.fixture(scope="session")
def shared_server(
    far_end: StockFarEnd, hub: OnePersonHub, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[UserServer]:
    """For tests that leave it as they found it."""
    server = UserServer(tmp_path_factory.mktemp("shared"), hub, far_end.url)
    server.start()
    yield server
    server.end()


@pytest.fixture
def wire(far_end: StockFarEnd) -> Iterator[Wire]:
    wire = Wire(far_end.port)
    yield wire
    wire.cut()


@pytest.fixture
def new_server(hub: OnePersonHub, tmp_path: Path) -> Iterator[Callable[[str], UserServer]]:
    """Make user servers in one home; those still running are ended."""
    made: list[UserServer] = []

    def make(gateway_url: str) -> UserServer:
        made.append(UserServer(tmp_path, hub, gateway_url))
        return made[-1]

    yield make
    for server in made:
        server.end()
