"""An index of tiny wheels, and stores on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.artifacts.environment import EnvironmentStore
from tests.support.wheels import make_index


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return make_index(tmp_path_factory.mktemp("index"))


@pytest.fixture
def store(tmp_path: Path, index: dict[str, str]) -> EnvironmentStore:
    return EnvironmentStore(tmp_path / "store", environ=index)
