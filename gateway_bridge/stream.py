"""A TCP connection while it still speaks HTTP: heads and bodies out, answers in, all bounded.

Used for both neighbours: clients of the bridge, and kernel hosts during the
websocket handshake. When the handshake is done the transport is handed to the
relay together with whatever was read too far.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import cast

from gateway_bridge.http1 import find_head
from hub.errors import InvalidRequest

READ_AHEAD_BYTES = 64 * 1024
"""Of pipelined requests or early frames; past it the peer has to wait."""

WRITE_HIGH_WATER_BYTES = 64 * 1024

LINGER = timedelta(seconds=1)
"""How long a closing connection still reads, so that the peer gets our last bytes and no reset."""

KEEPALIVE_IDLE = timedelta(seconds=60)
"""TCP asks a silent peer for life after this; a laptop that vanished must not hold a socket for hours."""


def tune(transport: asyncio.BaseTransport) -> None:
    """Send small messages at once, and notice peers that are gone.

    Without TCP_NODELAY a serial round trip stalls for 40 ms: Nagle's algorithm on
    this side waits for the delayed acknowledgement of the other.
    """
    sock: socket.socket = transport.get_extra_info("socket")
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, int(KEEPALIVE_IDLE.total_seconds()))


class Lingering(asyncio.Protocol):
    """Throws away what still comes in until the peer closes or ``LINGER`` is over."""

    def __init__(self, transport: asyncio.Transport, on_closed: Callable[[], None] | None) -> None:
        self._on_closed = on_closed
        self._timer = asyncio.get_running_loop().call_later(LINGER.total_seconds(), transport.abort)

    def eof_received(self) -> bool:
        return False  # the transport closes itself, after what is still to be sent

    def connection_lost(self, _: Exception | None) -> None:
        self._timer.cancel()
        if self._on_closed is not None:
            self._on_closed()


def close_gently(transport: asyncio.Transport, on_closed: Callable[[], None] | None = None) -> None:
    """Send what is waiting, say that no more comes, and wait a moment for the peer to close.

    Closing at once while the peer is still sending would reset the connection and
    could take our last words with it. ``on_closed`` is called when the connection is gone.
    """
    if transport.is_closing():
        return
    transport.set_protocol(Lingering(transport, on_closed))
    # Lingering has to see the end of the stream even if nobody was reading.
    transport.resume_reading()
    with suppress(OSError, RuntimeError):  # the peer may be gone already
        transport.write_eof()


class HttpStream(asyncio.Protocol):
    """Reads heads and bodies from one connection, one reader at a time."""

    transport: asyncio.Transport

    def __init__(self, on_connect: Callable[[HttpStream], None] | None = None) -> None:
        self._on_connect = on_connect
        self.on_lost: Callable[[], object] | None = None
        """Called when the connection is gone."""
        self._buffer = bytearray()
        self._wanted = READ_AHEAD_BYTES
        self._paused = False
        self._ended = False
        self._lost = False
        self._waiter: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    async def head(self, *, first_byte_within: timedelta, rest_within: timedelta) -> bytes | None:
        """The next head with its empty line; None if the peer closed or was silent for too long.

        Raises
        ------
        InvalidRequest, TooLarge
            The head cannot be one, is too long, or did not arrive in time.
        """
        try:
            async with asyncio.timeout(first_byte_within.total_seconds()):
                while not self._buffer and not self._ended:
                    await self._more()
        except TimeoutError:
            return None
        if not self._buffer:
            return None
        try:
            async with asyncio.timeout(rest_within.total_seconds()):
                return await self._whole_head()
        except TimeoutError:
            raise InvalidRequest("The request did not arrive in time.") from None

    async def body(self, size_bytes: int, *, within: timedelta) -> bytes:
        """Exactly this many bytes.

        Raises
        ------
        InvalidRequest
            The peer closed or took too long.
        """
        self._wanted = max(size_bytes, READ_AHEAD_BYTES)
        try:
            async with asyncio.timeout(within.total_seconds()):
                while len(self._buffer) < size_bytes:
                    if self._ended:
                        raise InvalidRequest("The request's body is shorter than its Content-Length.")
                    await self._more()
        except TimeoutError:
            raise InvalidRequest("The request did not arrive in time.") from None
        finally:
            self._wanted = READ_AHEAD_BYTES
        return self._take(size_bytes)

    async def write(self, data: bytes, *, within: timedelta) -> None:
        """Send ``data``; a peer that does not take it in time is cut off."""
        self.transport.write(data)
        try:
            async with asyncio.timeout(within.total_seconds()):
                await self._writable.wait()
        except TimeoutError:
            self.transport.abort()

    def take_over(self, protocol: asyncio.Protocol) -> bytes:
        """Give the connection to ``protocol``; returns what was read but not consumed."""
        self.on_lost = None
        rest = self._take(len(self._buffer))
        self.transport.set_protocol(protocol)
        loop = asyncio.get_running_loop()
        # What the event loop told us already it will not tell our successor.
        if self._lost:
            loop.call_soon(protocol.connection_lost, None)
        elif self._ended:
            loop.call_soon(protocol.eof_received)
        return rest

    # -- called by the event loop ------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        tune(transport)
        self.transport.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES)
        if self._on_connect is not None:
            self._on_connect(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) >= self._wanted and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self._ended = True
        self._wake()
        return True  # a client may close its half and still wait for the answer

    def connection_lost(self, _: Exception | None) -> None:
        self._ended = self._lost = True
        self._writable.set()
        self._wake()
        if self.on_lost is not None:
            self.on_lost()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # -- inside ------------------------------------------------------------------------

    async def _whole_head(self) -> bytes | None:
        searched = 0
        while not (end := find_head(self._buffer, searched)):
            if self._ended:
                return None
            searched = len(self._buffer)
            await self._more()
        return self._take(end)

    async def _more(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        self._resume()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._resume()
        return taken

    def _resume(self) -> None:
        if self._paused and len(self._buffer) < self._wanted and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
