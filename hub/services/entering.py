"""Whether a version is free, and how a release enters the catalogue. All within transactions."""

from __future__ import annotations

from sqlalchemy.orm import Session

from hub.artifacts.manifest import Manifest
from hub.domain.audit import Change, canonical_json
from hub.domain.kernels import CatalogueEntry, Channel, Entitlement, Kernel, Release
from hub.domain.publications import Publication, PublicationState
from hub.errors import KernelOwnedElsewhere, PublicationUnderWay, ReleaseExists
from hub.services.catalogue import team_not_found
from hub.services.governance import grant, point_channel
from hub.services.recording import Recorder
from hub.storage import catalogue, publications, teams

_RELEASE_SECTION = "release"
"""The part of a manifest that decides what a release is; the rest is how it is offered."""


def earlier_publication(session: Session, wanted: Publication, manifest: Manifest) -> Publication | None:
    """A publication of the same content that is done or under way; None if there is work to do.

    What a release was declared to be is compared here. Whether other words resolve
    to the same content is only known later, see ``require_open_version``.

    Raises
    ------
    TeamNotFound, KernelOwnedElsewhere, ReleaseExists, PublicationUnderWay
    """
    _require_teams(session, manifest)
    entry = catalogue.entry(session, manifest.kernel)
    _require_owner(entry, manifest)
    for earlier in publications.of_version(session, wanted.kernel, wanted.version):
        if not earlier.state.finished:
            if canonical_json(earlier.manifest) == canonical_json(wanted.manifest):
                return earlier
            raise PublicationUnderWay(
                f"{wanted.kernel} {wanted.version} is being published at this moment, from another manifest.",
                publication=earlier.id,
            )
        if earlier.state is PublicationState.DONE and _same_release_section(earlier, wanted):
            return earlier
    release = entry.releases.get(manifest.version) if entry else None
    if release is not None and not _declared_alike(release, manifest):
        raise _exists(release)
    return None


def require_open_version(session: Session, release: Release) -> bool:
    """Whether the version is free; False if exactly this release is published already.

    Raises
    ------
    ReleaseExists
    """
    published = catalogue.release(session, release.kernel, release.version)
    if published is None:
        return True
    same = (published.artifact, published.resources, dict(published.environment)) == (
        release.artifact,
        release.resources,
        dict(release.environment),
    )
    if not same:
        raise _exists(published)
    return False


def enter_release(record: Recorder, manifest: Manifest, release: Release) -> None:
    """Put a checked release into the catalogue, with the channels and entitlements it came with.

    A release that was published before stays as it is, and so do its channels:
    publishing old content again must not move anybody back.

    Raises
    ------
    TeamNotFound, KernelOwnedElsewhere, ReleaseExists
    """
    session = record.session
    _require_teams(session, manifest)
    _require_owner(catalogue.entry(session, manifest.kernel), manifest)
    if not require_open_version(session, release):
        return
    reason = f"published with {release.kernel} {release.version}"
    _describe(record, manifest)
    _add(record, manifest, release)
    for channel in sorted(manifest.channels):
        target = Channel(release.kernel, channel, release.version)
        point_channel(record, _present(session, release.kernel), target, reason)
    for team, channels in sorted(manifest.entitlements.items()):
        entry = _present(session, release.kernel)
        held = entry.entitlements.get(team)
        wider = frozenset(channels) | (held.channels if held else frozenset())
        grant(record, entry, Entitlement(release.kernel, team, wider), reason)


def _describe(record: Recorder, manifest: Manifest) -> None:
    """Insert the kernel, or update how it is described."""
    kernel = Kernel(
        manifest.kernel, manifest.team, manifest.display_name, manifest.description, manifest.language
    )
    entry = catalogue.entry(record.session, kernel.name)
    if entry is not None and entry.kernel == kernel:
        return
    catalogue.save_kernel(record.session, kernel, record.now)
    record.catalogue_change(
        Change(
            "kernel.describe" if entry else "kernel.create",
            f"kernel/{kernel.name}",
            kernel.owner_team,
            before=vars(entry.kernel) if entry else None,
            after=vars(kernel),
        )
    )


def _add(record: Recorder, manifest: Manifest, release: Release) -> None:
    catalogue.add_release(record.session, release)
    record.catalogue_change(
        Change(
            "release.publish",
            f"kernel/{release.kernel}/release/{release.version}",
            manifest.team,
            after={
                "digest": release.artifact.digest,
                "language_version": release.language_version,
                "packages": len(release.packages),
                "stage": release.stage.value,
            },
        )
    )


def _present(session: Session, kernel: str) -> CatalogueEntry:
    """Read again after each change, so that the next one starts from what is true now."""
    entry = catalogue.entry(session, kernel)
    assert entry is not None  # noqa: S101 # inserted in this very transaction
    return entry


def _require_teams(session: Session, manifest: Manifest) -> None:
    for team in (manifest.team, *sorted(manifest.entitlements)):
        if not teams.is_governed(session, team):
            raise team_not_found(team)


def _require_owner(entry: CatalogueEntry | None, manifest: Manifest) -> None:
    if entry is not None and entry.kernel.owner_team != manifest.team:
        raise KernelOwnedElsewhere(
            f"Another team has a kernel named {manifest.kernel}. Choose another name.", kernel=manifest.kernel
        )


def _same_release_section(earlier: Publication, wanted: Publication) -> bool:
    return canonical_json(earlier.manifest.get(_RELEASE_SECTION)) == canonical_json(
        wanted.manifest.get(_RELEASE_SECTION)
    )


def _declared_alike(release: Release, manifest: Manifest) -> bool:
    return (release.resources, dict(release.environment)) == (manifest.resources, dict(manifest.variables))


def _exists(release: Release) -> ReleaseExists:
    return ReleaseExists(
        f"{release.kernel} {release.version} is published already, with other content. "
        "A release never changes; publish under a new version.",
        kernel=release.kernel,
        version=release.version,
        artifact_digest=release.artifact.digest,
    )
