"""What people would have instead of Granary: stock processes, started as their own documentation says."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from tests.support.jupyter import JupyterApi

START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 15.0

LOCAL_KERNEL = "local"

STOCK_HUB_CONFIG = """
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.hub_port = {hub_port}
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
c.JupyterHub.services = [{{"name": "bench", "api_token": "{token}"}}]
c.JupyterHub.load_roles = [
    {{"name": "bench", "services": ["bench"], "scopes": ["admin:users", "admin:servers", "access:servers"]}}
]
c.Spawner.args = ["--allow-root"]
c.SimpleLocalProcessSpawner.home_dir_template = "{root}/{{username}}"
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def stock_jupyter_server(root: Path, python: Path) -> Iterator[JupyterApi]:
    """``jupyter server`` with a local kernel ``LOCAL_KERNEL`` of this Python, as on anybody's laptop."""
    _write_local_kernel(root, python)
    port, token = free_port(), secrets.token_hex(16)
    argv = [sys.executable, "-m", "jupyter_server", "--allow-root", "--no-browser"]
    argv += [f"--port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={root}"]
    with _running(
        argv, {"JUPYTER_TOKEN": token, "JUPYTER_PATH": str(root)}, root, f"http://127.0.0.1:{port}/api"
    ):
        yield JupyterApi(f"http://127.0.0.1:{port}", token)


@contextmanager
def stock_hub(root: Path) -> Iterator[HubApi]:
    """JupyterHub with its own local spawner and proxy, nothing of ours."""
    port, token = free_port(), secrets.token_hex(16)
    config = root / "jupyterhub_config.py"
    config.write_text(
        STOCK_HUB_CONFIG.format(port=port, hub_port=free_port(), api_port=free_port(), token=token, root=root)
    )
    argv = [sys.executable, "-m", "jupyterhub", "-f", str(config)]
    try:
        with _running(argv, {}, root, f"http://127.0.0.1:{port}/hub/api"):
            yield HubApi(f"http://127.0.0.1:{port}", token)
    finally:
        _stop_left_proxy(root / "jupyterhub-proxy.pid")


@contextmanager
def raw_zmq_kernel(root: Path, python: Path, transport: str) -> Iterator[BlockingKernelClient]:
    """A local ipykernel of this Python spoken to over its own sockets: no server, no gateway.

    Parameters
    ----------
    transport
        ``tcp``, as kernels are started by default, or ``ipc``.
    """
    _write_local_kernel(root, python)
    specs = KernelSpecManager(kernel_dirs=[str(root / "kernels")], ensure_native_kernel=False)
    manager = KernelManager(
        kernel_name=LOCAL_KERNEL,
        kernel_spec_manager=specs,
        transport=transport,
        connection_file=str(root / f"{transport}.json"),
    )
    manager.start_kernel(env=_clean_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client = manager.blocking_client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=START_TIMEOUT_SECONDS)
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


class HubApi:
    """The hub's REST API as far as starting and stopping servers goes."""

    def __init__(self, public_url: str, token: str) -> None:
        self.public_url, self.token = public_url, token
        self._http = httpx.Client(
            base_url=f"{public_url}/hub/api",
            headers={"Authorization": f"token {token}"},
            timeout=START_TIMEOUT_SECONDS,
            trust_env=False,
        )

    def add_user(self, name: str) -> None:
        self._http.post(f"/users/{name}").raise_for_status()

    def spawn_seconds(self, name: str, options: dict[str, str] | None = None) -> float:
        """Seconds from the request for a server until the hub calls it ready."""
        began = time.perf_counter()
        self._http.post(f"/users/{name}/server", json=options or {}).raise_for_status()
        with self._http.stream("GET", f"/users/{name}/server/progress") as events:
            for line in events.iter_lines():
                if '"ready": true' in line:
                    return time.perf_counter() - began
                if '"failed": true' in line:
                    raise RuntimeError(f"The server of {name} did not start: {line}")
        raise RuntimeError(f"The hub stopped telling about the server of {name}.")

    def server_pid(self, name: str) -> int:
        state = self._http.get(f"/users/{name}", params={"include_stopped_servers": "1"}).json()
        pid: int = state["servers"][""]["state"]["pid"]
        return pid

    def stop(self, name: str) -> None:
        """Stop the server and wait until the hub knows it has stopped."""
        self._http.delete(f"/users/{name}/server").raise_for_status()
        deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            if not self._http.get(f"/users/{name}").json()["servers"]:
                return
            time.sleep(0.05)
        raise RuntimeError(f"The server of {name} did not stop in {STOP_TIMEOUT_SECONDS:.0f} s.")


def _stop_left_proxy(pid_file: Path) -> None:
    """A hub stopped while it is starting leaves its proxy behind, with its pid in this file."""
    if pid_file.exists():
        with suppress(ProcessLookupError):
            os.kill(int(pid_file.read_text()), signal.SIGTERM)


@contextmanager
def _running(argv: list[str], extra: dict[str, str], root: Path, probe_url: str) -> Iterator[None]:
    environment = _clean_environment()
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    log = root / "peer.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv,
            env=environment | extra,
            cwd=root,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait_for(probe_url, process, log)
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _clean_environment() -> dict[str, str]:
    """Without bytecode every process would start seconds later."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _write_local_kernel(root: Path, python: Path) -> None:
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    folder = root / "kernels" / LOCAL_KERNEL
    folder.mkdir(parents=True, exist_ok=True)
    spec = {"argv": argv, "display_name": "Local", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            # Anything but 200 comes from a proxy whose hub has not told it its routes yet.
            if httpx.get(url, timeout=2, trust_env=False).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"{url} does not answer:\n{log.read_text()[-2000:]}")
