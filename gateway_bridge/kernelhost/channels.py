"""The websocket of one client session to one kernel.

What a client has received is known from its pongs: each ping carries the number of
messages sent before it, and any client echoes it. A client that comes back may say
the number itself (``received``, the count of messages since its session began) and
is sent exactly the rest. One that cannot count is sent what was not sent before.
"""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections.abc import Awaitable, Iterable, Iterator
from contextlib import suppress
from datetime import timedelta

from tornado.iostream import IOStream, StreamClosedError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from gateway_bridge.kernelhost.auth import Gate
from gateway_bridge.kernelhost.handlers import KernelHandler
from gateway_bridge.kernelhost.kernel import Kernel
from gateway_bridge.kernelhost.outbox import Message
from gateway_bridge.kernelhost.registry import Registry
from gateway_bridge.kernelhost.sessions import CHANNELS, CloseCode, Session
from gateway_bridge.kernelhost.wireformat import V1_PROTOCOL, MalformedMessage, decode, frame_of
from hub.errors import InvalidRequest

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 2**30
"""From a client. Messages to it have no limit of their own."""

READY_WITHIN = timedelta(seconds=60)
"""How long a websocket waits to be opened for a kernel that is starting."""

WRITE_BYTES = 256 * 1024
"""Handed to the connection at a time; the rest stays where its size is bounded."""

JOIN_BYTES = 64 * 1024
"""A chunk of this size is written as it is; smaller ones are copied together, for fewer system calls."""

PING_EVERY = timedelta(seconds=30)
"""A client that neither answers, sends nor takes anything for this long, twice, is gone."""

CONFIRM_AFTER = timedelta(seconds=1)
CONFIRM_BYTES = 256 * 1024
"""When a client is asked, by a ping, what has arrived; what has is no longer kept."""

_SESSION_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_MAX_RECEIVED = 2**53
_MAX_REASON_BYTES = 120


class Channels(KernelHandler, WebSocketHandler):
    """``GET /api/kernels/{id}/channels?session_id=[&received=]``, upgraded once the kernel is ready."""

    _kernel: Kernel
    _session: Session
    _stream: IOStream

    def initialize(self, registry: Registry, gate: Gate) -> None:
        super().initialize(registry, gate)
        self._loop = asyncio.get_running_loop()
        self._writing = False
        self._waking = False
        self._is_open = False
        self._alive = True
        self._unconfirmed_bytes = 0
        self._confirming: asyncio.TimerHandle | None = None
        self._watching: asyncio.TimerHandle | None = None

    # -- called by tornado -------------------------------------------------------------

    async def get(self, kernel_id: str) -> None:
        self._session_id = _session_id(self.get_query_argument("session_id", None))
        self._received = _received(self.get_query_argument("received", None))
        self._kernel = self.registry.get(kernel_id)
        await self._kernel.ready(READY_WITHIN)
        await super().get(kernel_id)

    def check_origin(self, origin: str) -> bool:  # noqa: ARG002 # no origin is right
        return False

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return V1_PROTOCOL if V1_PROTOCOL in subprotocols else None

    def get_compression_options(self) -> None:
        return None

    @property
    def max_message_size(self) -> int:
        return MAX_MESSAGE_BYTES

    def open(self, *_: str) -> None:
        connection = self.ws_connection
        if connection is None or connection.stream is None:
            return  # closed in the same moment
        self._stream = connection.stream
        self.set_nodelay(True)  # tornado switches it off with the upgrade: 40 ms a round trip
        self._protocol = self.selected_subprotocol
        self._is_open = True
        self._session = self._kernel.attach(self._session_id, self, self._received)
        self._watch()
        self.wake()

    def on_message(self, message: str | bytes) -> Awaitable[None] | None:
        self._alive = True
        try:
            channel, parts = decode(self._protocol, message)
        except MalformedMessage as error:
            self.close_because(CloseCode.MALFORMED, str(error))
            return None
        if channel not in CHANNELS:
            return None
        return self._kernel.send(self._session, channel, parts)

    def on_pong(self, data: bytes) -> None:
        self._alive = True
        if data.isdigit() and self._is_current:
            self._session.outbox.has_arrived(int(data))
            self.wake()

    def on_close(self) -> None:
        self._is_open = False
        for timer in (self._watching, self._confirming):
            if timer is not None:
                timer.cancel()
        if hasattr(self, "_session"):
            self._kernel.detach(self._session, self)

    # -- called by the session -----------------------------------------------------------

    @property
    def unfinished(self) -> bool:
        return self._writing

    def wake(self) -> None:
        """Write what is in the outbox soon: messages that arrive together leave together."""
        if not (self._waking or self._writing):
            self._waking = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._waking = False
        while not self._writing and self._is_current and self._session.outbox:
            if self._stream.closed() or not self._is_open:
                return
            chunks = self._next_chunks()
            if chunks:
                self._write(chunks)

    def close_because(self, code: int, reason: str) -> None:
        """Say why and close, after what can be written at once."""
        if self._is_open:
            self._pump()
        self._is_open = False
        self.close(code, reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore"))

    # -- writing -------------------------------------------------------------------------

    @property
    def _is_current(self) -> bool:
        """Whether no newer websocket has taken the session over."""
        return self._session.link is self

    def _next_chunks(self) -> list[bytes]:
        chunks: list[bytes] = []
        for entry in self._session.outbox.take(WRITE_BYTES):
            message = entry if isinstance(entry, Message) else self._kernel.gap_message(entry)
            try:
                chunks += frame_of(self._protocol, message.channel, message.parts)
            except MalformedMessage as error:
                log.warning("kernel %s sent what cannot be passed on: %s", self._kernel.id, error)
                continue
            self._session.outbox.was_sent(message)
            self._unconfirmed_bytes += message.size_bytes
        return chunks

    def _write(self, chunks: list[bytes]) -> None:
        try:
            for chunk in joined(chunks):
                written = self._stream.write(chunk)
        except StreamClosedError:
            return
        if not written.done():
            self._writing = True
            written.add_done_callback(self._has_written)
        if self._unconfirmed_bytes >= CONFIRM_BYTES:
            self._ask_what_arrived()
        elif self._confirming is None:
            self._confirming = self._loop.call_later(CONFIRM_AFTER.total_seconds(), self._ask_what_arrived)

    def _has_written(self, written: asyncio.Future[None]) -> None:
        if written.cancelled() or written.exception() is not None:
            return  # on_close follows
        self._writing = False
        self._alive = True
        self.wake()

    def _ask_what_arrived(self) -> None:
        if self._confirming is not None:
            self._confirming.cancel()
            self._confirming = None
        self._unconfirmed_bytes = 0
        with suppress(WebSocketClosedError):
            self.ping(str(self._session.outbox.sent))

    def _watch(self) -> None:
        """Every now and then: is anybody there?"""
        if not self._alive:
            self.close_because(CloseCode.SILENT, "Nothing was heard from the client.")
            return
        self._alive = False
        self._ask_what_arrived()
        self._watching = self._loop.call_later(PING_EVERY.total_seconds(), self._watch)


def joined(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer chunks, large ones uncopied."""
    small: list[bytes] = []
    for chunk in chunks:
        if len(chunk) < JOIN_BYTES:
            small.append(chunk)
            continue
        if small:
            yield b"".join(small)
            small.clear()
        yield chunk
    if small:
        yield b"".join(small)


def _session_id(value: str | None) -> str:
    if value is None:
        return uuid.uuid4().hex
    if not _SESSION_ID.fullmatch(value):
        raise InvalidRequest("session_id must be one word of letters, digits, dots, hyphens and underscores.")
    return value


def _received(value: str | None) -> int | None:
    if value is None:
        return None
    if not (value.isascii() and value.isdigit()) or int(value[:20]) > _MAX_RECEIVED:
        raise InvalidRequest("received must be the number of messages received since the session began.")
    return int(value)
