"""Small catalogues for tests, as values and in a database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

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
from hub.domain.people import Team
from hub.domain.resources import Resources
from hub.storage import catalogue, revisions, teams

NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)

ATLAS = Team("atlas", "Atlas", "atlas-admins")
BOREALIS = Team("borealis", "Borealis", "borealis-admins")


def a_release(
    version: str = "2026.11.1", kernel: str = "python-data", stage: Stage = Stage.ACTIVE
) -> Release:
    return Release(
        kernel=kernel,
        version=version,
        stage=stage,
        artifact=Artifact(ArtifactKind.ENVIRONMENT, f"sha256:{version.replace('.', '').ljust(64, '0')}"),
        language_version="3.11.7",
        packages=(Package("numpy", "2.3.1"), Package("pandas", "2.3.3")),
        published_by="atlas-admin",
        published_at=NOON,
        resources=Resources.of(cpu_millicores=500, memory_bytes=2**33, gpus={"a100": 1}),
        environment={"OMP_NUM_THREADS": "2"},
    )


def an_entry(
    *releases: Release,
    kernel: str = "python-data",
    owner: str = "atlas",
    channels: Mapping[str, str] | None = None,
    entitled: Mapping[str, set[str]] | None = None,
) -> CatalogueEntry:
    return CatalogueEntry(
        kernel=Kernel(kernel, owner, kernel.title(), "What it is for"),
        releases={release.version: release for release in releases},
        channels={name: Channel(kernel, name, version) for name, version in (channels or {}).items()},
        entitlements={
            team: Entitlement(kernel, team, frozenset(names)) for team, names in (entitled or {}).items()
        },
    )


def put(session: Session, *entries: CatalogueEntry, governed: tuple[Team, ...] = (ATLAS, BOREALIS)) -> None:
    """Write teams and catalogue straight into the database."""
    for team in governed:
        teams.save(session, team, NOON)
    for entry in entries:
        name = entry.kernel.name
        catalogue.save_kernel(session, entry.kernel, NOON)
        for release in entry.releases.values():
            catalogue.add_release(session, release)
        for channel in entry.channels.values():
            catalogue.set_channel(session, channel, "atlas-admin", NOON)
        for entitlement in entry.entitlements.values():
            catalogue.entitle(session, name, entitlement.team, entitlement.channels, NOON)
    revisions.raise_revision(session, revisions.CATALOGUE)


def python_data() -> CatalogueEntry:
    """Two releases, ``prod`` and ``dev``; atlas owns it, borealis may use ``prod``."""
    return an_entry(
        a_release("2026.10.1"),
        a_release("2026.11.1"),
        channels={"prod": "2026.10.1", "dev": "2026.11.1"},
        entitled={"atlas": {"prod", "dev"}, "borealis": {"prod"}},
    )
