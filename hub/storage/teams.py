"""Teams in the database."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from hub.domain.people import Team
from hub.schema import TeamRow


def governed(session: Session) -> dict[str, Team]:
    """The teams Granary governs, by name."""
    rows = session.scalars(select(TeamRow).where(TeamRow.governed).order_by(TeamRow.name))
    return {row.name: _team(row) for row in rows}


def is_governed(session: Session, name: str) -> bool:
    row = session.get(TeamRow, name)
    return row is not None and row.governed


def save(session: Session, team: Team, now: datetime) -> None:
    """Insert or update a team and govern it."""
    row = session.get(TeamRow, team.name)
    if row is None:
        row = TeamRow(name=team.name, created_at=now)
        session.add(row)
    row.display_name, row.admin_group, row.governed = team.display_name, team.admin_group, True
    session.flush()


def release_from_governance(session: Session, name: str) -> None:
    """Keep a team's row and history, but refuse everything in its name."""
    session.execute(update(TeamRow).where(TeamRow.name == name).values(governed=False))


def _team(row: TeamRow) -> Team:
    return Team(name=row.name, display_name=row.display_name, admin_group=row.admin_group)
