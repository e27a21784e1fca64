"""Tokens, the hub that answers about them, and the hub that does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from gateway_bridge.identity import FRESH_FOR, KEPT_FOR, REFUSED_FOR, Identities
from hub.errors import HubUnavailable, TokenRejected
from tests.support.bridge import (
    Hub,
    HubAnswers403WithDatabaseDown,
    HubAnswers500,
    HubSpeaksGibberish,
    eventually,
)


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds

    def advance(self, by: timedelta) -> None:
        self.seconds += by.total_seconds()


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    running = Hub()
    yield running
    await running.server.stop()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def identities(hub: Hub, clock: Clock) -> AsyncIterator[Identities]:
    asking = Identities(hub.api_url, clock=clock)
    yield asking
    await asking.aclose()


SECOND = timedelta(seconds=1)


async def test_a_person_comes_with_teams_and_scopes(hub: Hub, identities: Identities) -> None:
    token = hub.issue("both-1", "atlas", "borealis")
    person = await identities.person(token, stale_ok=False)
    assert (person.name, person.teams, person.may_use_kernels) == ("both-1", {"atlas", "borealis"}, True)
    assert not person.is_service


async def test_the_hub_is_asked_once_per_period(hub: Hub, identities: Identities, clock: Clock) -> None:
    token = hub.issue("atlas-1", "atlas")
    for _ in range(5):
        await identities.person(token, stale_ok=False)
    assert len(hub.asked) == 1
    clock.advance(FRESH_FOR)
    await identities.person(token, stale_ok=False)
    assert len(hub.asked) == 2
    assert timedelta(seconds=10) >= FRESH_FOR


async def test_many_askers_share_one_question(hub: Hub, identities: Identities) -> None:
    token = hub.issue("atlas-1", "atlas")
    hub.hold = asyncio.Event()
    askers = [asyncio.create_task(identities.person(token, stale_ok=False)) for _ in range(20)]
    await eventually(lambda: hub.asked, "a question at the hub")
    askers[0].cancel()  # one who gives up takes nothing from the others
    hub.hold.set()
    people = await asyncio.gather(*askers[1:])
    assert {person.name for person in people} == {"atlas-1"}
    assert len(hub.asked) == 1


async def test_an_unknown_token_is_refused_and_briefly_remembered(
    hub: Hub, identities: Identities, clock: Clock
) -> None:
    for _ in range(3):
        with pytest.raises(TokenRejected):
            await identities.person("nobody", stale_ok=True)
    assert len(hub.asked) == 1
    hub.people["nobody"] = {"name": "new", "kind": "user", "groups": [], "scopes": []}
    clock.advance(REFUSED_FOR)
    assert (await identities.person("nobody", stale_ok=True)).name == "new"


async def test_a_revoked_token_ends_with_the_period(hub: Hub, identities: Identities, clock: Clock) -> None:
    token = hub.issue("atlas-1", "atlas")
    await identities.person(token, stale_ok=False)
    hub.revoke(token)
    clock.advance(FRESH_FOR)
    with pytest.raises(TokenRejected):
        await identities.person(token, stale_ok=True)
    # and a hub that goes down afterwards brings nobody back
    await hub.server.stop()
    clock.advance(REFUSED_FOR)
    with pytest.raises(HubUnavailable):
        await identities.person(token, stale_ok=True)


@pytest.mark.parametrize("fault", [HubAnswers403WithDatabaseDown, HubAnswers500, HubSpeaksGibberish])
async def test_a_faulty_hub_lets_nobody_new_in(hub: Hub, identities: Identities, fault: type) -> None:
    token = hub.issue("atlas-1", "atlas")
    hub.fault = fault
    with pytest.raises(HubUnavailable):
        await identities.person(token, stale_ok=True)


@pytest.mark.parametrize("fault", [HubAnswers403WithDatabaseDown, HubAnswers500, HubSpeaksGibberish, None])
async def test_an_old_answer_serves_what_exists_but_starts_nothing(
    hub: Hub, identities: Identities, clock: Clock, fault: type | None
) -> None:
    token = hub.issue("atlas-1", "atlas")
    await identities.person(token, stale_ok=False)
    if fault is None:
        await hub.server.stop()
    hub.fault = fault
    clock.advance(FRESH_FOR)
    assert (await identities.person(token, stale_ok=True)).name == "atlas-1"
    with pytest.raises(HubUnavailable):
        await identities.person(token, stale_ok=False)
    clock.advance(KEPT_FOR - FRESH_FOR - SECOND)
    assert (await identities.person(token, stale_ok=True)).name == "atlas-1"
    clock.advance(2 * SECOND)
    for _ in range(2):
        with pytest.raises(HubUnavailable):
            await identities.person(token, stale_ok=True)


async def test_a_hub_that_hangs_is_waited_for_two_seconds(hub: Hub, identities: Identities) -> None:
    hub.hold = asyncio.Event()
    started = time.monotonic()
    with pytest.raises(HubUnavailable):
        await identities.person(hub.issue("atlas-1"), stale_ok=False)
    assert 1.5 < time.monotonic() - started < 4
    hub.hold.set()


async def test_a_refusal_is_heard_twice_before_a_socket_closes(hub: Hub, identities: Identities) -> None:
    token = hub.issue("atlas-1", "atlas")
    assert (await identities.confirm(token)).name == "atlas-1"
    hub.revoke(token)
    hub.asked.clear()
    with pytest.raises(TokenRejected):
        await identities.confirm(token)
    assert hub.asked == [token, token]


async def test_a_hub_without_its_database_confirms_no_refusal(hub: Hub, identities: Identities) -> None:
    token = hub.issue("atlas-1", "atlas")
    hub.fault = HubAnswers403WithDatabaseDown
    with pytest.raises(HubUnavailable):
        await identities.confirm(token)


async def test_a_token_is_nowhere_in_what_is_remembered(hub: Hub, identities: Identities) -> None:
    token = hub.issue("atlas-1", "atlas")
    await identities.person(token, stale_ok=False)
    assert token not in repr(vars(identities._people)["_entries"])
