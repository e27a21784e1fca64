"""Client, bridge, control plane, kernel host, kernel: all real but the hub, which only knows tokens."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx
import pytest
import uvicorn

from gateway_bridge.app import serve
from gateway_bridge.settings import BridgeSettings
from hub.app import create_app
from hub.domain.people import MANAGE_SCOPE, USE_SCOPE
from hub.settings import ControlSettings
from tests.support.bridge import INTERNAL_SECRET, Hub, eventually
from tests.support.control import API, TEAMS_AS_VALUES
from tests.support.jupyter import JupyterApi
from tests.support.kernelhost import KernelHostProcess
from tests.support.launchers import OwnInterpreter

PATIENCE_SECONDS = 60
MANIFEST = {
    "kernel": "python-lab",
    "team": "atlas",
    "display_name": "Lab",
    "release": {"version": "1.0", "environment": {"requirements": ["ipykernel==7.4.0"]}},
    "channels": ["prod"],
}

T = TypeVar("T")


@pytest.fixture(scope="module")
def kernel_host() -> Iterator[KernelHostProcess]:
    host = KernelHostProcess()
    yield host
    host.stop()


@contextmanager
def control_plane(folder: Path, hub: Hub, host: KernelHostProcess) -> Iterator[str]:
    """The control plane on a free port, served by a thread; its environments are this interpreter."""
    settings = ControlSettings(
        database_url=f"sqlite:///{folder / 'granary.sqlite'}",
        store_dir=folder / "store",
        homes_dir=folder / "homes",
        hub_api_url=hub.api_url,
        kernel_host_url=host.url,
        teams=TEAMS_AS_VALUES,
        contact="the data desk",
        internal_secret=INTERNAL_SECRET,
        kernel_host_secret=host.secret,
    )
    app = create_app(settings, builder=OwnInterpreter())
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not server.started:
            assert thread.is_alive(), "the control plane started"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE_SECONDS)


@asynccontextmanager
async def bridge(control_url: str, hub: Hub) -> AsyncIterator[str]:
    settings = BridgeSettings(
        bridge_bind="127.0.0.1:0",
        control_url=control_url,
        hub_api_url=hub.api_url,
        internal_secret=INTERNAL_SECRET,
    )
    stop, listening = asyncio.Event(), asyncio.get_running_loop().create_future()
    running = asyncio.create_task(serve(settings, stop, listening))
    try:
        _, port = await asyncio.wait_for(listening, 10)
        yield f"http://127.0.0.1:{port}/services/gateway/teams/atlas"
    finally:
        stop.set()
        await asyncio.wait_for(running, 10)


@dataclass
class Site:
    hub: Hub
    control_url: str
    folder: Path


@pytest.fixture
async def site(tmp_path: Path, kernel_host: KernelHostProcess) -> AsyncIterator[Site]:
    """One kernel published for team atlas."""
    hub = Hub()
    admin = hub.issue(
        "atlas-admin", "atlas", "atlas-admins", scopes=(USE_SCOPE, f"{MANAGE_SCOPE}!group=atlas")
    )
    running = control_plane(tmp_path, hub, kernel_host)
    control_url = await asyncio.to_thread(running.__enter__)
    try:
        await publish(control_url, admin)
        yield Site(hub, control_url, tmp_path)
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)
        await hub.server.stop()


async def publish(control_url: str, token: str) -> None:
    headers = {"Authorization": f"token {token}"}
    async with httpx.AsyncClient(base_url=f"{control_url}{API}", headers=headers, trust_env=False) as client:
        publication = (await client.post("/kernels/python-lab/releases", json=MANIFEST)).json()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while publication["state"] not in {"done", "failed"}:
            assert time.monotonic() < deadline, publication
            await asyncio.sleep(0.05)
            publication = (await client.get(f"/publications/{publication['id']}")).json()
        assert publication["state"] == "done", publication


async def away(work: Callable[[], T]) -> T:
    """A client's blocking work, in a thread; the servers of this test live on its event loop."""
    return await asyncio.wait_for(asyncio.to_thread(work), PATIENCE_SECONDS)


async def test_a_kernel_from_its_start_to_its_end(site: Site) -> None:
    async with bridge(site.control_url, site.hub) as url:
        api = JupyterApi(url, site.hub.issue("atlas-1", "atlas"))

        def life() -> None:
            specs = api.http.get("/api/kernelspecs").json()
            assert (specs["default"], list(specs["kernelspecs"])) == ("python-lab", ["python-lab"])
            kernel_id = api.start_kernel()
            with api.socket(kernel_id) as socket:
                assert socket.execute("x = 6; print(x * 7)").stdout == "42\n"
                assert len(socket.execute("print('y' * 20_000_000)").stdout) == 20_000_001
                interrupted = threading.Timer(
                    0.5, lambda: api.http.post(f"/api/kernels/{kernel_id}/interrupt", json={})
                )
                interrupted.start()
                assert "KeyboardInterrupt" in str(socket.execute("import time; time.sleep(50)").error)
            [model] = api.http.get("/api/kernels").json()
            assert (model["id"], model["name"], model["execution_state"]) == (kernel_id, "python-lab", "idle")
            restarted = api.http.post(f"/api/kernels/{kernel_id}/restart", json={})
            assert (restarted.status_code, restarted.json()["id"]) == (200, kernel_id)
            with api.socket(kernel_id) as socket:
                assert "NameError" in str(socket.execute("x").error)
            api.stop_kernel(kernel_id)
            assert api.kernel_ids() == []
            assert api.http.get(f"/api/kernels/{kernel_id}").status_code == 404

        await away(life)


async def test_a_kernel_outlives_the_bridge(site: Site) -> None:
    token = site.hub.issue("atlas-1", "atlas")

    def run(api: JupyterApi, kernel_id: str, code: str) -> str:
        with api.socket(kernel_id) as socket:
            return socket.execute(code).stdout

    async with bridge(site.control_url, site.hub) as url:
        first = JupyterApi(url, token)
        kernel_id = await away(first.start_kernel)
        await away(lambda: run(first, kernel_id, "x = 'kept'"))
    async with bridge(site.control_url, site.hub) as url:
        second = JupyterApi(url, token)
        assert await away(second.kernel_ids) == [kernel_id]
        assert await away(lambda: run(second, kernel_id, "print(x)")) == "kept\n"
        await away(lambda: second.stop_kernel(kernel_id))


async def test_the_clients_environment_changes_nothing(site: Site) -> None:
    asked = {
        "KERNEL_USERNAME": "somebody-else",
        "KERNEL_WORKING_DIR": "/etc",
        "KERNEL_IMAGE": "evil",
        "HOME": "/root",
        "PATH": "/evil",
        "LD_PRELOAD": "/evil.so",
        "PYTHONPATH": "/evil",
        "TZ": "Europe/Berlin",
    }
    async with bridge(site.control_url, site.hub) as url:
        api = JupyterApi(url, site.hub.issue("atlas-1", "atlas"))

        def look() -> str:
            kernel_id = api.start_kernel("python-lab", env=asked)
            with api.socket(kernel_id) as socket:
                seen = socket.execute("import os; print(os.getcwd()); print(dict(os.environ))").stdout
            api.stop_kernel(kernel_id)
            return seen

        directory, _, environment = (await away(look)).partition("\n")
    assert directory == str(site.folder / "homes" / "atlas-1")
    assert "Europe/Berlin" in environment
    for value in ("somebody-else", "evil", "'/root'", "/etc'"):
        assert value not in environment


async def test_colleagues_cannot_reach_each_others_kernels(
    site: Site, kernel_host: KernelHostProcess
) -> None:
    async with bridge(site.control_url, site.hub) as url:
        mine = JupyterApi(url, site.hub.issue("atlas-1", "atlas"))
        theirs = JupyterApi(url, site.hub.issue("atlas-2", "atlas"))
        kernel_id = await away(mine.start_kernel)
        answers = [
            await away(lambda path=path, method=method: theirs.http.request(method, path))
            for method, path in (
                ("GET", f"/api/kernels/{kernel_id}"),
                ("DELETE", f"/api/kernels/{kernel_id}"),
                ("POST", f"/api/kernels/{kernel_id}/interrupt"),
                ("POST", f"/api/kernels/{kernel_id}/restart"),
                ("GET", f"/api/kernels/{kernel_id}/channels"),
            )
        ]
        assert {answer.status_code for answer in answers} == {404}
        assert len({answer.content for answer in answers}) == 1
        assert await away(theirs.kernel_ids) == []
        await away(lambda: mine.stop_kernel(kernel_id))
        with kernel_host.client() as client:
            await eventually(
                lambda: kernel_id not in client.get("/api/kernels").text, "the kernel to be gone"
            )
