"""One connection of the proxy, to a client or to a target, and its HTTP state."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from http import HTTPStatus

import h11

CONNECT_TIMEOUT = timedelta(seconds=5)
HEAD_TIMEOUT = timedelta(seconds=20)
"""For the whole head of a request, once it has begun."""
IDLE_TIMEOUT = timedelta(seconds=75)
"""For the next request on a kept connection."""
STALL_TIMEOUT = timedelta(minutes=10)
"""For the next bytes of a message, or for taking ours; event streams are silent for minutes."""
LINGER_TIMEOUT = timedelta(seconds=2)
"""For a client to take the answer to a request it has not sent whole."""

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
        b"expect",  # answered here, before the body is fetched
    }
)
_FORWARDED = frozenset({b"forwarded", b"x-real-ip", b"x-scheme"})
_FORWARDED_PREFIX = b"x-forwarded-"
"""Ours to say, and read by the servers behind us; what a client claims of itself is dropped."""
_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"host"})
"""Where a message ends and whom it is for is no matter of one connection, whatever ``Connection`` says."""

_DEFAULT_PORTS = {"http": b"80", "https": b"443"}

Headers = list[tuple[bytes, bytes]]


class Gone(Exception):
    """The other end closed, was too slow or does not speak HTTP."""


class ClientGone(Gone):
    """There is nobody left to answer."""


class TargetGone(Gone):
    """There will be no answer, or not all of it."""


class Peer:
    """One end of a forwarded request."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, http: h11.Connection
    ) -> None:
        self.reader, self.writer, self.http = reader, writer, http
        self._gone = ClientGone if http.our_role is h11.SERVER else TargetGone
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    async def next_request(self) -> h11.Request | None:
        """The head of the next request; None if the client is done.

        Raises
        ------
        ClientGone, h11.RemoteProtocolError
        """
        if not self.http.trailing_data[0]:
            try:
                async with asyncio.timeout(IDLE_TIMEOUT.total_seconds()):
                    self.http.receive_data(await self.reader.read(CHUNK_BYTES))
            except TimeoutError:
                return None
        event = await self.next_event(HEAD_TIMEOUT)
        if not isinstance(event, h11.Request):
            return None
        _refuse_ambiguous_framing(event)
        return event

    async def next_event(self, within: timedelta) -> object:
        """The next part of a message.

        Raises
        ------
        Gone
        h11.RemoteProtocolError
            A client sent what is no HTTP; of a target that is ``TargetGone``.
        """
        try:
            async with asyncio.timeout(within.total_seconds()):
                while (event := self.http.next_event()) is h11.NEED_DATA:
                    if self.http.they_are_waiting_for_100_continue:
                        await self.send(h11.InformationalResponse(status_code=100, headers=[]))
                    self.http.receive_data(await self.reader.read(CHUNK_BYTES))
        except TimeoutError as error:
            raise self._gone("silent for too long") from error
        except OSError as error:
            raise self._gone(str(error)) from error
        except h11.RemoteProtocolError as error:
            if self._gone is ClientGone:
                raise
            raise TargetGone(str(error)) from error
        return event

    async def next_answer(self) -> h11.Response | h11.InformationalResponse:
        """The head of a target's answer, or its agreement to switch protocols. Raises ``TargetGone``."""
        while True:
            event = await self.next_event(STALL_TIMEOUT)
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise TargetGone("closed without an answer")
            if event.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
                return event

    async def until_it_sends_more(self) -> None:
        """Wait for a client that has sent its request: for another one, or for its end.

        Raises
        ------
        ClientGone
        """
        try:
            data = await self.reader.read(CHUNK_BYTES)
        except OSError as error:
            raise ClientGone(str(error)) from error
        if not data:
            raise ClientGone("closed before the answer")
        self.http.receive_data(data)

    async def send(self, event: h11.Event) -> None:
        """Send a part of a message, once earlier ones are on their way. Raises ``Gone``."""
        data = self.http.send(event)
        if data:
            try:
                self.writer.write(data)
                async with asyncio.timeout(STALL_TIMEOUT.total_seconds()):
                    await self.writer.drain()
            except OSError as error:  # TimeoutError is one
                raise self._gone(str(error) or "takes nothing") from error

    async def refuse(self, status: int) -> None:
        """Answer for want of anybody else who could, unless an answer has begun, and end the connection."""
        if self.http.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            return
        text = f"{status} {HTTPStatus(status).phrase}\n".encode()
        headers = [
            ("content-type", "text/plain"),
            ("content-length", str(len(text))),
            ("connection", "close"),
        ]
        # To HEAD, h11 refuses to send the text.
        with suppress(Gone, h11.ProtocolError):
            await self.send(h11.Response(status_code=status, headers=headers))
            await self.send(h11.Data(data=text))
            await self.send(h11.EndOfMessage())

    async def linger(self) -> None:
        """Let a client that still sends read its answer: closing at once would reset the connection."""
        if self.http.their_state not in {h11.SEND_BODY, h11.ERROR}:
            return
        with suppress(OSError):
            self.writer.write_eof()
            async with asyncio.timeout(LINGER_TIMEOUT.total_seconds()):
                while await self.reader.read(CHUNK_BYTES):
                    pass

    def forwarded(self, request: h11.Request, scheme: str) -> Headers:
        """Who asked, and how, for servers that see only the proxy."""
        host = next((value for name, value in request.headers if name == b"host"), b"")
        address, *_ = self.writer.get_extra_info("peername") or ("unknown",)
        _, colon, port = host.rpartition(b":")
        return [
            (b"x-forwarded-for", address.encode()),
            (b"x-forwarded-host", host),
            (b"x-forwarded-port", port if colon and port.isdigit() else _DEFAULT_PORTS[scheme]),
            (b"x-forwarded-proto", scheme.encode()),
        ]

    def close(self) -> None:
        self.writer.close()


async def dial(host: str, port: int) -> Peer:
    """Connect to a target. Raises ``OSError``."""
    async with asyncio.timeout(CONNECT_TIMEOUT.total_seconds()):
        reader, writer = await asyncio.open_connection(host, port, limit=CHUNK_BYTES)
    return Peer(reader, writer, h11.Connection(h11.CLIENT, MAX_HEAD_BYTES))


def end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers that are meant for the far end, not for the next connection."""
    named = {
        word.strip().lower() for name, value in headers if name == b"connection" for word in value.split(b",")
    }
    dropped = _HOP_BY_HOP | _FORWARDED | (named - _FRAMING)
    return [
        (name, value)
        for name, value in headers
        if name not in dropped and not name.startswith(_FORWARDED_PREFIX)
    ]


def asks_for_websocket(request: h11.Request) -> bool:
    """Whether it may become a websocket; a request with a body or of HTTP/1.0 may not."""
    values = {name: value for name, value in request.headers if name in _FRAMING | {b"upgrade"}}
    return (
        request.method == b"GET"
        and request.http_version == b"1.1"
        and values.get(b"upgrade", b"").lower() == b"websocket"
        and b"transfer-encoding" not in values
        and values.get(b"content-length", b"0") == b"0"
    )


def _refuse_ambiguous_framing(request: h11.Request) -> None:
    """Two readers could find two ends of such a request: RFC 9112, 6.1 and 6.3."""
    names = {name for name, _ in request.headers}
    chunked = b"transfer-encoding" in names
    if chunked and (b"content-length" in names or request.http_version != b"1.1"):
        raise h11.RemoteProtocolError("both a length and chunks", error_status_hint=HTTPStatus.BAD_REQUEST)
