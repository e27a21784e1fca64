"""One bridge between small real servers, per test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.bridge import World, bridge_world


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with bridge_world() as running:
        yield running
