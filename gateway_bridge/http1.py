"""HTTP/1.1 heads, read so strictly that nobody before us can have read them otherwise.

A head is cut out of the stream here, at the first empty line, and only then given
to h11. What parsers are known to disagree on (bare line feeds, folded lines,
control characters, two framings, repeated headers) is refused before h11, which
would read some of it, sees it. The only body framing is one Content-Length.

Nothing here does IO. Messages never quote what was received: it may hold a token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import h11

from hub.errors import InvalidRequest, TooLarge

MAX_HEAD_BYTES = 32 * 1024
MAX_TARGET_BYTES = 8 * 1024
MAX_BODY_BYTES = 1024 * 1024
MAX_HEADER_COUNT = 100

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_HEAD_END = b"\r\n\r\n"
_CONTROL = rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
_HOPELESS = re.compile(_CONTROL + rb"|(?<!\r)\n")
"""No continuation can make a head with one of these acceptable."""
_AMBIGUOUS = re.compile(_CONTROL + rb"|(?<!\r)\n|\r(?!\n)|\n[ \t]|\A\r")
_REQUEST_LINE = re.compile(rb"[A-Z]{1,16} [!-~]+ HTTP/1\.1\r\n")
_LENGTH = re.compile(r"[0-9]{1,10}")
_HOST = re.compile(r"[A-Za-z0-9._~:\[\]-]{1,255}")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")

_ONCE = frozenset({
    "authorization", "content-length", "content-type", "expect", "host", "idempotency-key", "origin",
    "sec-websocket-accept", "sec-websocket-key", "sec-websocket-version", "upgrade", "x-request-id",
})  # fmt: skip
"""Headers that decide something; two of them could decide twice."""


@dataclass(frozen=True)
class Headers:
    """Names in lower case, in the order received."""

    items: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str | None:
        return next((value for key, value in self.items if key == name), None)

    def tokens(self, name: str) -> list[str]:
        """The comma-separated words of every header of that name, as written."""
        words = (word.strip() for key, value in self.items if key == name for word in value.split(","))
        return [word for word in words if word]


@dataclass(frozen=True)
class RequestHead:
    """A request up to its body."""

    method: str
    target: str
    """In origin form: path, perhaps ``?`` and a query. Printable ASCII, nothing decoded."""
    headers: Headers
    body_bytes: int

    def __repr__(self) -> str:
        return f"RequestHead(method={self.method!r})"

    @property
    def keep_alive(self) -> bool:
        return "close" not in [word.lower() for word in self.headers.tokens("connection")]

    @property
    def expects_continue(self) -> bool:
        return self.headers.get("expect") is not None


@dataclass(frozen=True)
class AnswerHead:
    """An answer up to its body."""

    status: int
    headers: Headers


def find_head(buffer: bytearray, searched: int) -> int:
    """The length of the head ``buffer`` begins with; 0 while it is not complete.

    ``searched`` is how much of the buffer an earlier call has seen.

    Raises
    ------
    InvalidRequest, TooLarge
        As soon as it is certain, not only when the head is complete.
    """
    found = buffer.find(_HEAD_END, max(0, searched - len(_HEAD_END)))
    end = found + len(_HEAD_END) if found >= 0 else len(buffer)
    if end > MAX_HEAD_BYTES:
        raise TooLarge(f"The request's headers are longer than {MAX_HEAD_BYTES} bytes.")
    if _HOPELESS.search(buffer, max(0, searched - 1), end):
        raise _bad("has a line end or a control character where none may be")
    return end if found >= 0 else 0


def parse_request(block: bytes) -> RequestHead:
    """Read a complete request head, its empty line included.

    Raises
    ------
    InvalidRequest, TooLarge
    """
    line_end = block.find(b"\r\n")
    if line_end - len("GET  HTTP/1.1") > MAX_TARGET_BYTES:
        raise TooLarge(f"The request's address is longer than {MAX_TARGET_BYTES} bytes.")
    if not _REQUEST_LINE.match(block):
        raise _bad("does not begin with a method, an address and HTTP/1.1")
    event = _read(block, h11.Connection(h11.SERVER, MAX_HEAD_BYTES))
    if not isinstance(event, h11.Request):
        raise _bad("is not complete")
    headers = _headers(event)
    target = event.target.decode("ascii")
    if not target.startswith("/") or "#" in target:
        raise _bad("names no path on this server")
    if not _HOST.fullmatch(headers.get("host") or ""):
        raise _bad("needs one Host header with a name or an address")
    if (headers.get("expect") or "100-continue").lower() != "100-continue":
        raise _bad("expects something this server does not know")
    return RequestHead(event.method.decode("ascii"), target, headers, _body_bytes(block, headers))


def parse_answer(block: bytes) -> AnswerHead:
    """Read a complete answer head of a kernel host, its empty line included.

    Raises
    ------
    InvalidRequest
    """
    connection = h11.Connection(h11.CLIENT, MAX_HEAD_BYTES)
    # h11 reads an answer only after the request it belongs to; a 101 only after an Upgrade.
    connection.send(
        h11.Request(
            method="GET",
            target="/",
            headers=[("Host", "h"), ("Connection", "upgrade"), ("Upgrade", "websocket")],
        )
    )
    connection.send(h11.EndOfMessage())
    event = _read(block, connection)
    if not isinstance(event, (h11.InformationalResponse, h11.Response)):
        raise _bad("is not complete")
    return AnswerHead(event.status_code, _headers(event))


def render_request(method: str, target: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """A request without a body."""
    return _render(f"{method} {target} HTTP/1.1", headers)


def render_answer(status: int, headers: Mapping[str, str]) -> bytes:
    """The head of an answer."""
    return _render(f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", headers.items())


def _read(block: bytes, connection: h11.Connection) -> object:
    if _AMBIGUOUS.search(block):
        raise _bad("has a line end or a control character where none may be")
    try:
        connection.receive_data(block)
        return connection.next_event()
    except h11.ProtocolError:
        # h11 quotes the line, which may hold a token.
        raise _bad("is not well-formed HTTP/1.1") from None


def _headers(event: h11.Request | h11.InformationalResponse | h11.Response) -> Headers:
    items = tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in event.headers)
    if len(items) > MAX_HEADER_COUNT:
        raise TooLarge(f"The request has more than {MAX_HEADER_COUNT} headers.")
    names = [name for name, _ in items]
    for name in _ONCE.intersection(names):
        if names.count(name) > 1:
            raise _bad(f"has more than one {name} header")
    return Headers(items)


def _body_bytes(block: bytes, headers: Headers) -> int:
    if headers.get("transfer-encoding") is not None:
        raise _bad("uses Transfer-Encoding; send the body with a Content-Length instead")
    # h11 merges repeated and listed lengths before we see them, so they are counted as received.
    if len(re.findall(rb"(?i)\ncontent-length:", block)) > 1:
        raise _bad("has more than one content-length header")
    length = headers.get("content-length")
    if length is None:
        return 0
    if re.search(rb"(?i)\ncontent-length:[^\r]*,", block) or not _LENGTH.fullmatch(length):
        raise _bad("has a Content-Length that is no number")
    if int(length) > MAX_BODY_BYTES:
        raise TooLarge(f"The request's body is longer than {MAX_BODY_BYTES} bytes.")
    return int(length)


def _render(first_line: str, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [first_line]
    for name, value in headers:
        if not _HEADER_VALUE.fullmatch(value):
            raise ValueError(f"the value of {name} would break the head")
        lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _bad(what: str) -> InvalidRequest:
    return InvalidRequest(f"The request {what}.")
