"""CPU a relay spends on websocket messages: ours, and one written with tornado as gateways are.

Both stand between the same clients and the same host, each in a process of its
own whose CPU time is read before and after. Clients play ping-pong with 200 bytes
on many connections at once, or fetch large messages.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psutil

from gateway_bridge.handshake import accept_for
from tests.benchmarks.table import Table, interleaved
from tests.support.bridge import INTERNAL_SECRET, UPGRADE, Control, Hub

CONNECTIONS = 32
PINGS = 800
"""Round trips on each connection; each is two messages through the relay."""
MESSAGE_BYTES = 200

LARGE_BYTES = 4_000_000
LARGE_COUNT = 25

ROUNDS = 5
MICROSECONDS = 1e6
START_SECONDS = 20.0

T = TypeVar("T")

TORNADO_RELAY = """
import asyncio, json, sys
from tornado.httpclient import HTTPRequest
from tornado.web import Application
from tornado.websocket import WebSocketHandler, websocket_connect

class Relay(WebSocketHandler):
    async def open(self, kernel_id):
        self.set_nodelay(True)
        url = f"ws://127.0.0.1:{sys.argv[1]}/api/kernels/host-{kernel_id}/channels"
        self.other = await websocket_connect(HTTPRequest(url), max_message_size=2**30)
        self.other.protocol.stream.set_nodelay(True)
        self.pump = asyncio.ensure_future(self.forward())

    async def forward(self):
        while (message := await self.other.read_message()) is not None:
            await self.write_message(message, binary=isinstance(message, bytes))

    async def on_message(self, message):
        await self.other.write_message(message, binary=isinstance(message, bytes))

    def on_close(self):
        self.other.close()

async def main():
    routes = [("/teams/atlas/api/kernels/([0-9a-f-]+)/channels", Relay)]
    app = Application(routes, websocket_max_message_size=2**30)
    server = app.listen(0, "127.0.0.1")
    print("listening on 127.0.0.1:%d" % next(iter(server._sockets.values())).getsockname()[1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


class EchoHost(asyncio.Protocol):
    """A kernel host that answers every message with one of the size its first bytes ask for."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.buffer = b""
        self.open = False

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.open:
            head, end, self.buffer = self.buffer.partition(b"\r\n\r\n")
            assert end, "a handshake comes in one piece on this machine"
            lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
            key = {name.lower(): value for name, value in lines.items()}["sec-websocket-key"]
            self.transport.write(_switch(accept_for(key)))
            self.open = True
        while len(self.buffer) >= len(_PING):
            mask, body = self.buffer[4:8], self.buffer[8:12]
            self.buffer = self.buffer[len(_PING) :]
            size = int.from_bytes(bytes(a ^ b for a, b in zip(mask, body, strict=True)), "big")
            self.transport.write(_frame(size))


class Pinger(asyncio.Protocol):
    """A client that sends a message and waits for its answer, a number of times."""

    def __init__(self, request: bytes, size: int, count: int) -> None:
        self.request, self.ping, self.left = request, _masked(size), count
        self.answer_bytes = len(_frame(size))
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if not self.opened.done():
            assert data.startswith(b"HTTP/1.1 101"), data
            self.opened.set_result(None)
            return
        self.missing -= len(data)
        if self.missing <= 0 and not self.done.done():
            self.next()

    def next(self) -> None:
        if not self.left:
            self.done.set_result(None)
            return
        self.left -= 1
        self.missing += self.answer_bytes
        self.transport.write(self.ping)


class Bench:
    """Host, hub and control plane on a thread of this process, and the relays' processes."""

    def __init__(self, directory: Path) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.hub, self.control = self.call(self._serve())
        self.token = self.hub.issue("atlas-1", "atlas")
        self.kernel_id = self.control.run("atlas-1", "atlas")
        self._processes: list[subprocess.Popen[bytes]] = []
        self._directory = directory

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(timeout=300)

    async def _serve(self) -> tuple[Hub, Control]:
        server = await self._loop.create_server(EchoHost, "127.0.0.1", 0)
        self.host_port: int = server.sockets[0].getsockname()[1]
        return Hub(), Control(f"http://127.0.0.1:{self.host_port}")

    def start(self, *argv: str, **variables: str) -> Relaying:
        """Start a relay that says where it listens."""
        log = self._directory / f"{len(self._processes)}.log"
        environment = {"PATH": os.environ["PATH"], **variables}
        with log.open("wb") as output:
            process = subprocess.Popen([sys.executable, *argv], env=environment, stdout=output, stderr=output)
        self._processes.append(process)
        deadline = threading.Event()
        threading.Timer(START_SECONDS, deadline.set).start()
        while b"listening on 127.0.0.1:" not in log.read_bytes():
            assert process.poll() is None, log.read_text()
            assert not deadline.wait(0.02), "a relay did not start in time"
        port = int(log.read_text().partition("listening on 127.0.0.1:")[2].split()[0])
        return Relaying(self, psutil.Process(process.pid), port)

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)


class Relaying:
    """One relay under test."""

    def __init__(self, bench: Bench, process: psutil.Process, port: int) -> None:
        self._bench, self._process, self._port = bench, process, port

    def cpu_per_message(self) -> float:
        """Microseconds of its CPU for one small message in one direction."""
        spent = self._measured(MESSAGE_BYTES, CONNECTIONS, PINGS)
        return spent / (2 * CONNECTIONS * PINGS) * MICROSECONDS

    def cpu_per_megabyte(self) -> float:
        """Microseconds of its CPU for a megabyte from the host to the client."""
        spent = self._measured(LARGE_BYTES, 1, LARGE_COUNT)
        return spent / (LARGE_BYTES * LARGE_COUNT / 1e6) * MICROSECONDS

    def _measured(self, size: int, connections: int, count: int) -> float:
        return self._bench.call(self._ping(size, connections, count))

    async def _ping(self, size: int, connections: int, count: int) -> float:
        headers = {"Host": "h", **UPGRADE, "Authorization": f"token {self._bench.token}"}
        lines = [f"GET /teams/atlas/api/kernels/{self._bench.kernel_id}/channels HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        request = "\r\n".join([*lines, "", ""]).encode()
        loop = asyncio.get_running_loop()
        pingers = []
        for _ in range(connections):
            _, pinger = await loop.create_connection(
                lambda: Pinger(request, size, count), "127.0.0.1", self._port
            )
            pingers.append(pinger)
            await asyncio.wait_for(pinger.opened, START_SECONDS)
        before = self._process.cpu_times()
        for pinger in pingers:
            pinger.next()
        await asyncio.gather(*(pinger.done for pinger in pingers))
        after = self._process.cpu_times()
        for pinger in pingers:
            pinger.transport.abort()
        return (after.user + after.system) - (before.user + before.system)


@contextmanager
def relays() -> Iterator[dict[str, Relaying]]:
    """Both relays, running."""
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(Path(directory))
        try:
            yield {
                "tornado relay": bench.start("-c", TORNADO_RELAY, str(bench.host_port)),
                "granary bridge": bench.start(
                    "-m",
                    "gateway_bridge.app",
                    GRANARY_BRIDGE_BIND="127.0.0.1:0",
                    GRANARY_INTERNAL_SECRET=INTERNAL_SECRET,
                    GRANARY_HUB_API_URL=bench.hub.api_url,
                    GRANARY_CONTROL_URL=bench.control.server.url,
                    GRANARY_LOG_LEVEL="INFO",
                ),
            }
        finally:
            bench.stop()


def run() -> Table:
    """CPU of small messages first, then of large ones; ratios to tornado's small ones."""
    with relays() as running:
        contenders: dict[str, Callable[[], float]] = {
            f"{name}, 200 B": relay.cpu_per_message for name, relay in running.items()
        }
        small = interleaved(contenders, unit="µs/message", rounds=ROUNDS)
        large = interleaved(
            {f"{name}, large": relay.cpu_per_megabyte for name, relay in running.items()},
            unit="µs/MB",
            rounds=ROUNDS,
        )
    return Table("Relay CPU (32 connections at once; then messages of 4 MB)", [*small, *large])


def _switch(accept: str) -> bytes:
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    return "\r\n".join([*lines, f"Sec-WebSocket-Accept: {accept}", "", ""]).encode()


def _frame(size: int) -> bytes:
    if size < 126:
        return bytes((0x82, size)) + bytes(size)
    if size < 2**16:
        return b"\x82\x7e" + size.to_bytes(2, "big") + bytes(size)
    return b"\x82\x7f" + size.to_bytes(8, "big") + bytes(size)


def _masked(answer_size: int) -> bytes:
    mask = b"\x11\x22\x33\x44"
    payload = answer_size.to_bytes(4, "big") + bytes(MESSAGE_BYTES - 4)
    covered = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return b"\x82" + bytes((0x80 | 126,)) + MESSAGE_BYTES.to_bytes(2, "big") + mask + covered


_PING = _masked(0)
