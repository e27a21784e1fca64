"""Keeps an installation's processes running: starts, watches, restarts with back-off, ends."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx

from hub.errors import ProcessFailed
from hub.local.backoff import STEADY_AFTER, pause_before_restart
from hub.local.health import loopback_client, until_healthy
from hub.local.plan import ProcessPlan
from hub.local.state import ProcessRecord
from hub.local.supervised import KILL_PATIENCE, Supervised, end_processes

START_BOUND = timedelta(seconds=60)
"""For one process to become healthy at the first start, on a slow and busy machine."""

ADOPTION_BOUND = timedelta(seconds=10)
"""For a process taken over to answer; one that hangs is replaced."""

STOP_PATIENCE = timedelta(seconds=8)
"""Between SIGTERM and SIGKILL when everything is stopped; the kernel host may take seven for its kernels."""

_SHOWN_LOG_LINES = 12


class Supervisor:
    """Runs the processes of one installation.

    Parameters
    ----------
    note
        Told of every change of a process: name and record.
    """

    def __init__(
        self,
        plans: Sequence[ProcessPlan],
        *,
        log_of: Callable[[str], Path],
        cwd: Path,
        note: Callable[[str, ProcessRecord], None],
    ) -> None:
        self._plans = {plan.name: plan for plan in plans}
        self._log_of = log_of
        self._cwd = cwd
        self._note_elsewhere = note
        self.records: dict[str, ProcessRecord] = {}
        self._running: dict[str, Supervised] = {}
        self._watchers: list[asyncio.Task[None]] = []

    async def start(
        self, earlier: dict[str, ProcessRecord], healthy: Callable[[ProcessPlan, float, bool], None]
    ) -> None:
        """Bring everything up; processes of an earlier supervisor are kept if they fit their plan.

        ``healthy`` is told of each process, the seconds it took, and whether it was adopted.

        Raises
        ------
        ProcessFailed
            One of them ended or was not healthy in time.
        """
        ready = {name: asyncio.Event() for name in self._plans}
        async with loopback_client() as http:
            tasks = [
                asyncio.create_task(self._first_start(plan, earlier, ready, http, healthy))
                for plan in self._plans.values()
            ]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
        self._watchers = [asyncio.create_task(self._watch(plan)) for plan in self._plans.values()]

    async def stop(self) -> None:
        """End everything at once, within ``STOP_PATIENCE`` and a little."""
        for watcher in self._watchers:
            watcher.cancel()
        for process in self._running.values():
            process.signal(signal.SIGTERM)
        endings = [asyncio.create_task(process.ended()) for process in self._running.values()]
        if endings:
            await asyncio.wait(endings, timeout=STOP_PATIENCE.total_seconds())
        for process in self._running.values():
            process.kill_group()
        if endings:
            await asyncio.wait(endings, timeout=KILL_PATIENCE.total_seconds())
        for ending in endings:
            ending.cancel()
        for name, process in self._running.items():
            process.close()
            self._note(name, replace(self.records[name], state="stopped", id=None))
        self._running.clear()

    async def _first_start(
        self,
        plan: ProcessPlan,
        earlier: dict[str, ProcessRecord],
        ready: dict[str, asyncio.Event],
        http: httpx.AsyncClient,
        healthy: Callable[[ProcessPlan, float, bool], None],
    ) -> None:
        for name in plan.after:
            if name in ready:
                await ready[name].wait()
        began = asyncio.get_running_loop().time()
        process = await self._adopt(plan, earlier.get(plan.name), http)
        adopted = process is not None
        if process is None:
            process = self._running[plan.name] = self._spawn(plan)
            self._note(plan.name, ProcessRecord("starting", process.id, plan.fingerprint()))
            await self._until_up(plan, process, http)
        self._note(plan.name, ProcessRecord("running", process.id, plan.fingerprint()))
        ready[plan.name].set()
        healthy(plan, asyncio.get_running_loop().time() - began, adopted)

    async def _adopt(
        self, plan: ProcessPlan, record: ProcessRecord | None, http: httpx.AsyncClient
    ) -> Supervised | None:
        """The process of an earlier supervisor, if it fits the plan and does its work."""
        process = _adoptable(plan, record)
        if process is None:
            return None
        self._running[plan.name] = process
        self._note(plan.name, ProcessRecord("starting", process.id, plan.fingerprint()))
        with suppress(TimeoutError):
            async with asyncio.timeout(ADOPTION_BOUND.total_seconds()):
                await until_healthy(plan.health, http)
            return process
        del self._running[plan.name]
        process.close()
        await asyncio.to_thread(end_processes, [process.id], KILL_PATIENCE)
        return None

    async def _until_up(self, plan: ProcessPlan, process: Supervised, http: httpx.AsyncClient) -> None:
        ending = asyncio.create_task(process.ended())
        looking = asyncio.create_task(until_healthy(plan.health, http))
        try:
            await asyncio.wait(
                {ending, looking}, timeout=START_BOUND.total_seconds(), return_when=asyncio.FIRST_COMPLETED
            )
            if ending.done():
                raise self._failed(plan, f"ended while it was starting ({ending.result()})")
            if not looking.done():
                raise self._failed(plan, f"was not ready after {START_BOUND.total_seconds():.0f} s")
        finally:
            ending.cancel()
            looking.cancel()

    async def _watch(self, plan: ProcessPlan) -> None:
        """Start a process again whenever it ends, with growing pauses."""
        loop = asyncio.get_running_loop()
        deaths = 0
        while True:  # until stop() cancels us
            process, since = self._running[plan.name], loop.time()
            how = await process.ended()
            del self._running[plan.name]
            process.close()
            deaths = 1 if loop.time() - since > STEADY_AFTER.total_seconds() else deaths + 1
            while not await self._start_again(plan, how, pause_before_restart(deaths)):
                deaths, how = deaths + 1, "could not be started"

    async def _start_again(self, plan: ProcessPlan, how: str, pause: timedelta) -> bool:
        """Start a process that ended, after a pause; False if the machine cannot do it now."""
        record = replace(
            self.records[plan.name],
            state="waiting",
            id=None,
            last_exit=how,
            retry_seconds=pause.total_seconds(),
        )
        self._note(plan.name, record)
        await asyncio.sleep(pause.total_seconds())
        try:
            process = self._running[plan.name] = self._spawn(plan)
        except OSError:  # no memory or no processes left, for instance
            return False
        started = replace(record, state="running", id=process.id, restarts=record.restarts + 1)
        self._note(plan.name, replace(started, retry_seconds=0.0))
        return True

    def _spawn(self, plan: ProcessPlan) -> Supervised:
        return Supervised.start(plan, self._log_of(plan.name), self._cwd)

    def _note(self, name: str, record: ProcessRecord) -> None:
        self.records[name] = record
        self._note_elsewhere(name, record)

    def _failed(self, plan: ProcessPlan, how: str) -> ProcessFailed:
        log = self._log_of(plan.name)
        lines = log.read_text(errors="replace").splitlines()[-_SHOWN_LOG_LINES:] if log.exists() else []
        return ProcessFailed(
            f"The {plan.title} {how}. Its log is {log}; its last lines follow.",
            output=lines,
            process=plan.name,
        )


def _adoptable(plan: ProcessPlan, record: ProcessRecord | None) -> Supervised | None:
    if record is None or record.id is None or record.fingerprint != plan.fingerprint():
        return None
    return Supervised.adopt(record.id)
