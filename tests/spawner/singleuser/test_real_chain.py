"""User server, bridge, control plane, kernel host, kernel: all real but the hub, which knows one token."""

from __future__ import annotations

import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
import uvicorn

from hub.app import create_app
from hub.settings import ControlSettings
from tests.support.bridge import INTERNAL_SECRET
from tests.support.control import API, TEAMS_AS_VALUES
from tests.support.kernelhost import KernelHostProcess
from tests.support.launchers import OwnInterpreter
from tests.support.userserver import TOKEN, BridgeProcess, OnePersonHub, UserServer, eventually

STALL_SECONDS = 0.020
"""Half of what a socket with Nagle's algorithm adds to every round trip."""

MANIFEST = {
    "kernel": "python-lab",
    "team": "atlas",
    "display_name": "Lab",
    "release": {"version": "1.0", "environment": {"requirements": ["ipykernel==7.4.0"]}},
    "channels": ["prod"],
}


@pytest.fixture(scope="module")
def bridge(hub: OnePersonHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BridgeProcess]:
    """A bridge before a control plane that has published one kernel."""
    folder = tmp_path_factory.mktemp("chain")
    host = KernelHostProcess()
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
    bridge = None
    try:
        eventually(lambda: server.started, "the control plane")
        control_url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        publish(control_url)
        bridge = BridgeProcess(folder, control_url, hub.api_url, INTERNAL_SECRET)
        bridge.start()
        yield bridge
    finally:
        if bridge is not None:
            bridge.end()
        server.should_exit = True
        thread.join(20)
        host.stop()


def publish(control_url: str) -> None:
    headers = {"Authorization": f"token {TOKEN}"}
    with httpx.Client(base_url=f"{control_url}{API}", headers=headers, trust_env=False, timeout=20) as client:
        publication = client.post("/kernels/python-lab/releases", json=MANIFEST).json()
        path = f"/publications/{publication['id']}"
        eventually(lambda: client.get(path).json()["state"] == "done", "the publication")


@pytest.fixture
def server(bridge: BridgeProcess, new_server: Callable[[str], UserServer]) -> UserServer:
    server = new_server(bridge.url)
    server.start()
    return server


def test_a_notebook_on_a_governed_kernel(server: UserServer) -> None:
    assert list(server.api.http.get("/api/kernelspecs").json()["kernelspecs"]) == ["python-lab"]
    body = {"path": "a.ipynb", "name": "a", "type": "notebook", "kernel": {"name": "python-lab"}}
    session = server.api.http.post("/api/sessions", json=body).json()
    with server.api.socket(session["kernel"]["id"]) as kernel:
        assert kernel.execute("print(6 * 7)").stdout == "42\n"
    assert server.api.http.post(f"/api/kernels/{session['kernel']['id']}/restart").is_success
    server.api.http.delete(f"/api/sessions/{session['id']}")
    assert server.api.kernel_ids() == []


def test_a_kernel_nobody_offers_is_refused_in_words(server: UserServer) -> None:
    body = {"path": "b.ipynb", "name": "b", "type": "notebook", "kernel": {"name": "python-none"}}
    answer = server.api.http.post("/api/sessions", json=body)
    assert answer.status_code == 404
    assert answer.json()["code"] == "kernel_not_found"


def test_a_killed_bridge_costs_no_line_of_output(server: UserServer, bridge: BridgeProcess) -> None:
    kernel_id = server.api.start_kernel()
    lines = 40
    code = f"import time\nfor n in range({lines}):\n    print(n, flush=True)\n    time.sleep(0.1)"
    with server.api.socket(kernel_id) as kernel:
        running = kernel.send("shell", "execute_request", execute(code))
        printed, replied, killed = "", False, 0
        while not replied or printed.count("\n") < lines:
            message = kernel.receive(timeout=30)
            if message["header"]["msg_type"] == "stream":
                printed += message["content"]["text"]
            if message["header"]["msg_type"] == "execute_reply":
                replied |= message["parent_header"]["msg_id"] == running
            if printed.count("\n") > 5 + 15 * killed and killed < 2:
                bridge.end(signal.SIGKILL)
                time.sleep(0.5)
                bridge.start()
                killed += 1
    assert printed.split() == [str(number) for number in range(lines)]
    server.api.stop_kernel(kernel_id)


def test_what_is_sent_while_the_bridge_is_down_is_run(server: UserServer, bridge: BridgeProcess) -> None:
    kernel_id = server.api.start_kernel()
    with server.api.socket(kernel_id) as kernel:
        kernel.execute("x = 1")
        bridge.end(signal.SIGTERM)
        threading.Timer(1.0, bridge.start).start()
        assert kernel.execute("print('still', x)").stdout == "still 1\n"
    server.api.stop_kernel(kernel_id)


def test_no_stall_through_the_whole_chain(server: UserServer) -> None:
    kernel_id = server.api.start_kernel()
    with server.api.socket(kernel_id) as kernel:
        kernel.execute("1")
        rounds = []
        for _ in range(30):
            started = time.perf_counter()
            kernel.execute("1")
            rounds.append(time.perf_counter() - started)
    server.api.stop_kernel(kernel_id)
    assert statistics.median(rounds) < STALL_SECONDS, rounds


def execute(code: str) -> dict[str, object]:
    return {
        "code": code,
        "silent": False,
        "store_history": False,
        "user_expressions": {},
        "allow_stdin": False,
        "stop_on_error": True,
    }
