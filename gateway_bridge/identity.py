"""Whose token is this? Asked of the hub, remembered for a few seconds, never guessed."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

import httpx
from pydantic import BaseModel, Field, ValidationError

from gateway_bridge.caching import Remembered
from hub.domain.people import Person, person_from_hub
from hub.errors import HubUnavailable, TokenRejected

FRESH_FOR = timedelta(seconds=8)
"""A revoked token or a lost membership is noticed within this and the call that follows."""

KEPT_FOR = timedelta(minutes=10)
"""While the hub is down, an answer this old still opens what the person has already."""

REFUSED_FOR = timedelta(seconds=2)
"""A refused token is refused again without asking; a token made just now works this soon."""

HUB_TIMEOUT = timedelta(seconds=2)

MAX_PEOPLE = 20_000
"""Tokens remembered, about 1 KiB each."""

_PROBE_CLIENT = "granary-bridge-probe"
"""An OAuth client no hub has. To refuse it the hub has to read its database."""


class _HubUser(BaseModel):
    name: Annotated[str, Field(min_length=1)]
    kind: str
    groups: list[str] = Field(default_factory=list)
    scopes: list[str] = Field(default_factory=list)


class Identities:
    """Tokens to people, by asking ``{hub_api_url}/user`` with the token itself.

    Tokens are keys only as digests. The hub answers 403 to every token while its
    database is down, so a 403 counts as a refusal only if the hub shows that it
    reads its database; otherwise it counts as the hub not answering.
    """

    def __init__(self, hub_api_url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._http = httpx.AsyncClient(
            base_url=hub_api_url.rstrip("/"),
            trust_env=False,
            timeout=HUB_TIMEOUT.total_seconds(),
            limits=httpx.Limits(max_connections=20, max_keepalive_connections=20),
        )
        self._people: Remembered[Person] = Remembered(
            fresh_for=FRESH_FOR, kept_for=KEPT_FOR, size=MAX_PEOPLE, clock=clock
        )
        self._refused: Remembered[bool] = Remembered(
            fresh_for=REFUSED_FOR, kept_for=REFUSED_FOR, size=MAX_PEOPLE, clock=clock
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    async def person(self, token: str, *, stale_ok: bool) -> Person:
        """Who holds ``token``.

        Parameters
        ----------
        stale_ok
            Whether an answer up to ``KEPT_FOR`` old will do while the hub is down:
            for what exists already, never for starting something.

        Raises
        ------
        TokenRejected, HubUnavailable
        """
        key = _digest(token)
        person = self._people.peek(key)
        if person is not None:
            return person
        if self._refused.peek(key):
            raise _rejected()
        try:
            return (await self._people.get(key, lambda: self._ask(token), stale_ok=stale_ok)).value
        except TokenRejected:
            self._refused.put(key, value=True)
            raise

    async def confirm(self, token: str) -> Person:
        """Who holds ``token`` now, asked in any case; a refusal is heard twice before it counts.

        Raises
        ------
        TokenRejected
            The hub refused, proved that it reads its database, and refused again.
        HubUnavailable
        """
        key = _digest(token)
        try:
            answer = await self._people.get(
                key, lambda: self._ask_twice(token), stale_ok=False, fresh_ok=False
            )
        except TokenRejected:
            self._refused.put(key, value=True)
            raise
        return answer.value

    async def _ask_twice(self, token: str) -> Person:
        try:
            return await self._ask(token)
        except TokenRejected:
            return await self._ask(token)

    async def _ask(self, token: str) -> Person:
        try:
            async with asyncio.timeout(HUB_TIMEOUT.total_seconds()):
                response = await self._http.get("/user", headers={"Authorization": f"token {token}"})
                refused = response.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}
                if refused and await self._hub_reads_its_database():
                    raise _rejected()
        except (httpx.TransportError, TimeoutError) as error:
            raise _unavailable("is not answering") from error
        if refused:
            raise _unavailable("cannot read its database")
        if response.status_code != httpx.codes.OK:
            raise _unavailable(f"answered {response.status_code}")
        try:
            user = _HubUser.model_validate_json(response.content)
        except ValidationError as error:
            raise _unavailable("answered in a form that is not understood") from error
        return person_from_hub(user.name, kind=user.kind, groups=user.groups, scopes=user.scopes)

    async def _hub_reads_its_database(self) -> bool:
        answer = await self._http.post(
            "/oauth2/token",
            data={"grant_type": "authorization_code", "client_id": _PROBE_CLIENT, "code": "none"},
        )
        return answer.status_code == httpx.codes.UNAUTHORIZED and "invalid_client" in answer.text


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _rejected() -> TokenRejected:
    return TokenRejected(
        "JupyterHub does not accept this token: it expired or was revoked. Create a new one."
    )


def _unavailable(what: str) -> HubUnavailable:
    return HubUnavailable(
        f"JupyterHub {what}, so nobody can be let in now. Open notebooks go on; try again in a moment."
    )
