"""Tokens to people: asked once, remembered briefly, refused when in doubt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from hub import hubapi
from hub.errors import HubUnavailable, TokenRejected
from hub.hubapi import MAX_AGE, TIMEOUT, HubIdentity
from tests.support.tokens import TokenHub


@pytest.fixture
def token_hub() -> Iterator[TokenHub]:
    hub = TokenHub().start()
    yield hub
    hub.stop()


class StandingTime:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def standing_time() -> StandingTime:
    return StandingTime()


@pytest.fixture
async def identity(token_hub: TokenHub, standing_time: StandingTime) -> AsyncIterator[HubIdentity]:
    asking = HubIdentity(token_hub.url, standing_time)
    yield asking
    await asking.aclose()


async def test_a_token_is_its_person(identity: HubIdentity):
    person = await identity.person("token-atlas-admin")
    assert (person.name, person.manages, person.is_service) == ("atlas-admin", {"atlas"}, False)
    assert (await identity.person("token-granary-cli")).is_service


async def test_many_questions_at_once_are_one(identity: HubIdentity, token_hub: TokenHub):
    token_hub.delay_seconds = 0.05
    people = await asyncio.gather(*(identity.person("token-atlas-1") for _ in range(50)))
    assert {person.name for person in people} == {"atlas-1"}
    assert len(token_hub.asked) == 1


async def test_an_answer_is_believed_for_ten_seconds_at_most(
    identity: HubIdentity, token_hub: TokenHub, standing_time: StandingTime
):
    await identity.person("token-atlas-1")
    del token_hub.people["atlas-1"]
    standing_time.now += MAX_AGE.total_seconds() - 0.1
    await identity.person("token-atlas-1")
    standing_time.now += 0.1
    with pytest.raises(TokenRejected):
        await identity.person("token-atlas-1")
    assert MAX_AGE.total_seconds() <= 10


async def test_refusals_are_not_remembered(identity: HubIdentity, token_hub: TokenHub):
    with pytest.raises(TokenRejected):
        await identity.person("token-new")
    token_hub.people["new"] = {"groups": [], "scopes": []}
    assert (await identity.person("token-new")).name == "new"


@pytest.mark.parametrize(
    "answer", [(500, b""), (404, b""), (302, b""), (200, b""), (200, b"{}"), (200, b"<html>"), (200, b"[]")]
)
async def test_a_hub_that_is_not_well_lets_nobody_in(
    identity: HubIdentity, token_hub: TokenHub, answer: tuple[int, bytes]
):
    token_hub.answer_with = answer
    with pytest.raises(HubUnavailable):
        await identity.person("token-admin")


async def test_a_hub_that_takes_too_long(
    identity: HubIdentity, token_hub: TokenHub, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hubapi, "TIMEOUT", TIMEOUT / 20)
    token_hub.delay_seconds = 1
    begun = time.monotonic()
    with pytest.raises(HubUnavailable):
        await identity.person("token-admin")
    assert time.monotonic() - begun < 0.9


async def test_a_hub_that_is_gone(identity: HubIdentity, token_hub: TokenHub, standing_time: StandingTime):
    await identity.person("token-atlas-1")
    token_hub.stop()
    await identity.person("token-atlas-1")
    standing_time.now += MAX_AGE.total_seconds()
    with pytest.raises(HubUnavailable):
        await identity.person("token-atlas-1")
    token_hub.start()


@pytest.mark.parametrize("token", ["", "\n", "a\r\nX: y", "é", "\udcff", "x" * 100_000])
async def test_a_token_that_is_none(identity: HubIdentity, token: str):
    with pytest.raises((TokenRejected, HubUnavailable)):
        await identity.person(token)


async def test_memory_is_bounded(identity: HubIdentity, token_hub: TokenHub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hubapi, "MAX_REMEMBERED", 2)
    for role in ("admin", "atlas-1", "atlas-2"):
        await identity.person(f"token-{role}")
    token_hub.asked.clear()
    await identity.person("token-atlas-2")
    await identity.person("token-admin")
    assert token_hub.asked == ["token token-admin"]
