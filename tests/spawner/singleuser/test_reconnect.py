"""The way to the kernel breaks; the browser's socket stays."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar

import pytest
from websockets.exceptions import ConnectionClosed

from hub.errors import NotEntitled, TokenRejected
from hub.wire import ErrorBody
from spawner.singleuser.protocol import AWAY
from tests.support.jupyter import KernelSocket
from tests.support.userserver import TEAM, StockFarEnd, UserServer, Wire, eventually

NewServer = Callable[[str], UserServer]


@pytest.fixture
def server(new_server: NewServer, wire: Wire) -> UserServer:
    server = new_server(f"http://127.0.0.1:{wire.port}/teams/{TEAM}")
    server.start()
    return server


@pytest.fixture
def kernel(server: UserServer, far_end: StockFarEnd) -> Iterator[KernelSocket]:
    kernel_id = server.api.start_kernel("python3")
    with server.api.socket(kernel_id) as kernel:
        kernel.execute("1")
        yield kernel
    far_end.api.http.delete(f"/api/kernels/{kernel_id}")


def states(kernel: KernelSocket, until: str) -> list[str]:
    """The kernel's states as told, up to one."""
    told: list[str] = []
    while until not in told:
        message = kernel.receive(timeout=20)
        if message["header"]["msg_type"] == "status":
            told.append(message["content"]["execution_state"])
    return told


def test_what_was_sent_meanwhile_arrives_and_is_answered(kernel: KernelSocket, wire: Wire) -> None:
    wire.cut()
    sent = [kernel.send("shell", "execute_request", execute(f"print({number})")) for number in range(5)]
    assert states(kernel, AWAY)
    wire.mend()
    printed, replied = "", []
    while len(replied) < len(sent) or printed.count("\n") < len(sent):  # they come on two channels
        message = kernel.receive(timeout=30)
        if message["header"]["msg_type"] == "stream":
            printed += message["content"]["text"]
        if message["header"]["msg_type"] == "execute_reply":
            replied.append(message["parent_header"]["msg_id"])
    assert replied == sent
    assert printed == "0\n1\n2\n3\n4\n"


def test_what_the_kernel_said_meanwhile_arrives_once_and_in_order(kernel: KernelSocket, wire: Wire) -> None:
    code = "import time\nfor n in range(12):\n    print(n, flush=True)\n    time.sleep(0.15)"
    running = kernel.send("shell", "execute_request", execute(code))
    printed = ""
    cut = replied = False
    while not replied or printed.count("\n") < 12:
        message = kernel.receive(timeout=30)
        if message["header"]["msg_type"] == "stream":
            printed += message["content"]["text"]
        if not cut and "2\n" in printed:
            wire.cut()
            time.sleep(0.4)
            wire.mend()
            cut = True
        if message["header"]["msg_type"] == "execute_reply":
            replied |= message["parent_header"]["msg_id"] == running
    assert printed.split() == [str(number) for number in range(12)]


def test_the_state_is_told_again_when_the_way_is_back(kernel: KernelSocket, wire: Wire) -> None:
    wire.cut()
    states(kernel, AWAY)
    wire.mend()
    assert states(kernel, "idle")[-1] == "idle"


def test_a_short_break_is_not_worth_a_word(kernel: KernelSocket, wire: Wire) -> None:
    before = wire.connections
    wire.cut()
    wire.mend()
    eventually(lambda: wire.connections > before, "the next link")
    assert kernel.execute("print('still here')").stdout == "still here\n"


def test_a_kernel_that_ended_meanwhile_closes_the_socket(
    server: UserServer, kernel: KernelSocket, wire: Wire, far_end: StockFarEnd
) -> None:
    (kernel_id,) = server.api.kernel_ids()
    wire.cut()
    far_end.api.stop_kernel(kernel_id)
    wire.mend()
    code, reason = closing(kernel)
    assert code == 4404
    assert "no longer running" in reason
    assert server.api.http.get(f"/api/kernels/{kernel_id}").status_code == 404


def test_a_kernel_stopped_elsewhere_closes_the_socket_once_it_is_known(
    server: UserServer, kernel: KernelSocket, far_end: StockFarEnd
) -> None:
    (kernel_id,) = server.api.kernel_ids()
    far_end.api.stop_kernel(kernel_id)
    assert server.api.kernel_ids() == []  # as JupyterLab asks every few seconds
    assert closing(kernel)[0] == 4404


def test_too_much_waiting_closes_the_socket(kernel: KernelSocket, wire: Wire) -> None:
    wire.cut()
    with suppress(ConnectionClosed):
        for _ in range(2_000):
            kernel.send("shell", "execute_request", execute("1"))
    assert closing(kernel)[0] == 4413


def test_while_the_bridge_is_away_rest_says_so(server: UserServer, wire: Wire) -> None:
    kernel_id = server.api.start_kernel("python3")
    wire.cut()
    body = {"path": "c.ipynb", "name": "c", "type": "notebook", "kernel": {"name": "python3"}}
    for answer in (
        server.api.http.get("/api/kernels"),
        server.api.http.get("/api/kernelspecs"),
        server.api.http.post("/api/kernels", json={"name": "python3"}),
        server.api.http.post("/api/sessions", json=body),
        server.api.http.post(f"/api/kernels/{kernel_id}/restart"),
    ):
        assert answer.status_code == 503, answer.text
        assert answer.json()["code"] == "bridge_unavailable"
        assert "kernel bridge is not answering" in answer.json()["message"]
        assert int(answer.headers["Retry-After"]) > 0
    wire.mend()
    assert server.api.kernel_ids() == [kernel_id]
    server.api.stop_kernel(kernel_id)


# -- a bridge that refuses ------------------------------------------------------------------


class RefusingBridge(ThreadingHTTPServer):
    """Lists one kernel; refuses starts and sockets with chosen errors."""

    kernel: ClassVar = {
        "id": "6b2c9d6e-0000-4000-8000-000000000001",
        "name": "python-data",
        "execution_state": "idle",
    }

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Refuses)
        Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class _Refuses(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.partition("?")[0].endswith("/channels"):
            self._answer(
                401, ErrorBody.of(TokenRejected("Your session has ended. Sign in again.")).model_dump()
            )
        elif self.path.endswith("/api/kernels"):
            self._answer(200, [RefusingBridge.kernel])
        else:
            self._answer(200, RefusingBridge.kernel)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        error = NotEntitled("Team atlas may not start python-data. Ask the data desk.", team="atlas")
        self._answer(403, ErrorBody.of(error).model_dump())

    def _answer(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def refused_server(new_server: NewServer) -> Iterator[UserServer]:
    bridge = RefusingBridge()
    server = new_server(f"http://127.0.0.1:{bridge.server_address[1]}/teams/{TEAM}")
    server.start()
    yield server
    bridge.shutdown()
    bridge.server_close()


def test_a_denial_keeps_its_words_and_code_wherever_a_kernel_is_started(refused_server: UserServer) -> None:
    http = refused_server.api.http
    session = {"path": "d.ipynb", "name": "d", "type": "notebook"}
    existing = http.post(
        "/api/sessions", json={**session, "kernel": {"id": RefusingBridge.kernel["id"]}}
    ).json()
    for answer in (
        http.post("/api/kernels", json={"name": "python-data"}),
        http.post("/api/sessions", json={**session, "path": "e.ipynb", "kernel": {"name": "python-data"}}),
        http.patch(f"/api/sessions/{existing['id']}", json={"kernel": {"name": "python-data"}}),
        http.post(f"/api/kernels/{RefusingBridge.kernel['id']}/restart"),
    ):
        assert answer.status_code == 403, answer.text
        assert answer.json() == {
            "code": "not_entitled",
            "message": "Team atlas may not start python-data. Ask the data desk.",
            "reason": None,
            "details": {"team": "atlas"},
        }


def test_a_socket_that_stays_denied_is_closed_with_the_reason(refused_server: UserServer) -> None:
    with refused_server.api.socket(RefusingBridge.kernel["id"]) as kernel:
        code, reason = closing(kernel)
    assert code == 1000, "JupyterLab would come back at once after any other"
    assert reason == "Your session has ended. Sign in again."


def closing(kernel: KernelSocket) -> tuple[int, str]:
    """Code and reason of the server's close, whatever it says before."""
    while True:
        try:
            kernel.receive(timeout=20)
        except ConnectionClosed as closed:
            return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")


def execute(code: str) -> dict[str, object]:
    return {
        "code": code,
        "silent": False,
        "store_history": False,
        "user_expressions": {},
        "allow_stdin": False,
        "stop_on_error": True,
    }
