"""A real user server, with a stock Jupyter server as its far end and a hub that knows one person."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from tests.support.jupyter import JupyterApi

TOKEN = "the-token-of-one-server"
PERSON = "atlas-1"
TEAM = "atlas"
KERNEL_SCOPES = ["custom:kernels:use", f"custom:kernels:manage!group={TEAM}"]
PATIENCE_SECONDS = 40.0
"""For anything on a slow machine."""

_FAR_END = """
import sys
from jupyter_server.serverapp import main
from jupyter_server.services.kernels.websocket import KernelWebsocketHandler
stock_open = KernelWebsocketHandler.open
async def open_without_nagle(self, kernel_id):
    self.set_nodelay(True)
    await stock_open(self, kernel_id)
KernelWebsocketHandler.open = open_without_nagle
main(sys.argv[1:])
"""
"""Stock but for the 40 ms that would hide ours."""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def eventually(found: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """The first true answer; fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError, OSError):
            if answer := found():
                return answer
        time.sleep(0.02)
    raise AssertionError(f"waited in vain for {what}")


class Process:
    """A child process with a log file."""

    def __init__(self, log: Path) -> None:
        self.log_path = log
        self.child: subprocess.Popen[bytes] | None = None

    def spawn(self, command: list[str], environment: Mapping[str, str], folder: Path) -> None:
        with self.log_path.open("ab") as log:
            self.child = subprocess.Popen(
                command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True
            )

    def end(self, how: signal.Signals = signal.SIGTERM, seconds: float = PATIENCE_SECONDS) -> float:
        """Signal it and wait; returns the seconds it took."""
        if self.child is None:
            return 0.0
        started = time.monotonic()
        self.child.send_signal(how)
        try:
            self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.send_signal(signal.SIGABRT)  # writes where it hangs to its log
            self.child.wait(5)
            raise AssertionError(f"did not end within {seconds} s: {self.log[-6000:]}") from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self.child.pid, signal.SIGKILL)
            self.child = None
        return time.monotonic() - started

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""


class StockFarEnd(Process):
    """A stock jupyter_server under ``/teams/atlas``: the same API as the bridge, without its rules."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "farend.log")
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/teams/{TEAM}"
        self.api = JupyterApi(self.url, TOKEN)

    def start(self) -> None:
        home = self.folder / "farend-home"
        home.mkdir(exist_ok=True)
        options = {
            "ServerApp.port": str(self.port),
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.base_url": f"/teams/{TEAM}",
            "ServerApp.root_dir": str(home),
            "ServerApp.allow_root": "True",
            "ServerApp.open_browser": "False",
            "ServerApp.port_retries": "0",
            "ServerApp.jpserver_extensions": "{}",
            "ZMQChannelsWebsocketConnection.limit_rate": "False",
        }
        environment = {**os.environ, "HOME": str(home), "JUPYTER_TOKEN": TOKEN, "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-c", _FAR_END, *(f"--{name}={value}" for name, value in options.items())]
        self.spawn(command, environment, home)
        eventually(lambda: self.api.http.get("/api/kernels").is_success, "the far end")


class BridgeProcess(Process):
    """``python -m gateway_bridge.app`` at one address, which survives its death."""

    def __init__(self, folder: Path, control_url: str, hub_api_url: str, internal_secret: str) -> None:
        super().__init__(folder / "bridge.log")
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/teams/{TEAM}"
        secrets = folder / "bridge-secrets"
        secrets.mkdir(mode=0o700)
        (secrets / "granary_internal_secret").write_text(internal_secret)
        self.variables = {
            "GRANARY_SECRETS_DIR": str(secrets),
            "GRANARY_BRIDGE_BIND": f"127.0.0.1:{self.port}",
            "GRANARY_CONTROL_URL": control_url,
            "GRANARY_HUB_API_URL": hub_api_url,
        }

    def start(self) -> None:
        root = {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        self.spawn(
            [sys.executable, "-m", "gateway_bridge.app"],
            {**os.environ, **root, **self.variables},
            self.folder,
        )
        health = f"http://127.0.0.1:{self.port}/health"
        eventually(lambda: httpx.get(health, trust_env=False).is_success, f"the bridge: {self.log}")


class OnePersonHub:
    """Answers what a user server asks its hub; knows one token. Records reports of activity."""

    def __init__(self) -> None:
        self.activity: list[dict[str, Any]] = []
        handler = type("Handler", (_HubHandler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.api_url = f"http://127.0.0.1:{self.server.server_address[1]}/hub/api"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class _HubHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: OnePersonHub

    def do_GET(self) -> None:
        if not self.path.endswith("/user"):
            self._answer(200, {"version": "6"})
        elif self.headers.get("Authorization", "").endswith(f" {TOKEN}"):
            scopes = [f"access:servers!user={PERSON}", *KERNEL_SCOPES]
            self._answer(
                200, {"name": PERSON, "kind": "user", "admin": False, "groups": [TEAM], "scopes": scopes}
            )
        else:
            self._answer(403, {"message": "Forbidden"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.hub.activity.append(body)
        self._answer(200, {})

    def _answer(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        pass


class UserServer(Process):
    """``granary-singleuser`` as the spawner starts it."""

    def __init__(self, folder: Path, hub: OnePersonHub, gateway_url: str) -> None:
        super().__init__(folder / "server.log")
        self.home = folder / "home"
        self.home.mkdir(exist_ok=True)
        self.hub = hub
        self.gateway_url = gateway_url
        self.port = free_port()
        self.prefix = f"/user/{PERSON}/"
        self.api = JupyterApi(f"http://127.0.0.1:{self.port}{self.prefix}", TOKEN)
        self.variables: dict[str, str] = {}

    def environment(self) -> dict[str, str]:
        kept = {
            name: os.environ[name]
            for name in ("PATH", "LANG", "PYTHONDONTWRITEBYTECODE")
            if name in os.environ
        }
        scopes = json.dumps([f"access:servers!server={PERSON}/", f"access:servers!user={PERSON}"])
        return {
            **kept,
            "HOME": str(self.home),
            "PYTHONFAULTHANDLER": "1",
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            "JUPYTERHUB_API_TOKEN": TOKEN,
            "JUPYTERHUB_API_URL": self.hub.api_url,
            "JUPYTERHUB_ACTIVITY_URL": f"{self.hub.api_url}/users/{PERSON}/activity",
            "JUPYTERHUB_BASE_URL": "/",
            "JUPYTERHUB_CLIENT_ID": f"jupyterhub-user-{PERSON}",
            "JUPYTERHUB_OAUTH_ACCESS_SCOPES": scopes,
            "JUPYTERHUB_OAUTH_CALLBACK_URL": f"{self.prefix}oauth_callback",
            "JUPYTERHUB_OAUTH_SCOPES": scopes,
            "JUPYTERHUB_SERVER_NAME": "",
            "JUPYTERHUB_SERVICE_PREFIX": self.prefix,
            "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{self.port}{self.prefix}",
            "JUPYTERHUB_USER": PERSON,
            "GRANARY_GATEWAY_URL": self.gateway_url,
            "GRANARY_TEAM": TEAM,
            **self.variables,
        }

    def start(self) -> None:
        self.spawn([sys.executable, "-m", "spawner.singleuser.main"], self.environment(), self.home)
        try:
            eventually(self._answers, "the user server")
        except AssertionError as error:
            with suppress(AssertionError):
                self.end(signal.SIGABRT)
            raise AssertionError(f"{error}: {self.log[-6000:]}") from None

    def _answers(self) -> bool:
        if self.child is not None and self.child.poll() is not None:
            raise AssertionError("the user server ended")
        return self.api.http.get("/api").is_success


class Wire:
    """A TCP connection between two processes that can be cut and mended, at one address."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = free_port()
        self._listener: socket.socket | None = None
        self._ends: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.connections = 0
        self.mend()

    def mend(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(64)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def cut(self) -> None:
        """Close everything; new connections are refused until it is mended."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            ends, self._ends = self._ends, set()
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self.target_port))
            except OSError:
                return
            self.connections += 1
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._ends |= {near, far}
            threading.Thread(target=self._pump, args=(near, far), daemon=True).start()
            threading.Thread(target=self._pump, args=(far, near), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(65536):
                sink.sendall(chunk)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
