"""From a manifest to a release in the catalogue: resolve, build, check, publish."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy.orm import Session

from hub.artifacts.environment import ResolvedEnvironment
from hub.artifacts.manifest import EnvironmentSource, Manifest, parse_manifest
from hub.domain.audit import Cause, Change
from hub.domain.instants import Clock
from hub.domain.kernels import Artifact, ArtifactKind, Release, Stage
from hub.domain.people import Person
from hub.domain.publications import Publication, PublicationProblem, PublicationState
from hub.errors import (
    BuildFailed,
    GranaryError,
    InternalError,
    InvalidManifest,
    PublicationInterrupted,
    PublicationNotFound,
    PublishingBusy,
)
from hub.launchers.base import Launch, Launcher
from hub.policies.access import require_manager
from hub.policies.launch import launch_environment
from hub.services.database import BACKGROUND_WAIT, Database
from hub.services.entering import earlier_publication, enter_release, require_open_version
from hub.services.progress import Progress, ProgressSaver, in_daemon_thread
from hub.services.recording import Recorder
from hub.storage import catalogue, publications

WORKERS = 2
"""Publications under way at the same time."""

MAX_WAITING = 20
"""Publications that wait; more are refused."""

STEP_BOUND = timedelta(minutes=30)
"""For resolving and for building; large environments take minutes on a slow link."""

READY_BOUND = timedelta(seconds=60)
"""For the throw-away kernel to answer: the first start of an environment reads all of it from disk."""

CHECK_HOME = "_checks"
"""Home of throw-away kernels beside people's homes; no person's directory begins with an underscore."""

_log = logging.getLogger(__name__)


class Builder(Protocol):
    """Makes the files a release runs. Called in threads; ``progress`` may be called from them."""

    def resolve(self, environment: EnvironmentSource, progress: Callable[[str], None]) -> ResolvedEnvironment:
        """Fix what exactly an environment consists of. Raises ``InvalidManifest``, ``BuildFailed``."""

    def build(self, resolved: ResolvedEnvironment, progress: Callable[[str], None]) -> Path:
        """Have it on disk; at once if it is there already. Raises ``BuildFailed``."""

    def launch_argv(self, digest: str) -> list[str]:
        """Command line of a kernel in it, with ``{connection_file}``. Raises ``ArtifactMissing``."""

    def close(self) -> None:
        """End what is under way; its callers get ``BuildFailed``."""


@dataclass(frozen=True)
class Published:
    """A publication and, when it is done, its release."""

    publication: Publication
    release: Release | None


@dataclass(frozen=True)
class _Job:
    publication: Publication
    manifest: Manifest


class Publishing:
    """Takes publications, works on a few at a time and tells how far they are.

    Everything up to the last step happens outside the catalogue; the last step is
    one transaction. So a publication is there as a whole or not at all, whatever
    dies meanwhile. One control plane publishes at a time: ``recover`` marks whatever
    an earlier one left unfinished.
    """

    def __init__(
        self,
        database: Database,
        builder: Builder,
        launcher: Launcher,
        homes: Path,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._database = database
        self._builder = builder
        self._launcher = launcher
        self._check_home = str(homes / CHECK_HOME)
        self._clock = clock
        self._new_id = new_id
        self._waiting: asyncio.Queue[_Job] = asyncio.Queue()

    # -- what people ask ---------------------------------------------------------------

    async def submit(
        self, person: Person, cause: Cause, kernel: str, document: Mapping[str, Any]
    ) -> Published:
        """Begin to publish; content that is published or on its way already is not begun again.

        Raises
        ------
        InvalidManifest, InvalidName, InvalidVersion, NotTeamAdmin, TeamNotFound,
        KernelOwnedElsewhere, ReleaseExists, PublicationUnderWay, PublishingBusy
        """
        manifest = parse_manifest(document)
        if manifest.kernel != kernel:
            raise InvalidManifest(
                f"The manifest is for {manifest.kernel}, but was sent to {kernel[:80]!r}.",
                kernel=manifest.kernel,
            )
        require_manager(person, manifest.team)
        if self._waiting.qsize() >= MAX_WAITING:
            raise PublishingBusy(
                f"{MAX_WAITING} publications are waiting already. Try again in a few minutes."
            )
        publication = self._new_publication(manifest, document, cause)

        def work(session: Session) -> Published:
            record = Recorder(session, cause, publication.requested_at)
            return _accept(record, publication, manifest)

        accepted = await self._database.write(work)
        if accepted.publication.id == publication.id:
            self._waiting.put_nowait(_Job(publication, manifest))
        return accepted

    async def find(self, person: Person, publication_id: str) -> Published:
        """A publication, for those who govern its team and whoever asked for it.

        Raises
        ------
        PublicationNotFound
        """
        found = await self._database.read(lambda session: _find(session, publication_id))
        if found is None or not _may_see(person, found.publication):
            raise PublicationNotFound("There is no such publication that you may see.")
        return found

    # -- the work ------------------------------------------------------------------------

    async def recover(self) -> None:
        """At start: mark what an earlier process left unfinished. Nothing of it was published."""
        problem = _problem(
            PublicationInterrupted(
                "The control plane stopped while this was under way, so it was interrupted; publish again."
            )
        )

        def work(session: Session) -> None:
            for left in publications.unfinished(session):
                failed = replace(
                    left, state=PublicationState.FAILED, problem=problem, finished_at=self._clock()
                )
                _record_failure(session, failed, self._clock(), "system:publishing")

        await self._database.write(work, wait=BACKGROUND_WAIT)

    async def run(self) -> None:
        """Work on publications until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            job = await self._waiting.get()
            progress = Progress(job.publication)
            try:
                await self._publish(job.manifest, ProgressSaver(progress, self._database))
            except GranaryError as error:
                await self._fail(progress, error)
            except Exception:  # noqa: BLE001 # a defect fails one publication, not the worker
                _log.exception("Publication %s ended in a defect", job.publication.id)
                await self._fail(
                    progress, InternalError("Something went wrong inside Granary; its log says what.")
                )

    async def _publish(self, manifest: Manifest, saver: ProgressSaver) -> None:
        progress = saver.progress
        builder = self._builder

        async with (
            saver.step(PublicationState.RESOLVING, "Choosing exact versions") as news,
            _bounded("resolve"),
        ):
            resolved = await in_daemon_thread(partial(builder.resolve, manifest.environment, news))
        release = self._release(manifest, resolved, progress.publication.requested_by)
        progress.publication = replace(progress.publication, artifact_digest=resolved.digest)
        if await self._database.read(lambda session: require_open_version(session, release)):
            async with (
                saver.step(PublicationState.BUILDING, "Installing packages") as news,
                _bounded("build"),
            ):
                await in_daemon_thread(partial(builder.build, resolved, news))
            async with saver.step(PublicationState.CHECKING, "Starting a kernel in it"):
                await self._check(manifest, release, progress.publication)
        await self._enter(manifest, release, progress)

    async def _check(self, manifest: Manifest, release: Release, publication: Publication) -> None:
        """Prove that a kernel starts and answers; the throw-away kernel never outlives this."""
        launch = Launch(
            kernel_id=publication.check_kernel_id,
            name=f"{release.kernel} {release.version} (check)",
            argv=self._builder.launch_argv(release.artifact.digest),
            environment=launch_environment(release, {}, person="", team=manifest.team),
            working_directory=self._check_home,
            home=self._check_home,
            language=manifest.language,
        )
        host_kernel_id = await self._launcher.start(launch)
        try:
            await self._launcher.ready(host_kernel_id, READY_BOUND)
        finally:
            await self._stop_check(host_kernel_id)

    async def _stop_check(self, host_kernel_id: str) -> None:
        """If the host cannot do it now, the reconciler does once the publication is over."""
        try:
            await self._launcher.stop(host_kernel_id)
        except GranaryError as error:
            _log.warning("The throw-away kernel %s could not be stopped: %s", host_kernel_id, error)

    async def _enter(self, manifest: Manifest, release: Release, progress: Progress) -> None:
        """The one transaction that publishes."""
        now = self._clock()
        done = replace(progress.publication, state=PublicationState.DONE, finished_at=now)
        cause = Cause(done.requested_by, done.request_id)

        def work(session: Session) -> None:
            enter_release(Recorder(session, cause, now), manifest, replace(release, published_at=now))
            publications.save(session, done)

        await self._database.write(work, wait=BACKGROUND_WAIT)
        _log.info("Published %s %s (%s)", release.kernel, release.version, release.artifact.digest)

    async def _fail(self, progress: Progress, error: GranaryError) -> None:
        now = self._clock()
        failed = replace(
            progress.publication, state=PublicationState.FAILED, problem=_problem(error), finished_at=now
        )
        _log.warning("Publishing %s %s failed: %s", failed.kernel, failed.version, error.message)
        try:
            await self._database.write(
                lambda session: _record_failure(session, failed, now, failed.requested_by),
                wait=BACKGROUND_WAIT,
            )
        except GranaryError as second:
            _log.warning("Which could not be recorded; the next start will: %s", second)

    def _new_publication(self, manifest: Manifest, document: Mapping[str, Any], cause: Cause) -> Publication:
        return Publication(
            id=self._new_id(),
            kernel=manifest.kernel,
            version=manifest.version,
            team=manifest.team,
            manifest=document,
            state=PublicationState.QUEUED,
            requested_by=cause.actor,
            request_id=cause.request_id,
            requested_at=self._clock(),
            check_kernel_id=self._new_id(),
        )

    def _release(self, manifest: Manifest, resolved: ResolvedEnvironment, actor: str) -> Release:
        return Release(
            kernel=manifest.kernel,
            version=manifest.version,
            stage=Stage.ACTIVE,
            artifact=Artifact(ArtifactKind.ENVIRONMENT, resolved.digest),
            language_version=resolved.python_version,
            packages=tuple(sorted(resolved.packages)),
            published_by=actor,
            published_at=self._clock(),
            resources=manifest.resources,
            environment=manifest.variables,
        )


def _accept(record: Recorder, publication: Publication, manifest: Manifest) -> Published:
    """Within a writing transaction: what is there already, or the new publication."""
    earlier = earlier_publication(record.session, publication, manifest)
    if earlier is not None:
        return Published(earlier, _release_of(record.session, earlier))
    publications.save(record.session, publication)
    record.change(
        Change(
            "publication.request",
            _subject(publication),
            publication.team,
            after={"kernel": publication.kernel, "version": publication.version},
        )
    )
    return Published(publication, None)


def _find(session: Session, publication_id: str) -> Published | None:
    found = publications.get(session, publication_id)
    return None if found is None else Published(found, _release_of(session, found))


def _release_of(session: Session, publication: Publication) -> Release | None:
    if publication.state is not PublicationState.DONE:
        return None
    return catalogue.release(session, publication.kernel, publication.version)


def _may_see(person: Person, publication: Publication) -> bool:
    return person.may_manage(publication.team) or person.actor == publication.requested_by


def _record_failure(session: Session, failed: Publication, now: datetime, actor: str) -> None:
    publications.save(session, failed)
    problem = failed.problem
    change = Change(
        "publication.fail",
        _subject(failed),
        failed.team,
        after={"kernel": failed.kernel, "version": failed.version, "code": problem.code if problem else None},
    )
    Recorder(session, Cause(actor, failed.request_id), now).change(change)


def _problem(error: GranaryError) -> PublicationProblem:
    return PublicationProblem(error.code, error.message, dict(error.details))


def _subject(publication: Publication) -> str:
    return f"publication/{publication.id}"


@asynccontextmanager
async def _bounded(what: str) -> AsyncIterator[None]:
    """A step that takes too long fails; its thread is left to its own bounds."""
    try:
        async with asyncio.timeout(STEP_BOUND.total_seconds()):
            yield
    except TimeoutError as error:
        minutes = int(STEP_BOUND.total_seconds() // 60)
        raise BuildFailed(f"It took more than {minutes} minutes to {what} the environment.") from error
