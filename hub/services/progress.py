"""How progress of slow work, done in threads, reaches people who look at the database."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from hub.domain.publications import Publication, PublicationState, PublicationStep
from hub.errors import DatabaseUnavailable
from hub.services.database import BACKGROUND_WAIT, Database
from hub.storage import publications

SAVE_EVERY = timedelta(milliseconds=500)
"""How often news of a step is written down; somebody watching asks about once a second."""

MAX_TEXT_LENGTH = 300

T = TypeVar("T")


class News:
    """The latest word of one step. A single assignment, so that any thread may tell it.

    Each step has its own: a thread that outlives its step talks to nobody.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    def __call__(self, text: str) -> None:
        self.text = text[:MAX_TEXT_LENGTH]


class Progress:
    """A publication as far as it has come, for the event loop's thread only."""

    def __init__(self, publication: Publication) -> None:
        self.publication = publication
        self._begun = 0.0
        self._news = News("")

    def begin(self, state: PublicationState, text: str) -> News:
        """Enter a step; what is told to the answer becomes its text."""
        self._begun = time.monotonic()
        self._news = News(text)
        steps = (*self.publication.steps, PublicationStep(state.value, text, None))
        self.publication = replace(self.publication, state=state, steps=steps)
        return self._news

    def catch_up(self) -> Publication:
        """The publication with the latest news of the step under way."""
        *earlier, step = self.publication.steps
        if step.text != self._news.text:
            latest = replace(step, text=self._news.text)
            self.publication = replace(self.publication, steps=(*earlier, latest))
        return self.publication

    def end(self) -> None:
        """Leave the step under way."""
        *earlier, step = self.catch_up().steps
        seconds = round(time.monotonic() - self._begun, 3)
        self.publication = replace(self.publication, steps=(*earlier, replace(step, seconds=seconds)))


class ProgressSaver:
    """Writes progress down while work goes on. Progress is not worth failing for."""

    def __init__(self, progress: Progress, database: Database) -> None:
        self.progress = progress
        self._database = database
        self._saved: Publication | None = None

    @asynccontextmanager
    async def step(self, state: PublicationState, text: str) -> AsyncIterator[News]:
        """One step: its state and first words are there before it begins, its seconds when it ends."""
        news = self.progress.begin(state, text)
        await self._save()
        over = asyncio.Event()
        saving = asyncio.create_task(self._save_until(over))
        try:
            yield news
        finally:
            # Cancelling alone is not enough: `asyncio.wait_for` of Python 3.11 swallows a cancellation
            # that meets a result, and the task would go on and write old news over the outcome.
            over.set()
            saving.cancel()
            await asyncio.wait({saving})
            self.progress.end()

    async def _save_until(self, over: asyncio.Event) -> None:
        while not over.is_set():
            await asyncio.sleep(SAVE_EVERY.total_seconds())
            await self._save()

    async def _save(self) -> None:
        latest = self.progress.catch_up()
        if latest is self._saved:
            return
        try:
            await self._database.write(
                lambda session: publications.save(session, latest), wait=BACKGROUND_WAIT
            )
        except DatabaseUnavailable:
            return  # written with the next news, or with the outcome
        self._saved = latest


async def in_daemon_thread(work: Callable[[], T]) -> T:
    """Run slow work in a thread of its own that does not hold up the end of the process.

    If the caller is cancelled, the work goes on unseen; it must be harmless then.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type] # the result, as there was no error

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 # handed to whoever waits
            failure = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="publishing", daemon=True).start()
    return await future
