"""What handlers are given: the services, who is asking, and why a change is made."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader

from hub.domain.audit import Cause
from hub.domain.people import Person
from hub.errors import TokenMissing, TokenRejected
from hub.hubapi import HubIdentity
from hub.services.auditing import AuditService
from hub.services.catalogue import CatalogueService
from hub.services.database import Database
from hub.services.governance import GovernanceService
from hub.services.publishing import Publishing
from hub.services.running import RunningKernels


@dataclass(frozen=True)
class Services:
    """Everything the routers use, made once by ``hub.app``."""

    database: Database
    identity: HubIdentity
    catalogue: CatalogueService
    governance: GovernanceService
    publishing: Publishing
    running: RunningKernels
    audit: AuditService
    contact: str
    internal_secret: str


_hub_token = APIKeyHeader(
    name="Authorization",
    scheme_name="HubToken",
    description="A JupyterHub API token: `token <token>` or `Bearer <token>`.",
    auto_error=False,
)


async def given_services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def asking_person(
    services: Annotated[Services, Depends(given_services)],
    authorization: Annotated[str | None, Security(_hub_token)],
) -> Person:
    """Who is asking. Raises ``TokenMissing``, ``TokenRejected``, ``HubUnavailable``."""
    return await services.identity.person(_token(authorization))


async def change_cause(request: Request, person: Annotated[Person, Depends(asking_person)]) -> Cause:
    """What the audit log says of the origin of a change."""
    return Cause(person.actor, request.state.request_id)


async def our_own_process(
    services: Annotated[Services, Depends(given_services)],
    request: Request,
) -> None:
    """Only bridge and spawner hold the internal secret. Raises ``TokenMissing``, ``TokenRejected``."""
    sent = _token(request.headers.get("authorization")).encode(errors="surrogateescape")
    if not hmac.compare_digest(sent, services.internal_secret.encode()):
        raise TokenRejected("This is not the secret that Granary's processes share.")


def _token(authorization: str | None) -> str:
    """The token after a scheme word; clients disagree on ``token`` and ``Bearer``."""
    scheme, _, token = (authorization or "").strip().partition(" ")
    if not (scheme and token.strip()):
        raise TokenMissing("Send a JupyterHub API token in the header: Authorization: token <token>.")
    return token.strip()


Given = Annotated[Services, Depends(given_services)]
Asking = Annotated[Person, Depends(asking_person)]
Why = Annotated[Cause, Depends(change_cause)]
