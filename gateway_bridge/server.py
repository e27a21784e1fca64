"""Connections in, requests out: keep-alive, limits in time and size, one log line a request."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

from gateway_bridge.answers import Answer, answer_of
from gateway_bridge.http1 import CONTINUE, RequestHead, parse_request
from gateway_bridge.stream import HttpStream, close_gently
from hub.errors import GranaryError, InternalError, InvalidRequest

log = logging.getLogger(__name__)

HANDSHAKE_TIMEOUT = timedelta(seconds=10)
"""For the first byte of a connection's first request, and from any request's first byte to its body."""
KEEP_ALIVE_TIMEOUT = timedelta(seconds=75)
"""Longer than proxies keep idle connections, so that they close first and lose no request."""
BODY_TIMEOUT = timedelta(seconds=20)
WRITE_TIMEOUT = timedelta(seconds=20)

BACKLOG = 1024

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass
class Request:
    """One request and the connection it came by."""

    head: RequestHead
    stream: HttpStream
    request_id: str
    about: dict[str, str] = field(default_factory=dict)
    """What the log says of it: route, team, person. Never a path, query or header."""
    _body_read: bool = False

    @property
    def body_pending(self) -> bool:
        """Whether the connection still holds, or will bring, this request's body."""
        return self.head.body_bytes > 0 and not self._body_read

    async def body(self) -> bytes:
        """The body, read from the connection; call it once. Raises ``InvalidRequest``."""
        if not self.body_pending:
            return b""
        if self.head.expects_continue:
            await self.stream.write(CONTINUE, within=WRITE_TIMEOUT)
        content = await self.stream.body(self.head.body_bytes, within=BODY_TIMEOUT)
        self._body_read = True
        return content


Handler = Callable[[Request], Awaitable[Answer | None]]
"""Answers a request; None if it has taken the connection for itself."""


class Server:
    """Serves HTTP/1.1 on one address until it is told to stop."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._connections: dict[asyncio.Task[None], HttpStream] = {}
        self._busy: set[HttpStream] = set()
        self._stopping = False
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; returns the address and port, useful when port 0 was asked for."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: HttpStream(self._connected), host, port, backlog=BACKLOG
        )
        bound = self._server.sockets[0].getsockname()
        return bound[0], bound[1]

    async def stop(self, *, within: timedelta) -> None:
        """Accept nothing more, let requests under way finish, drop what has not finished in time."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
        for stream in list(self._connections.values()):
            if stream not in self._busy:
                stream.transport.close()
        if self._connections:
            await asyncio.wait(list(self._connections), timeout=within.total_seconds())
        for task in list(self._connections):
            task.cancel()
        if self._connections:
            await asyncio.wait(list(self._connections), timeout=within.total_seconds())

    def _connected(self, stream: HttpStream) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(stream))
        self._connections[task] = stream
        task.add_done_callback(self._connections.pop)
        stream.on_lost = task.cancel

    async def _serve(self, stream: HttpStream) -> None:
        patience = HANDSHAKE_TIMEOUT
        try:
            while (
                block := await stream.head(first_byte_within=patience, rest_within=HANDSHAKE_TIMEOUT)
            ) is not None:
                if not await self._one_request(stream, block):
                    return
                patience = KEEP_ALIVE_TIMEOUT
            stream.transport.close()
        except GranaryError as error:
            # No head could be read, so nothing after it can be either.
            request_id = uuid.uuid4().hex
            log.info("unreadable error=%s id=%s", error.code, request_id)
            await self._send(stream, answer_of(error), request_id=request_id)
            close_gently(stream.transport)
        except Exception:
            log.exception("a connection failed")
            stream.transport.abort()
        except asyncio.CancelledError:
            stream.transport.abort()
            raise

    async def _one_request(self, stream: HttpStream, block: bytes) -> bool:
        """Answer one request; False if the connection is not ours any more or is closing."""
        head = parse_request(block)
        given_id = head.headers.get("x-request-id") or ""
        request = Request(head, stream, given_id if _REQUEST_ID.fullmatch(given_id) else uuid.uuid4().hex)
        started = time.monotonic()
        self._busy.add(stream)
        try:
            answer = await self._answer(request)
        finally:
            self._busy.discard(stream)
        _log(request, 101 if answer is None else answer.status, time.monotonic() - started)
        if answer is None:
            return False
        keep_alive = head.keep_alive and not request.body_pending and not self._stopping
        await self._send(
            stream,
            answer,
            request_id=request.request_id,
            keep_alive=keep_alive,
            head_only=head.method == "HEAD",
        )
        if not keep_alive:
            close_gently(stream.transport)
        return keep_alive

    async def _answer(self, request: Request) -> Answer | None:
        try:
            return await self._handler(request)
        except GranaryError as error:
            request.about["error"] = error.code
            return answer_of(error)
        except Exception:
            log.exception("request %s failed", request.request_id)
            sorry = InternalError(
                "The gateway failed at this request. Tell your admin its id.", request_id=request.request_id
            )
            return answer_of(sorry)

    @staticmethod
    async def _send(
        stream: HttpStream,
        answer: Answer,
        *,
        request_id: str,
        keep_alive: bool = False,
        head_only: bool = False,
    ) -> None:
        data = answer.render(request_id=request_id, keep_alive=keep_alive, head_only=head_only)
        await stream.write(data, within=WRITE_TIMEOUT)


def read_key(request: Request) -> str | None:
    """The client's ``Idempotency-Key``. Raises ``InvalidRequest`` if it is no plain word."""
    key = request.head.headers.get("idempotency-key")
    if key is not None and not re.fullmatch(r"[!-~]{1,255}", key):
        raise InvalidRequest("Idempotency-Key must be at most 255 printable characters without spaces.")
    return key


def _log(request: Request, status: int, seconds: float) -> None:
    # Names come from the hub: one that holds a line break must not write a line of ours.
    about = " ".join(f"{name}={value!a}" for name, value in request.about.items())
    level = logging.DEBUG if request.about.get("route") == "health" else logging.INFO
    milliseconds = seconds * 1000
    log.log(
        level, "%s %s %d %.1fms id=%s", request.head.method, about, status, milliseconds, request.request_id
    )
