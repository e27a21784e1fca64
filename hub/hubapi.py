"""The little that the control plane asks JupyterHub."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta

import httpx
from pydantic import BaseModel, ValidationError

from hub.domain.people import Person, person_from_hub
from hub.errors import HubUnavailable, TokenRejected

TIMEOUT = timedelta(seconds=2)
"""For the whole answer; the caller waits."""

MAX_AGE = timedelta(seconds=10)
"""How long an answer is believed: a revoked token works no longer than this."""

MAX_REMEMBERED = 10_000
"""Tokens; the least recently used go first."""


class _User(BaseModel):
    """What we read of ``GET /hub/api/user``."""

    name: str
    kind: str
    groups: list[str] = []
    scopes: list[str]


class HubIdentity:
    """Says whom a hub token belongs to and what it may do.

    Concurrent questions about one token are one request to the hub. Only answers
    are remembered, never refusals, and only under a hash of the token.

    Parameters
    ----------
    api_url
        For example ``http://127.0.0.1:8080/hub/api``.
    monotonic
        Seconds from any fixed instant; for tests.
    """

    def __init__(self, api_url: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._url = f"{api_url.rstrip('/')}/user"
        self._monotonic = monotonic
        self._http = httpx.AsyncClient(
            timeout=TIMEOUT.total_seconds(),
            trust_env=False,
            limits=httpx.Limits(max_connections=20, max_keepalive_connections=10),
        )
        self._known: OrderedDict[bytes, tuple[float, Person]] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Person]] = {}

    async def aclose(self) -> None:
        for task in list(self._asking.values()):
            task.cancel()
        await self._http.aclose()

    async def person(self, token: str) -> Person:
        """Whose token this is.

        Raises
        ------
        TokenRejected, HubUnavailable
        """
        key = hashlib.sha256(token.encode(errors="surrogateescape")).digest()
        told_at, person = self._known.get(key, (0.0, None))
        if person is not None and self._monotonic() - told_at < MAX_AGE.total_seconds():
            self._known.move_to_end(key)
            return person
        task = self._asking.get(key)
        if task is None:
            task = asyncio.create_task(self._ask(key, token))
            self._asking[key] = task
            task.add_done_callback(lambda done: self._answered(key, done))
        return await asyncio.shield(task)

    def _answered(self, key: bytes, task: asyncio.Task[Person]) -> None:
        del self._asking[key]
        if not task.cancelled():
            task.exception()  # retrieved here in case every caller has gone away

    async def _ask(self, key: bytes, token: str) -> Person:
        asked_at = self._monotonic()  # before the hub looked, so that the age is never understated
        self._known.pop(key, None)
        try:
            async with asyncio.timeout(TIMEOUT.total_seconds()):
                response = await self._http.get(self._url, headers={"Authorization": f"token {token}"})
        except (httpx.TransportError, TimeoutError) as error:
            raise _unavailable("is not answering") from error
        except (httpx.InvalidURL, ValueError) as error:
            raise _rejected() from error  # a token that does not even fit into a header
        person = _read(response)
        self._known[key] = (asked_at, person)
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        return person


def _read(response: httpx.Response) -> Person:
    if response.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        raise _rejected()
    if not response.is_success:
        raise _unavailable(f"answered {response.status_code}")
    try:
        user = _User.model_validate_json(response.content)
    except ValidationError as error:
        raise _unavailable("answered in a form that is not understood") from error
    return person_from_hub(user.name, kind=user.kind, groups=user.groups, scopes=user.scopes)


def _rejected() -> TokenRejected:
    return TokenRejected(
        "The hub does not accept this token: it is wrong, expired or revoked. Get a new one."
    )


def _unavailable(what: str) -> HubUnavailable:
    return HubUnavailable(f"JupyterHub {what}, so nobody's identity can be checked. Try again in a moment.")
