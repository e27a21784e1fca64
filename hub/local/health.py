"""Whether a process does its work, asked from outside."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

import httpx

from hub.local.plan import LOOPBACK, Health

CHECK_TIMEOUT = timedelta(seconds=2)
CHECK_EVERY = timedelta(milliseconds=50)


async def is_healthy(health: Health, http: httpx.AsyncClient) -> bool:
    """One look, bounded by ``CHECK_TIMEOUT``."""
    seconds = CHECK_TIMEOUT.total_seconds()
    try:
        if health.path is not None:
            return (await http.get(health.url, timeout=seconds)).status_code == httpx.codes.OK
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(LOOPBACK, health.port)
    except (httpx.HTTPError, OSError, TimeoutError):
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


async def until_healthy(health: Health, http: httpx.AsyncClient) -> None:
    """Look until it is healthy; the caller bounds the wait."""
    while not await is_healthy(health, http):  # noqa: ASYNC110 # another process tells us nothing by itself
        await asyncio.sleep(CHECK_EVERY.total_seconds())


def loopback_client() -> httpx.AsyncClient:
    return httpx.AsyncClient(trust_env=False)
