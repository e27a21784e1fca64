"""What to make of the difference between our books and what a kernel host reports. Pure.

A look is one pass over a host that answered. Anything that leads to an end has to be
seen in two looks in a row, and a kernel that is not ours is left alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hub.domain.running import RunState

LOOKS_BEFORE_ACTING = 2

START_GRACE = timedelta(seconds=30)
"""A start has failed or been confirmed by then, unless the process doing it died."""


@dataclass(frozen=True)
class BookedKernel:
    """A kernel that has not ended in our books, as it was before the host was asked."""

    id: str
    host_kernel_id: str | None
    state: RunState
    started_at: datetime


@dataclass(frozen=True)
class Doubts:
    """How many looks in a row something was wrong, by id."""

    missing: Mapping[str, int] = field(default_factory=dict)
    left_over: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Reconciliation:
    """What to do, and what to remember for the next look."""

    lost: frozenset[str]
    """Ids of ours: the host no longer has them."""
    never_started: frozenset[str]
    """Ids of ours: the process that started them died before the host had them."""
    confirmed: Mapping[str, str]
    """Our id to the host's: started, but the process that did it died before it noted so."""
    stop: frozenset[str]
    """Ids at the host: they are ours and over, yet still run."""
    unknown: frozenset[str]
    """Ids at the host that we never gave out. To be logged, not touched."""
    doubts: Doubts


def reconcile(
    booked: Collection[BookedKernel],
    listed: Set[str],
    ours: Set[str],
    over: Set[str],
    doubts: Doubts,
    *,
    now: datetime,
) -> Reconciliation:
    """Judge one look.

    Parameters
    ----------
    booked
        Read **before** the host was asked, so that a kernel started in between is
        not taken for one that vanished.
    listed
        Ids the host reports.
    ours
        Those of ``listed`` that we gave out, throw-away kernels included. Read after the
        host was asked, like ``over``.
    over
        Those of ``ours`` that have ended in our books.
    doubts
        From the look before; empty after a look that failed.
    """
    missing: dict[str, int] = {}
    confirmed: dict[str, str] = {}
    never_started: set[str] = set()
    for kernel in booked:
        at_host = kernel.host_kernel_id is not None and kernel.host_kernel_id in listed
        if kernel.state is RunState.STARTING:
            if now - kernel.started_at < START_GRACE:
                continue
            if at_host and kernel.host_kernel_id is not None:
                confirmed[kernel.id] = kernel.host_kernel_id
            else:
                never_started.add(kernel.id)
        elif not at_host:
            missing[kernel.id] = doubts.missing.get(kernel.id, 0) + 1
    left_over = {found: doubts.left_over.get(found, 0) + 1 for found in over}
    return Reconciliation(
        lost=_certain(missing),
        never_started=frozenset(never_started),
        confirmed=confirmed,
        stop=_certain(left_over),
        unknown=frozenset(listed - ours),
        doubts=Doubts(missing, left_over),
    )


def _certain(counted: Mapping[str, int]) -> frozenset[str]:
    return frozenset(found for found, looks in counted.items() if looks >= LOOKS_BEFORE_ACTING)
