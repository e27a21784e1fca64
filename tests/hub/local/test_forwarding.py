"""What goes through the proxy, over real sockets: unchanged, as it comes, and nothing else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from hub.local import forwarding, peers
from hub.local.forwarding import Forwarder, Target

BOUND_SECONDS = 20
LARGE_BYTES = 20 * 2**20
KERNELS = "v1.kernel.websocket.jupyter.org"
SPOKEN = [websockets.Subprotocol(KERNELS)]

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Table:
    """Routes by prefix, and how often each was used."""

    def __init__(self) -> None:
        self.targets: dict[str, int] = {}
        self.asked: list[str] = []
        self.uses: list[str] = []

    def target(self, path: str) -> Target | None:
        self.asked.append(path)
        for prefix, port in self.targets.items():
            if path.startswith(prefix):
                return Target(prefix, "127.0.0.1", port)
        return None

    def used(self, prefix: str) -> None:
        self.uses.append(prefix)


class Upstream:
    """A server that speaks in bytes: keeps what it was sent, answers as a test says."""

    def __init__(self, handler: Handler) -> None:
        self.heads: list[bytes] = []
        self._handler = handler

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            await self._handler(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the proxy or the test has gone
        finally:
            writer.close()

    def header(self, name: str) -> list[str]:
        """Values of a header in the newest request."""
        lines = self.heads[-1].decode().split("\r\n")[1:]
        pairs = [line.partition(": ") for line in lines]
        return [value for found, _, value in pairs if found.lower() == name.lower()]


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
async def proxy(table: Table) -> AsyncIterator[Forwarder]:
    forwarder = Forwarder(table, "http")
    await forwarder.start("127.0.0.1", 0)
    async with asyncio.timeout(BOUND_SECONDS):
        yield forwarder
    await forwarder.stop()


@asynccontextmanager
async def upstream_at(table: Table, prefix: str, handler: Handler) -> AsyncIterator[Upstream]:
    upstream = Upstream(handler)
    server = await asyncio.start_server(upstream, "127.0.0.1", 0)
    table.targets[prefix] = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()


@asynccontextmanager
async def connected(proxy: Forwarder) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def answer_to(proxy: Forwarder, request: bytes) -> bytes:
    """Everything the proxy says until it closes."""
    async with connected(proxy) as (reader, writer):
        writer.write(request)
        return await reader.read()


async def says_ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    await writer.drain()


def client(proxy: Forwarder) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{proxy.port}", trust_env=False)


async def until(holds: Callable[[], object]) -> None:
    """Poll; the proxy fixture bounds the wait."""
    while not holds():  # noqa: ASYNC110 # what is waited for is another's state
        await asyncio.sleep(0.01)


# -- requests and answers ------------------------------------------------------------------


async def test_address_headers_and_answer_pass_unchanged(proxy: Forwarder, table: Table):
    async def teapot(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 418 Short And Stout\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
            b"X-Tea: Earl\r\nContent-Length: 3\r\n\r\ntea"
        )

    async with upstream_at(table, "/user/", teapot) as upstream, client(proxy) as http:
        answer = await http.get("/user/a%40b/x%2Fy/%2525?q=a+b&q=%20", headers={"Cookie": "c=3"})
    assert upstream.heads[0].startswith(b"GET /user/a%40b/x%2Fy/%2525?q=a+b&q=%20 HTTP/1.1\r\n")
    assert table.asked == ["/user/a%40b/x%2Fy/%2525"]
    assert upstream.header("Cookie") == ["c=3"]
    assert upstream.header("Host") == [f"127.0.0.1:{proxy.port}"]
    assert (answer.status_code, answer.reason_phrase, answer.text) == (418, "Short And Stout", "tea")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert table.uses == []


async def test_an_answer_that_went_well_is_use(proxy: Forwarder, table: Table):
    async with upstream_at(table, "/user/", says_ok), client(proxy) as http:
        await http.get("/user/")
    assert table.uses == ["/user/"]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_body_goes_both_ways(proxy: Forwarder, table: Table, chunked: bool):
    body = bytes(range(256)) * (LARGE_BYTES // 256)

    async def echo(request: bytes) -> AsyncIterator[bytes]:
        yield request

    async def echoes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got = bytearray()
        while len(got) < LARGE_BYTES:
            if chunked:
                size = int(await reader.readline(), 16)
                data = (await reader.readexactly(size + 2))[:-2]
            else:
                data = await reader.read(2**16)
            got += data
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE_BYTES + got)
        await writer.drain()

    async with upstream_at(table, "/", echoes) as upstream, client(proxy) as http:
        answer = await http.post("/", content=echo(body) if chunked else body)
    assert answer.content == body
    assert upstream.header("Content-Length") == ([] if chunked else [str(LARGE_BYTES)])


@pytest.mark.parametrize(
    "framing", [b"Transfer-Encoding: chunked\r\n", b"Content-Type: text/event-stream\r\n", b""]
)
async def test_pieces_of_an_answer_arrive_as_they_are_sent(proxy: Forwarder, table: Table, framing: bytes):
    arrived = asyncio.Queue[None]()

    async def events(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + framing + b"\r\n")
        for number in range(3):
            event = b"data: %d\n\n" % number
            writer.write(b"%x\r\n%s\r\n" % (len(event), event) if b"chunked" in framing else event)
            await writer.drain()
            await arrived.get()  # the next one only once the client has this one
        if b"chunked" in framing:
            writer.write(b"0\r\n\r\n")

    async with (
        upstream_at(table, "/", events),
        client(proxy) as http,
        http.stream("GET", "/") as answer,
    ):
        seen = []
        async for event in answer.aiter_bytes():
            seen.append(event)
            arrived.put_nowait(None)
    assert seen == [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"]


async def test_pieces_of_a_request_arrive_as_they_are_sent(proxy: Forwarder, table: Table):
    arrived = asyncio.Queue[bytes]()

    async def listens(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(3):
            arrived.put_nowait(await reader.readexactly(4))
        await says_ok(reader, writer)

    async with upstream_at(table, "/", listens), connected(proxy) as (reader, writer):
        writer.write(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\nConnection: close\r\n\r\n")
        for piece in (b"once", b"then", b"gone"):
            writer.write(piece)
            assert await arrived.get() == piece
        assert (await reader.read()).endswith(b"ok")


async def test_several_requests_on_one_connection_also_when_sent_at_once(proxy: Forwarder, table: Table):
    async with upstream_at(table, "/", says_ok) as upstream, connected(proxy) as (reader, writer):
        writer.write(
            b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\n"
            b"POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
            b"GET /3 HTTP/1.1\r\nHost: h\r\n\r\n"
        )
        for _ in range(3):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
            assert await reader.readexactly(2) == b"ok"
        writer.write(b"GET /4 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"ok")
    assert [head.split()[1] for head in upstream.heads] == [b"/1", b"/2", b"/3", b"/4"]


async def test_many_connections_at_once(proxy: Forwarder, table: Table):
    waiting: list[None] = []

    async def meets_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting.append(None)
        await until(lambda: len(waiting) == 50)
        await says_ok(reader, writer)

    limits = httpx.Limits(max_connections=50)
    base = f"http://127.0.0.1:{proxy.port}"
    async with (
        upstream_at(table, "/", meets_all),
        httpx.AsyncClient(base_url=base, limits=limits, timeout=BOUND_SECONDS, trust_env=False) as http,
    ):
        answers = await asyncio.gather(*(http.get("/") for _ in range(50)))
    assert {answer.text for answer in answers} == {"ok"}


async def test_head_has_no_body_and_keeps_the_connection(proxy: Forwarder, table: Table):
    async def head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")

    async with upstream_at(table, "/", head), connected(proxy) as (reader, writer):
        for _ in range(2):
            writer.write(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
            answer = await reader.readuntil(b"\r\n\r\n")
            assert b"content-length: 1000\r\n" in answer.lower()


async def test_no_content_and_not_modified_keep_the_connection(proxy: Forwarder, table: Table):
    async def bare(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 9\r\n\r\n")

    async with upstream_at(table, "/", bare), connected(proxy) as (reader, writer):
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 304")


async def test_continue_is_said_here_and_the_body_follows(proxy: Forwarder, table: Table):
    async def takes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(4) == b"body"
        await says_ok(reader, writer)

    async with upstream_at(table, "/", takes) as upstream, connected(proxy) as (reader, writer):
        writer.write(
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n"
            b"Connection: close\r\n\r\n"
        )
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(b"body")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
    assert upstream.header("Expect") == []


async def test_early_hints_are_no_answer(proxy: Forwarder, table: Table):
    async def hints(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n")
        await says_ok(reader, writer)

    async with upstream_at(table, "/", hints), client(proxy) as http:
        assert (await http.get("/")).text == "ok"


async def test_http_1_0_with_and_without_a_host(proxy: Forwarder, table: Table):
    async def flows(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")

    async with upstream_at(table, "/", flows) as upstream:
        answer = await answer_to(proxy, b"GET / HTTP/1.0\r\n\r\n")
        assert upstream.header("Host") == [f"127.0.0.1:{table.targets['/']}"]
        assert answer.endswith(b"\r\n\r\nok")
        assert b"chunked" not in answer
        await answer_to(proxy, b"GET / HTTP/1.0\r\nHost: h\r\n\r\n")
        assert upstream.header("Host") == ["h"]


async def test_an_absolute_address_is_routed_by_its_path(proxy: Forwarder, table: Table):
    async with upstream_at(table, "/user/", says_ok) as upstream:
        request = b"GET HTTP://h/user/x?q=1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        assert (await answer_to(proxy, request)).endswith(b"ok")
    assert upstream.heads[0].startswith(b"GET /user/x?q=1 HTTP/1.1\r\n")


# -- headers of one connection -------------------------------------------------------------


async def test_what_is_meant_for_the_proxy_ends_there(proxy: Forwarder, table: Table):
    async def talks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Ours\r\nX-Ours: 1\r\n"
            b"Keep-Alive: timeout=5\r\nX-Theirs: 1\r\n\r\nok"
        )

    async with upstream_at(table, "/", talks) as upstream, client(proxy) as http:
        answer = await http.get(
            "/",
            headers={
                "Connection": "keep-alive, X-Mine, Host, Content-Length",
                "X-Mine": "1",
                "X-Yours": "1",
                "Keep-Alive": "300",
                "TE": "trailers",
                "Upgrade": "h2c",
                "Proxy-Authorization": "Basic eDp5",
                "Authorization": "token t",
            },
        )
    for name in ("X-Mine", "Keep-Alive", "TE", "Upgrade", "Proxy-Authorization"):
        assert upstream.header(name) == []
    assert upstream.header("Connection") == ["close"]
    assert upstream.header("Authorization") == ["token t"]
    assert upstream.header("X-Yours") == ["1"]
    assert len(upstream.header("Host")) == 1
    assert "x-ours" not in answer.headers
    assert "keep-alive" not in answer.headers
    assert answer.headers["x-theirs"] == "1"


async def test_what_a_client_claims_of_its_origin_is_dropped(proxy: Forwarder, table: Table):
    claims = {
        "X-Forwarded-For": "10.0.0.1",
        "X-Forwarded-Host": "evil.example.org",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Prefix": "/evil",
        "X-Real-IP": "10.0.0.1",
        "X-Scheme": "https",
        "Forwarded": "for=10.0.0.1",
    }
    async with upstream_at(table, "/", says_ok) as upstream, client(proxy) as http:
        await http.get("/", headers=claims)
    assert upstream.header("X-Forwarded-For") == ["127.0.0.1"]
    assert upstream.header("X-Forwarded-Host") == [f"127.0.0.1:{proxy.port}"]
    assert upstream.header("X-Forwarded-Proto") == ["http"]
    assert upstream.header("X-Forwarded-Port") == [str(proxy.port)]
    for name in ("Forwarded", "X-Forwarded-Prefix", "X-Real-IP", "X-Scheme"):
        assert upstream.header(name) == []


async def test_servers_learn_the_scheme_of_the_public_address(table: Table):
    forwarder = Forwarder(table, "https")
    await forwarder.start("127.0.0.1", 0)
    async with upstream_at(table, "/", says_ok) as upstream, client(forwarder) as http:
        await http.get("/", headers={"Host": "hub.example.org"})
    await forwarder.stop()
    assert upstream.header("X-Forwarded-Proto") == ["https"]
    assert upstream.header("X-Forwarded-Port") == ["443"]


# -- refusals ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +4\r\n\r\nabcd", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nBad Header: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"hello\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 200_000, 431),
        (b"GET elsewhere HTTP/1.1\r\nHost: h\r\n\r\n", 404),
        (b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", 404),
        (b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 404),
    ],
)
async def test_what_is_ambiguous_or_no_request_is_refused_and_the_connection_closed(
    proxy: Forwarder, table: Table, request_: bytes, status: int
):
    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with upstream_at(table, "/", waits):
        answer = await answer_to(proxy, request_ + b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"HTTP/1.1") == 1
    assert b"connection: close\r\n" in answer.lower()


async def test_no_route_is_404(proxy: Forwarder, table: Table):
    async with client(proxy) as http:
        assert (await http.get("/nowhere")).status_code == 404
        assert (await http.head("/nowhere")).status_code == 404


async def test_nobody_at_the_target_is_503_also_for_a_client_with_much_to_say(proxy: Forwarder, table: Table):
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        table.targets["/"] = unheard.getsockname()[1]
        async with client(proxy) as http:
            assert (await http.get("/")).status_code == 503
            assert (await http.post("/", content=b"x" * LARGE_BYTES)).status_code == 503


@pytest.mark.parametrize("sent", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200", b"HTTP/1.1 101 x\r\n\r\n"])
async def test_a_target_that_speaks_no_http_is_502(proxy: Forwarder, table: Table, sent: bytes):
    async def speaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)

    async with upstream_at(table, "/", speaks), client(proxy) as http:
        assert (await http.get("/")).status_code == 502


@pytest.mark.parametrize(
    "part", [b"Content-Length: 10\r\n\r\nhalf", b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"]
)
async def test_half_an_answer_is_seen_to_be_half(proxy: Forwarder, table: Table, part: bytes):
    async def dies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + part)

    async with upstream_at(table, "/", dies), client(proxy) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get("/")


async def test_an_answer_before_the_end_of_the_request_is_passed_on(proxy: Forwarder, table: Table):
    async def too_large(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.write_eof()
        await reader.read()

    async with upstream_at(table, "/", too_large), connected(proxy) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 413 ")


# -- people who leave ----------------------------------------------------------------------


@pytest.mark.parametrize("request_", [b"", b"Content-Length: 10\r\n"])
async def test_a_client_that_leaves_is_told_to_the_target(proxy: Forwarder, table: Table, request_: bytes):
    asked, left = asyncio.Event(), asyncio.Event()

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        left.set()

    async with upstream_at(table, "/", waits):
        async with connected(proxy) as (_, writer):
            writer.write(b"POST / HTTP/1.1\r\nHost: h\r\n" + request_ + b"\r\n")
            await asked.wait()
        await left.wait()


async def test_a_client_that_leaves_during_an_endless_answer_ends_it(proxy: Forwarder, table: Table):
    over = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 2**16)
                await writer.drain()
        finally:
            over.set()

    async with upstream_at(table, "/", endless):
        async with connected(proxy) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            await reader.readexactly(2**20)
        await over.wait()


async def test_a_slow_head_is_cut_off(proxy: Forwarder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(peers, "HEAD_TIMEOUT", peers.LINGER_TIMEOUT / 20)
    async with connected(proxy) as (reader, writer):
        writer.write(b"GET / HT")
        assert await reader.read() == b""


async def test_an_idle_connection_is_closed(proxy: Forwarder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(peers, "IDLE_TIMEOUT", peers.LINGER_TIMEOUT / 20)
    assert await answer_to(proxy, b"") == b""


async def test_stopping_drops_what_is_open(table: Table):
    forwarder = Forwarder(table, "http")
    await forwarder.start("127.0.0.1", 0)
    async with asyncio.timeout(BOUND_SECONDS), connected(forwarder) as (reader, writer):
        writer.write(b"GET / HT")
        await until(lambda: forwarder._tasks)
        await forwarder.stop()
        with suppress(ConnectionResetError):
            assert await reader.read() == b""


# -- small messages ------------------------------------------------------------------------


async def test_nagle_is_off_on_both_sides(proxy: Forwarder, table: Table, monkeypatch: pytest.MonkeyPatch):
    seen: list[int] = []
    close = peers.Peer.close

    def looks(peer: peers.Peer) -> None:
        sock = peer.writer.get_extra_info("socket")
        seen.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        close(peer)

    monkeypatch.setattr(peers.Peer, "close", looks)
    async with upstream_at(table, "/", says_ok):
        await answer_to(proxy, b"GET / HTTP/1.0\r\n\r\n")
        await until(lambda: len(seen) == 2)
    assert all(seen)


# -- websockets ----------------------------------------------------------------------------


@asynccontextmanager
async def websocket_at(
    table: Table, prefix: str, handler: Callable[[ServerConnection], Awaitable[None]]
) -> AsyncIterator[None]:
    async with serve(handler, "127.0.0.1", 0, subprotocols=SPOKEN, max_size=None) as server:
        table.targets[prefix] = next(iter(server.sockets)).getsockname()[1]
        yield


async def test_a_websocket_passes_unchanged(proxy: Forwarder, table: Table):
    large = bytes(range(256)) * (LARGE_BYTES // 256)

    async def echo(socket_: ServerConnection) -> None:
        assert socket_.request is not None
        await socket_.send(f"{socket_.request.path} {socket_.request.headers['X-Forwarded-For']}")
        async for message in socket_:
            await socket_.send(message)

    async with (
        websocket_at(table, "/user/", echo),
        connect(
            f"ws://127.0.0.1:{proxy.port}/user/api/kernels?token=x",
            subprotocols=SPOKEN,
            max_size=None,
            proxy=None,
        ) as socket_,
    ):
        assert socket_.subprotocol == KERNELS
        assert socket_.response is not None
        assert "permessage-deflate" in socket_.response.headers["Sec-WebSocket-Extensions"]
        assert await socket_.recv() == "/user/api/kernels?token=x 127.0.0.1"
        await socket_.send(large)
        assert await socket_.recv() == large
        await socket_.send("text")
        assert await socket_.recv() == "text"
    assert set(table.uses) == {"/user/"}
    assert len(table.uses) < BOUND_SECONDS  # by seconds, not by pieces


async def test_close_codes_pass_both_ways(proxy: Forwarder, table: Table):
    closed = asyncio.Queue[int | None]()

    async def closes(socket_: ServerConnection) -> None:
        if await socket_.recv() == "close":
            await socket_.close(4001, "over")
        await socket_.wait_closed()
        closed.put_nowait(socket_.close_code)

    async with websocket_at(table, "/", closes):
        async with connect(f"ws://127.0.0.1:{proxy.port}/", subprotocols=SPOKEN, proxy=None) as socket_:
            await socket_.send("close")
            await socket_.wait_closed()
            assert (socket_.close_code, socket_.close_reason) == (4001, "over")
            await closed.get()
        async with connect(f"ws://127.0.0.1:{proxy.port}/", subprotocols=SPOKEN, proxy=None) as socket_:
            await socket_.send("stay")
            await socket_.close(4002, "bye")
        assert await closed.get() == 4002


async def test_what_is_sent_with_the_upgrade_is_not_lost(proxy: Forwarder, table: Table):
    async def greets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 101 Sure\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nwelcome")
        assert await reader.readexactly(5) == b"early"
        writer.write(b", early bird")

    request = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly"
    async with upstream_at(table, "/", greets) as upstream:
        answer = await answer_to(proxy, request)
    assert upstream.header("Connection") == ["Upgrade"]
    assert answer.startswith(b"HTTP/1.1 101 Sure\r\n")
    assert answer.endswith(b"\r\n\r\nwelcome, early bird")


async def test_a_refused_upgrade_is_an_answer_like_any(proxy: Forwarder, table: Table):
    async def refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")

    async with upstream_at(table, "/", refuses):
        with pytest.raises(websockets.InvalidStatus) as raised:
            await connect(f"ws://127.0.0.1:{proxy.port}/", proxy=None)
    assert (raised.value.response.status_code, raised.value.response.body) == (403, b"no")
    assert table.uses == []


@pytest.mark.parametrize(
    "request_",
    [
        b"POST / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nhi",
        b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nhi",
        b"GET / HTTP/1.0\r\nHost: h\r\nUpgrade: websocket\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    ],
)
async def test_what_cannot_be_a_websocket_is_a_plain_request(proxy: Forwarder, table: Table, request_: bytes):
    async with upstream_at(table, "/", says_ok) as upstream, connected(proxy) as (reader, writer):
        writer.write(request_)
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(2) == b"ok"
    assert upstream.header("Upgrade") == []


async def test_use_is_told_once_in_a_while(monkeypatch: pytest.MonkeyPatch):
    calls: list[None] = []
    throttled = forwarding._Throttled(lambda: calls.append(None))
    for _ in range(100):
        throttled()
    assert len(calls) == 1
    monkeypatch.setattr(forwarding, "TELL_USE_EVERY", forwarding.TELL_USE_EVERY * 0)
    fresh = forwarding._Throttled(lambda: calls.append(None))
    for _ in range(100):
        fresh()
    assert len(calls) == 101
