"""The audit log in the database: appended to and read, nothing else."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from hub.domain.audit import GENESIS_HASH, AuditRecord, Cause, Change, seal
from hub.schema import AuditRow

MAX_PAGE = 500
"""Records in one answer."""

_CHUNK = 1000
"""Records held at once while the whole log is read."""


@dataclass(frozen=True)
class AuditFilter:
    """Which records to read; None does not narrow."""

    teams: Collection[str] | None = None
    actor: str | None = None
    action: str | None = None
    """An action, or a prefix that ends with a dot."""
    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before_seq: int | None = None
    """Only older records: the last ``seq`` of the page before."""
    limit: int = 100


def append(session: Session, change: Change, cause: Cause, now: datetime) -> None:
    """Add a record to the chain, in the transaction that makes the change.

    Writing transactions take turns (``hub.storage.engine``), so the last record
    read here is still the last one at commit.
    """
    last = session.execute(select(AuditRow.seq, AuditRow.hash).order_by(AuditRow.seq.desc()).limit(1)).first()
    last_seq, last_hash = last or (0, GENESIS_HASH)
    record = seal(change, cause, now, last_seq=last_seq, last_hash=last_hash)
    session.add(AuditRow(**vars(record)))
    session.flush()


def find(session: Session, wanted: AuditFilter) -> list[AuditRecord]:
    """A page of records, newest first."""
    statement = select(AuditRow).where(*_conditions(wanted)).order_by(AuditRow.seq.desc())
    return [_record(row) for row in session.scalars(statement.limit(min(wanted.limit, MAX_PAGE)))]


def whole_chain(session: Session) -> Iterator[AuditRecord]:
    """Every record, oldest first, without holding all of them."""
    statement = select(AuditRow).order_by(AuditRow.seq).execution_options(yield_per=_CHUNK)
    for row in session.scalars(statement):
        yield _record(row)


def _conditions(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.teams is not None:
        conditions.append(AuditRow.team.in_(wanted.teams))
    if wanted.actor is not None:
        conditions.append(AuditRow.actor == wanted.actor)
    if wanted.action is not None:
        by_prefix = wanted.action.endswith(".")
        column = AuditRow.action
        conditions.append(
            column.startswith(wanted.action, autoescape=True) if by_prefix else column == wanted.action
        )
    if wanted.subject is not None:
        conditions.append(AuditRow.subject == wanted.subject)
    if wanted.since is not None:
        conditions.append(AuditRow.at >= wanted.since)
    if wanted.until is not None:
        conditions.append(AuditRow.at < wanted.until)
    if wanted.before_seq is not None:
        conditions.append(AuditRow.seq < wanted.before_seq)
    return conditions


def _record(row: AuditRow) -> AuditRecord:
    return AuditRecord(
        seq=row.seq,
        at=row.at,
        actor=row.actor,
        action=row.action,
        subject=row.subject,
        team=row.team,
        reason=row.reason,
        before=row.before,
        after=row.after,
        request_id=row.request_id,
        prev_hash=row.prev_hash,
        hash=row.hash,
    )
