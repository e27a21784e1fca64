"""JSON bodies of the public REST API.

What people send forbids unknown fields; what they get may gain fields. Texts that
people send hold no control characters, which neither a terminal nor a database
column is to be trusted with.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from hub.domain.audit import MAX_REASON_LENGTH, AuditRecord
from hub.domain.kernels import ArtifactKind, CatalogueEntry, Release, Stage
from hub.domain.names import version_key
from hub.domain.people import Person, Team
from hub.domain.publications import Publication, PublicationState
from hub.domain.resources import Resources
from hub.domain.running import RunningKernel
from hub.wire import Body, ErrorBody, Request, RunningKernelBody

MAX_CHANNELS = 50
"""Of one entitlement."""


def _readable(value: str) -> str:
    if not all(char.isprintable() or char in "\n\t" for char in value):
        raise ValueError("control characters are not allowed")
    return value


Text = Annotated[str, AfterValidator(_readable)]
Reason = Annotated[Text, Field(max_length=MAX_REASON_LENGTH, description="Why; kept in the audit log.")]


# -- people --------------------------------------------------------------------------


class MyTeamBody(Body):
    name: str
    display_name: str
    member: bool
    admin: bool
    """Whether this token may govern the team's kernels."""

    @staticmethod
    def of(team: Team, person: Person) -> MyTeamBody:
        return MyTeamBody(
            name=team.name,
            display_name=team.display_name,
            member=team.name in person.teams,
            admin=person.may_manage(team.name),
        )


class TeamsBody(Body):
    teams: list[MyTeamBody]


class MeBody(Body):
    """Whose token this is and what it may do."""

    name: str
    kind: str
    """``user`` or ``service``."""
    platform_admin: bool
    may_use_kernels: bool
    teams: list[MyTeamBody]

    @staticmethod
    def of(person: Person, teams: list[Team]) -> MeBody:
        return MeBody(
            name=person.name,
            kind="service" if person.is_service else "user",
            platform_admin=person.manages_all,
            may_use_kernels=person.may_use_kernels,
            teams=[MyTeamBody.of(team, person) for team in teams],
        )


# -- catalogue -----------------------------------------------------------------------


class ResourcesBody(Body):
    cpu_millicores: int
    memory_bytes: int
    gpus: dict[str, int]

    @staticmethod
    def of(resources: Resources) -> ResourcesBody:
        return ResourcesBody(
            cpu_millicores=resources.cpu_millicores,
            memory_bytes=resources.memory_bytes,
            gpus=dict(resources.gpus),
        )


class ReleaseSummaryBody(Body):
    """A release without its packages."""

    version: str
    stage: Stage
    artifact_kind: ArtifactKind
    artifact_digest: str
    language_version: str
    published_by: str
    published_at: datetime
    resources: ResourcesBody
    environment: dict[str, str]

    @staticmethod
    def of(release: Release) -> ReleaseSummaryBody:
        return ReleaseSummaryBody(**_summary(release))


class PackageBody(Body):
    name: str
    version: str


class ReleaseBody(ReleaseSummaryBody):
    """A release with its bill of materials."""

    kernel: str
    packages: list[PackageBody]

    @staticmethod
    def of(release: Release) -> ReleaseBody:
        packages = [PackageBody(name=package.name, version=package.version) for package in release.packages]
        return ReleaseBody(**_summary(release), kernel=release.kernel, packages=packages)


class KernelBody(Body):
    """A kernel with its releases (newest first), channels and entitlements."""

    name: str
    owner_team: str
    display_name: str
    description: str
    language: str
    channels: dict[str, str]
    """Version by channel."""
    entitlements: dict[str, list[str]]
    """Channels by team."""
    releases: list[ReleaseSummaryBody]

    @staticmethod
    def of(entry: CatalogueEntry) -> KernelBody:
        kernel = entry.kernel
        newest_first = sorted(entry.releases, key=version_key, reverse=True)
        return KernelBody(
            name=kernel.name,
            owner_team=kernel.owner_team,
            display_name=kernel.display_name,
            description=kernel.description,
            language=kernel.language,
            channels={name: channel.version for name, channel in sorted(entry.channels.items())},
            entitlements={
                team: sorted(entitlement.channels) for team, entitlement in sorted(entry.entitlements.items())
            },
            releases=[ReleaseSummaryBody.of(entry.releases[version]) for version in newest_first],
        )


class KernelsBody(Body):
    kernels: list[KernelBody]


class ChannelRequest(Request):
    version: Text
    reason: Reason = ""


class ChannelBody(Body):
    kernel: str
    channel: str
    version: str


class EntitlementRequest(Request):
    channels: Annotated[list[Text], Field(min_length=1, max_length=MAX_CHANNELS)]
    reason: Reason = ""


class EntitlementBody(Body):
    kernel: str
    team: str
    channels: list[str]


# -- publications ----------------------------------------------------------------------


class PublicationStepBody(Body):
    name: str
    text: str
    seconds: float | None


class PublicationBody(Body):
    """A release on its way; ``error`` says why it failed, ``release`` what it became."""

    id: str
    kernel: str
    version: str
    team: str
    state: PublicationState
    requested_by: str
    requested_at: datetime
    finished_at: datetime | None
    steps: list[PublicationStepBody]
    artifact_digest: str | None
    error: ErrorBody | None
    release: ReleaseSummaryBody | None

    @staticmethod
    def of(publication: Publication, release: Release | None) -> PublicationBody:
        problem = publication.problem
        error = None
        if problem is not None:
            error = ErrorBody(code=problem.code, message=problem.message, details=dict(problem.details))
        return PublicationBody(
            id=publication.id,
            kernel=publication.kernel,
            version=publication.version,
            team=publication.team,
            state=publication.state,
            requested_by=publication.requested_by,
            requested_at=publication.requested_at,
            finished_at=publication.finished_at,
            steps=[PublicationStepBody(**vars(step)) for step in publication.steps],
            artifact_digest=publication.artifact_digest,
            error=error,
            release=None if release is None else ReleaseSummaryBody.of(release),
        )


# -- running kernels, audit --------------------------------------------------------------


class RunningKernelsBody(Body):
    kernels: list[RunningKernelBody]

    @staticmethod
    def of(kernels: list[RunningKernel]) -> RunningKernelsBody:
        return RunningKernelsBody(kernels=[RunningKernelBody.of(kernel) for kernel in kernels])


class AuditRecordBody(Body):
    seq: int
    at: datetime
    actor: str
    action: str
    subject: str
    team: str | None
    reason: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    request_id: str
    prev_hash: str
    hash: str


class AuditBody(Body):
    """A page of the log, newest first."""

    records: list[AuditRecordBody]
    next_before: int | None
    """What to send as ``before`` for the next page; null at the end."""

    @staticmethod
    def of(records: list[AuditRecord], limit: int) -> AuditBody:
        return AuditBody(
            records=[AuditRecordBody(**vars(record)) for record in records],
            next_before=records[-1].seq if len(records) == limit else None,
        )


def _summary(release: Release) -> dict[str, Any]:
    return {
        "version": release.version,
        "stage": release.stage,
        "artifact_kind": release.artifact.kind,
        "artifact_digest": release.artifact.digest,
        "language_version": release.language_version,
        "published_by": release.published_by,
        "published_at": release.published_at,
        "resources": ResourcesBody.of(release.resources),
        "environment": dict(release.environment),
    }
