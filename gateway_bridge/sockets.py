"""The websockets that are open here: whose they are, whether they may stay, how they end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from gateway_bridge.identity import Identities
from gateway_bridge.relay import CloseCode, Relay
from gateway_bridge.rules import admit
from hub.domain.people import Person
from hub.errors import Denied, TokenRejected, Unavailable

log = logging.getLogger(__name__)

RECHECK_AFTER = timedelta(seconds=7)
"""How old the last word of the hub on an open socket's token may get. With the pace and the two
calls of a refusal this stays within the ten seconds in which a revocation has to take effect."""

RECHECK_PACE = timedelta(seconds=0.5)
CONCURRENT_RECHECKS = 10

LOGGED_OUT = "Your token was revoked or expired."
NOT_ALLOWED_ANY_MORE = "You may not use this team's kernels any more."
GOING_AWAY = "The gateway is restarting; connect again."


@dataclass(frozen=True, eq=False, slots=True)
class OpenSocket:
    """One open websocket. ``relay`` carries it."""

    relay: Relay
    person: str
    team: str
    kernel_id: str


class _Holder:
    """The sockets opened with one token, and when the hub last vouched for it."""

    __slots__ = ("checked_at", "sockets")

    def __init__(self, checked_at: float) -> None:
        self.checked_at = checked_at
        self.sockets: set[OpenSocket] = set()


class OpenSockets:
    """Watches over open websockets: one question to the hub per token and period, however many there are."""

    def __init__(self, identities: Identities, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._identities = identities
        self._clock = clock
        self._holders: dict[str, _Holder] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return sum(len(holder.sockets) for holder in self._holders.values())

    def add(self, token: str, socket: OpenSocket) -> None:
        """Watch over ``socket`` until ``remove``."""
        holder = self._holders.get(token)
        if holder is None:
            # The answer that let it in may be as old as the cache allows: due at once.
            holder = self._holders[token] = _Holder(float("-inf"))
        holder.sockets.add(socket)
        self._empty.clear()

    def remove(self, token: str, socket: OpenSocket) -> None:
        """The socket is closed."""
        holder = self._holders.get(token)
        if holder is not None:
            holder.sockets.discard(socket)
            if not holder.sockets:
                del self._holders[token]
        if not self._holders:
            self._empty.set()

    async def keep_checking(self) -> None:
        """Ask again about every token in time; runs until cancelled."""
        while True:
            await asyncio.sleep(RECHECK_PACE.total_seconds())
            overdue = self._clock() - RECHECK_AFTER.total_seconds()
            await self.recheck(
                [token for token, holder in self._holders.items() if holder.checked_at <= overdue]
            )

    async def recheck(self, tokens: Iterable[str]) -> None:
        """Ask the hub about these tokens now, and close what they may not hold any more."""
        gate = asyncio.Semaphore(CONCURRENT_RECHECKS)

        async def one(token: str) -> None:
            async with gate:
                await self._recheck(token)

        await asyncio.gather(*map(one, tokens))

    def close_all(self) -> None:
        """The bridge stops: tell every client to come back."""
        for holder in list(self._holders.values()):
            for socket in list(holder.sockets):
                socket.relay.close(CloseCode.GOING_AWAY, GOING_AWAY)

    async def all_gone(self, *, within: timedelta) -> None:
        """Until no socket is open, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within.total_seconds()):
                await self._empty.wait()

    async def _recheck(self, token: str) -> None:
        holder = self._holders.get(token)
        if holder is None:
            return
        asked_at = self._clock()
        try:
            person = await self._identities.confirm(token)
        except Unavailable:
            # Nothing is closed on what the hub cannot say; ask again at the usual pace.
            holder.checked_at = asked_at
            return
        except TokenRejected:
            self._close(holder.sockets, LOGGED_OUT)
            return
        holder.checked_at = asked_at
        self._close(
            [socket for socket in holder.sockets if not _may_stay(socket, person)], NOT_ALLOWED_ANY_MORE
        )

    def _close(self, sockets: Iterable[OpenSocket], reason: str) -> None:
        for socket in list(sockets):
            log.info("closing the socket of %s to %s: %s", socket.person, socket.kernel_id, reason)
            socket.relay.close(CloseCode.POLICY, reason)


def _may_stay(socket: OpenSocket, person: Person) -> bool:
    try:
        admit(person, socket.team)
    except Denied:
        return False
    return person.name == socket.person
