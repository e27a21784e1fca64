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
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Protocol
from urllib.parse import urlsplit

import h11

from hub.local.peers import (
    CHUNK_BYTES,
    MAX_HEAD_BYTES,
    STALL_TIMEOUT,
    ClientGone,
    Headers,
    Peer,
    TargetGone,
    asks_for_websocket,
    dial,
    end_to_end,
)

STOP_TIMEOUT = timedelta(seconds=1)
TELL_USE_EVERY = timedelta(seconds=1)
"""A websocket's use is told to the routing table at most this often."""
BACKLOG = 1024

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """Where a route leads."""

    prefix: str
    host: str
    port: int


class RoutingTable(Protocol):
    """What the forwarder asks about routes."""

    def target(self, path: str) -> Target | None:
        """Where requests for ``path``, as the client wrote it, go."""

    def used(self, prefix: str) -> None:
        """Somebody uses this route."""


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
        """Raises ``OSError``."""
        self._server = await asyncio.start_server(
            self._connected, host, port, limit=CHUNK_BYTES, backlog=BACKLOG
        )

    @property
    def port(self) -> int:
        """Where it listens; the one it was given, unless that was 0."""
        assert self._server is not None  # noqa: S101 # asked after start
        number: int = self._server.sockets[0].getsockname()[1]
        return number

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
        client = Peer(reader, writer, h11.Connection(h11.SERVER, MAX_HEAD_BYTES))
        try:
            await self._serve(client)
        except (ClientGone, h11.LocalProtocolError, OSError) as error:
            _log.debug("connection ended: %s", error)
        except asyncio.CancelledError:
            pass  # the proxy is stopping
        finally:
            client.close()

    async def _serve(self, client: Peer) -> None:
        try:
            while await self._one_request(client):
                client.http.start_next_cycle()
        except h11.RemoteProtocolError as error:
            await client.refuse(error.error_status_hint)
        await client.linger()

    async def _one_request(self, client: Peer) -> bool:
        """Forward one request; whether the connection can take another."""
        request = await client.next_request()
        if request is None:
            return False
        address = _origin_form(request.target)
        path = address.split(b"?", 1)[0].decode("latin-1")
        target = self._routes.target(path) if path.startswith("/") else None
        if target is None:
            await client.refuse(HTTPStatus.NOT_FOUND)
            return False
        try:
            upstream = await dial(target.host, target.port)
        except OSError:  # TimeoutError is one
            _log.warning("503 %s %s: nothing answers at its target", request.method.decode(), path)
            await client.refuse(HTTPStatus.SERVICE_UNAVAILABLE)
            return False
        try:
            headers = _with_host(end_to_end(request.headers), target)
            headers += client.forwarded(request, self._public_scheme)
            if asks_for_websocket(request):
                await self._upgrade(client, upstream, address, headers, target)
            else:
                await self._exchange(client, upstream, request.method, address, headers, target)
        except TargetGone as error:
            _log.warning("502 %s %s: %s", request.method.decode(), path, error)
            await client.refuse(HTTPStatus.BAD_GATEWAY)
        finally:
            upstream.close()
        return client.http.our_state is h11.DONE and client.http.their_state is h11.DONE

    async def _exchange(
        self, client: Peer, upstream: Peer, method: bytes, address: bytes, headers: Headers, target: Target
    ) -> None:
        """Ask and answer at once: an answer may begin before the request has ended."""
        headers = [*headers, (b"connection", b"close")]
        await upstream.send(h11.Request(method=method, target=address, headers=headers))
        asking = asyncio.create_task(_copy_request_body(client, upstream))
        answering = asyncio.create_task(self._answer(client, upstream, target))
        try:
            await asyncio.wait({asking, answering}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                asking.result()  # raises if nobody waits for the answer any more
            await answering
        finally:
            asking.cancel()
            answering.cancel()
            await asyncio.gather(asking, answering, return_exceptions=True)

    async def _answer(self, client: Peer, upstream: Peer, target: Target) -> None:
        await self._copy_answer(client, upstream, await upstream.next_answer(), target)

    async def _copy_answer(
        self, client: Peer, upstream: Peer, answer: h11.Response | h11.InformationalResponse, target: Target
    ) -> None:
        if answer.status_code < HTTPStatus.MULTIPLE_CHOICES:
            self._routes.used(target.prefix)
        headers = end_to_end(answer.headers)
        await client.send(h11.Response(status_code=answer.status_code, reason=answer.reason, headers=headers))
        while isinstance(event := await upstream.next_event(STALL_TIMEOUT), h11.Data):
            await client.send(event)
        await client.send(h11.EndOfMessage())

    async def _upgrade(
        self, client: Peer, upstream: Peer, address: bytes, headers: Headers, target: Target
    ) -> None:
        switch = [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
        await client.next_event(STALL_TIMEOUT)  # the end of a request without a body
        await upstream.send(h11.Request(method="GET", target=address, headers=[*headers, *switch]))
        await upstream.send(h11.EndOfMessage())
        answer = await upstream.next_answer()
        if isinstance(answer, h11.Response):  # as to any other request
            await self._copy_answer(client, upstream, answer, target)
            return
        await client.send(
            h11.InformationalResponse(
                status_code=answer.status_code,
                reason=answer.reason,
                headers=[*end_to_end(answer.headers), *switch],
            )
        )
        await _splice(client, upstream, _Throttled(lambda: self._routes.used(target.prefix)))


class _Throttled:
    """Calls something at most once in ``TELL_USE_EVERY``."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._next = 0.0

    def __call__(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._next:
            self._next = now + TELL_USE_EVERY.total_seconds()
            self._call()


def _origin_form(address: bytes) -> bytes:
    """``http://host/path``, which every server has to accept, as ``/path``."""
    if not address.lower().startswith((b"http://", b"https://")):
        return address
    _, _, path, query, _ = urlsplit(address)
    return (path or b"/") + (b"?" + query if query else b"")


def _with_host(headers: Headers, target: Target) -> Headers:
    """A client of HTTP/1.0 may leave out the host, a server of HTTP/1.1 needs one."""
    if any(name == b"host" for name, _ in headers):
        return headers
    return [(b"host", f"{target.host}:{target.port}".encode()), *headers]


async def _copy_request_body(client: Peer, upstream: Peer) -> None:
    """Send the rest of a request on, then wait until the client sends more.

    Raises
    ------
    ClientGone, h11.RemoteProtocolError
    """
    while True:
        event = await client.next_event(STALL_TIMEOUT)
        if not isinstance(event, (h11.Data, h11.EndOfMessage)):
            raise ClientGone("closed in the middle of a request")
        try:
            await upstream.send(event)
        except TargetGone:
            return  # it has read enough, and may have said why
        if isinstance(event, h11.EndOfMessage):
            await client.until_it_sends_more()
            return


async def _splice(client: Peer, upstream: Peer, used: Callable[[], None]) -> None:
    """Copy bytes both ways until either side ends; the slower reader sets the pace."""
    upstream.writer.write(client.http.trailing_data[0])
    client.writer.write(upstream.http.trailing_data[0])
    copies = {
        asyncio.create_task(_copy(client.reader, upstream.writer, used)),
        asyncio.create_task(_copy(upstream.reader, client.writer, used)),
    }
    try:
        used()
        _, left = await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        if left:  # what is on its way in the other direction, a close frame for instance, still gets through
            await asyncio.wait(left, timeout=STOP_TIMEOUT.total_seconds())
    finally:
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, used: Callable[[], None]) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
            used()
        if writer.can_write_eof():
            writer.write_eof()
