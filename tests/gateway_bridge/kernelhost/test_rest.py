"""The REST API: bodies, status codes, and who may do what."""

from __future__ import annotations

import json
import re
import socket
import stat
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from hub.domain.secrets import kernel_secret
from hub.wire import HostKernel
from tests.gateway_bridge.kernelhost.conftest import KernelUnderTest, Starter
from tests.support.kernelhost import KernelHostProcess
from tests.support.kernelsocket import KernelWebsocket

ISO_WITH_Z = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z")


# -- bodies and status codes ---------------------------------------------------------------------


def test_a_start_is_answered_as_by_jupyter_server(host: KernelHostProcess, api: httpx.Client) -> None:
    body = host.launch_body()
    response = api.post("/api/kernels", json=body)
    assert response.status_code == 201
    assert response.headers["Location"] == f"/api/kernels/{body['kernel_id']}"
    assert response.headers["Content-Type"] == "application/json"
    model = response.json()
    assert list(model) == ["id", "name", "last_activity", "execution_state", "connections"]
    assert (model["id"], model["name"]) == (body["kernel_id"], "python-test")
    assert (model["execution_state"], model["connections"]) == ("starting", 0)
    assert ISO_WITH_Z.fullmatch(model["last_activity"])
    assert HostKernel.model_validate(model).id == body["kernel_id"]
    deleted = api.delete(f"/api/kernels/{body['kernel_id']}")
    assert (deleted.status_code, deleted.content) == (204, b"")


def test_kernels_are_listed_and_counted(kernel: KernelUnderTest, api: httpx.Client) -> None:
    assert kernel.model() in api.get("/api/kernels").json()
    status = api.get("/api/status").json()
    assert set(status) == {"connections", "kernels", "last_activity", "started"}
    assert status["kernels"] >= 1
    assert ISO_WITH_Z.fullmatch(status["started"])
    assert "version" in api.get("/api").json()


def test_activity_follows_executions(kernel: KernelUnderTest) -> None:
    before = datetime.fromisoformat(kernel.ready()["last_activity"])
    with kernel.websocket() as websocket:
        assert datetime.fromisoformat(kernel.model()["last_activity"]) == before
        msg_id = websocket.start_cell("input()", allow_stdin=True)
        question = websocket.until(lambda m: m.kind == "input_request")[-1]
        model = kernel.model()
        assert (model["execution_state"], model["connections"]) == ("busy", 1)
        assert datetime.fromisoformat(model["last_activity"]) > before
        websocket.send("input_reply", {"value": ""}, channel="stdin", parent=question.header)
        websocket.finish_cell(msg_id)
        assert kernel.model()["execution_state"] == "idle"


def test_unknown_kernels_are_not_found_alike(api: httpx.Client) -> None:
    path = f"/api/kernels/{uuid.uuid4()}"
    answers = [
        api.get(path),
        api.delete(path),
        api.post(f"{path}/interrupt"),
        api.post(f"{path}/restart"),
        api.get(f"{path}/ready"),
        api.get(f"{path}/channels"),
        api.get("/api/kernels/not-an-id"),
    ]
    for answer in answers:
        assert answer.status_code == 404
        body = answer.json()
        assert (body["code"], body["reason"]) == ("running_kernel_not_found", None)


def test_the_same_id_twice_is_a_conflict(kernel: KernelUnderTest, api: httpx.Client) -> None:
    response = api.post("/api/kernels", json=kernel.host.launch_body(kernel.id))
    assert (response.status_code, response.json()["code"]) == (409, "running_kernel_exists")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": "evil"}, "image"),
        ({"kernel_id": "not-an-id"}, "kernel_id"),
        ({"kernel_id": str(uuid.uuid4()).upper()}, "kernel_id"),
        ({"kernel_id": f"{uuid.uuid4()}\n"}, "kernel_id"),
        ({"name": ""}, "name"),
        ({"argv": []}, "argv"),
        ({"argv": ["python", "{connection_file}"]}, "absolute path"),
        ({"argv": ["/usr/bin/python3"]}, "connection file"),
        ({"argv": ["/usr/bin/python3", "{connection_file}\x00"]}, "argv"),
        ({"env": {"A=B": "x"}}, "env"),
        ({"env": {"A": 1}}, "env"),
        ({"env": {"A": "x\x00y"}}, "env"),
        ({"env": {f"A{i}": "" for i in range(2000)}}, "env"),
        ({"home": "relative"}, "absolute"),
        ({"cwd": "/etc"}, "cwd must lie in home"),
        ({"home": "/tmp/x/../y", "cwd": "/tmp/x/../y"}, "'..'"),
        ({"interrupt_mode": "shout"}, "interrupt_mode"),
    ],
)
def test_launches_that_are_refused(
    host: KernelHostProcess, api: httpx.Client, change: dict[str, Any], words: str
) -> None:
    response = api.post("/api/kernels", json=host.launch_body() | change)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_request")
    assert words in response.json()["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_bodies_that_are_no_launch(api: httpx.Client, body: bytes) -> None:
    response = api.post("/api/kernels", content=body)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_request")


def test_bodies_that_are_too_large(host: KernelHostProcess, api: httpx.Client) -> None:
    launch = host.launch_body(env={f"A{i}": "x" * 100_000 for i in range(20)})
    response = api.post("/api/kernels", json=launch)
    assert (response.status_code, response.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize("timeout", ["-1", "nan", "inf", "soon", "1e9"])
def test_timeouts_that_are_none(kernel: KernelUnderTest, timeout: str) -> None:
    assert kernel.api.get(f"{kernel.path}/ready", params={"timeout": timeout}).status_code == 400


def test_addresses_and_methods_that_are_none(api: httpx.Client) -> None:
    answer = api.get("/api/sessions")
    assert (answer.status_code, answer.json()["code"]) == (404, "route_not_found")
    for method, path in (("PUT", "/api/kernels"), ("POST", "/health"), ("PATCH", "/api/status")):
        answer = api.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


def test_health_needs_no_secret(host: KernelHostProcess) -> None:
    assert httpx.get(f"{host.url}/health").json()["status"] == "ok"


@pytest.mark.parametrize(
    "request_text",
    [
        "POST /api/kernels HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /api/kernels HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: x\r\nX: " + "a" * 100_000 + "\r\n\r\n",
        "nonsense\r\n\r\n",
    ],
)
def test_requests_that_are_not_http_enough_close_the_connection(
    host: KernelHostProcess, request_text: str
) -> None:
    port = int(host.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=15) as raw:
        raw.sendall(request_text.encode())
        answer = b""
        try:
            while chunk := raw.recv(65536):
                answer += chunk
        except ConnectionResetError:
            pass
    assert not answer.startswith(b"HTTP/1.1 2")


# -- secrets -----------------------------------------------------------------------------------------

_HOST_ROUTES = [("GET", "/api"), ("GET", "/api/status"), ("GET", "/api/kernels"), ("POST", "/api/kernels")]
_KERNEL_ROUTES = [
    ("GET", ""),
    ("DELETE", ""),
    ("POST", "/interrupt"),
    ("POST", "/restart"),
    ("GET", "/ready"),
    ("GET", "/channels"),
]


@pytest.mark.parametrize("authorization", [None, "", "token", "Basic c2VjcmV0", "token wrong", "token é"])
def test_without_a_right_secret_everything_is_refused_alike(
    kernel: KernelUnderTest, host: KernelHostProcess, authorization: str | None
) -> None:
    headers = [] if authorization is None else [(b"Authorization", authorization.encode())]
    unknown = f"/api/kernels/{uuid.uuid4()}"
    routes = [*_HOST_ROUTES, *((m, p + s) for p in (kernel.path, unknown) for m, s in _KERNEL_ROUTES)]
    with httpx.Client(base_url=host.url, trust_env=False) as client:
        bodies = set()
        for method, path in routes:
            response = client.request(method, path, headers=headers)
            assert response.status_code == 401, (method, path)
            if path.startswith("/api/kernels/"):
                bodies.add(response.text)
    assert len(bodies) == 1
    assert kernel.model()["id"] == kernel.id


def test_a_kernels_secret_opens_that_kernel_only(
    kernel: KernelUnderTest, host: KernelHostProcess, start: Starter
) -> None:
    other = start()
    secret = kernel_secret(host.secret, kernel.id)
    with host.client(secret) as client:
        assert client.get(kernel.path).status_code == 200
        assert client.get(f"{kernel.path}/ready").status_code == 200
        assert client.post(f"{kernel.path}/interrupt").status_code == 204
        for method, path in _HOST_ROUTES:
            assert client.request(method, path).status_code == 401, (method, path)
        for method, suffix in _KERNEL_ROUTES:
            assert client.request(method, other.path + suffix).status_code == 401, (method, suffix)
    with KernelWebsocket(kernel.url, secret) as websocket:
        assert websocket.run("1").results() == ["1"]
    with pytest.raises(InvalidStatus) as refused:
        KernelWebsocket(other.url, secret)
    assert refused.value.response.status_code == 401
    assert other.model()["id"] == other.id


def test_both_scheme_words_are_accepted(host: KernelHostProcess) -> None:
    for scheme in ("token", "Bearer", "TOKEN"):
        headers = {"Authorization": f"{scheme} {host.secret}"}
        assert httpx.get(f"{host.url}/api", headers=headers).status_code == 200


def test_a_secret_in_the_address_is_no_secret(host: KernelHostProcess) -> None:
    assert httpx.get(f"{host.url}/api?token={host.secret}").status_code == 401


@pytest.mark.parametrize("path", ["/health", "/api", "/api/kernels", "/nowhere"])
def test_web_pages_are_refused(api: httpx.Client, path: str) -> None:
    response = api.get(path, headers={"Origin": "http://127.0.0.1"})
    assert response.status_code in {403, 404}
    assert response.json()["code"] in {"origin_refused", "route_not_found"}
    assert "Access-Control-Allow-Origin" not in response.headers


# -- what a kernel is given ----------------------------------------------------------------------------


def test_a_kernel_inherits_nothing_from_the_host(start: Starter, host: KernelHostProcess) -> None:
    kernel = start(env={"GIVEN": "by policy"})
    with kernel.websocket() as websocket:
        cell = websocket.run("import json, os; print(json.dumps(dict(os.environ)))")
        environment = json.loads(cell.text())
        limits = websocket.run("import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE))").text()
    assert environment["GIVEN"] == "by policy"
    assert environment["HOME"] == str(host.homes / "someone")
    assert "HOST_ONLY" not in environment
    assert not [name for name in environment if name.startswith("GRANARY_")]
    assert host.secret not in json.dumps(environment)
    allowed = {"PATH", "LANG", "HOME", "JPY_PARENT_PID", "GIVEN"}
    # What ipykernel sets itself, for programs it starts.
    of_ipykernel = (
        "JPY_SESSION_NAME PYDEVD_USE_FRAME_EVAL TERM CLICOLOR CLICOLOR_FORCE FORCE_COLOR PAGER GIT_PAGER "
        "MPLBACKEND COLUMNS LINES LC_CTYPE"
    )
    assert set(environment) <= allowed | set(of_ipykernel.split())
    assert limits


def test_signals_are_as_in_a_fresh_session() -> None:
    """A host in the background of a shell is given signals that are ignored."""
    host = KernelHostProcess(wrapper=["/bin/sh", "-c", 'trap "" INT HUP QUIT; exec "$@"', "sh"])
    try:
        with host.client() as api, KernelUnderTest(host, api).websocket() as websocket:
            status = websocket.run("print(open('/proc/self/status').read())").text()
            leader = websocket.run("import os; os.getsid(0) == os.getpid() == os.getpgid(0)").results()
    finally:
        host.stop()
    masks = {name: int(mask, 16) for name, mask in re.findall(r"(SigIgn|SigBlk):\s*([0-9a-f]+)", status)}
    hangup, interrupt, quit_, terminate = (1 << (number - 1) for number in (1, 2, 3, 15))
    assert not masks["SigIgn"] & (hangup | interrupt | quit_ | terminate)
    assert masks["SigBlk"] == 0
    assert leader == ["True"]


def test_files_are_nobody_elses(kernel: KernelUnderTest, host: KernelHostProcess) -> None:
    kernel.ready()
    assert stat.S_IMODE(host.runtime_dir.stat().st_mode) == 0o700
    directories = [entry for entry in host.runtime_dir.iterdir() if entry.is_dir()]
    assert directories
    for directory in directories:
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        (connection_file,) = directory.glob("*.json")
        assert stat.S_IMODE(connection_file.stat().st_mode) == 0o600
        assert json.loads(connection_file.read_text())["transport"] == "ipc"
    assert stat.S_IMODE((host.homes / "someone").stat().st_mode) == 0o700


def test_a_home_with_a_working_directory_is_made(
    start: Starter, host: KernelHostProcess, tmp_path: Path
) -> None:
    home = tmp_path / "homes" / "new"
    kernel = start(home=str(home), cwd=str(home / "projects" / "one"))
    with kernel.websocket() as websocket:
        assert websocket.run("import os; print(os.getcwd())").text().strip() == str(home / "projects" / "one")
    for directory in (home, home / "projects", home / "projects" / "one"):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_the_hosts_log_holds_no_secret(host: KernelHostProcess, kernel: KernelUnderTest) -> None:
    log = "".join(host.log)
    assert host.secret not in log
    assert kernel_secret(host.secret, kernel.id) not in log
