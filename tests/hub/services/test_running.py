"""Starts, stops and grants, with hosts that behave and hosts that do not."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from hub.domain.audit import Cause
from hub.domain.people import Person
from hub.domain.running import EndReason, RunState
from hub.errors import (
    GranaryError,
    InvalidName,
    KernelHostUnavailable,
    KernelNotFound,
    KernelStartFailed,
    NotEntitled,
    NotTeamAdmin,
    ReleaseNotFound,
    RequestIdReused,
    RunningKernelNotFound,
    TeamNotFound,
)
from hub.services.ordering import StartOrder
from hub.storage import running
from tests.hub.services.conftest import Stage
from tests.support.launchers import (
    HostInMemory,
    HostThatRefuses,
    HostThatTakesItsTime,
    HostWhoseAnswerIsLost,
)

ORDER = StartOrder("atlas-1", "atlas", "python-data", "r1")
ADA = Person("atlas-1", frozenset({"atlas"}), may_use_kernels=True)
ADMIN = Person("atlas-admin", manages=frozenset({"atlas"}))
CAUSE = Cause("atlas-admin", "r9")


async def recorded(stage: Stage, kernel_id: str) -> running.RecordedKernel:
    found = await stage.database.read(lambda session: running.get(session, kernel_id))
    assert found is not None
    return found


async def test_a_start_is_booked_launched_and_granted(stage: Stage):
    host = HostInMemory()
    granted = await stage.running(host).start(ORDER)
    assert granted.kernel.state is RunState.RUNNING
    assert granted.grant.secret == f"secret-of-{granted.kernel.id}"
    launch = host.kernels[granted.kernel.id]
    assert (launch.home, launch.working_directory) == ("/homes/atlas-1", "/homes/atlas-1")
    assert launch.environment["GRANARY_RELEASE"] == "2026.10.1"
    assert (await recorded(stage, granted.kernel.id)).kernel == granted.kernel
    record = (await stage.records())[-1]
    assert (record.action, record.actor, record.team) == ("running_kernel.start", "atlas-1", "atlas")
    assert record.subject == f"running-kernel/{granted.kernel.id}"


async def test_the_default_kernel_is_the_first_on_prod(stage: Stage):
    granted = await stage.running(HostInMemory()).start(replace(ORDER, spec_name=None))
    assert granted.kernel.spec_name == "python-data"


async def test_client_wishes_change_neither_identity_nor_home(stage: Stage):
    host = HostInMemory()
    hostile = {"KERNEL_USERNAME": "atlas-2", "HOME": "/root", "GRANARY_PERSON": "atlas-2", "TZ": "UTC"}
    order = replace(ORDER, environment=hostile, working_directory="../atlas-2")
    granted = await stage.running(host).start(order)
    launch = host.kernels[granted.kernel.id]
    assert launch.working_directory == "/homes/atlas-1"
    assert launch.environment["GRANARY_PERSON"] == "atlas-1"
    assert launch.environment["TZ"] == "UTC"
    assert not {"KERNEL_USERNAME", "HOME"} & launch.environment.keys()


async def test_names_that_collide_after_normalisation_get_homes_of_their_own(stage: Stage):
    host = HostInMemory()
    service = stage.running(host)
    people = ["Ada", "ada", "a/../ada", "ADA", "ada--x"]
    for number, person in enumerate(people):
        await service.start(replace(ORDER, person=person, request_id=f"r{number}"))
    homes = {launch.home for launch in host.kernels.values()}
    assert len(homes) == len(people)
    assert all(home.removeprefix("/homes/").replace("-", "").isalnum() for home in homes)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"team": "carina"}, TeamNotFound),
        ({"spec_name": "nothing"}, KernelNotFound),
        ({"spec_name": "../etc"}, InvalidName),
        ({"spec_name": "python-data.v9.9"}, ReleaseNotFound),
        ({"team": "borealis", "spec_name": "python-data.dev"}, NotEntitled),
    ],
)
async def test_what_is_not_allowed_is_not_booked(
    stage: Stage, change: dict[str, str], error: type[GranaryError]
):
    host = HostInMemory()
    with pytest.raises(error):
        await stage.running(host).start(replace(ORDER, **change))
    assert host.kernels == {}
    assert await stage.database.read(running.alive) == []
    assert await stage.actions() == []


async def test_a_repeated_request_finds_the_same_kernel(stage: Stage):
    host = HostInMemory()
    service = stage.running(host)
    first = await service.start(ORDER)
    again = await service.start(ORDER)
    after_a_restart = await stage.running(host).start(ORDER)
    assert first == again == after_a_restart
    assert len(host.kernels) == 1
    other = await service.start(replace(ORDER, person="atlas-2"))
    assert other.kernel.id != first.kernel.id


async def test_requests_at_the_same_time_are_one_start(stage: Stage):
    host = HostInMemory()
    service, replica = stage.running(host), stage.running(host)
    granted = await asyncio.gather(*(one.start(ORDER) for one in [service, replica] * 5))
    assert len({each.kernel.id for each in granted}) == 1
    assert len(host.kernels) == 1
    assert (await stage.actions()).count("running_kernel.start") == 1


async def test_an_id_that_came_with_another_request_is_refused(stage: Stage):
    service = stage.running(HostInMemory())
    await service.start(ORDER)
    with pytest.raises(RequestIdReused):
        await service.start(replace(ORDER, spec_name="python-data.dev"))
    with pytest.raises(RequestIdReused):
        await service.start(replace(ORDER, team="borealis"))


async def test_a_start_goes_on_when_its_caller_goes_away(stage: Stage):
    host = HostThatTakesItsTime()
    service = stage.running(host)
    caller = asyncio.create_task(service.start(ORDER))
    await asyncio.wait_for(host.asked.wait(), 10)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    host.go.set()
    await service.drain()
    [found] = await stage.database.read(running.alive)
    assert found.kernel.state is RunState.RUNNING
    assert (await service.start(ORDER)).kernel == found.kernel


async def test_a_refused_start_is_over_and_stays_so(stage: Stage):
    service = stage.running(HostThatRefuses())
    for _ in range(2):
        with pytest.raises(KernelStartFailed, match="interpreter is missing"):
            await service.start(ORDER)
    assert await stage.database.read(running.alive) == []
    assert await stage.actions() == ["running_kernel.start", "running_kernel.end"]


async def test_a_host_that_is_down_is_named(stage: Stage):
    host = HostInMemory()
    host.down = True
    with pytest.raises(KernelHostUnavailable):
        await stage.running(host).start(ORDER)
    assert await stage.database.read(running.alive) == []


async def test_a_kernel_stopped_while_it_starts_does_not_run(stage: Stage):
    host = HostThatTakesItsTime()
    service = stage.running(host)
    start = asyncio.create_task(service.start(ORDER))
    await asyncio.wait_for(host.asked.wait(), 10)
    [booked] = await stage.database.read(running.alive)
    await service.stop_own(booked.kernel.id, "atlas-1", "r2")
    host.go.set()
    with pytest.raises(KernelStartFailed, match="stopped while"):
        await start
    assert host.kernels == {}


async def test_the_owner_stops_once_and_for_good(stage: Stage):
    host = HostInMemory()
    service = stage.running(host)
    kernel_id = (await service.start(ORDER)).kernel.id
    await service.stop_own(kernel_id, "atlas-1", "r2")
    await service.stop_own(kernel_id, "atlas-1", "r3")
    assert host.stopped == [kernel_id]
    assert (await recorded(stage, kernel_id)).kernel.end_reason is EndReason.STOPPED_BY_OWNER
    with pytest.raises(RunningKernelNotFound):
        await service.grant(kernel_id)
    assert await service.granted("atlas", "atlas-1") == []


async def test_for_others_and_for_nonsense_the_answer_is_the_same(stage: Stage):
    host = HostInMemory()
    service = stage.running(host)
    kernel_id = (await service.start(ORDER)).kernel.id
    with pytest.raises(RunningKernelNotFound) as foreign:
        await service.stop_own(kernel_id, "atlas-2", "r2")
    with pytest.raises(RunningKernelNotFound) as unknown:
        await service.stop_own("00000000-0000-4000-8000-000000000000", "atlas-2", "r2")
    assert foreign.value.message == unknown.value.message
    assert host.stopped == []


async def test_a_host_that_is_down_stops_nothing(stage: Stage):
    host = HostInMemory()
    service = stage.running(host)
    kernel_id = (await service.start(ORDER)).kernel.id
    host.down = True
    with pytest.raises(KernelHostUnavailable):
        await service.stop_own(kernel_id, "atlas-1", "r2")
    assert (await recorded(stage, kernel_id)).kernel.state is RunState.RUNNING


async def test_an_admin_sees_and_stops_what_the_team_runs(stage: Stage):
    service = stage.running(HostInMemory())
    kernel = (await service.start(ORDER)).kernel
    assert await service.visible_to(ADMIN, "atlas") == [kernel]
    assert await service.visible_to(ADMIN, None) == []
    assert await service.visible_to(ADA, None) == [kernel]
    with pytest.raises(NotTeamAdmin):
        await service.visible_to(ADA, "atlas")
    await service.stop(ADMIN, kernel.id, CAUSE)
    record = (await stage.records())[-1]
    assert (record.actor, record.reason) == ("atlas-admin", "stopped_by_admin")


async def test_a_lost_answer_leaves_nothing_running_unbooked(stage: Stage):
    host = HostWhoseAnswerIsLost()
    with pytest.raises(KernelHostUnavailable):
        await stage.running(host).start(ORDER)
    [at_host] = host.kernels
    assert (await recorded(stage, at_host)).kernel.end_reason is EndReason.START_FAILED
