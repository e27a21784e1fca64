"""The bridge as a process: its settings, its loop, its end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.support.bridge import INTERNAL_SECRET, Control, Hub, KernelHost, choice, eventually

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Running:
    process: asyncio.subprocess.Process
    port: int
    log: Path
    hub: Hub
    control: Control

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def bridge_process(directory: Path, **variables: str) -> AsyncIterator[Running]:
    hub, host = Hub(), KernelHost()
    control = Control(host.server.url)
    control.choices = {"atlas": [choice("python-data")]}
    secrets = directory / "secrets"
    secrets.mkdir()
    (secrets / "granary_internal_secret").write_text(INTERNAL_SECRET)
    log = directory / "bridge.log"
    environment = {
        "PATH": os.environ["PATH"],
        "GRANARY_SECRETS_DIR": str(secrets),
        "GRANARY_BRIDGE_BIND": "127.0.0.1:0",
        "GRANARY_CONTROL_URL": control.server.url,
        "GRANARY_HUB_API_URL": hub.api_url,
        "GRANARY_LOG_LEVEL": "DEBUG",
        **variables,
    }
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway_bridge.app",
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        await eventually(lambda: "listening on" in log.read_text(), "the bridge to listen", within_seconds=30)
        port = int(log.read_text().partition("listening on 127.0.0.1:")[2].split()[0])
        yield Running(process, port, log, hub, control)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        for server in (hub.server, control.server, host.server):
            await server.stop()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


async def test_sigterm_sends_everybody_away_and_ends_within_five_seconds(tmp_path: Path) -> None:
    async with bridge_process(tmp_path) as bridge:
        token, kernel_id = bridge.hub.issue("atlas-1", "atlas"), bridge.control.run("atlas-1", "atlas")
        url = f"ws://127.0.0.1:{bridge.port}/teams/atlas/api/kernels/{kernel_id}/channels?token={token}"
        opened = [await connect(url, proxy=None) for _ in range(50)]
        idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", bridge.port)
        with within(5):
            bridge.process.send_signal(signal.SIGTERM)
            await asyncio.gather(*(channels.wait_closed() for channels in opened))
            assert await idle_reader.read() == b""
            assert await bridge.process.wait() == 0
        idle_writer.close()
        assert {channels.close_code for channels in opened} == {1001}
        log = bridge.log.read_text()
        assert token not in log
        assert "kernel-secret-of" not in log
        assert INTERNAL_SECRET not in log
        assert "Traceback" not in log


async def test_sigterm_ends_a_bridge_whose_client_reads_nothing(tmp_path: Path) -> None:
    async with bridge_process(tmp_path) as bridge:
        token, kernel_id = bridge.hub.issue("atlas-1", "atlas"), bridge.control.run("atlas-1", "atlas")
        url = f"ws://127.0.0.1:{bridge.port}/teams/atlas/api/kernels/{kernel_id}/channels?token={token}"
        deaf = await connect(url, proxy=None, max_queue=1, max_size=None)
        for _ in range(20):
            await deaf.send(b"x" * 1_000_000)
        with within(5):
            bridge.process.send_signal(signal.SIGTERM)
            assert await bridge.process.wait() == 0
        deaf.transport.abort()


async def test_a_start_under_way_is_still_answered(tmp_path: Path) -> None:
    async with (
        bridge_process(tmp_path) as bridge,
        httpx.AsyncClient(base_url=bridge.url, trust_env=False) as client,
    ):
        client.headers["Authorization"] = f"token {bridge.hub.issue('atlas-1', 'atlas')}"
        bridge.hub.hold = asyncio.Event()
        start = asyncio.create_task(client.post("/teams/atlas/api/kernels", json={}))
        await eventually(lambda: bridge.hub.asked, "the start to be under way")
        bridge.process.send_signal(signal.SIGTERM)
        await eventually(lambda: "stopping" in bridge.log.read_text(), "the bridge to begin its stop")
        bridge.hub.hold.set()
        answer = await start
        assert (answer.status_code, answer.headers["Connection"]) == (201, "close")
        assert await bridge.process.wait() == 0


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GRANARY_BRIDGE_BIND", "8082"),
        ("GRANARY_BRIDGE_BIND", "127.0.0.1:99999"),
        ("GRANARY_CONTROL_URL", "control:8081"),
        ("GRANARY_HUB_API_URL", ""),
    ],
)
async def test_a_bad_setting_is_named(tmp_path: Path, variable: str, value: str) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "GRANARY_INTERNAL_SECRET": INTERNAL_SECRET,
        "GRANARY_HUB_API_URL": "http://127.0.0.1:1/hub/api",
        variable: value,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway_bridge.app", cwd=ROOT, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert output.decode().startswith(f"{variable}: ")
    assert len(output.decode().splitlines()) == 1
