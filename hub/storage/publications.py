"""Publications in the database."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict

from sqlalchemy import select
from sqlalchemy.orm import Session

from hub.domain.publications import Publication, PublicationProblem, PublicationState, PublicationStep
from hub.schema import PublicationRow

_FINISHED = tuple(state.value for state in PublicationState if state.finished)


def save(session: Session, publication: Publication) -> None:
    """Insert a publication or update its progress; what is finished stays so, whatever comes late."""
    row = session.get(PublicationRow, publication.id)
    if row is not None and row.state in _FINISHED and not publication.state.finished:
        return
    if row is None:
        row = PublicationRow(
            id=publication.id,
            kernel=publication.kernel,
            version=publication.version,
            team=publication.team,
            manifest=dict(publication.manifest),
            check_kernel_id=publication.check_kernel_id,
            requested_by=publication.requested_by,
            request_id=publication.request_id,
            requested_at=publication.requested_at,
        )
        session.add(row)
    row.state = publication.state.value
    row.steps = [asdict(step) for step in publication.steps]
    row.artifact_digest = publication.artifact_digest
    row.problem = None if publication.problem is None else asdict(publication.problem)
    row.finished_at = publication.finished_at
    session.flush()


def get(session: Session, publication_id: str) -> Publication | None:
    row = session.get(PublicationRow, publication_id)
    return _publication(row) if row else None


def of_version(session: Session, kernel: str, version: str) -> list[Publication]:
    """Every attempt to publish a version, newest first."""
    statement = (
        select(PublicationRow)
        .where(PublicationRow.kernel == kernel, PublicationRow.version == version)
        .order_by(PublicationRow.requested_at.desc())
    )
    return [_publication(row) for row in session.scalars(statement)]


def unfinished(session: Session) -> list[Publication]:
    """Oldest first."""
    statement = (
        select(PublicationRow)
        .where(PublicationRow.state.not_in(_FINISHED))
        .order_by(PublicationRow.requested_at)
    )
    return [_publication(row) for row in session.scalars(statement)]


def checks_among(session: Session, host_kernel_ids: Collection[str]) -> dict[str, bool]:
    """Which of these ids are throw-away kernels, and whether their publications are over."""
    statement = select(PublicationRow.check_kernel_id, PublicationRow.state).where(
        PublicationRow.check_kernel_id.in_(host_kernel_ids)
    )
    return {found: state in _FINISHED for found, state in session.execute(statement)}


def _publication(row: PublicationRow) -> Publication:
    return Publication(
        id=row.id,
        kernel=row.kernel,
        version=row.version,
        team=row.team,
        manifest=row.manifest,
        state=PublicationState(row.state),
        requested_by=row.requested_by,
        request_id=row.request_id,
        requested_at=row.requested_at,
        check_kernel_id=row.check_kernel_id,
        steps=tuple(PublicationStep(**step) for step in row.steps),
        artifact_digest=row.artifact_digest,
        problem=PublicationProblem(**row.problem) if row.problem else None,
        finished_at=row.finished_at,
    )
