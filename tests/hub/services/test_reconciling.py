"""Books and host, brought together again after somebody died."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hub.domain.running import EndReason, RunningKernel, RunState
from hub.errors import KernelHostUnavailable
from hub.launchers.base import Launch
from hub.policies.reconcile import START_GRACE
from hub.services.reconciling import Reconciler
from hub.storage import running
from hub.storage.running import RecordedKernel
from tests.hub.services.conftest import Stage
from tests.hub.services.test_running import ORDER, recorded
from tests.support.catalogue import NOON
from tests.support.launchers import HostInMemory, HostWhoseAnswerIsLost

A_LAUNCH = Launch("x", "x", [], {}, "/", "/", "python")


def the_reconciler(stage: Stage, host: HostInMemory) -> Reconciler:
    return Reconciler(stage.database, host, stage.clock)


async def booked_by_a_process_that_died(stage: Stage, number: int) -> str:
    kernel_id = f"00000000-0000-4000-8000-{number:012}"
    kernel = RunningKernel(
        kernel_id, "atlas-1", "atlas", "python-data", "2026.11.1", "python-data", "local",
        RunState.STARTING, NOON,
    )  # fmt: skip
    booking = RecordedKernel(kernel, kernel_id, f"r{number}")
    await stage.database.write(lambda session: running.add(session, booking))
    return kernel_id


async def test_a_vanished_kernel_ends_at_the_second_look(stage: Stage):
    host = HostInMemory()
    service = stage.running(host)
    lost = (await service.start(ORDER)).kernel.id
    kept = (await service.start(replace(ORDER, request_id="r2"))).kernel.id
    del host.kernels[lost]
    reconciler = the_reconciler(stage, host)
    await reconciler.look()
    assert (await recorded(stage, lost)).kernel.state is RunState.RUNNING
    await reconciler.look()
    assert (await recorded(stage, lost)).kernel.end_reason is EndReason.HOST_LOST
    assert (await recorded(stage, kept)).kernel.state is RunState.RUNNING
    record = (await stage.records())[-1]
    assert (record.action, record.actor) == ("running_kernel.end", "system:reconciler")


async def test_an_unreachable_host_changes_nothing_and_looks_start_anew(stage: Stage):
    host = HostInMemory()
    kernel_id = (await stage.running(host).start(ORDER)).kernel.id
    reconciler = the_reconciler(stage, host)
    kernels, host.kernels = host.kernels, {}
    await reconciler.look()
    host.down = True
    assert await reconciler.look() is None
    host.down = False
    await reconciler.look()
    assert (await recorded(stage, kernel_id)).kernel.state is RunState.RUNNING
    host.kernels = kernels
    await reconciler.look()
    await reconciler.look()
    assert (await recorded(stage, kernel_id)).kernel.state is RunState.RUNNING


async def test_starts_of_a_process_that_died_are_settled(stage: Stage):
    host = HostInMemory()
    launched = await booked_by_a_process_that_died(stage, 1)
    never_launched = await booked_by_a_process_that_died(stage, 2)
    host.kernels[launched] = A_LAUNCH
    reconciler = the_reconciler(stage, host)
    await reconciler.look()
    assert (await recorded(stage, never_launched)).kernel.state is RunState.STARTING
    stage.clock.forward(START_GRACE)
    await reconciler.look()
    assert (await recorded(stage, launched)).kernel.state is RunState.RUNNING
    ended = await recorded(stage, never_launched)
    assert (ended.kernel.end_reason, ended.kernel.ended_at) == (EndReason.START_FAILED, NOON + START_GRACE)


async def test_what_is_over_is_stopped_and_what_is_unknown_is_not(stage: Stage):
    host = HostWhoseAnswerIsLost()
    with pytest.raises(KernelHostUnavailable):
        await stage.running(host).start(ORDER)
    [left_over] = host.kernels
    host.kernels["somebody-elses"] = A_LAUNCH
    reconciler = the_reconciler(stage, host)
    await reconciler.look()
    assert host.stopped == []
    await reconciler.look()
    await reconciler.look()
    assert host.stopped == [left_over]
    assert set(host.kernels) == {"somebody-elses"}
