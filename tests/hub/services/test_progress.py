"""Progress reaches the database while a step goes on, and never after it."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime

import pytest

from hub.domain.publications import Publication, PublicationState
from hub.services import progress
from hub.services.progress import Progress, ProgressSaver


class DatabaseThatSwallowsCancellations:
    """What ``asyncio.wait_for`` of Python 3.11 does when a result and a cancellation meet."""

    def __init__(self) -> None:
        self.writes = 0
        self.writing = asyncio.Event()

    async def write(self, _work: object, **_wait: object) -> None:
        self.writes += 1
        self.writing.set()
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            return


async def test_a_swallowed_cancellation_does_not_keep_a_step_talking(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "SAVE_EVERY", progress.SAVE_EVERY / 100)
    database = DatabaseThatSwallowsCancellations()
    saver = ProgressSaver(Progress(a_publication()), database)  # type: ignore[arg-type] # a fault's stand-in
    async with saver.step(PublicationState.CHECKING, "Looking") as news:
        database.writing.clear()
        news("Still looking")
        await asyncio.wait_for(database.writing.wait(), 5)
    at_the_end = database.writes
    saver.progress.end()  # something new to say, if anybody were still saying it
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert database.writes == at_the_end


def a_publication() -> Publication:
    return Publication(
        id=str(uuid.uuid4()),
        kernel="python-lab",
        version="2026.11.1",
        team="atlas",
        manifest={},
        state=PublicationState.QUEUED,
        requested_by="atlas-admin",
        request_id="r1",
        requested_at=datetime(2026, 11, 21, tzinfo=UTC),
        check_kernel_id=str(uuid.uuid4()),
        steps=(),
        artifact_digest=None,
        problem=None,
        finished_at=None,
    )
