"""Heads are read in one way or not at all."""

from __future__ import annotations

import asyncio
import re

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway_bridge.http1 import (
    MAX_BODY_BYTES,
    MAX_HEAD_BYTES,
    MAX_TARGET_BYTES,
    find_head,
    parse_answer,
    parse_request,
    render_answer,
)
from hub.errors import GranaryError, InvalidRequest, TooLarge
from tests.support.bridge import World

GOOD = b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n"


def with_headers(*lines: bytes, method: bytes = b"POST") -> bytes:
    return b"\r\n".join([method + b" /health HTTP/1.1", b"Host: h", *lines, b"", b""])


AMBIGUOUS = {
    "length and coding": with_headers(b"Content-Length: 3", b"Transfer-Encoding: chunked"),
    "coding alone": with_headers(b"Transfer-Encoding: chunked"),
    "coding hidden by case": with_headers(b"tRANSFER-eNCODING: CHUNKED"),
    "coding with space before the colon": with_headers(b"Transfer-Encoding : chunked", b"Content-Length: 3"),
    "coding with a vertical tab": with_headers(b"Transfer-Encoding: \x0bchunked"),
    "coding twice": with_headers(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
    "coding unknown": with_headers(b"Transfer-Encoding: xchunked", b"Content-Length: 3"),
    "two different lengths": with_headers(b"Content-Length: 3", b"Content-Length: 4"),
    "two equal lengths": with_headers(b"Content-Length: 3", b"Content-Length: 3"),
    "two equal lengths, other case": with_headers(b"Content-Length: 3", b"content-length: 3"),
    "a list of lengths": with_headers(b"Content-Length: 3, 3"),
    "a list of different lengths": with_headers(b"Content-Length: 3, 4"),
    "a negative length": with_headers(b"Content-Length: -1"),
    "a length with a sign": with_headers(b"Content-Length: +3"),
    "a hexadecimal length": with_headers(b"Content-Length: 0x3"),
    "a length with underscores": with_headers(b"Content-Length: 1_0"),
    "a length in other digits": with_headers("Content-Length: ٣".encode()),
    "an empty length": with_headers(b"Content-Length: "),
    "a folded header": with_headers(b"X: a", b" Content-Length: 3"),
    "a folded length": with_headers(b"Content-Length:", b"\t3"),
    "a folded first header": b"GET /health HTTP/1.1\r\n Host: h\r\n\r\n",
    "bare line feeds": b"GET /health HTTP/1.1\nHost: h\n\n",
    "a bare line feed between headers": b"GET /health HTTP/1.1\r\nHost: h\nX: y\r\n\r\n",
    "a bare line feed before the body": b"GET /health HTTP/1.1\r\nHost: h\r\n\n",
    "a bare carriage return": b"GET /health HTTP/1.1\r\nHost: h\rX: y\r\n\r\n",
    "a carriage return too many": b"GET /health HTTP/1.1\r\r\nHost: h\r\n\r\n",
    "an empty line first": b"\r\n" + GOOD,
    "a NUL in a value": with_headers(b"X: a\x00b"),
    "a control character in a value": with_headers(b"X: a\x01b"),
    "a space before the colon": with_headers(b"X : a"),
    "a header without a name": with_headers(b": a"),
    "a header without a colon": with_headers(b"X"),
    "a name with a space": with_headers(b"X Y: a"),
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "an empty host": b"GET /health HTTP/1.1\r\nHost:\r\n\r\n",
    "a host with a path": b"GET /health HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "two authorizations": with_headers(b"Authorization: token a", b"Authorization: token b"),
    "two upgrades": with_headers(b"Upgrade: websocket", b"Upgrade: h2c"),
    "two websocket keys": with_headers(b"Sec-WebSocket-Key: a", b"Sec-WebSocket-Key: b"),
    "HTTP/1.0": b"GET /health HTTP/1.0\r\nHost: h\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.10": b"GET /health HTTP/1.10\r\nHost: h\r\n\r\n",
    "no version": b"GET /health\r\nHost: h\r\n\r\n",
    "two spaces": b"GET  /health HTTP/1.1\r\nHost: h\r\n\r\n",
    "a tab for a space": b"GET\t/health HTTP/1.1\r\nHost: h\r\n\r\n",
    "a space in the address": b"GET /hea lth HTTP/1.1\r\nHost: h\r\n\r\n",
    "a space at the end of the line": b"GET /health HTTP/1.1 \r\nHost: h\r\n\r\n",
    "a method in lower case": b"get /health HTTP/1.1\r\nHost: h\r\n\r\n",
    "an absolute address": b"GET http://h/health HTTP/1.1\r\nHost: h\r\n\r\n",
    "an authority": b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n",
    "an asterisk": b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
    "a fragment": b"GET /health#x HTTP/1.1\r\nHost: h\r\n\r\n",
    "letters beyond ASCII in the address": b"GET /\xc3\xa4 HTTP/1.1\r\nHost: h\r\n\r\n",
    "an unknown expectation": with_headers(b"Expect: 200-ok"),
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}

TOO_LARGE = {
    "a long address": b"GET /" + b"a" * MAX_TARGET_BYTES + b" HTTP/1.1\r\nHost: h\r\n\r\n",
    "a long head": with_headers(*[b"X: " + b"a" * 1000] * (MAX_HEAD_BYTES // 1000 + 1)),
    "an endless head": b"GET /health HTTP/1.1\r\nHost: h\r\nX: " + b"a" * MAX_HEAD_BYTES,
    "many headers": with_headers(*[b"X: a"] * 101),
    "a long body": with_headers(b"Content-Length: %d" % (MAX_BODY_BYTES + 1)),
    "a length beyond all measure": with_headers(b"Content-Length: 9999999999"),
}


def read(data: bytes) -> None:
    end = find_head(bytearray(data), 0)
    assert end, "the head is complete"
    parse_request(data[:end])


@pytest.mark.parametrize("data", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_what_parsers_disagree_on_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read(data)


@pytest.mark.parametrize("data", TOO_LARGE.values(), ids=TOO_LARGE.keys())
def test_what_is_too_large_is_refused(data: bytes) -> None:
    with pytest.raises(TooLarge):
        read(data)


@pytest.mark.parametrize("data", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
async def test_a_refused_head_closes_the_connection_and_what_follows_is_not_read(
    world: World, data: bytes
) -> None:
    answer = await world.exchange(data + GOOD)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert answer.count(b"HTTP/1.1 4") == answer.count(b"X-Request-ID") == 1
    assert b"Connection: close" in answer
    assert b'"code":"invalid_request"' in answer


@pytest.mark.parametrize("data", TOO_LARGE.values(), ids=TOO_LARGE.keys())
async def test_a_large_request_is_refused_and_closes_the_connection(world: World, data: bytes) -> None:
    answer = await world.exchange(data + b"x" * 100_000)
    assert answer.startswith(b"HTTP/1.1 413 "), answer
    assert answer.count(b"HTTP/1.1 4") == answer.count(b"X-Request-ID") == 1


async def test_one_body_ends_where_its_length_says(world: World) -> None:
    """A request inside another's body is a body."""
    hidden = GOOD
    post = with_headers(b"Content-Length: %d" % len(hidden), method=b"PUT") + hidden
    answer = await world.exchange(post + GOOD)
    # The refused request's body was not read, so nothing after it may be taken for a request.
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert answer.count(b"HTTP/1.1 4") == answer.count(b"X-Request-ID") == 1


async def test_pipelined_requests_are_answered_in_order(world: World) -> None:
    token = world.hub.issue("atlas-1", "atlas")
    start = b'{"name": "python-data"}'
    lines = (
        b"POST /teams/atlas/api/kernels HTTP/1.1\r\nHost: h\r\nAuthorization: token %s\r\n" % token.encode()
    )
    post = lines + b"Content-Length: %d\r\n\r\n" % len(start) + start
    last = b"GET /nowhere HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    answer = await world.exchange(GOOD + post + GOOD + last)
    assert re.findall(rb"HTTP/1.1 ([0-9]+)", answer) == [b"200", b"201", b"200", b"404"]


async def test_a_client_that_waits_before_its_body_is_asked_for_it(world: World) -> None:
    token = world.hub.issue("atlas-1", "atlas")
    reader, writer = await _connected(world)
    lines = (
        b"POST /teams/atlas/api/kernels HTTP/1.1\r\nHost: h\r\nAuthorization: token %s\r\n" % token.encode()
    )
    writer.write(lines + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"{}")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 201 ")
    writer.close()


async def test_who_may_not_start_is_not_asked_for_the_body(world: World) -> None:
    lines = b"POST /teams/atlas/api/kernels HTTP/1.1\r\nHost: h\r\n"
    head = lines + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    answer = await world.exchange(head)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"Connection: close" in answer


async def test_a_head_may_come_byte_by_byte(world: World) -> None:
    reader, writer = await _connected(world)
    for at in range(len(GOOD)):
        writer.write(GOOD[at : at + 1])
        await writer.drain()
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    writer.close()


@given(st.binary(max_size=300))
@example(GOOD)
def test_bytes_are_read_or_refused(data: bytes) -> None:
    """Whatever comes, the outcome is a head or one of our own errors."""
    try:
        end = find_head(bytearray(data), 0)
        if end:
            parse_request(data[:end])
    except GranaryError:
        pass


_NASTY = st.sampled_from(
    [
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b":",
        b",",
        b"\x00",
        b"\x0b",
        b"chunked",
        b"3",
        b"Content-Length: 3",
        b"Transfer-Encoding: chunked",
        b"Host: h",
        b"GET / HTTP/1.1",
        b"\r\n\r\n",
        b"x",
    ]
)


@given(st.lists(_NASTY, max_size=20))
def test_what_is_accepted_has_one_framing_and_clean_lines(parts: list[bytes]) -> None:
    data = b"POST / HTTP/1.1\r\n" + b"".join(parts) + b"\r\n\r\n"
    try:
        end = find_head(bytearray(data), 0)
        head = parse_request(data[:end])
    except GranaryError:
        return
    block = data[:end]
    assert block.replace(b"\r\n", b"").find(b"\n") == block.replace(b"\r\n", b"").find(b"\r") == -1
    assert b"transfer-encoding" not in block.lower()
    assert block.lower().count(b"content-length") <= 1
    assert head.body_bytes in {0, 3}


@given(st.binary(max_size=200), st.lists(st.integers(0, 400), max_size=6))
def test_a_head_is_found_however_it_is_cut(noise: bytes, cuts: list[int]) -> None:
    data = GOOD + noise
    buffer, searched, end = bytearray(), 0, 0
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), len(data)], strict=True):
        buffer += data[start:stop]
        end = end or find_head(buffer, searched)
        searched = len(buffer)
    assert end == len(GOOD)


def test_an_answer_is_read_as_strictly() -> None:
    head = parse_answer(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    )
    assert (head.status, head.headers.get("upgrade")) == (101, "websocket")
    for bad in (
        b"HTTP/1.1 101\nUpgrade: websocket\n\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        b"hallo\r\n\r\n",
    ):
        with pytest.raises(InvalidRequest):
            parse_answer(bad)


def test_no_value_of_ours_can_break_an_answer() -> None:
    with pytest.raises(ValueError, match="Location"):
        render_answer(201, {"Location": "/x\r\nSet-Cookie: a=b"})


def test_errors_never_quote_what_was_sent() -> None:
    """What was sent may hold a token; h11 alone would quote the line."""
    data = with_headers(b"Authorization : token 0123456789abcdef")
    with pytest.raises(InvalidRequest) as refused:
        read(data)
    assert "0123456789abcdef" not in repr(refused.value)
    assert not isinstance(refused.value.__cause__, h11.ProtocolError)
    assert refused.value.__suppress_context__


async def _connected(world: World):

    return await asyncio.open_connection("127.0.0.1", world.port)
