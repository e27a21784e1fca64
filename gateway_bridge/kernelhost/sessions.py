"""Client sessions of one kernel: what connects a websocket to the kernel, and outlives it.

A session is known by the id its client chose. Its sockets to the kernel carry that
id as their identity, so replies find it; when the websocket drops, the session stays,
keeps receiving, and gives everything to the next websocket that names it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from functools import partial
from typing import Protocol

from gateway_bridge.kernelhost.incarnation import Incarnation
from gateway_bridge.kernelhost.messages import BadSignature, Signer
from gateway_bridge.kernelhost.outbox import Message, Outbox
from gateway_bridge.kernelhost.zmqchannel import Frames, ZmqChannel

CHANNELS = ("shell", "control", "stdin")
"""What a client can send to; iopub is one-way."""

MAX_WAITING_SESSIONS = 16
"""Per kernel, without a websocket; then the one that has waited longest is forgotten."""

REMEMBERED_REQUESTS = 4096
"""Per session: a client that is unsure whether a request arrived may send it again."""


class CloseCode(IntEnum):
    """Why the host closes a websocket itself."""

    GOING_AWAY = 1001
    """The host stops, and its kernels with it."""
    MALFORMED = 1007
    """The client sent what is no kernel message."""
    REPLACED = 4001
    """The same session has opened a newer websocket."""
    KERNEL_GONE = 4404
    """The kernel was stopped; it will not come back."""
    SILENT = 4408
    """The client has neither answered nor read for too long."""


@dataclass(frozen=True)
class Limits:
    """What a kernel keeps for its clients."""

    kept_bytes: int
    """Of output nobody has fetched, per kernel."""
    connected_bytes: int
    """Of output a connected client is too slow for."""
    kept_for: timedelta
    """How long a session without a websocket is remembered."""


class Link(Protocol):
    """The websocket a session is connected to at the moment."""

    @property
    def unfinished(self) -> bool:
        """The message sent last is not written whole yet."""

    def wake(self) -> None:
        """There is something in the outbox."""

    def close_because(self, code: int, reason: str) -> None:
        """Close it and say why."""


class Session:
    """One client session.

    Attributes
    ----------
    outbox
        What is to be sent to the client.
    link
        None while no websocket is connected.
    idle_since
        Monotonic seconds since which there is none.
    """

    def __init__(self, session_id: str, outbox: Outbox, now: float) -> None:
        self.id = session_id
        self.outbox = outbox
        self.link: Link | None = None
        self.idle_since = now
        self._signer: Signer | None = None
        self._channels: dict[str, ZmqChannel] = {}
        self._requests: deque[bytes] = deque()
        self._request_set: set[bytes] = set()

    # -- towards the client ------------------------------------------------------------

    def deliver(self, message: Message) -> None:
        """Send to the client, now or when it is back."""
        self.outbox.put(message)
        if self.link is not None:
            self.link.wake()

    # -- towards the kernel ------------------------------------------------------------

    def bind(self, incarnation: Incarnation) -> None:
        """Connect to a (new) process of the kernel; replies of the old one are kept, its requests are not."""
        self.unbind()
        self._signer = incarnation.signer
        for channel in CHANNELS:
            arrived = partial(self._arrived, channel, incarnation.signer)
            self._channels[channel] = incarnation.connect(channel, arrived, identity=self.id.encode())

    def unbind(self) -> None:
        """Disconnect from the kernel after taking what has arrived."""
        for channel in self._channels.values():
            channel.drain()
            channel.close()
        self._channels.clear()

    def send(self, channel: str, parts: list[bytes]) -> Awaitable[None] | None:
        """Pass a client's message on. One sent before, byte for byte, is not repeated.

        Returns
        -------
        Awaitable or None
            Something to wait for if the kernel takes no more at the moment.
        """
        socket = self._channels.get(channel)
        if self._signer is None or socket is None:
            return None
        frames = self._signer.wrap(parts)
        if self._is_repeated(frames[1]) or socket.send_now(frames):
            return None
        return socket.send(frames)

    def _arrived(self, channel: str, signer: Signer, frames: Frames) -> None:
        try:
            parts = signer.unwrap(frames)
        except BadSignature:
            return
        self.deliver(Message(channel, parts, output=False))

    def _is_repeated(self, signature: bytes) -> bool:
        if signature in self._request_set:
            return True
        self._request_set.add(signature)
        self._requests.append(signature)
        if len(self._requests) > REMEMBERED_REQUESTS:
            self._request_set.discard(self._requests.popleft())
        return False


class Sessions:
    """All client sessions of one kernel."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._sessions: dict[str, Session] = {}

    @property
    def connections(self) -> int:
        """How many websockets are open."""
        return sum(session.link is not None for session in self._sessions.values())

    def attach(
        self, session_id: str, link: Link, received: int | None, incarnation: Incarnation | None, now: float
    ) -> Session:
        """Connect a websocket to its session, which is made if it is not known.

        The newest websocket of a session wins. ``received`` is explained at ``Outbox.resume``.
        """
        session = self._sessions.get(session_id)
        if session is None:
            session = Session(session_id, Outbox(self._limits.kept_bytes, received or 0), now)
            self._sessions[session_id] = session
            if incarnation is not None:
                session.bind(incarnation)
        elif session.link is not None:
            old = session.link
            self.detach(session, old, now)
            old.close_because(CloseCode.REPLACED, "This session has opened a newer connection.")
        session.link = link
        session.outbox.resume(received)
        session.outbox.set_limit(self._limits.connected_bytes)
        return session

    def detach(self, session: Session, link: Link, now: float) -> None:
        """A websocket is gone; unless a newer one is there, its session waits."""
        if session.link is link:
            if link.unfinished:
                session.outbox.take_back_last()
            session.link = None
            session.idle_since = now
            session.outbox.set_limit(self._limits.kept_bytes)

    def broadcast(self, message: Message) -> None:
        """Deliver an iopub message to everybody."""
        for session in self._sessions.values():
            session.deliver(message)

    def bind(self, incarnation: Incarnation) -> None:
        for session in self._sessions.values():
            session.bind(incarnation)

    def unbind(self) -> None:
        for session in self._sessions.values():
            session.unbind()

    def close(self, code: CloseCode, reason: str) -> None:
        """Forget all sessions and close their websockets."""
        sessions = list(self._sessions.values())
        self._sessions.clear()
        for session in sessions:
            session.unbind()
            if session.link is not None:
                session.link.close_because(code, reason)

    def forget_old(self, now: float) -> None:
        """Forget sessions that have waited too long, or are too many."""
        waiting = sorted(
            (s for s in self._sessions.values() if s.link is None), key=lambda s: s.idle_since, reverse=True
        )
        oldest = now - self._limits.kept_for.total_seconds()
        for at, session in enumerate(waiting):
            if at >= MAX_WAITING_SESSIONS or session.idle_since < oldest:
                del self._sessions[session.id]
                session.unbind()
