"""Answers of slower processes, kept for a while, asked for once at a time."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

from hub.errors import GranaryError, Unavailable

RETRY_PAUSE = timedelta(seconds=1)
"""After a failure, stale answers are given without asking again for this long."""

V = TypeVar("V")
T = TypeVar("T")


@dataclass
class _Entry(Generic[V]):
    value: V
    asked_at: float
    failed_at: float = float("-inf")


@dataclass(frozen=True)
class Answer(Generic[V]):
    """A value and how old it is; ``stale`` when its source could not be asked again."""

    value: V
    age: timedelta
    stale: bool = False


class SingleFlight(Generic[V]):
    """At most one call per key under way; whoever comes meanwhile shares its outcome."""

    def __init__(self) -> None:
        self._flights: dict[str, asyncio.Task[V]] = {}

    async def run(self, key: str, call: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """The outcome of ``call`` or of the one under way. A caller that gives up does not stop it."""
        task = self._flights.get(key)
        if task is None:
            task = asyncio.create_task(call())
            self._flights[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        return await asyncio.shield(task)

    def _landed(self, key: str, task: asyncio.Task[V]) -> None:
        del self._flights[key]
        if not task.cancelled():
            task.exception()  # those who waited have it; nobody waiting is no defect


class Remembered(Generic[V]):
    """The least recently used answers, each with the instant it was asked for.

    Parameters
    ----------
    fresh_for
        An answer younger than this is given without asking.
    kept_for
        While its source is unavailable, an answer up to this old may be given to
        callers that accept it.
    size
        Answers kept; the least recently used goes first.
    clock
        Monotonic seconds.
    """

    def __init__(
        self, *, fresh_for: timedelta, kept_for: timedelta, size: int, clock: Callable[[], float]
    ) -> None:
        self._fresh_seconds = fresh_for.total_seconds()
        self._kept_seconds = kept_for.total_seconds()
        self._size = size
        self._clock = clock
        self._entries: OrderedDict[str, _Entry[V]] = OrderedDict()
        self._flights: SingleFlight[V] = SingleFlight()

    def peek(self, key: str) -> V | None:
        """The answer if it is fresh."""
        entry = self._entries.get(key)
        if entry is None or self._clock() - entry.asked_at >= self._fresh_seconds:
            return None
        self._entries.move_to_end(key)
        return entry.value

    def last(self, key: str) -> V | None:
        """The answer while it is kept, fresh or not."""
        entry = self._entries.get(key)
        return None if entry is None or self._age(entry) > self._kept_seconds else entry.value

    async def get(
        self, key: str, ask: Callable[[], Awaitable[V]], *, stale_ok: bool, fresh_ok: bool = True
    ) -> Answer[V]:
        """The answer, fresh if that can be had.

        Parameters
        ----------
        ask
            Fetches it. ``Unavailable`` keeps the old answer; any other error of ours
            means there is no answer any more and drops it.
        stale_ok
            Whether an old answer will do while the source is unavailable.
        fresh_ok
            False asks in any case.
        """
        entry = self._entries.get(key)
        if entry is not None:
            if fresh_ok and (value := self.peek(key)) is not None:
                return Answer(value, timedelta(seconds=self._age(entry)))
            just_failed = self._clock() - entry.failed_at < RETRY_PAUSE.total_seconds()
            if stale_ok and just_failed and self._age(entry) <= self._kept_seconds:
                return self._stale(entry)
        try:
            return Answer(await self._flights.run(key, lambda: self._ask(key, ask)), timedelta())
        except Unavailable:
            entry = self._entries.get(key)
            if entry is None:
                raise
            entry.failed_at = self._clock()
            if not stale_ok or self._age(entry) > self._kept_seconds:
                raise
            return self._stale(entry)

    def put(self, key: str, value: V, asked_at: float | None = None) -> None:
        self._entries[key] = _Entry(value, self._clock() if asked_at is None else asked_at)
        self._entries.move_to_end(key)
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def drop(self, key: str) -> None:
        self._entries.pop(key, None)

    async def _ask(self, key: str, ask: Callable[[], Awaitable[V]]) -> V:
        asked_at = self._clock()
        try:
            value = await ask()
        except Unavailable:
            raise
        except GranaryError:
            self.drop(key)
            raise
        self.put(key, value, asked_at)
        return value

    def _stale(self, entry: _Entry[V]) -> Answer[V]:
        return Answer(entry.value, timedelta(seconds=self._age(entry)), stale=True)

    def _age(self, entry: _Entry[V]) -> float:
        return self._clock() - entry.asked_at
