"""Teams, channels and entitlements: what changes, what is recorded, what is refused."""

from __future__ import annotations

import pytest

from hub.domain.audit import Cause
from hub.domain.kernels import CatalogueEntry
from hub.domain.people import Person, Team
from hub.errors import (
    ChannelNotFound,
    EntitlementNotFound,
    GranaryError,
    InvalidName,
    InvalidRequest,
    InvalidVersion,
    KernelNotFound,
    NotTeamAdmin,
    ReleaseNotFound,
    TeamNotFound,
)
from hub.services.catalogue import CatalogueService
from hub.storage import catalogue, teams
from tests.hub.services.conftest import Stage
from tests.support.catalogue import ATLAS, BOREALIS, NOON

ADMIN = Person("atlas-admin", manages=frozenset({"atlas"}))
MEMBER = Person("atlas-1", frozenset({"atlas"}), may_use_kernels=True)
STRANGER = Person("carina-1", frozenset({"carina"}), may_use_kernels=True)
CAUSE = Cause("atlas-admin", "r1")


async def entry(stage: Stage) -> CatalogueEntry:
    found = await stage.database.read(lambda session: catalogue.entry(session, "python-data"))
    assert found is not None
    return found


async def set_channel(
    stage: Stage, person: Person = ADMIN, channel: str = "prod", version: str = "2026.11.1"
):
    return await stage.governance.set_channel(
        person, CAUSE, kernel="python-data", channel=channel, version=version, reason="it works"
    )


async def test_a_channel_moves_and_leaves_a_record(stage: Stage):
    await set_channel(stage)
    assert (await entry(stage)).channels["prod"].version == "2026.11.1"
    [record] = await stage.records()
    assert (record.action, record.subject) == ("channel.set", "kernel/python-data/channel/prod")
    assert (record.before, record.after) == ({"version": "2026.10.1"}, {"version": "2026.11.1"})
    assert (record.actor, record.reason, record.team) == ("atlas-admin", "it works", "atlas")
    assert (record.at, record.request_id) == (NOON, "r1")


async def test_setting_what_is_set_changes_nothing(stage: Stage):
    await set_channel(stage, version="2026.10.1")
    assert await stage.records() == []


async def test_a_new_channel_is_open_to_its_owner(stage: Stage):
    await set_channel(stage, channel="staging")
    held = (await entry(stage)).entitlements
    assert held["atlas"].channels == {"prod", "dev", "staging"}
    assert held["borealis"].channels == {"prod"}
    assert await stage.actions() == ["channel.set", "entitlement.set"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"version": "9.9"}, ReleaseNotFound),
        ({"version": "latest"}, InvalidVersion),
        ({"channel": "../x"}, InvalidName),
        ({"channel": "default"}, InvalidName),
        ({"person": MEMBER}, NotTeamAdmin),
        ({"person": STRANGER}, KernelNotFound),
    ],
)
async def test_a_channel_that_cannot_be_set(stage: Stage, arguments: dict, error: type[GranaryError]):
    before = await entry(stage)
    with pytest.raises(error):
        await set_channel(stage, **arguments)
    assert await entry(stage) == before
    assert await stage.records() == []


async def test_a_channel_goes(stage: Stage):
    remove = {"kernel": "python-data", "channel": "dev", "reason": "unused"}
    await stage.governance.delete_channel(ADMIN, CAUSE, **remove)
    assert set((await entry(stage)).channels) == {"prod"}
    with pytest.raises(ChannelNotFound):
        await stage.governance.delete_channel(ADMIN, CAUSE, **remove)
    assert await stage.actions() == ["channel.delete"]


async def test_entitlements_come_and_go(stage: Stage):
    give = {"kernel": "python-data", "team": "borealis", "reason": ""}
    await stage.governance.entitle(ADMIN, CAUSE, **give, channels=["dev", "prod"])
    assert (await entry(stage)).entitlements["borealis"].channels == {"dev", "prod"}
    await stage.governance.revoke(ADMIN, CAUSE, **give)
    assert set((await entry(stage)).entitlements) == {"atlas"}
    with pytest.raises(EntitlementNotFound):
        await stage.governance.revoke(ADMIN, CAUSE, **give)
    with pytest.raises(TeamNotFound):
        await stage.governance.entitle(ADMIN, CAUSE, **(give | {"team": "carina"}), channels=["prod"])
    with pytest.raises(InvalidRequest):
        await stage.governance.entitle(ADMIN, CAUSE, **give, channels=[])
    with pytest.raises(NotTeamAdmin):
        await stage.governance.entitle(MEMBER, CAUSE, **give, channels=["prod"])
    assert await stage.actions() == ["entitlement.set", "entitlement.revoke"]


async def test_teams_follow_the_configuration(bare_stage: Stage):
    carina = Team("carina", "Carina", "carina-admins")
    renamed = Team("atlas", "Atlas Survey", "atlas-admins")
    await bare_stage.governance.adopt_teams([renamed, carina], CAUSE)
    governed = await bare_stage.database.read(teams.governed)
    assert governed == {"atlas": renamed, "carina": carina}
    assert sorted(await bare_stage.actions()) == ["team.govern", "team.govern", "team.leave"]
    await bare_stage.governance.adopt_teams([renamed, carina], CAUSE)
    assert len(await bare_stage.records()) == 3
    await bare_stage.governance.adopt_teams([ATLAS, BOREALIS], CAUSE)
    assert await bare_stage.database.read(teams.governed) == {"atlas": ATLAS, "borealis": BOREALIS}


async def test_readers_see_a_change_at_once_and_keep_what_has_not_changed(stage: Stage):
    reader, replica = CatalogueService(stage.database), CatalogueService(stage.database)
    first = await reader.offer("borealis")
    assert await reader.offer("borealis") is first
    await replica.offer("borealis")
    await set_channel(stage)
    for service in (reader, replica):
        [choice] = (await service.offer("borealis")).choices
        assert choice.release.version == "2026.11.1"
    with pytest.raises(TeamNotFound):
        await reader.offer("carina")
