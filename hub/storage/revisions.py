"""Whether remembered facts are still true."""

from __future__ import annotations

from sqlalchemy.orm import Session

from hub.schema import RevisionRow

CATALOGUE = "catalogue"
"""Teams, kernels, releases, channels and entitlements."""


def current(session: Session, name: str) -> int:
    row = session.get(RevisionRow, name)
    return row.value if row else 0


def raise_revision(session: Session, name: str) -> None:
    """To be called by everything that changes what ``name`` stands for."""
    row = session.get(RevisionRow, name)
    if row is None:
        session.add(RevisionRow(name=name, value=1))
    else:
        row.value += 1
