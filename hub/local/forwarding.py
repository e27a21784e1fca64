"""Forwards HTTP and websockets to where a routing table says, as they come.

Bodies are streamed both ways, so events of a spawn arrive when they happen and a
file of any size passes; after an upgrade bytes are copied unread, so every
subprotocol, extension and message size passes. Every connection sends small
messages at once (without ``TCP_NODELAY`` a serial round trip stalls for 40 ms).

Framing is read and written anew by h11 on either side: nothing ambiguous passes.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Protocol
from urllib.parse import unquote

import h11

CONNECT_TIMEOUT = timedelta(seconds=5)
HEAD_TIMEOUT = timedelta(seconds=20)
"""For the whole head of a request, once it has begun."""
IDLE_TIMEOUT = timedelta(seconds=75)
"""For the next request on a kept connection."""
STALL_TIMEOUT = timedelta(minutes=10)
"""For the next bytes of an answer; event streams are silent for minutes."""
STOP_TIMEOUT = timedelta(seconds=1)
LINGER_TIMEOUT = timedelta(seconds=2)
"""For a client to read why it was refused, while it is still sending."""

MAX_HEAD_BYTES = 64 * 1024
CHUNK_BYTES = 64 * 1024

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"upgrade",
        b"expect",
    }  # answered here, before the body is fetched
)
_FORWARDED = frozenset({b"forwarded", b"x-real-ip", b"x-scheme"})
_FORWARDED_PREFIX = b"x-forwarded-"
"""Ours to say, and read by the servers behind us; what a client claims of itself is dropped."""

_DEFAULT_PORTS = {"http": b"80", "https": b"443"}

_log = logging.getLogger(__name__)

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Target:
    """Where a route leads."""

    prefix: str
    host: str
    port: int


class RoutingTable(Protocol):
    """What the forwarder asks about routes."""

    def target(self, path: str) -> Target | None: ...

    def used(self, prefix: str) -> None: ...


class _Gone(Exception):
    """The other end closed, was too slow or does not speak HTTP."""


class _NoHttp(_Gone):
    """A target sends something that is no HTTP."""


class Forwarder:
    """Listens and forwards until it is stopped.

    Parameters
    ----------
    public_scheme
        What people's addresses begin with: ``https`` where something before us ends TLS.
    """

    def __init__(self, routes: RoutingTable, public_scheme: str) -> None:
        self._routes = routes
        self._public_scheme = public_scheme
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> None:
        self._server = await asyncio.start_server(
            self._connected, host, port, limit=CHUNK_BYTES, backlog=1024
        )

    async def stop(self) -> None:
        """Accept nothing more and drop what is open."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_TIMEOUT.total_seconds())

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 # the server runs us in one
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        client = _Peer(reader, writer, h11.Connection(h11.SERVER, MAX_HEAD_BYTES))
        try:
            while await self._one_request(client):
                client.http.start_next_cycle()
            await client.linger()
        except h11.RemoteProtocolError as error:
            await client.refuse(error.error_status_hint)
            await client.linger()
        except (_Gone, h11.LocalProtocolError, OSError) as error:
            _log.debug("connection ended: %s", error)
        except asyncio.CancelledError:
            pass  # the proxy is stopping
        finally:
            client.close()

    async def _one_request(self, client: _Peer) -> bool:
        """Forward one request; whether the connection can take another."""
        request = await client.next_request()
        if request is None:
            return False
        path = request.target.split(b"?", 1)[0].decode("latin-1")
        target = self._routes.target(unquote(path)) if path.startswith("/") else None
        if target is None or _has_two_lengths(request):
            await client.refuse(HTTPStatus.BAD_REQUEST if target else HTTPStatus.NOT_FOUND)
            return False
        try:
            upstream = await _dial(target)
        except (OSError, TimeoutError):
            _log.warning("503 %s %s: nothing answers at its target", request.method.decode(), path)
            await client.refuse(HTTPStatus.SERVICE_UNAVAILABLE)
            return False
        try:
            if _asks_for_websocket(request):
                return await self._upgrade(client, upstream, request, target)
            return await self._exchange(client, upstream, request, target)
        except _NoHttp:
            _log.warning("502 %s %s: no HTTP comes from its target", request.method.decode(), path)
            await client.refuse(HTTPStatus.BAD_GATEWAY)
            return False
        finally:
            upstream.close()

    async def _exchange(self, client: _Peer, upstream: _Peer, request: h11.Request, target: Target) -> bool:
        headers = [
            *_end_to_end(request.headers),
            *client.forwarded(request, self._public_scheme),
            (b"connection", b"close"),
        ]
        await upstream.send(h11.Request(method=request.method, target=request.target, headers=headers))
        body = asyncio.create_task(_copy_body(client, upstream))
        try:
            answer = await upstream.next_event(STALL_TIMEOUT)
            while isinstance(answer, h11.InformationalResponse):
                answer = await upstream.next_event(STALL_TIMEOUT)
            if not isinstance(answer, h11.Response):
                await client.refuse(HTTPStatus.BAD_GATEWAY)
                return False
            if answer.status_code < HTTPStatus.MULTIPLE_CHOICES:
                self._routes.used(target.prefix)
            await client.send(h11.Response(
                status_code=answer.status_code, reason=answer.reason, headers=_end_to_end(answer.headers)
            ))  # fmt: skip
            while isinstance(event := await upstream.next_event(STALL_TIMEOUT), h11.Data):
                await client.send(event)
            await client.send(h11.EndOfMessage())
        finally:
            body.cancel()
            with suppress(asyncio.CancelledError, _Gone, OSError, h11.ProtocolError):
                await body
        return client.http.our_state is h11.DONE and client.http.their_state is h11.DONE

    async def _upgrade(self, client: _Peer, upstream: _Peer, request: h11.Request, target: Target) -> bool:
        wanted: Headers = [(b"connection", b"Upgrade")]
        wanted += [(name, value) for name, value in request.headers if name == b"upgrade"]
        headers = [*_end_to_end(request.headers), *client.forwarded(request, self._public_scheme), *wanted]
        await upstream.send(h11.Request(method=request.method, target=request.target, headers=headers))
        await upstream.send(h11.EndOfMessage())
        answer = await upstream.next_event(STALL_TIMEOUT)
        if (
            not isinstance(answer, h11.InformationalResponse)
            or answer.status_code != HTTPStatus.SWITCHING_PROTOCOLS
        ):
            await self._refused_upgrade(client, upstream, answer)
            return False
        await client.send(
            h11.InformationalResponse(
                status_code=answer.status_code,
                headers=[
                    *_end_to_end(answer.headers),
                    (b"connection", b"Upgrade"),
                    (b"upgrade", b"websocket"),
                ],
            )
        )
        self._routes.used(target.prefix)
        early = client.http.trailing_data[0]
        first = upstream.http.trailing_data[0]
        await _splice(client, upstream, early, first, lambda: self._routes.used(target.prefix))
        return False

    async def _refused_upgrade(self, client: _Peer, upstream: _Peer, answer: object) -> None:
        """The target answered as to any request; say the same and close."""
        if not isinstance(answer, h11.Response):
            await client.refuse(HTTPStatus.BAD_GATEWAY)
            return
        headers = [*_end_to_end(answer.headers), (b"connection", b"close")]
        await client.send(h11.Response(status_code=answer.status_code, reason=answer.reason, headers=headers))
        while isinstance(event := await upstream.next_event(STALL_TIMEOUT), h11.Data):
            await client.send(event)
        await client.send(h11.EndOfMessage())


class _Peer:
    """One connection and its HTTP state."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, http: h11.Connection
    ) -> None:
        self.reader, self.writer, self.http = reader, writer, http
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    async def next_request(self) -> h11.Request | None:
        """The head of the next request; None if the client is done."""
        if not self.http.trailing_data[0]:
            try:
                async with asyncio.timeout(IDLE_TIMEOUT.total_seconds()):
                    self.http.receive_data(await self.reader.read(CHUNK_BYTES))
            except TimeoutError:
                return None
        event = await self.next_event(HEAD_TIMEOUT)
        return event if isinstance(event, h11.Request) else None

    async def next_event(self, within: timedelta) -> object:
        """The next part of a message. Raises ``_Gone``."""
        try:
            async with asyncio.timeout(within.total_seconds()):
                while (event := self.http.next_event()) is h11.NEED_DATA:
                    if self.http.they_are_waiting_for_100_continue:
                        await self.send(h11.InformationalResponse(status_code=100, headers=[]))
                    self.http.receive_data(await self.reader.read(CHUNK_BYTES))
        except TimeoutError as error:
            raise _Gone("silent for too long") from error
        except h11.RemoteProtocolError as error:
            if self.http.our_role is h11.CLIENT:
                raise _NoHttp(str(error)) from error
            raise
        return event

    async def send(self, event: h11.Event) -> None:
        data = self.http.send(event)
        if data:
            self.writer.write(data)
            await self.writer.drain()

    async def refuse(self, status: int) -> None:
        """Answer for want of anybody else who could, and end the connection."""
        if self.http.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            return
        text = f"{status} {HTTPStatus(status).phrase}\n".encode()
        headers = [
            ("content-type", "text/plain"),
            ("content-length", str(len(text))),
            ("connection", "close"),
        ]
        with suppress(h11.ProtocolError, OSError):
            await self.send(h11.Response(status_code=status, headers=headers))
            await self.send(h11.Data(data=text))
            await self.send(h11.EndOfMessage())

    async def linger(self) -> None:
        """Take what is still being sent after our answer: to close now would throw the answer away."""
        if self.http.their_state in {h11.SEND_BODY, h11.ERROR} and self.writer.can_write_eof():
            with suppress(OSError, TimeoutError):
                self.writer.write_eof()
                async with asyncio.timeout(LINGER_TIMEOUT.total_seconds()):
                    while await self.reader.read(CHUNK_BYTES):
                        pass

    def forwarded(self, request: h11.Request, scheme: str) -> Headers:
        """Who asked, and how, for servers that see only the proxy."""
        host = next((value for name, value in request.headers if name == b"host"), b"")
        address = self.writer.get_extra_info("peername")[0].encode()
        _, colon, port = host.rpartition(b":")
        return [
            (b"x-forwarded-for", address),
            (b"x-forwarded-host", host),
            (b"x-forwarded-port", port if colon and port.isdigit() else _DEFAULT_PORTS[scheme]),
            (b"x-forwarded-proto", scheme.encode()),
        ]

    def close(self) -> None:
        self.writer.close()


async def _dial(target: Target) -> _Peer:
    async with asyncio.timeout(CONNECT_TIMEOUT.total_seconds()):
        reader, writer = await asyncio.open_connection(target.host, target.port, limit=CHUNK_BYTES)
    return _Peer(reader, writer, h11.Connection(h11.CLIENT, MAX_HEAD_BYTES))


def _has_two_lengths(request: h11.Request) -> bool:
    """Servers differ in which one they believe, so one request could be two (RFC 9112, 6.1)."""
    return {b"content-length", b"transfer-encoding"} <= {name for name, _ in request.headers}


def _asks_for_websocket(request: h11.Request) -> bool:
    return any(name == b"upgrade" and value.lower() == b"websocket" for name, value in request.headers)


def _end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers that are meant for the far end, not for the next connection."""
    named = {
        word.strip().lower() for name, value in headers if name == b"connection" for word in value.split(b",")
    }
    dropped = _HOP_BY_HOP | _FORWARDED | named
    return [
        (name, value)
        for name, value in headers
        if name not in dropped and not name.startswith(_FORWARDED_PREFIX)
    ]


async def _copy_body(client: _Peer, upstream: _Peer) -> None:
    while True:
        event = await client.next_event(STALL_TIMEOUT)
        if not isinstance(event, (h11.Data, h11.EndOfMessage)):
            raise _Gone("closed in the middle of a request")
        await upstream.send(event)
        if isinstance(event, h11.EndOfMessage):
            return


async def _splice(
    client: _Peer, upstream: _Peer, early: bytes, first: bytes, used: Callable[[], None]
) -> None:
    """Copy bytes both ways until either side ends; the slower reader sets the pace."""
    upstream.writer.write(early)
    client.writer.write(first)
    copies = {
        asyncio.create_task(_copy(client.reader, upstream.writer, used)),
        asyncio.create_task(_copy(upstream.reader, client.writer, used)),
    }
    try:
        _, left = await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        # What is on its way in the other direction, a close frame for instance, still gets through.
        if left:
            await asyncio.wait(left, timeout=STOP_TIMEOUT.total_seconds())
    finally:
        for copy in copies:
            copy.cancel()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, used: Callable[[], None]) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
            used()
        if writer.can_write_eof():
            writer.write_eof()
