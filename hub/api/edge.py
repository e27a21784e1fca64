"""The outermost layer: what holds for every request before anything reads it."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from datetime import timedelta

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.api.errors import error_response
from hub.errors import GranaryError, InternalError, InvalidRequest, TooLarge

MAX_BODY_BYTES = 2**20
"""Of any request; the longest manifest is a small part of it."""

BODY_BOUND = timedelta(seconds=10)
"""For a body to arrive as a whole."""

HEALTH_PATH = "/health"
"""Asked every second or so by whatever supervises the process; not worth a line each."""

REQUEST_ID_HEADER = "x-request-id"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

_access = logging.getLogger("hub.access")
_log = logging.getLogger(__name__)


class Edge:
    """Request ids, the size and time limits of bodies, the access log, and defects.

    The body is read here as a whole, so that a limit is a clean refusal instead of
    an error inside a parser. Paths are logged without their queries. A defect is
    answered with an id under which the log has the traceback.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        outcome = _Outcome(send, request_id)
        try:
            body = await _whole_body(scope, receive)
            await self._app(scope, _replay(body, receive), outcome.send)
        except GranaryError as error:
            await self._refuse(error, scope, receive, outcome)
        except Exception:  # noqa: BLE001 # nothing may reach the client but a code and an id
            _log.exception("Request %s ended in a defect", request_id)
            defect = InternalError(
                f"Something went wrong inside Granary. Tell an admin the request id {request_id}.",
                request_id=request_id,
            )
            await self._refuse(defect, scope, receive, outcome)
        finally:
            milliseconds = (time.perf_counter() - begun) * 1000
            _access.log(
                logging.DEBUG if scope["path"] == HEALTH_PATH else logging.INFO,
                "%s %s %s %.1f ms %s",
                scope["method"],
                _path(scope),
                outcome.status,
                milliseconds,
                request_id,
            )

    async def _refuse(self, error: GranaryError, scope: Scope, receive: Receive, outcome: _Outcome) -> None:
        if outcome.status is None:  # otherwise an answer is half sent; the server cuts the connection
            await error_response(error)(scope, receive, outcome.send)


class _Outcome:
    """Passes an answer on, adds the request id to it and remembers its status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id.encode()
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [
                *message["headers"],
                (REQUEST_ID_HEADER.encode(), self._request_id),
                (b"cache-control", b"no-store"),
                (b"x-content-type-options", b"nosniff"),
            ]
        await self._send(message)


def _request_id(scope: Scope) -> str:
    """The caller's, if it is harmless in a log, so that one id follows a request through all processes."""
    sent = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
    return sent if _REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex


async def _whole_body(scope: Scope, receive: Receive) -> bytes:
    announced = Headers(scope=scope).get("content-length", "0")
    if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
        raise _too_large()
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_BOUND.total_seconds()):
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise InvalidRequest("The connection was closed before the request was complete.")
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > MAX_BODY_BYTES:
                    raise _too_large()
    except TimeoutError as error:
        raise InvalidRequest("The request took too long to arrive.") from error
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body as one message, then whatever else the server has to tell."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return pending.pop() if pending else await receive()

    return replayed


def _path(scope: Scope) -> str:
    """Printable whatever was sent."""
    return str(scope["path"])[:200].encode("unicode_escape").decode()


def _too_large() -> TooLarge:
    return TooLarge(f"The request's body is larger than {MAX_BODY_BYTES} bytes.", limit_bytes=MAX_BODY_BYTES)
