"""Bytes between a client and a kernel host: exact, bounded, and ended cleanly."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from gateway_bridge.relay import CloseCode, FrameCursor, Relay
from gateway_bridge.stream import HttpStream, tune
from tests.support.bridge import HubAnswers403WithDatabaseDown, World, eventually

GREETING = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


def open_channels(world: World, kernel_id: str, token: str, **options: Any) -> connect:
    return connect(
        world.channels_url(kernel_id),
        additional_headers={"Authorization": f"token {token}"},
        proxy=None,
        max_size=None,
        **options,
    )


async def closed(channels: ClientConnection) -> tuple[int, str]:
    """Read until the end; the code and the reason of the close."""
    async with asyncio.timeout(20):
        await channels.wait_closed()
    assert channels.protocol.close_rcvd is not None, "closed without a close frame"
    return channels.protocol.close_rcvd.code, channels.protocol.close_rcvd.reason


# -- with whole websockets at both ends -------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 1_000_003, 20_000_000])
async def test_messages_arrive_bit_for_bit_both_ways(world: World, size: int) -> None:
    token, kernel_id = world.hub.issue("atlas-1", "atlas"), world.control.run("atlas-1", "atlas")
    message = os.urandom(size)
    async with open_channels(world, kernel_id, token) as channels:
        await channels.send(message)
        assert await channels.recv() == message
        await channels.send("text ☃")
        assert await channels.recv() == "text ☃"


async def test_the_subprotocol_is_negotiated_between_the_ends(world: World) -> None:
    token, kernel_id = world.hub.issue("atlas-1", "atlas"), world.control.run("atlas-1", "atlas")
    wanted = "v1.kernel.websocket.jupyter.org"
    async with open_channels(world, kernel_id, token, subprotocols=[wanted]) as channels:
        assert channels.subprotocol == wanted
    async with open_channels(world, kernel_id, token, compression="deflate") as channels:
        assert channels.subprotocol is None
        assert channels.response is not None
        assert "Sec-WebSocket-Extensions" not in channels.response.headers


async def test_the_host_gets_our_own_headers_and_nothing_of_the_clients(world: World) -> None:
    token, kernel_id = world.hub.issue("atlas-1", "atlas"), world.control.run("atlas-1", "atlas")
    url = f"{world.channels_url(kernel_id)}?session_id=a-b_c.1&token={token}&user=somebody&path=/x"
    secrets = {"Cookie": "session=abc", "X-Forwarded-User": "root", "Forwarded": "for=1"}
    async with connect(url, additional_headers=secrets, proxy=None, origin="http://elsewhere.example"):
        [headers] = world.host.headers
        [(_, target)] = world.host.requests
    assert target == f"/api/kernels/host-{kernel_id}/channels?session_id=a-b_c.1"
    assert set(headers) == {
        "host", "connection", "upgrade", "sec-websocket-version", "sec-websocket-key", "authorization"
    }  # fmt: skip
    assert headers["authorization"] == f"token kernel-secret-of-{kernel_id}"
    assert token not in str(headers) + target


async def test_the_client_leaving_ends_the_hosts_side(world: World) -> None:
    token, kernel_id = world.hub.issue("atlas-1", "atlas"), world.control.run("atlas-1", "atlas")
    async with open_channels(world, kernel_id, token):
        assert len(world.host.sockets) == 1
    await eventually(lambda: not world.host.sockets, "the host to see the client leave")


async def test_a_client_that_vanishes_ends_the_hosts_side(world: World) -> None:
    token, kernel_id = world.hub.issue("atlas-1", "atlas"), world.control.run("atlas-1", "atlas")
    channels = await open_channels(world, kernel_id, token)
    channels.transport.abort()
    await eventually(lambda: not world.host.sockets, "the host to see the client vanish")


async def test_the_hosts_close_reaches_the_client_with_code_and_reason(world: World) -> None:
    token, kernel_id = world.hub.issue("atlas-1", "atlas"), world.control.run("atlas-1", "atlas")
    async with open_channels(world, kernel_id, token) as channels:
        world.host.sockets[0].close(4001, "the kernel is gone")
        assert await closed(channels) == (4001, "the kernel is gone")


async def test_a_host_that_vanishes_ends_the_clients_side(world: World) -> None:
    token, kernel_id = world.hub.issue("atlas-1", "atlas"), world.control.run("atlas-1", "atlas")
    async with open_channels(world, kernel_id, token) as channels:
        world.host.sockets[0].ws_connection.stream.close()
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(channels.recv(), 10)


async def test_stopping_says_going_away_to_every_client(world: World) -> None:
    token = world.hub.issue("atlas-1", "atlas")
    opened = [await open_channels(world, world.control.run("atlas-1", "atlas"), token) for _ in range(20)]
    world.stop.set()
    ends = await asyncio.gather(*map(closed, opened))
    assert {code for code, _ in ends} == {1001}
    await asyncio.wait_for(world.running, 5)


# -- revocation ---------------------------------------------------------------------------------------


async def test_a_revoked_token_closes_its_sockets_and_no_others(world: World) -> None:
    token, other = world.hub.issue("atlas-1", "atlas"), world.hub.issue("atlas-1", "atlas")
    kernel_id = world.control.run("atlas-1", "atlas")
    loop = asyncio.get_running_loop()
    async with (
        open_channels(world, kernel_id, token) as first,
        open_channels(world, kernel_id, token) as second,
        open_channels(world, kernel_id, other) as third,
    ):
        revoked_at = loop.time()
        world.hub.revoke(token)
        assert await closed(first) == await closed(second) == (1008, "Your token was revoked or expired.")
        assert loop.time() - revoked_at < 10
        await third.send("still here")
        assert await third.recv() == "still here"


async def test_a_revocation_reaches_a_socket_that_was_checked_just_before(world: World) -> None:
    token, kernel_id = world.hub.issue("atlas-1", "atlas"), world.control.run("atlas-1", "atlas")
    loop = asyncio.get_running_loop()
    async with open_channels(world, kernel_id, token) as channels:
        await eventually(lambda: len(world.hub.asked) == 2, "the first check of the open socket")
        world.hub.revoke(token)
        revoked_at = loop.time()
        assert (await closed(channels))[0] == 1008
        assert loop.time() - revoked_at < 10
    async with world.client(token) as client:
        assert (await client.get("/teams/atlas/api")).status_code == 401


async def test_a_hub_that_cannot_say_closes_nothing(world: World) -> None:
    token, kernel_id = world.hub.issue("atlas-1", "atlas"), world.control.run("atlas-1", "atlas")
    async with open_channels(world, kernel_id, token) as channels:
        world.hub.fault = HubAnswers403WithDatabaseDown
        await eventually(lambda: len(world.hub.asked) >= 2, "a check of the open socket")
        await channels.send("on")
        assert await channels.recv() == "on"


@pytest.mark.parametrize(
    "change",
    [{"groups": ["borealis"]}, {"scopes": []}, {"name": "somebody-else"}],
    ids=["group", "scope", "name"],
)
async def test_a_lost_right_closes_the_socket(world: World, change: dict[str, Any]) -> None:
    token, kernel_id = world.hub.issue("atlas-1", "atlas"), world.control.run("atlas-1", "atlas")
    async with open_channels(world, kernel_id, token) as channels:
        world.hub.people[token].update(change)
        code, reason = await closed(channels)
        assert (code, reason) == (1008, "You may not use this team's kernels any more.")


# -- two transports and a relay ---------------------------------------------------------------------------


@dataclass
class Spliced:
    """A relay between two sockets this test holds the other ends of."""

    relay: Relay
    client: socket.socket
    host: socket.socket
    client_end: asyncio.Transport
    host_end: asyncio.Transport
    closed: asyncio.Event


@asynccontextmanager
async def spliced(**client_options: int) -> AsyncIterator[Spliced]:
    loop = asyncio.get_running_loop()
    listener = await asyncio.get_running_loop().create_server(HttpStream, "127.0.0.1", 0)
    address = listener.sockets[0].getsockname()
    ends: list[HttpStream] = []
    listener.close()
    pairs = []
    for options in (client_options, {}):
        ready: asyncio.Future[HttpStream] = loop.create_future()
        server = await loop.create_server(lambda ready=ready: HttpStream(ready.set_result), *address)
        far = socket.socket()
        for name, value in options.items():
            far.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
        far.setblocking(False)
        await loop.sock_connect(far, address)
        ends.append(await ready)
        server.close()
        pairs.append(far)
    gone = asyncio.Event()
    relay = Relay()
    relay.start(ends[0], ends[1], GREETING, gone.set)
    client, host = pairs
    try:
        yield Spliced(relay, client, host, ends[0].transport, ends[1].transport, gone)
    finally:
        for far, end in zip(pairs, ends, strict=True):
            far.close()
            end.transport.abort()
        await asyncio.sleep(0)


async def received(sock: socket.socket, size: int) -> bytes:
    data = b""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        while len(data) < size and (more := await loop.sock_recv(sock, size - len(data))):
            data += more
    return data


async def to_the_end(sock: socket.socket) -> bytes:
    data = b""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        while more := await loop.sock_recv(sock, 65536):
            data += more
    return data


async def test_small_messages_leave_at_once_on_both_sides() -> None:
    async with spliced() as pair:
        for end in (pair.client_end, pair.host_end):
            sock = end.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0


async def test_tuning_is_ours_and_not_the_loops() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as sock,
    ):
        transport = asyncio.Transport({"socket": sock})
        tune(transport)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


@pytest.mark.parametrize("slow", ["client", "host"])
async def test_a_side_that_does_not_read_stops_the_other(slow: str) -> None:
    loop = asyncio.get_running_loop()
    async with spliced(SO_RCVBUF=8192) as pair:
        source, end = (pair.host, pair.client_end) if slow == "client" else (pair.client, pair.host_end)
        chunk = b"\x82\x7e\xff\xff" + b"x" * 65535
        highest = 0
        stopped = False
        for _ in range(64 * 2**20 // len(chunk)):
            sending = asyncio.ensure_future(loop.sock_sendall(source, chunk))
            done, _ = await asyncio.wait([sending], timeout=1)
            highest = max(highest, end.get_write_buffer_size())
            if not done:
                stopped = True
                sending.cancel()
                break
        assert stopped, "the sender was never stopped"
        assert highest <= 2**20, "bytes waiting in the bridge"


async def test_a_slow_side_gets_everything_in_the_end() -> None:
    loop = asyncio.get_running_loop()
    async with spliced(SO_RCVBUF=8192) as pair:
        assert await received(pair.client, len(GREETING)) == GREETING
        message = os.urandom(3_000_000)
        sending = asyncio.create_task(loop.sock_sendall(pair.host, message))
        assert await received(pair.client, len(message)) == message
        await sending


@pytest.mark.parametrize(("first", "second"), [("client", "host"), ("host", "client")])
async def test_a_side_that_only_stops_sending_still_receives(first: str, second: str) -> None:
    loop = asyncio.get_running_loop()
    async with spliced() as pair:
        await received(pair.client, len(GREETING))
        one, other = getattr(pair, first), getattr(pair, second)
        await loop.sock_sendall(one, b"last words")
        one.shutdown(socket.SHUT_WR)
        assert await to_the_end(other) == b"last words"
        await loop.sock_sendall(other, b"an answer")
        other.close()
        assert await to_the_end(one) == b"an answer"
        await asyncio.wait_for(pair.closed.wait(), 5)


def frame(payload: bytes) -> bytes:
    return b"\x82\x7f" + struct.pack("!Q", len(payload)) + payload


CLOSE = b"\x88\x05\x03\xe9bye"


async def test_a_close_stands_between_two_frames() -> None:
    loop = asyncio.get_running_loop()
    async with spliced() as pair:
        await received(pair.client, len(GREETING))
        whole = frame(b"a" * 1000)
        await loop.sock_sendall(pair.host, whole[:300])
        assert await received(pair.client, 300) == whole[:300]
        pair.relay.close(CloseCode.GOING_AWAY, "bye")
        await loop.sock_sendall(pair.host, whole[300:] + frame(b"b" * 1000))
        assert await to_the_end(pair.client) == whole[300:] + CLOSE
        assert await to_the_end(pair.host) == b""


async def test_a_frame_that_does_not_end_is_not_waited_for_long() -> None:
    loop = asyncio.get_running_loop()
    async with spliced() as pair:
        await loop.sock_sendall(pair.host, frame(b"a" * 1000)[:300])
        await received(pair.client, len(GREETING) + 300)
        started = loop.time()
        pair.relay.close(CloseCode.GOING_AWAY, "bye")
        await asyncio.wait_for(pair.closed.wait(), 5)
        assert loop.time() - started < 3


async def test_a_client_that_does_not_read_its_close_is_cut_off() -> None:
    loop = asyncio.get_running_loop()
    async with spliced(SO_RCVBUF=8192) as pair:
        flood = asyncio.create_task(loop.sock_sendall(pair.host, frame(b"a" * 1000) * 20_000))
        await eventually(lambda: pair.client_end.get_write_buffer_size() > 0, "the client to fall behind")
        pair.relay.close(CloseCode.GOING_AWAY, "bye")
        await asyncio.wait_for(pair.closed.wait(), 5)
        flood.cancel()
        await asyncio.gather(flood, return_exceptions=True)


async def test_closing_twice_says_it_once() -> None:
    async with spliced() as pair:
        pair.relay.close(CloseCode.GOING_AWAY, "bye")
        pair.relay.close(CloseCode.POLICY, "no")
        assert await to_the_end(pair.client) == GREETING + CLOSE


def test_following_frames_costs_little() -> None:
    """A ceiling far above the cost on any machine that still notices something quadratic."""
    message = frame(b"x" * 200)
    cursor, loop_count = FrameCursor(), 20_000
    started = os.times().user
    for _ in range(loop_count):
        cursor.advance(message)
    assert (os.times().user - started) / loop_count < 50e-6
