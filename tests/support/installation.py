"""The whole product as people run it: a real ``granary up`` in a directory of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from tests.support.jupyter import JupyterApi

UP_SECONDS = 180.0
"""For a first start on a cold machine: packages are fetched and environments built."""

PATIENCE_SECONDS = 45.0

GRANARY = Path(sys.executable).parent / "granary"

T = TypeVar("T")


def wait_until(what: str, condition: Callable[[], T | None], *, seconds: float = PATIENCE_SECONDS) -> T:
    """Look until ``condition`` gives something true; says what it waited for if it never does."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s for: {what}")
        time.sleep(0.05)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def clean_environment() -> dict[str, str]:
    """As in a person's shell; without bytecode every process would start seconds later."""
    dropped = ("GRANARY_", "JUPYTER", "PYTHONDONTWRITEBYTECODE", "PYTEST_")
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)}


def granary(*arguments: str, seconds: float = 30) -> subprocess.CompletedProcess[str]:
    """Run one command of the command line."""
    return subprocess.run(
        [GRANARY, *arguments],
        capture_output=True,
        text=True,
        timeout=seconds,
        env=clean_environment(),
        check=False,
    )


class Installation:
    """A running installation and the ways people use it."""

    contact = "the people who run this site"

    def __init__(self, directory: Path, port: int, *options: str) -> None:
        self.directory = directory
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.output = directory.with_name(f"{directory.name}.out")
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    # -- life ------------------------------------------------------------------------

    def up(self, *, seconds: float = UP_SECONDS) -> float:
        """Start it; returns the seconds until it said it was ready."""
        began = time.perf_counter()
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                [GRANARY, "up", "--dir", self.directory, "--port", str(self.port), *self._options],
                stdout=output,
                stderr=output,
                env=clean_environment(),
                start_new_session=True,
            )
        wait_until("granary up to be ready or to end", self._ready_or_ended, seconds=seconds)
        assert self._process.poll() is None, self.output.read_text()
        return time.perf_counter() - began

    def _ready_or_ended(self) -> bool:
        assert self._process is not None
        return "Granary is ready" in self.output.read_text() or self._process.poll() is not None

    def down(self) -> float:
        """Ctrl-C; returns the seconds until the command had ended."""
        assert self._process is not None
        began = time.perf_counter()
        self._process.send_signal(signal.SIGINT)
        self._process.wait(30)
        return time.perf_counter() - began

    def kill_supervisor(self) -> None:
        """``kill -9`` of ``granary up`` itself."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def end_for_good(self) -> None:
        """Whatever a test did to it, nothing of it is left."""
        if self._process is not None and self._process.poll() is None:
            self.down()
        granary("down", "--dir", str(self.directory))

    # -- what it is made of --------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        return json.loads(granary("status", "--json", "--dir", str(self.directory)).stdout)

    def pid(self, process: str) -> int | None:
        views = {view["name"]: view for view in self.status()["processes"]}
        return views[process]["pid"]

    def kill(self, process: str) -> int:
        """``kill -9`` of one process; returns its pid."""
        pid = self.pid(process)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        return pid

    def until_back(self, process: str, old_pid: int) -> None:
        """Wait until the supervisor has started a process again and it does its work."""

        def back() -> bool:
            views = {view["name"]: view for view in self.status()["processes"]}
            return views[process]["healthy"] and views[process]["pid"] != old_pid

        wait_until(f"{process} to be back", back)

    def server_pid(self, name: str) -> int:
        note = self.directory / "hub" / "servers" / f"{name}.pid"
        return int(note.read_text().split()[0])

    def pids(self) -> set[int]:
        """Everything of this installation that runs, found by the directory in its environment."""
        found = set()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if any(str(self.directory) in value for value in process.environ().values()):
                    found.add(process.pid)
        return found - {os.getpid()}

    # -- people ----------------------------------------------------------------------------

    @cached_property
    def accounts(self) -> dict[str, dict[str, Any]]:
        entries = json.loads((self.directory / "demo-accounts.json").read_text())
        return {entry["name"]: entry for entry in entries}

    def password(self, name: str) -> str:
        return self.accounts[name]["password"]

    def token(self, name: str) -> str:
        """A hub API token that the person made after signing in."""
        if name not in self._tokens:
            self._tokens[name] = self._new_token(name)
        return self._tokens[name]

    @cached_property
    def _tokens(self) -> dict[str, str]:
        return {}

    def _new_token(self, name: str) -> str:
        with self.browser_of(name) as http:
            xsrf = http.cookies.get("_xsrf", path="/hub/")
            answer = http.post(
                f"/hub/api/users/{name}/tokens",
                json={"note": f"test {secrets.token_hex(4)}"},
                headers={"X-XSRFToken": xsrf or "", "Referer": f"{self.url}/hub/token"},
            )
            answer.raise_for_status()
            token: str = answer.json()["token"]
            return token

    @contextmanager
    def browser_of(self, name: str) -> Iterator[httpx.Client]:
        """An HTTP client that has signed in as a browser does, form by form."""
        with httpx.Client(
            base_url=self.url, follow_redirects=True, timeout=PATIENCE_SECONDS, trust_env=False
        ) as http:
            page = http.get("/hub/oauth_login?next=/hub/token")
            page = http.post(page.url, data={**_hidden_fields(page.text), "login": name})
            page = http.post(page.url, data={**_hidden_fields(page.text), "password": self.password(name)})
            page.raise_for_status()
            yield http

    def start_server(self, name: str, **options: str) -> JupyterApi:
        """Start the person's server with their own token unless it runs; wait until it is ready."""
        token = self.token(name)
        hub = httpx.Client(
            base_url=f"{self.url}/hub/api",
            headers={"Authorization": f"token {token}"},
            timeout=PATIENCE_SECONDS,
            trust_env=False,
        )
        with hub:
            if not self._is_ready(hub, name):
                hub.post(f"/users/{name}/server", json=options).raise_for_status()
            wait_until(f"the server of {name}", lambda: self._is_ready(hub, name))
        return JupyterApi(f"{self.url}/user/{name}", token)

    @staticmethod
    def _is_ready(hub: httpx.Client, name: str) -> bool:
        servers = hub.get(f"/users/{name}").json().get("servers", {})
        return bool(servers) and servers[""]["ready"]

    def stop_server(self, name: str) -> None:
        headers = {"Authorization": f"token {self.token(name)}"}
        with httpx.Client(base_url=f"{self.url}/hub/api", headers=headers, trust_env=False) as hub:
            hub.delete(f"/users/{name}/server")
            wait_until(
                f"the server of {name} to stop", lambda: not hub.get(f"/users/{name}").json().get("servers")
            )

    def bridge(self, name: str, team: str) -> JupyterApi:
        """The gateway as a laptop uses it, with the person's token."""
        return JupyterApi(f"{self.url}/services/gateway/teams/{team}", self.token(name))

    # -- the platform admin's view -----------------------------------------------------------

    def cli(self, *arguments: str) -> Any:
        """The answer of a command with ``--json``, as the local platform admin."""
        done = granary(*arguments, "--json", "--dir", str(self.directory), seconds=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def running_kernels(self, team: str = "atlas") -> list[dict[str, Any]]:
        answer = self.cli("running", "list", "--team", team)
        return answer["kernels"] if isinstance(answer, dict) else answer


def _hidden_fields(html: str) -> dict[str, str]:
    fields = {}
    for tag in re.findall(r"<input[^>]*>", html):
        attributes = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if attributes.get("type") == "hidden" and "name" in attributes:
            fields[attributes["name"]] = attributes.get("value", "")
    return fields
