"""The audit log."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, Field

from hub.api.bodies import AuditBody, Text
from hub.api.dependencies import Asking, Given
from hub.api.errors import responses
from hub.storage.audit import MAX_PAGE, AuditFilter
from hub.wire import Request

router = APIRouter(tags=["audit"], responses=responses())

_DEFAULT_PAGE = 100
_Word = Annotated[Text, Field(max_length=300)]
_MAX_SEQ = 2**31 - 1


class AuditQuery(Request):
    """What to read; whatever is left out does not narrow."""

    team: Annotated[_Word | None, Field(description="One team's records.")] = None
    actor: Annotated[_Word | None, Field(description="Who made the change.")] = None
    action: Annotated[_Word | None, Field(description="An action; `channel.` is all of that kind.")] = None
    subject: _Word | None = None
    since: Annotated[AwareDatetime | None, Field(description="From this instant on.")] = None
    until: Annotated[AwareDatetime | None, Field(description="Before this instant.")] = None
    before: Annotated[int | None, Field(ge=1, le=_MAX_SEQ, description="`next_before` of a page.")] = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = _DEFAULT_PAGE


@router.get("/audit", summary="Who changed what; a team's admins read their team's records")
async def read_audit(query: Annotated[AuditQuery, Query()], person: Asking, given: Given) -> AuditBody:
    wanted = AuditFilter(
        actor=query.actor,
        action=query.action,
        subject=query.subject,
        since=query.since,
        until=query.until,
        before_seq=query.before,
        limit=query.limit,
    )
    return AuditBody.of(await given.audit.find(person, wanted, query.team), query.limit)
