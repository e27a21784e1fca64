"""The proxy's forwarding, between real sockets: what passes unchanged, what is refused, what ends when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.typing import Subprotocol

from hub.local.forwarding import Forwarder, Target

PATIENCE_SECONDS = 10
BIG_MESSAGE_BYTES = 20 * 2**20
"""Twice what tornado's websockets take by default."""

Answer = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class OneRoute:
    """Everything below ``/there`` leads to one port; what was used is noted."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.uses = 0

    def target(self, path: str) -> Target | None:
        return Target("/there", "127.0.0.1", self._port) if path.startswith("/there") else None

    def used(self, prefix: str) -> None:
        assert prefix == "/there"
        self.uses += 1


@asynccontextmanager
async def forwarding(upstream_port: int, public_scheme: str = "http") -> AsyncIterator[int]:
    """A forwarder; gives its port."""
    forwarder = Forwarder(OneRoute(upstream_port), public_scheme)
    await forwarder.start("127.0.0.1", 0)
    assert forwarder._server is not None  # chosen by the system, so it has to be read somewhere
    try:
        yield forwarder._server.sockets[0].getsockname()[1]
    finally:
        await forwarder.stop()


@asynccontextmanager
async def through(answer: Answer, public_scheme: str = "http") -> AsyncIterator[int]:
    """A forwarder before a server that answers each request's head by hand; gives its port."""

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await answer(head, reader, writer)
        writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    async with server, forwarding(server.sockets[0].getsockname()[1], public_scheme) as port:
        yield port


async def say(port: int, *parts: bytes) -> bytes:
    """Everything that comes back until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            for part in parts:
                writer.write(part)
                await writer.drain()
            return await reader.read()
    finally:
        writer.close()


def head(line: str, *headers: str) -> bytes:
    return "\r\n".join(
        [f"{line} HTTP/1.1", "Host: granary:8000", "Connection: close", *headers, "", ""]
    ).encode()


async def echo_head(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(head), head))


async def test_path_query_and_headers_arrive_as_they_were_sent():
    async with through(echo_head) as port:
        answer = await say(port, head("GET /there/a%2Fb/%C3%A9?x=1&y=%20", "Authorization: token abc"))
    assert b"GET /there/a%2Fb/%C3%A9?x=1&y=%20 HTTP/1.1" in answer
    assert b"authorization: token abc" in answer
    assert b"host: granary:8000" in answer


@pytest.mark.parametrize(
    "claim",
    ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Prefix", "X-Real-Ip", "X-Scheme", "Forwarded"],
)
async def test_nobody_claims_to_come_from_somewhere_else(claim: str):
    async with through(echo_head) as port:
        answer = await say(port, head("GET /there", f"{claim}: made-up"))
    assert b"made-up" not in answer
    assert b"x-forwarded-for: 127.0.0.1" in answer
    assert b"x-forwarded-host: granary:8000" in answer
    assert b"x-forwarded-port: 8000" in answer


async def test_behind_somebody_elses_tls_servers_are_told_of_https():
    async with through(echo_head, "https") as port:
        answer = await say(port, head("GET /there").replace(b"granary:8000", b"granary.example"))
    assert b"x-forwarded-proto: https" in answer
    assert b"x-forwarded-port: 443" in answer


async def test_headers_for_one_hop_end_there():
    async with through(echo_head) as port:
        answer = await say(port, head("GET /there", "Connection: x-mine", "X-Mine: 1", "Upgrade: h2c"))
    assert b"x-mine" not in answer
    assert b"h2c" not in answer


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (head("GET /elsewhere"), 404),
        (head("GET http://granary/there"), 404),
        (head("OPTIONS *"), 404),
        (head("CONNECT there:80"), 404),
        (b"GET /there HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (head("POST /there", "Content-Length: 3", "Content-Length: 4") + b"abcd", 400),
        (head("POST /there", "Content-Length: 3", "Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
        (head("GET /there", "X: " + "a" * 200_000), 431),
    ],
)
async def test_what_has_no_route_or_no_single_meaning_is_refused_here(request_bytes: bytes, status: int):
    async def never(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise AssertionError("it was forwarded")

    async with through(never) as port:
        answer = await say(port, request_bytes)
    assert answer.startswith(b"HTTP/1.1 %d " % status)


async def test_a_target_that_is_down_is_503(unused_tcp_port: int):
    async with forwarding(unused_tcp_port) as port:
        assert (await say(port, head("GET /there"))).startswith(b"HTTP/1.1 503 ")


async def test_who_is_refused_while_sending_still_reads_why(unused_tcp_port: int):
    async with forwarding(unused_tcp_port) as port:
        request = head("PUT /there", f"Content-Length: {BIG_MESSAGE_BYTES}")
        answer = await say(port, request, bytes(BIG_MESSAGE_BYTES // 2), bytes(BIG_MESSAGE_BYTES // 2))
    assert answer.startswith(b"HTTP/1.1 503 ")


async def test_a_target_that_speaks_no_http_is_502():
    async def babble(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\r\n\r\n")

    async with through(babble) as port:
        assert (await say(port, head("GET /there"))).startswith(b"HTTP/1.1 502 ")


async def test_an_answer_cut_short_is_never_made_to_look_whole():
    async def stop_halfway(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n")

    async with through(stop_halfway) as port:
        answer = await say(port, head("GET /there"))
    assert b"half" in answer
    assert not answer.endswith(b"0\r\n\r\n")


async def test_events_arrive_when_they_happen():
    first_seen = asyncio.Event()

    async def two_events(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nfirst")
        await first_seen.wait()
        writer.write(b"second")

    async with through(two_events) as port, asyncio.timeout(PATIENCE_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head("GET /there"))
        await reader.readuntil(b"first")
        first_seen.set()
        assert b"second" in await reader.read()
        writer.close()


async def test_a_body_is_passed_on_before_it_is_complete():
    """So a file of any size passes, and whoever expects to be told to go on is told at once."""

    async def count(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(5) == b"begun"
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nseen")

    async with through(count) as port:
        request = head("PUT /there", "Content-Length: 1000000", "Expect: 100-continue")
        answer = await say(port, request, b"begun")
    assert answer.endswith(b"seen")


async def test_two_requests_on_one_connection():
    async with through(echo_head) as port:
        first = head("GET /there/1").replace(b"Connection: close\r\n", b"")
        answer = await say(port, first, head("GET /there/2"))
    assert b"GET /there/1 " in answer
    assert b"GET /there/2 " in answer


async def test_websocket_messages_of_any_size_and_kind_pass():
    async def echo(socket) -> None:  # the package's type is generic in what we do not use
        async for message in socket:
            await socket.send(message)

    big = bytes(range(256)) * (BIG_MESSAGE_BYTES // 256)
    spoken = Subprotocol("v1.kernel.websocket.jupyter.org")
    async with (
        serve(echo, "127.0.0.1", 0, max_size=None, subprotocols=[spoken]) as server,
        forwarding(server.sockets[0].getsockname()[1]) as port,
        connect(f"ws://127.0.0.1:{port}/there", max_size=None, subprotocols=[spoken]) as socket,
    ):
        assert socket.subprotocol == spoken
        for message in ("text", big):
            await socket.send(message)
            assert await socket.recv() == message


async def test_a_refused_websocket_says_why():
    async def refuse(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 3\r\n\r\nwhy")

    async with through(refuse) as port:
        upgrade = ["Upgrade: websocket", "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13"]
        answer = await say(port, head("GET /there", "Connection: Upgrade", *upgrade))
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert answer.endswith(b"why")


async def test_a_close_reaches_the_other_side_and_leaves_nothing():
    ended = asyncio.Event()

    async def until_closed(socket) -> None:  # as above
        await socket.wait_closed()
        ended.set()

    async with (
        serve(until_closed, "127.0.0.1", 0) as server,
        forwarding(server.sockets[0].getsockname()[1]) as port,
    ):
        socket = await connect(f"ws://127.0.0.1:{port}/there")
        await socket.close(4000, "done")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await ended.wait()
    assert socket.close_code == 4000


async def test_small_messages_never_wait_for_each_other():
    """Without ``TCP_NODELAY`` on both hops each round trip of two small writes takes 40 ms."""

    async def echo(socket) -> None:  # as above
        async for message in socket:
            await socket.send(message)

    rounds = 50
    async with (
        serve(echo, "127.0.0.1", 0, compression=None) as server,
        forwarding(server.sockets[0].getsockname()[1]) as port,
        connect(f"ws://127.0.0.1:{port}/there", compression=None) as socket,
    ):
        began = asyncio.get_running_loop().time()
        for _ in range(rounds):
            await socket.send("a")
            await socket.send("b")
            assert [await socket.recv(), await socket.recv()] == ["a", "b"]
        seconds = asyncio.get_running_loop().time() - began
    assert seconds / rounds < 0.02
