"""Starting, finding and stopping running kernels."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sqlalchemy.orm import Session

from hub.domain.audit import Cause, Change
from hub.domain.instants import Clock
from hub.domain.kernels import LaunchChoice
from hub.domain.names import slug
from hub.domain.people import Person
from hub.domain.running import EndReason, Grant, RunningKernel, RunState
from hub.errors import (
    DatabaseUnavailable,
    GranaryError,
    KernelHostUnavailable,
    KernelStartFailed,
)
from hub.launchers.base import Launch, Launcher
from hub.policies.access import may_stop, no_running_kernel, require_manager, require_reader
from hub.policies.launch import launch_environment, working_directory
from hub.services.database import START_WAIT, Database
from hub.services.ordering import StartOrder, choose, request_id_reused
from hub.services.recording import Recorder
from hub.storage import running
from hub.storage.running import RecordedKernel

_log = logging.getLogger(__name__)


class ArtifactLauncher(Protocol):
    """Where the files of a release are, as far as starting it needs to know."""

    def launch_argv(self, digest: str) -> list[str]:
        """Command line of a kernel, with ``{connection_file}`` in it."""


@dataclass(frozen=True)
class Granted:
    """A running kernel and the way to it."""

    kernel: RunningKernel
    grant: Grant


@dataclass(frozen=True)
class _Reservation:
    """The booked kernel; ``choice`` is None if it was booked by an earlier order."""

    recorded: RecordedKernel
    choice: LaunchChoice | None


class RunningKernels:
    """Use cases around running kernels.

    A start is booked, launched, then confirmed or ended, and runs to its end even
    if the caller goes away. If this process dies in between, the booked row stays
    behind in state ``starting`` and ``hub.services.reconciling`` settles it.
    """

    def __init__(
        self,
        database: Database,
        launcher: Launcher,
        artifacts: ArtifactLauncher,
        homes: Path,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._database = database
        self._launcher = launcher
        self._artifacts = artifacts
        self._homes = homes
        self._clock = clock
        self._new_id = new_id
        self._under_way: dict[tuple[str, str], tuple[StartOrder, asyncio.Task[Granted]]] = {}

    # -- starting --------------------------------------------------------------------

    async def start(self, order: StartOrder) -> Granted:
        """Start a kernel; returns once its host has accepted it.

        Raises
        ------
        TeamNotFound, InvalidName, InvalidVersion, KernelNotFound, NotEntitled,
        ChannelNotFound, ReleaseNotFound, ReleaseNotStartable, RequestIdReused,
        KernelStartFailed, KernelHostUnavailable, DatabaseUnavailable
        """
        key = (order.person, order.request_id)
        under_way, task = self._under_way.get(key, (None, None))
        if task is None:
            task = asyncio.create_task(self._start(order), name=f"start {order.request_id}")
            self._under_way[key] = (order, task)
            task.add_done_callback(lambda done: self._start_ended(key, done))
        elif under_way != order:
            raise request_id_reused(order)
        return await asyncio.shield(task)

    async def drain(self) -> None:
        """Wait for the starts under way; each is bounded."""
        await asyncio.gather(*(task for _, task in self._under_way.values()), return_exceptions=True)

    def _start_ended(self, key: tuple[str, str], task: asyncio.Task[Granted]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # retrieved here in case every caller has gone away

    async def _start(self, order: StartOrder) -> Granted:
        reservation = await self._database.write(
            lambda session: self._reserve(session, order), wait=START_WAIT
        )
        recorded = reservation.recorded
        if reservation.choice is None:
            return self._outcome_of_earlier(recorded)
        try:
            host_kernel_id = await self._launcher.start(self._launch(order, recorded, reservation.choice))
        except GranaryError as error:
            await self._give_up(order, recorded, error)
            raise
        return await self._confirmed(recorded, host_kernel_id)

    def _reserve(self, session: Session, order: StartOrder) -> _Reservation:
        """Decide and book, in one writing transaction."""
        earlier = running.by_request(session, order.person, order.request_id)
        if earlier is not None:
            if earlier.kernel.team != order.team or order.spec_name not in (None, earlier.kernel.spec_name):
                raise request_id_reused(order)
            return _Reservation(earlier, None)
        choice = choose(session, order)
        now = self._clock()
        kernel_id = self._new_id()
        release = choice.release
        kernel = RunningKernel(
            id=kernel_id,
            owner=order.person,
            team=order.team,
            kernel=release.kernel,
            version=release.version,
            spec_name=choice.spec_name,
            host=self._launcher.name,
            state=RunState.STARTING,
            started_at=now,
        )
        recorded = RecordedKernel(kernel, self._launcher.host_kernel_id(kernel_id), order.request_id)
        running.add(session, recorded)
        after = {
            "owner": order.person,
            "spec_name": choice.spec_name,
            "version": release.version,
            "digest": release.artifact.digest,
            "host": kernel.host,
        }
        cause = Cause(order.person, order.request_id)
        change = Change("running_kernel.start", _subject(kernel), order.team, after=after)
        Recorder(session, cause, now).change(change)
        return _Reservation(recorded, choice)

    def _launch(self, order: StartOrder, recorded: RecordedKernel, choice: LaunchChoice) -> Launch:
        home = str(self._homes / slug(order.person))
        return Launch(
            kernel_id=recorded.kernel.id,
            name=choice.spec_name,
            argv=self._artifacts.launch_argv(choice.release.artifact.digest),
            environment=launch_environment(
                choice.release, order.environment, person=order.person, team=order.team
            ),
            working_directory=working_directory(home, order.working_directory),
            home=home,
            language=choice.kernel.language,
        )

    async def _confirmed(self, recorded: RecordedKernel, host_kernel_id: str) -> Granted:
        kernel_id = recorded.kernel.id
        try:
            alive = await self._database.write(
                lambda session: running.confirm(session, kernel_id, host_kernel_id)
            )
        except DatabaseUnavailable:
            # It runs and is booked; the next look at the host confirms it.
            _log.warning("Kernel %s runs, but could not be confirmed in the database", kernel_id)
            return self._granted(recorded.kernel, host_kernel_id)
        if not alive:
            await self._launcher.stop(host_kernel_id)
            raise KernelStartFailed("The kernel was stopped while it was starting.", kernel_id=kernel_id)
        return self._granted(_with_state(recorded.kernel, RunState.RUNNING), host_kernel_id)

    async def _give_up(self, order: StartOrder, recorded: RecordedKernel, error: GranaryError) -> None:
        """Record that a start failed. If the host took it after all, the reconciler stops it there."""
        cause = Cause(order.person, order.request_id)
        try:
            await self._end(recorded.kernel, EndReason.START_FAILED, cause, error.message)
        except DatabaseUnavailable:
            _log.warning("Kernel %s failed to start, which could not be recorded", recorded.kernel.id)

    def _outcome_of_earlier(self, recorded: RecordedKernel) -> Granted:
        kernel = recorded.kernel
        if kernel.end_reason is EndReason.START_FAILED:
            raise KernelStartFailed(recorded.end_text or "The kernel did not start.", kernel_id=kernel.id)
        if recorded.host_kernel_id is None:
            raise KernelHostUnavailable(f"The kernel host {kernel.host} has not accepted the kernel yet.")
        return self._granted(kernel, recorded.host_kernel_id)

    # -- finding ---------------------------------------------------------------------

    async def granted(self, team: str, owner: str) -> list[Granted]:
        """A person's kernels in a team that have not ended, with the way to each."""
        found = await self._database.read(lambda session: running.alive(session, team=team, owner=owner))
        return [self._granted(one.kernel, one.host_kernel_id) for one in found if one.host_kernel_id]

    async def grant(self, kernel_id: str) -> Grant:
        """The way to a kernel, whoever owns it. Raises ``RunningKernelNotFound``."""
        recorded = await self._database.read(lambda session: running.get(session, kernel_id))
        if recorded is None or recorded.kernel.state is RunState.ENDED or not recorded.host_kernel_id:
            raise no_running_kernel(kernel_id)
        return self._grant(recorded.kernel, recorded.host_kernel_id)

    async def visible_to(self, person: Person, team: str | None) -> list[RunningKernel]:
        """The person's own kernels or, for its admins, those of a team.

        Raises
        ------
        ScopeMissing, NotTeamAdmin
        """
        require_reader(person)
        if team is not None:
            require_manager(person, team)
            found = await self._database.read(lambda session: running.alive(session, team=team))
        elif person.is_service:
            return []  # a service account owns no kernels, whatever its name
        else:
            found = await self._database.read(lambda session: running.alive(session, owner=person.name))
        return [one.kernel for one in found]

    # -- stopping --------------------------------------------------------------------

    async def stop_own(self, kernel_id: str, owner: str, request_id: str) -> None:
        """Stop a kernel on its owner's wish; an ended one is no error.

        Raises
        ------
        RunningKernelNotFound, KernelHostUnavailable
        """
        recorded = await self._database.read(lambda session: running.get(session, kernel_id))
        if recorded is None or recorded.kernel.owner != owner:
            raise no_running_kernel(kernel_id)
        await self._stop(recorded, EndReason.STOPPED_BY_OWNER, Cause(owner, request_id))

    async def stop(self, person: Person, kernel_id: str, cause: Cause) -> None:
        """Stop a kernel of one's own or, as an admin, of one's team.

        Raises
        ------
        RunningKernelNotFound, KernelHostUnavailable
        """
        recorded = await self._database.read(lambda session: running.get(session, kernel_id))
        if recorded is None:
            raise no_running_kernel(kernel_id)
        await self._stop(recorded, may_stop(person, recorded.kernel), cause)

    async def _stop(self, recorded: RecordedKernel, reason: EndReason, cause: Cause) -> None:
        kernel = recorded.kernel
        if kernel.state is RunState.ENDED:
            return
        if recorded.host_kernel_id is not None:
            await self._launcher.stop(recorded.host_kernel_id)
        await self._end(kernel, reason, cause)

    async def _end(
        self, kernel: RunningKernel, reason: EndReason, cause: Cause, text: str | None = None
    ) -> None:
        now = self._clock()
        await self._database.write(
            lambda session: end_kernel(Recorder(session, cause, now), kernel, reason, text)
        )

    # -- grants ----------------------------------------------------------------------

    def _granted(self, kernel: RunningKernel, host_kernel_id: str) -> Granted:
        return Granted(kernel, self._grant(kernel, host_kernel_id))

    def _grant(self, kernel: RunningKernel, host_kernel_id: str) -> Grant:
        url, secret = self._launcher.address(host_kernel_id)
        return Grant(
            kernel_id=kernel.id,
            owner=kernel.owner,
            team=kernel.team,
            spec_name=kernel.spec_name,
            host_url=url,
            host_kernel_id=host_kernel_id,
            secret=secret,
        )


def end_kernel(record: Recorder, kernel: RunningKernel, reason: EndReason, text: str | None = None) -> bool:
    """Within a writing transaction: end a kernel in the books. False if it had ended already."""
    if not running.end(record.session, kernel.id, reason, record.now, text):
        return False
    record.change(
        Change(
            "running_kernel.end",
            _subject(kernel),
            kernel.team,
            reason.value,
            before={"state": kernel.state.value, "owner": kernel.owner},
            after={"state": RunState.ENDED.value, "text": text} if text else {"state": RunState.ENDED.value},
        )
    )
    return True


def _with_state(kernel: RunningKernel, state: RunState) -> RunningKernel:
    return RunningKernel(**{**vars(kernel), "state": state})


def _subject(kernel: RunningKernel) -> str:
    return f"running-kernel/{kernel.id}"
