"""From manifest to catalogue: whole or not at all, and never twice."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hub.domain.audit import Cause
from hub.domain.kernels import CatalogueEntry
from hub.domain.kernels import Stage as ReleaseStage
from hub.domain.people import Person
from hub.domain.publications import Publication, PublicationState
from hub.errors import (
    GranaryError,
    InvalidManifest,
    KernelOwnedElsewhere,
    NotTeamAdmin,
    PublicationNotFound,
    PublicationUnderWay,
    PublishingBusy,
    ReleaseExists,
    TeamNotFound,
)
from hub.services import publishing
from hub.services.publishing import CHECK_HOME, Published, Publishing
from hub.storage import catalogue
from tests.hub.services.conftest import Stage
from tests.support.launchers import (
    BuilderThatFails,
    BuilderThatTakesItsTime,
    BuilderWithADefect,
    HostInMemory,
    HostWhereKernelsNeverAnswer,
    OwnInterpreter,
)

ADMIN = Person("atlas-admin", manages=frozenset({"atlas"}))
OTHER_ADMIN = Person("borealis-admin", manages=frozenset({"borealis"}))
MEMBER = Person("atlas-1", frozenset({"atlas"}), may_use_kernels=True)
CAUSE = Cause("atlas-admin", "r1")
PATIENCE_SECONDS = 20


def a_manifest(pandas: str = "2.3.3", **changes: Any) -> dict[str, Any]:
    release = {
        "version": "2026.11.1",
        "environment": {"requirements": ["ipykernel==7.4.0", f"pandas=={pandas}"]},
        "variables": {"OMP_NUM_THREADS": "2"},
        "resources": {"cpu": "1", "memory": "2Gi"},
    }
    release |= changes.pop("release", {})
    return {
        "kernel": "python-lab",
        "team": "atlas",
        "display_name": "Python lab",
        "description": "For trying things",
        "language": "python",
        "release": release,
        "channels": ["dev"],
        "entitlements": {"borealis": ["prod"]},
    } | changes


class Press:
    """The publishing service with its surroundings."""

    def __init__(self, stage: Stage, builder: OwnInterpreter, host: HostInMemory) -> None:
        self.stage, self.builder, self.host = stage, builder, host
        self.service = Publishing(
            stage.database, builder, host, Path("/homes"), stage.clock, lambda: str(uuid.uuid4())
        )

    async def submit(self, manifest: dict[str, Any], person: Person = ADMIN) -> Published:
        return await self.service.submit(person, CAUSE, manifest["kernel"], manifest)

    async def publish(self, manifest: dict[str, Any]) -> Publication:
        """Submit and wait for the end."""
        publication = (await self.submit(manifest)).publication
        return await self.until(publication.id, lambda found: found.state.finished)

    async def until(self, publication_id: str, reached: Callable[[Publication], bool]) -> Publication:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                found = (await self.service.find(ADMIN, publication_id)).publication
                if reached(found):
                    return found
                await asyncio.sleep(0.01)

    async def entry(self, kernel: str = "python-lab") -> CatalogueEntry | None:
        return await self.stage.database.read(lambda session: catalogue.entry(session, kernel))


@asynccontextmanager
async def a_press(
    stage: Stage, builder: OwnInterpreter | None = None, host: HostInMemory | None = None
) -> AsyncIterator[Press]:
    press = Press(stage, builder or OwnInterpreter(), host or HostInMemory())
    working = asyncio.create_task(press.service.run())
    try:
        yield press
    finally:
        working.cancel()
        await asyncio.wait([working], timeout=5)


async def test_a_manifest_becomes_a_release(stage: Stage):
    async with a_press(stage) as press:
        done = await press.publish(a_manifest())
        entry = await press.entry()
        assert done.state is PublicationState.DONE
        assert [step.name for step in done.steps] == ["resolving", "building", "checking"]
        assert all(step.seconds is not None for step in done.steps)
        assert entry is not None
        release = entry.releases["2026.11.1"]
        assert (release.stage, release.artifact.digest) == (ReleaseStage.ACTIVE, done.artifact_digest)
        assert (release.resources.cpu_millicores, release.environment) == (1000, {"OMP_NUM_THREADS": "2"})
        assert entry.channels["dev"].version == "2026.11.1"
        assert {team: set(held.channels) for team, held in entry.entitlements.items()} == {
            "atlas": {"dev"},
            "borealis": {"prod"},
        }
        [check] = press.host.stopped
        assert check == done.check_kernel_id
        assert press.host.kernels == {}
        assert await stage.actions() == [
            "publication.request",
            "kernel.create",
            "release.publish",
            "channel.set",
            "entitlement.set",
            "entitlement.set",
        ]


async def test_the_check_runs_in_a_home_that_is_nobodys(stage: Stage):
    class Watching(HostInMemory):
        homes: list[str]

        async def start(self, launch: Any) -> str:
            self.homes = [launch.home]
            return await super().start(launch)

    host = Watching()
    async with a_press(stage, host=host) as press:
        await press.publish(a_manifest())
    assert host.homes == [f"/homes/{CHECK_HOME}"]


async def test_the_same_content_again_is_the_same_publication(stage: Stage):
    async with a_press(stage) as press:
        first = await press.publish(a_manifest())
        again = await press.submit(a_manifest(channels=["dev", "prod"]))
        assert again.publication == first
        assert again.release is not None
        entry = await press.entry()
        assert entry is not None
        assert set(entry.channels) == {"dev"}, "publishing old content again moves nothing"


async def test_the_same_content_in_other_words_is_published_once(stage: Stage):
    async with a_press(stage) as press:
        await press.publish(a_manifest())
        reordered = {"environment": {"requirements": ["pandas==2.3.3", "ipykernel==7.4.0"]}}
        done = await press.publish(a_manifest(release=reordered))
        assert done.state is PublicationState.DONE
        assert len(press.builder.built) == 1


async def test_other_content_under_a_published_version_is_refused(stage: Stage):
    async with a_press(stage) as press:
        await press.publish(a_manifest())
        other_packages = await press.publish(a_manifest("2.2.0"))
        assert other_packages.problem is not None
        assert other_packages.problem.code == "release_exists"
        with pytest.raises(ReleaseExists):
            await press.submit(a_manifest(release={"variables": {"OMP_NUM_THREADS": "4"}}))
        entry = await press.entry()
        assert entry is not None
        assert ("pandas", "2.3.3") in [
            (package.name, package.version) for package in (await published(press, "2026.11.1")).packages
        ]


async def published(press: Press, version: str):
    found = await press.stage.database.read(lambda session: catalogue.release(session, "python-lab", version))
    assert found is not None
    return found


async def test_a_second_version_describes_the_kernel_anew_and_takes_nothing_away(stage: Stage):
    async with a_press(stage) as press:
        await press.publish(a_manifest())
        second = a_manifest(
            release={"version": "2026.11.2"},
            description="For real",
            channels=["prod"],
            entitlements={"borealis": ["dev"]},
        )
        await press.publish(second)
        entry = await press.entry()
        assert entry is not None
        assert entry.kernel.description == "For real"
        assert {name: channel.version for name, channel in entry.channels.items()} == {
            "dev": "2026.11.1",
            "prod": "2026.11.2",
        }
        assert entry.entitlements["borealis"].channels == {"dev", "prod"}
        assert entry.entitlements["atlas"].channels == {"dev", "prod"}


@pytest.mark.parametrize(
    ("manifest", "person", "error"),
    [
        (a_manifest(), MEMBER, NotTeamAdmin),
        (a_manifest(), OTHER_ADMIN, NotTeamAdmin),
        (a_manifest(team="borealis", entitlements={}), ADMIN, NotTeamAdmin),
        (a_manifest(team="carina"), Person("admin", manages_all=True), TeamNotFound),
        (a_manifest(entitlements={"carina": ["prod"]}), ADMIN, TeamNotFound),
        (a_manifest(kernel="python-data", team="borealis"), OTHER_ADMIN, KernelOwnedElsewhere),
        (a_manifest(misspelt=1), ADMIN, InvalidManifest),
        (a_manifest(release={"resources": {"cpu": "9" * 30}}), ADMIN, InvalidManifest),
    ],
)
async def test_what_is_refused_at_once(
    stage: Stage, manifest: dict[str, Any], person: Person, error: type[GranaryError]
):
    async with a_press(stage) as press:
        with pytest.raises(error):
            await press.submit(manifest, person)
        assert await stage.actions() == []


async def test_a_manifest_sent_to_another_kernel_is_refused(stage: Stage):
    async with a_press(stage) as press:
        with pytest.raises(InvalidManifest, match="python-lab"):
            await press.service.submit(ADMIN, CAUSE, "python-data", a_manifest())


@pytest.mark.parametrize(
    ("builder", "host", "code", "last_step"),
    [
        (BuilderThatFails, HostInMemory, "build_failed", "building"),
        (BuilderWithADefect, HostInMemory, "internal_error", "resolving"),
        (OwnInterpreter, HostWhereKernelsNeverAnswer, "kernel_start_failed", "checking"),
    ],
)
async def test_a_failure_is_told_and_publishes_nothing(
    stage: Stage, builder: type[OwnInterpreter], host: type[HostInMemory], code: str, last_step: str
):
    async with a_press(stage, builder(), host()) as press:
        failed = await press.publish(a_manifest())
        assert failed.problem is not None
        assert (failed.problem.code, failed.steps[-1].name) == (code, last_step)
        assert await press.entry() is None
        assert press.host.kernels == {}
        assert await stage.actions() == ["publication.request", "publication.fail"]


async def test_after_a_failure_the_same_version_can_be_published(stage: Stage):
    async with a_press(stage, BuilderThatFails()) as press:
        await press.publish(a_manifest())
    async with a_press(stage) as press:
        assert (await press.publish(a_manifest())).state is PublicationState.DONE


async def test_while_it_is_under_way(stage: Stage):
    builder = BuilderThatTakesItsTime()
    async with a_press(stage, builder) as press:
        publication = (await press.submit(a_manifest())).publication
        await press.until(publication.id, lambda found: found.state is PublicationState.BUILDING)
        same = (await press.submit(a_manifest())).publication
        assert same.id == publication.id
        with pytest.raises(PublicationUnderWay):
            await press.submit(a_manifest("2.2.0"))
        await press.until(publication.id, lambda found: found.steps[-1].text == "Downloading pandas")
        builder.go.set()
        await press.until(publication.id, lambda found: found.state is PublicationState.DONE)


async def test_who_sees_a_publication(stage: Stage):
    async with a_press(stage) as press:
        done = await press.publish(a_manifest())
        assert (await press.service.find(Person("admin", manages_all=True), done.id)).publication == done
        for person in (MEMBER, OTHER_ADMIN):
            with pytest.raises(PublicationNotFound):
                await press.service.find(person, done.id)
        with pytest.raises(PublicationNotFound):
            await press.service.find(ADMIN, "unknown")


async def test_a_process_that_died_leaves_nothing_half_published(stage: Stage):
    builder = BuilderThatTakesItsTime()
    async with a_press(stage, builder) as press:
        publication = (await press.submit(a_manifest())).publication
        await press.until(publication.id, lambda found: found.state is PublicationState.BUILDING)
    builder.go.set()
    async with a_press(stage) as press:
        await press.service.recover()
        failed = (await press.service.find(ADMIN, publication.id)).publication
        assert failed.problem is not None
        assert failed.problem.code == "publication_interrupted"
        assert "publish again" in failed.problem.message
        assert await press.entry() is None
        assert (await press.publish(a_manifest())).state is PublicationState.DONE


async def test_there_is_an_end_to_waiting(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(publishing, "MAX_WAITING", 1)
    press = Press(stage, OwnInterpreter(), HostInMemory())
    await press.submit(a_manifest())
    with pytest.raises(PublishingBusy):
        await press.submit(a_manifest(release={"version": "2026.11.2"}))
