"""The launcher's side of the kernels API, against hosts that answer oddly or not at all."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from hub.domain.secrets import kernel_secret
from hub.errors import GranaryError, KernelHostUnavailable, KernelStartFailed
from hub.launchers import endpoint
from hub.launchers.base import Launch
from hub.launchers.endpoint import JupyterEndpointLauncher

SECRET = "host-secret-0123456789"
LAUNCH = Launch(
    "k1", "python-data", ["/x", "{connection_file}"], {"A": "b"}, "/homes/a/w", "/homes/a", "python"
)
A_KERNEL = {"id": "k1", "name": "x", "last_activity": "2026-11-21T12:00:00Z", "execution_state": "starting"}


class HostWithOneAnswer:
    """Says the same to everything and remembers what it was asked."""

    def __init__(self) -> None:
        self.answer: tuple[int, bytes] = (200, b"")
        self.delay_seconds = 0.0
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        handler = type("Handler", (_Handler,), {"host": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    host: HostWithOneAnswer

    def _say(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.host.asked.append((self.command, self.path, dict(self.headers), body))
        time.sleep(self.host.delay_seconds)
        status, answer = self.host.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_DELETE = _say  # noqa: N815 # names the base class looks for

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def host() -> Iterator[HostWithOneAnswer]:
    one = HostWithOneAnswer()
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture
async def launcher(host: HostWithOneAnswer) -> AsyncIterator[JupyterEndpointLauncher]:
    driving = JupyterEndpointLauncher("local", host.url, SECRET)
    yield driving
    await driving.aclose()


async def test_a_start_carries_our_id_and_the_whole_launch(
    launcher: JupyterEndpointLauncher, host: HostWithOneAnswer
):
    host.answer = (201, json.dumps(A_KERNEL).encode())
    assert await launcher.start(LAUNCH) == "k1" == launcher.host_kernel_id("k1")
    [(method, path, headers, body)] = host.asked
    assert (method, path, headers["Authorization"]) == ("POST", "/api/kernels", f"token {SECRET}")
    assert json.loads(body) == {
        "name": "python-data",
        "kernel_id": "k1",
        "argv": ["/x", "{connection_file}"],
        "env": {"A": "b"},
        "cwd": "/homes/a/w",
        "home": "/homes/a",
        "interrupt_mode": "signal",
        "language": "python",
    }


def test_the_bridge_is_given_a_secret_for_one_kernel(
    launcher: JupyterEndpointLauncher, host: HostWithOneAnswer
):
    assert launcher.address("k1") == (host.url, kernel_secret(SECRET, "k1"))


async def test_kernels_are_listed(launcher: JupyterEndpointLauncher, host: HostWithOneAnswer):
    host.answer = (200, json.dumps([A_KERNEL, A_KERNEL | {"id": "k2"}]).encode())
    assert await launcher.list() == {"k1", "k2"}


@pytest.mark.parametrize("status", [204, 404])
async def test_a_stopped_kernel_is_stopped_however_it_came(
    launcher: JupyterEndpointLauncher, host: HostWithOneAnswer, status: int
):
    host.answer = (status, b"")
    await launcher.stop("k1/../../x")
    assert host.asked[0][:2] == ("DELETE", "/api/kernels/k1%2F..%2F..%2Fx")


REASON = {"code": "kernel_start_failed", "message": "No module named ipykernel.", "details": {}}
BUSY = {"code": "kernel_host_unavailable", "message": "Stopping.", "details": {}}
ODD = {"code": "invalid_request", "message": "cwd must lie in home", "details": {}}

Call = Callable[[JupyterEndpointLauncher], Awaitable[object]]
START: Call = lambda launcher: launcher.start(LAUNCH)  # noqa: E731
READY: Call = lambda launcher: launcher.ready("k1", timedelta(seconds=1))  # noqa: E731
STOP: Call = lambda launcher: launcher.stop("k1")  # noqa: E731
LIST: Call = lambda launcher: launcher.list()  # noqa: E731


@pytest.mark.parametrize(
    ("call", "status", "body", "error", "told"),
    [
        (START, 500, json.dumps(REASON), KernelStartFailed, "No module named ipykernel"),
        (READY, 500, json.dumps(REASON), KernelStartFailed, "No module named ipykernel"),
        (START, 503, json.dumps(BUSY), KernelHostUnavailable, "Stopping"),
        (START, 400, json.dumps(ODD), KernelStartFailed, "cwd must lie in home"),
        (START, 502, "<html>", KernelStartFailed, "502"),
        (START, 500, "[]", KernelStartFailed, "500"),
        (START, 201, "not JSON", KernelHostUnavailable, "not understood"),
        (START, 201, "{}", KernelHostUnavailable, "not understood"),
        (LIST, 200, "{}", KernelHostUnavailable, "not understood"),
        (LIST, 403, "", KernelHostUnavailable, "403"),
        (STOP, 500, "", KernelHostUnavailable, "could not stop"),
    ],
)
async def test_odd_answers_become_words(
    launcher: JupyterEndpointLauncher,
    host: HostWithOneAnswer,
    call: Call,
    status: int,
    body: str,
    error: type[GranaryError],
    told: str,
):
    host.answer = (status, body.encode())
    with pytest.raises(error, match=told):
        await call(launcher)


@pytest.mark.parametrize("call", [START, READY, STOP, LIST], ids=["start", "ready", "stop", "list"])
async def test_a_host_that_is_not_there(call: Call):
    driving = JupyterEndpointLauncher("local", "http://127.0.0.1:1", SECRET)
    with pytest.raises(KernelHostUnavailable, match="local is not reachable"):
        await call(driving)
    await driving.aclose()


async def test_a_host_that_hangs(host: HostWithOneAnswer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(endpoint, "CALL_TIMEOUT", timedelta(milliseconds=50))
    host.delay_seconds = 0.5
    driving = JupyterEndpointLauncher("local", host.url, SECRET)
    with pytest.raises(KernelHostUnavailable, match="in time"):
        await driving.start(LAUNCH)
    await driving.aclose()
