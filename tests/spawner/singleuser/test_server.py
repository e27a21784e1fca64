"""A user server in one piece: what a browser gets through it."""

from __future__ import annotations

import json
import statistics
import time
import uuid
from collections.abc import Callable

import pytest
from jupyter_server.services.kernels.connection.base import (
    deserialize_binary_message,
    deserialize_msg_from_ws_v1,
    serialize_binary_message,
    serialize_msg_to_ws_v1,
)
from websockets.sync.client import ClientConnection, connect

from spawner.singleuser.protocol import V1
from tests.support.userserver import TOKEN, StockFarEnd, UserServer, eventually

STALL_SECONDS = 0.020
"""Half of what a socket with Nagle's algorithm adds to every round trip."""


def test_the_launcher_offers_the_far_ends_kernels(shared_server: UserServer, far_end: StockFarEnd) -> None:
    here = shared_server.api.http.get("/api/kernelspecs").json()
    there = far_end.api.http.get("/api/kernelspecs").json()
    assert here["default"] == there["default"]
    assert here["kernelspecs"].keys() == there["kernelspecs"].keys()
    logo = next(iter(here["kernelspecs"]["python3"]["resources"].values()))
    assert logo.startswith(shared_server.prefix)
    answer = shared_server.api.http.get("/" + logo.removeprefix(shared_server.prefix))
    assert answer.is_success
    assert answer.headers["content-type"].startswith("image/")


def test_a_session_starts_a_kernel_where_the_notebook_lies(shared_server: UserServer) -> None:
    (shared_server.home / "deep" / "er").mkdir(parents=True, exist_ok=True)
    body = {"path": "deep/er/a.ipynb", "name": "a.ipynb", "type": "notebook", "kernel": {"name": "python3"}}
    session = shared_server.api.http.post("/api/sessions", json=body)
    assert session.status_code == 201, session.text
    with shared_server.api.socket(session.json()["kernel"]["id"]) as kernel:
        assert kernel.execute("print(6 * 7)").stdout == "42\n"
    assert shared_server.api.http.delete(f"/api/sessions/{session.json()['id']}").status_code == 204
    assert session.json()["kernel"]["id"] not in shared_server.api.kernel_ids()


def test_restart_and_interrupt(shared_server: UserServer) -> None:
    kernel_id = shared_server.api.start_kernel("python3")
    with shared_server.api.socket(kernel_id) as kernel:
        kernel.execute("kept = 1")
        sleeping = kernel.send("shell", "execute_request", _execute("import time; time.sleep(60)"))
        eventually(lambda: kernel.receive()["header"]["msg_type"] == "execute_input", "the cell to start")
        assert shared_server.api.http.post(f"/api/kernels/{kernel_id}/interrupt").status_code == 204
        replies = iter(kernel.receive, None)
        reply = next(
            message
            for message in replies
            if message["parent_header"].get("msg_id") == sleeping
            and message["header"]["msg_type"] == "execute_reply"
        )
        assert reply["content"]["ename"] == "KeyboardInterrupt"
    restarted = shared_server.api.http.post(f"/api/kernels/{kernel_id}/restart")
    assert restarted.json()["id"] == kernel_id
    with shared_server.api.socket(kernel_id) as kernel:
        assert "NameError" in str(kernel.execute("kept").error)
    shared_server.api.stop_kernel(kernel_id)


def test_thirty_megabytes_in_one_output(shared_server: UserServer) -> None:
    kernel_id = shared_server.api.start_kernel("python3")
    with shared_server.api.socket(kernel_id) as kernel:
        done = kernel.execute(
            "from IPython.display import display\ndisplay({'text/plain': 'x' * 30_000_000}, raw=True)"
        )
        assert len(done.results[0]["text/plain"]) == 30_000_000
    shared_server.api.stop_kernel(kernel_id)


ECHO = """
def opened(comm, msg):
    @comm.on_msg
    def echo(msg):
        comm.send({"count": len(msg["buffers"])}, buffers=[bytes(b)[::-1] for b in msg["buffers"]])
get_ipython().kernel.comm_manager.register_target("echo", opened)
"""


@pytest.mark.parametrize("subprotocol", [None, V1])
def test_buffers_travel_both_ways_in_either_framing(
    shared_server: UserServer, subprotocol: str | None
) -> None:
    kernel_id = shared_server.api.start_kernel("python3")
    with shared_server.api.socket(kernel_id) as kernel:
        assert kernel.execute(ECHO).status == "ok"
    buffers = [bytes(range(256)) * 4, b"\xff\xfe", b"x" * 3_000_000]
    with raw_socket(shared_server, kernel_id, subprotocol) as ws:
        assert ws.subprotocol == subprotocol
        comm = uuid.uuid4().hex
        send(ws, subprotocol, "comm_open", {"comm_id": comm, "target_name": "echo", "data": {}}, [])
        send(ws, subprotocol, "comm_msg", {"comm_id": comm, "data": {}}, buffers)
        while True:
            msg_type, came_back = receive(ws, subprotocol)
            if msg_type == "comm_msg":
                break
    assert came_back == [buffer[::-1] for buffer in buffers]
    shared_server.api.stop_kernel(kernel_id)


def test_no_stall_between_round_trips(shared_server: UserServer, far_end: StockFarEnd) -> None:
    kernel_id = shared_server.api.start_kernel("python3")
    medians = {}
    for name, api in (("direct", far_end.api), ("through", shared_server.api)):
        with api.socket(kernel_id) as kernel:
            kernel.execute("1")
            medians[name] = statistics.median(seconds(lambda: kernel.execute("1")) for _ in range(25))
    shared_server.api.stop_kernel(kernel_id)
    assert medians["through"] < medians["direct"] + STALL_SECONDS, medians


def test_a_kernel_started_elsewhere_can_be_used_here(shared_server: UserServer, far_end: StockFarEnd) -> None:
    by_laptop = far_end.api.start_kernel("python3")
    with shared_server.api.socket(by_laptop) as kernel:
        assert kernel.execute("print(1)").stdout == "1\n"
    assert by_laptop in shared_server.api.kernel_ids()
    far_end.api.stop_kernel(by_laptop)
    assert shared_server.api.http.get(f"/api/kernels/{by_laptop}").status_code == 404


def test_an_unknown_kernel_is_not_found_on_every_route(shared_server: UserServer) -> None:
    api, unknown = shared_server.api.http, str(uuid.uuid4())
    path = f"/api/kernels/{unknown}"
    for answer in (
        api.get(path),
        api.post(f"{path}/interrupt"),
        api.post("/api/kernels", json={"kernel_id": unknown}),
    ):
        assert answer.status_code == 404, answer.text
        assert answer.json()["code"] == "not_found"
    body = {"path": "b", "name": "", "type": "console", "kernel": {"id": unknown}}
    assert api.post("/api/sessions", json=body).status_code == 404


def test_nobody_else_gets_in(shared_server: UserServer) -> None:
    for headers in ({"Authorization": "token somebody-elses"}, {"Authorization": ""}):
        assert shared_server.api.http.get("/api/kernels", headers=headers).status_code == 403
        assert shared_server.api.http.get("/lab", headers=headers, follow_redirects=False).status_code in (
            302,
            403,
        )


def test_lab_is_served_and_calls_nobody(shared_server: UserServer) -> None:
    page = shared_server.api.http.get("/lab", follow_redirects=True)
    config = json.loads(
        page.text.split('id="jupyter-config-data" type="application/json">')[1].split("</script>")[0]
    )
    assert config["news"] == {"disabled": True}
    assert "@jupyterlab/apputils-extension:announcements" in config["disabledExtensions"]
    assert config["extensionManager"]["can_install"] is False
    assert config["terminalsAvailable"] is True
    update = shared_server.api.http.get("/lab/api/update")
    assert update.json()["notification"] is None


def test_the_token_is_written_nowhere(shared_server: UserServer) -> None:
    assert TOKEN not in shared_server.log
    for path in shared_server.home.rglob("*"):
        if path.is_file():
            assert TOKEN.encode() not in path.read_bytes(), path


def test_terminals_can_be_taken_out(new_server: Callable[[str], UserServer], far_end: StockFarEnd) -> None:
    server = new_server(far_end.url)
    server.variables["GRANARY_TERMINALS"] = "0"
    server.start()
    assert server.api.http.get("/api/terminals").status_code == 404


# -- a websocket of which one sees the bytes ---------------------------------------------


def raw_socket(server: UserServer, kernel_id: str, subprotocol: str | None) -> ClientConnection:
    base_url = server.api.base_url.replace("http", "ws", 1)
    return connect(
        f"{base_url}/api/kernels/{kernel_id}/channels?session_id={uuid.uuid4().hex}",
        additional_headers={"Authorization": f"token {TOKEN}"},
        subprotocols=[subprotocol] if subprotocol else None,  # type: ignore[list-item]
        max_size=None,
        compression=None,
        proxy=None,
    )


def send(
    ws: ClientConnection, subprotocol: str | None, msg_type: str, content: object, buffers: list[bytes]
) -> None:
    header = {
        "msg_id": uuid.uuid4().hex,
        "session": "s",
        "username": "",
        "version": "5.3",
        "date": "",
        "msg_type": msg_type,
    }
    if subprotocol == V1:
        parts = [json.dumps(part).encode() for part in (header, {}, {}, content)]
        ws.send(serialize_msg_to_ws_v1([*parts, *buffers], "shell"))
        return
    message = {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": content}
    ws.send(serialize_binary_message({**message, "buffers": buffers}))


def receive(ws: ClientConnection, subprotocol: str | None) -> tuple[str, list[bytes]]:
    frame = ws.recv(timeout=30)
    if subprotocol == V1:
        _, parts = deserialize_msg_from_ws_v1(frame)
        return json.loads(parts[0])["msg_type"], parts[4:]
    if isinstance(frame, str):
        return json.loads(frame)["msg_type"], []
    message = deserialize_binary_message(frame)
    return message["header"]["msg_type"], message["buffers"]


def seconds(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _execute(code: str) -> dict[str, object]:
    return {
        "code": code,
        "silent": False,
        "store_history": False,
        "user_expressions": {},
        "allow_stdin": False,
        "stop_on_error": True,
    }
