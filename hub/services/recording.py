"""One writing transaction's session, cause and instant, kept together for its audit records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from hub.domain.audit import Cause, Change
from hub.storage import audit, revisions


@dataclass(frozen=True)
class Recorder:
    """Handed to whatever changes something, so that no change goes without its record."""

    session: Session
    cause: Cause
    now: datetime

    def change(self, change: Change) -> None:
        """Record a change that leaves the catalogue as it is."""
        audit.append(self.session, change, self.cause, self.now)

    def catalogue_change(self, change: Change) -> None:
        """Record a change of teams or catalogue; what readers remember of it is void."""
        audit.append(self.session, change, self.cause, self.now)
        revisions.raise_revision(self.session, revisions.CATALOGUE)
