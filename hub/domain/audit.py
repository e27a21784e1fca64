"""The record of who changed what, chained so that an edit shows.

Each record carries a hash over its own content and the hash of the record before
it. Changing, inserting or removing a record breaks every later link. Cutting off
the newest records leaves a valid, shorter chain: who wants to notice that keeps
the last hash elsewhere and compares.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

GENESIS_HASH = "0" * 64
"""What the first record names as the hash before it."""

MAX_REASON_LENGTH = 500


@dataclass(frozen=True)
class Cause:
    """Who makes a change and by which request."""

    actor: str
    """A person's name, ``service:<name>`` or ``system:<part>``."""
    request_id: str


@dataclass(frozen=True)
class Change:
    """One change, as told to the audit log in the transaction that makes it."""

    action: str
    """Dotted, for example ``channel.set``."""
    subject: str
    """What was changed, for example ``kernel/python-data/channel/prod``."""
    team: str | None
    """The team that governs the subject; its admins may read the record."""
    reason: str = ""
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class AuditRecord:
    """One link of the chain. ``seq`` counts from 1 without gaps; ``at`` is aware UTC."""

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


@dataclass(frozen=True)
class BrokenLink:
    """Where a chain stops being believable."""

    seq: int
    problem: str


def seal(change: Change, cause: Cause, at: datetime, *, last_seq: int, last_hash: str) -> AuditRecord:
    """The record that continues a chain ending in ``last_seq`` and ``last_hash``."""
    content: dict[str, Any] = {
        "seq": last_seq + 1,
        "at": at.astimezone(UTC),
        "actor": cause.actor,
        "action": change.action,
        "subject": change.subject,
        "team": change.team,
        "reason": change.reason,
        "before": change.before,
        "after": change.after,
        "request_id": cause.request_id,
    }
    return AuditRecord(**content, prev_hash=last_hash, hash=_digest(content, last_hash))


def find_broken_link(
    records: Iterable[AuditRecord], *, last_seq: int = 0, last_hash: str = GENESIS_HASH
) -> BrokenLink | None:
    """Verify records in ascending order; None if each one continues the one before.

    ``last_seq`` and ``last_hash`` are where verification of an earlier part ended.
    """
    for record in records:
        if record.seq != last_seq + 1:
            return BrokenLink(record.seq, f"record {last_seq + 1} is missing")
        if record.prev_hash != last_hash:
            return BrokenLink(record.seq, "it does not continue the record before it")
        if record.hash != _digest(_content(record), last_hash):
            return BrokenLink(record.seq, "its content was changed after it was written")
        last_seq, last_hash = record.seq, record.hash
    return None


def canonical_json(value: Any) -> str:
    """One ASCII text per value: keys sorted, no white space, instants in UTC with microseconds."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain)


def _content(record: AuditRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in {"prev_hash", "hash"}}


def _digest(content: Mapping[str, Any], prev_hash: str) -> str:
    return hashlib.sha256(f"{prev_hash}\n{canonical_json(content)}".encode()).hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no canonical form")
