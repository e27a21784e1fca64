"""Reading the audit log."""

from __future__ import annotations

from dataclasses import replace

from hub.domain.audit import AuditRecord, BrokenLink, find_broken_link
from hub.domain.people import Person
from hub.errors import NotTeamAdmin
from hub.policies.access import require_manager
from hub.services.database import BACKGROUND_WAIT, Database
from hub.storage import audit
from hub.storage.audit import AuditFilter


class AuditService:
    """The log for those who may read it: team admins their team's part, platform admins all of it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, person: Person, wanted: AuditFilter, team: str | None) -> list[AuditRecord]:
        """A page of records, newest first; ``team`` narrows to one team's.

        Raises
        ------
        NotTeamAdmin
        """
        if team is not None:
            require_manager(person, team)
            wanted = replace(wanted, teams={team})
        elif not person.manages_all:
            if not person.manages:
                raise NotTeamAdmin("The audit log is for admins; you govern no team.")
            wanted = replace(wanted, teams=person.manages)
        return await self._database.read(lambda session: audit.find(session, wanted))

    async def verify(self) -> BrokenLink | None:
        """Check the whole chain; None if nobody has changed it."""
        return await self._database.read(
            lambda session: find_broken_link(audit.whole_chain(session)), wait=BACKGROUND_WAIT
        )
