"""Bytes between a client and a kernel after the websocket handshake.

Nothing is parsed but the lengths of the host's frames, which tells where a close
of our own may stand between two of them. A message costs one call and one write
each way; a slow reader stops the sender, so a pair of sockets never holds more
than a few hundred kilobytes.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from enum import IntEnum

from gateway_bridge.stream import WRITE_HIGH_WATER_BYTES, HttpStream, close_gently

BOUNDARY_PATIENCE = timedelta(seconds=2)
"""How long a close of ours waits for the end of a frame that is under way."""

HALF_CLOSED_PATIENCE = timedelta(seconds=10)
"""How long the other direction may go on once one side said it sends no more."""

_FIN_CLOSE = 0x88
_MASKED = 0x80
_LENGTH = 0x7F
_LENGTH_IN_2_BYTES = 126
_LENGTH_IN_8_BYTES = 127
_MASK_BYTES = 4


class CloseCode(IntEnum):
    """Why the bridge closes a websocket itself (RFC 6455, section 7.4)."""

    GOING_AWAY = 1001
    """The bridge stops; another replica is there."""
    POLICY = 1008
    """The token or the membership is gone."""


def close_frame(code: CloseCode, reason: str) -> bytes:
    """An unmasked close frame as servers send it; ``reason`` in at most 123 bytes of UTF-8."""
    payload = struct.pack("!H", code) + reason.encode()
    return bytes((_FIN_CLOSE, len(payload))) + payload


class FrameCursor:
    """Follows a stream of websocket frames by their lengths only."""

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        self._left = 0  # bytes still to come of the frame under way
        self._head = b""  # the beginning of a frame whose length is not known yet

    @property
    def between_frames(self) -> bool:
        return not self._left and not self._head

    def advance(self, data: bytes) -> None:
        """Go past the next bytes of the stream."""
        at, end = self._left, len(data)
        if at >= end:
            self._left = at - end
            return
        if self._head:
            data = self._head + data
            end = len(data)
            self._head = b""
        while at < end:
            size = _frame_size(data, at)
            if not size:
                self._head = data[at:]
                self._left = 0
                return
            at += size
        self._left = at - end

    def bytes_to_boundary(self, data: bytes) -> int | None:
        """How many of the next bytes complete the frame under way; None if they do not."""
        if self._left:
            return self._left if self._left <= len(data) else None
        size = _frame_size(self._head + data, 0)
        missing = size - len(self._head)
        return missing if size and missing <= len(data) else None


def _frame_size(data: bytes, at: int) -> int:
    """Bytes of the frame that begins at ``at``, its head included; 0 if the head is not complete."""
    known = len(data) - at
    if known < 2:
        return 0
    second = data[at + 1]
    length = second & _LENGTH
    size = 2 + length
    if length == _LENGTH_IN_2_BYTES:
        if known < 4:
            return 0
        size = 4 + int.from_bytes(data[at + 2 : at + 4], "big")
    elif length == _LENGTH_IN_8_BYTES:
        if known < 10:
            return 0
        size = 10 + int.from_bytes(data[at + 2 : at + 10], "big")
    return size + _MASK_BYTES if second & _MASKED else size


class Relay:
    """Two connections that are written into each other until one of them ends."""

    __slots__ = ("_client", "_closing", "_half_closed", "_host", "_on_closed", "_timer", "cursor")

    def __init__(self) -> None:
        self._closing = b""
        self._half_closed = False
        self._timer: asyncio.TimerHandle | None = None
        self.cursor = FrameCursor()

    def start(
        self, client: HttpStream, host: HttpStream, greeting: bytes, on_closed: Callable[[], None]
    ) -> None:
        """Take both connections.

        Parameters
        ----------
        greeting
            The end of the handshake, sent to the client first.
        on_closed
            Called once, when the client's connection is gone.
        """
        self._on_closed = on_closed
        self._client, self._host = client.transport, host.transport
        from_client = _End(self, self._host)
        from_host = _HostEnd(self, self._client)
        early = client.take_over(from_client)
        first = host.take_over(from_host)
        for transport in (self._client, self._host):
            transport.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES)
        self._client.write(greeting)
        if early:
            from_client.data_received(early)
        if first:
            from_host.data_received(first)

    def close(self, code: CloseCode, reason: str) -> None:
        """Tell the client why and close both sides, between two frames of the host's.

        A frame under way gets ``BOUNDARY_PATIENCE`` to end. The kernel is not touched.
        """
        if self._closing or self._timer is not None or self._client.is_closing():
            return  # it is ending already
        self._closing = close_frame(code, reason)
        if self.cursor.between_frames:
            self._say_goodbye()
            return
        self._host.set_protocol(_ClosingHostEnd(self, self._client))
        self._abort_after(BOUNDARY_PATIENCE)

    # -- called by the ends ------------------------------------------------------------

    def last_frame_ended(self) -> None:
        """The frame that was under way when ``close`` was called is complete."""
        self._say_goodbye()

    def half_closed(self, other: asyncio.Transport) -> None:
        """One side sends no more: pass that on, and bound what may still come the other way.

        When neither side sends any more, both are done.
        """
        if self._half_closed:
            self._host.close()
            self._client.close()
            return
        self._half_closed = True
        self._abort_after(HALF_CLOSED_PATIENCE)
        if not other.is_closing():
            with suppress(OSError, RuntimeError):  # it may be closing by itself
                other.write_eof()

    def lost(self, other: asyncio.Transport) -> None:
        """One side is gone: the other gets what was already on its way, then ends as well."""
        if other is self._host:
            self._client_gone()
            other.abort()
        else:
            self._abort_after(HALF_CLOSED_PATIENCE)
            other.close()

    def _client_gone(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._on_closed()

    def _say_goodbye(self) -> None:
        self._host.abort()
        self._client.write(self._closing)
        close_gently(self._client, self._client_gone)

    def _abort_after(self, patience: timedelta) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(patience.total_seconds(), self._abort)

    def _abort(self) -> None:
        self._host.abort()
        self._client.abort()


class _End(asyncio.Protocol):
    """One side; whatever it says is written to ``other``."""

    __slots__ = ("_other", "_relay")

    def __init__(self, relay: Relay, other: asyncio.Transport) -> None:
        self._relay = relay
        self._other = other

    def data_received(self, data: bytes) -> None:
        self._other.write(data)

    def eof_received(self) -> bool:
        self._relay.half_closed(self._other)
        return True

    def connection_lost(self, _: Exception | None) -> None:
        self._relay.lost(self._other)

    # What is written to this side comes from the other: when this side does not take it, that one waits.

    def pause_writing(self) -> None:
        if not self._other.is_closing():
            self._other.pause_reading()

    def resume_writing(self) -> None:
        if not self._other.is_closing():
            self._other.resume_reading()


class _HostEnd(_End):
    """The kernel's side, whose frames are followed."""

    __slots__ = ("_cursor",)

    def __init__(self, relay: Relay, client: asyncio.Transport) -> None:
        super().__init__(relay, client)
        self._cursor = relay.cursor

    def data_received(self, data: bytes) -> None:
        self._cursor.advance(data)
        self._other.write(data)


class _ClosingHostEnd(_HostEnd):
    """The kernel's side once a close waits for the end of the frame under way."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        end = self._cursor.bytes_to_boundary(data)
        if end is None:
            self._cursor.advance(data)
            self._other.write(data)
        else:
            self._other.write(data[:end])
            self._relay.last_frame_ended()
