"""Kernels, releases, channels and entitlements in the database.

Releases are inserted; there is no function that changes one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from hub.domain.kernels import (
    Artifact,
    ArtifactKind,
    CatalogueEntry,
    Channel,
    Entitlement,
    Kernel,
    Package,
    Release,
    Stage,
)
from hub.domain.resources import Resources
from hub.schema import ChannelRow, EntitlementRow, KernelRow, ReleaseRow

_RELEASE_COLUMNS = (
    ReleaseRow.kernel,
    ReleaseRow.version,
    ReleaseRow.stage,
    ReleaseRow.artifact_kind,
    ReleaseRow.artifact_digest,
    ReleaseRow.artifact_reference,
    ReleaseRow.language_version,
    ReleaseRow.cpu_millicores,
    ReleaseRow.memory_bytes,
    ReleaseRow.gpus,
    ReleaseRow.environment,
    ReleaseRow.published_by,
    ReleaseRow.published_at,
)
"""All but the packages, which are as long as everything else together."""


# -- reading -----------------------------------------------------------------------


def all_entries(session: Session) -> dict[str, CatalogueEntry]:
    """The whole catalogue by kernel name, in four queries; releases without their packages."""
    return _entries(session, None)


def entry(session: Session, kernel: str) -> CatalogueEntry | None:
    """One kernel with all that belongs to it; releases without their packages."""
    return _entries(session, kernel).get(kernel)


def release(session: Session, kernel: str, version: str) -> Release | None:
    """One release, packages included."""
    statement = select(*_RELEASE_COLUMNS, ReleaseRow.packages).where(
        ReleaseRow.kernel == kernel, ReleaseRow.version == version
    )
    row = session.execute(statement).first()
    if row is None:
        return None
    return _release(row, tuple(Package(name, number) for name, number in row.packages))


def _entries(session: Session, kernel: str | None) -> dict[str, CatalogueEntry]:
    releases: defaultdict[str, dict[str, Release]] = defaultdict(dict)
    channels: defaultdict[str, dict[str, Channel]] = defaultdict(dict)
    entitlements: defaultdict[str, dict[str, Entitlement]] = defaultdict(dict)
    for row in session.execute(_of(select(*_RELEASE_COLUMNS), ReleaseRow.kernel, kernel)):
        releases[row.kernel][row.version] = _release(row, ())
    for row in session.execute(
        _of(select(ChannelRow.kernel, ChannelRow.name, ChannelRow.version), ChannelRow.kernel, kernel)
    ):
        channels[row.kernel][row.name] = Channel(row.kernel, row.name, row.version)
    for row in session.execute(
        _of(
            select(EntitlementRow.kernel, EntitlementRow.team, EntitlementRow.channels),
            EntitlementRow.kernel,
            kernel,
        )
    ):
        entitlements[row.kernel][row.team] = Entitlement(row.kernel, row.team, frozenset(row.channels))
    return {
        row.name: CatalogueEntry(_kernel(row), releases[row.name], channels[row.name], entitlements[row.name])
        for row in session.scalars(_of(select(KernelRow).order_by(KernelRow.name), KernelRow.name, kernel))
    }


# -- writing -----------------------------------------------------------------------


def save_kernel(session: Session, kernel: Kernel, now: datetime) -> None:
    """Insert a kernel or update how it is described. Its owner never changes."""
    row = session.get(KernelRow, kernel.name)
    if row is None:
        row = KernelRow(name=kernel.name, owner_team=kernel.owner_team, created_at=now)
        session.add(row)
    row.display_name, row.description = kernel.display_name, kernel.description
    row.language = kernel.language
    session.flush()


def add_release(session: Session, release: Release) -> None:
    """Insert a release; the caller has seen in this transaction that its version is free."""
    resources = release.resources
    session.add(
        ReleaseRow(
            kernel=release.kernel,
            version=release.version,
            stage=release.stage.value,
            artifact_kind=release.artifact.kind.value,
            artifact_digest=release.artifact.digest,
            artifact_reference=release.artifact.reference,
            language_version=release.language_version,
            packages=[[package.name, package.version] for package in sorted(release.packages)],
            cpu_millicores=resources.cpu_millicores,
            memory_bytes=resources.memory_bytes,
            gpus=[list(pair) for pair in resources.gpus],
            environment=dict(release.environment),
            published_by=release.published_by,
            published_at=release.published_at,
        )
    )
    session.flush()


def set_channel(session: Session, channel: Channel, actor: str, now: datetime) -> None:
    """Point a channel at a release, which exists."""
    row = session.get(ChannelRow, (channel.kernel, channel.name))
    if row is None:
        row = ChannelRow(kernel=channel.kernel, name=channel.name)
        session.add(row)
    row.version, row.set_by, row.set_at = channel.version, actor, now
    session.flush()


def delete_channel(session: Session, kernel: str, name: str) -> None:
    row = session.get(ChannelRow, (kernel, name))
    if row is not None:
        session.delete(row)
        session.flush()


def entitle(session: Session, kernel: str, team: str, channels: Iterable[str], now: datetime) -> None:
    """Let a team use exactly these channels of a kernel."""
    row = session.get(EntitlementRow, (kernel, team))
    if row is None:
        row = EntitlementRow(kernel=kernel, team=team)
        session.add(row)
    row.channels, row.granted_at = sorted(channels), now
    session.flush()


def revoke(session: Session, kernel: str, team: str) -> None:
    row = session.get(EntitlementRow, (kernel, team))
    if row is not None:
        session.delete(row)
        session.flush()


# -- rows to values ----------------------------------------------------------------


def _of(statement: Any, column: Any, kernel: str | None) -> Any:
    """The statement, narrowed to one kernel if one is named; any select of any columns."""
    return statement if kernel is None else statement.where(column == kernel)


def _kernel(row: KernelRow) -> Kernel:
    return Kernel(row.name, row.owner_team, row.display_name, row.description, row.language)


def _release(row: Row[Any], packages: tuple[Package, ...]) -> Release:
    return Release(
        kernel=row.kernel,
        version=row.version,
        stage=Stage(row.stage),
        artifact=Artifact(ArtifactKind(row.artifact_kind), row.artifact_digest, row.artifact_reference),
        language_version=row.language_version,
        packages=packages,
        published_by=row.published_by,
        published_at=row.published_at,
        resources=Resources(
            row.cpu_millicores, row.memory_bytes, tuple((kind, count) for kind, count in row.gpus)
        ),
        environment=row.environment,
    )
