"""Keeping our books and the kernel host in agreement."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from sqlalchemy.orm import Session

from hub.domain.audit import Cause
from hub.domain.instants import Clock
from hub.domain.running import EndReason
from hub.errors import GranaryError, KernelHostUnavailable
from hub.launchers.base import Launcher
from hub.policies.reconcile import BookedKernel, Doubts, Reconciliation, reconcile
from hub.services.database import BACKGROUND_WAIT, Database
from hub.services.recording import Recorder
from hub.services.running import end_kernel
from hub.storage import publications, running

LOOK_EVERY = timedelta(seconds=3)

LOOK_BOUND = timedelta(seconds=60)
"""For a whole look, stops of left-over kernels included."""

_ACTOR = "system:reconciler"

_log = logging.getLogger(__name__)


class Reconciler:
    """Looks at a kernel host again and again and settles what differs.

    A kernel that the host no longer has is ended in our books; one that is over in
    our books but still runs is stopped, unless it is not ours. A host that does not
    answer changes nothing. See ``hub.policies.reconcile`` for the judgement.
    """

    def __init__(self, database: Database, launcher: Launcher, clock: Clock) -> None:
        self._database = database
        self._launcher = launcher
        self._clock = clock
        self._doubts = Doubts()
        self._told: frozenset[str] = frozenset()
        self._reachable = True

    async def run(self, every: timedelta = LOOK_EVERY) -> None:
        """Look for ever, one look after the other; a failed look is logged and forgotten."""
        while True:
            await asyncio.sleep(every.total_seconds())
            try:
                async with asyncio.timeout(LOOK_BOUND.total_seconds()):
                    await self.look()
            except (GranaryError, TimeoutError) as error:
                self._doubts = Doubts()
                _log.warning("A look at the kernel host %s failed: %s", self._launcher.name, error)
            except Exception:  # noqa: BLE001 # the loop outlives any defect; the log has the traceback
                self._doubts = Doubts()
                _log.exception("A look at the kernel host %s failed", self._launcher.name)

    async def look(self) -> Reconciliation | None:
        """Compare once and act; None if the host did not answer."""
        booked = await self._database.read(self._booked, wait=BACKGROUND_WAIT)
        try:
            listed = await self._launcher.list()
        except KernelHostUnavailable as error:
            self._note_reachable(False, error.message)
            self._doubts = Doubts()
            return None
        self._note_reachable(True, "")
        ended = await self._database.read(lambda session: self._ended(session, listed), wait=BACKGROUND_WAIT)
        over = {found for found, has_ended in ended.items() if has_ended}
        verdict = reconcile(booked, listed, ended.keys(), over, self._doubts, now=self._clock())
        self._doubts = verdict.doubts
        await self._act(verdict)
        return verdict

    def _booked(self, session: Session) -> list[BookedKernel]:
        return [
            BookedKernel(found.kernel.id, found.host_kernel_id, found.kernel.state, found.kernel.started_at)
            for found in running.alive(session, host=self._launcher.name)
        ]

    def _ended(self, session: Session, listed: frozenset[str]) -> dict[str, bool]:
        """Which kernels at the host are ours, and whether they are over."""
        if not listed:
            return {}
        checks = publications.checks_among(session, listed)
        return checks | running.ours_among(session, self._launcher.name, listed)

    async def _act(self, verdict: Reconciliation) -> None:
        if verdict.lost or verdict.never_started or verdict.confirmed:
            await self._database.write(lambda session: self._settle(session, verdict), wait=BACKGROUND_WAIT)
        for host_kernel_id in sorted(verdict.stop):
            _log.warning(
                "Kernel %s is over but still runs at %s; stopping it", host_kernel_id, self._launcher.name
            )
            await self._launcher.stop(host_kernel_id)
        for host_kernel_id in sorted(verdict.unknown - self._told):
            _log.warning(
                "The host %s runs kernel %s, which is none of ours; leaving it alone",
                self._launcher.name,
                host_kernel_id,
            )
        self._told = verdict.unknown

    def _settle(self, session: Session, verdict: Reconciliation) -> None:
        """Each row is read again: it may have ended, or been confirmed, since the look began."""
        record = Recorder(session, Cause(_ACTOR, "-"), self._clock())
        for kernel_id, host_kernel_id in verdict.confirmed.items():
            running.confirm(session, kernel_id, host_kernel_id)
        for reason, ids, text in (
            (EndReason.HOST_LOST, verdict.lost, "The kernel's process is gone."),
            (EndReason.START_FAILED, verdict.never_started, "The start was interrupted; start it again."),
        ):
            for kernel_id in sorted(ids):
                found = running.get(session, kernel_id)
                if found is not None and end_kernel(record, found.kernel, reason, text):
                    _log.warning("Kernel %s ended: %s", kernel_id, reason.value)

    def _note_reachable(self, reachable: bool, why: str) -> None:
        if reachable != self._reachable:
            if reachable:
                _log.info("The kernel host %s answers again", self._launcher.name)
            else:
                _log.warning("%s", why)
        self._reachable = reachable
