"""A real hub behind a real proxy, logging in at a second real OpenID Connect provider."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import psutil

TEAMS = [{"name": "atlas", "display_name": "Atlas"}, {"name": "borealis", "display_name": "Borealis"}]

PEOPLE = {
    "admin": ["granary-admins"],
    "atlas-admin": ["atlas", "atlas-admins"],
    "atlas-1": ["atlas"],
    "atlas-2": ["atlas"],
    "borealis-1": ["borealis"],
    "both-1": ["atlas", "borealis"],
    "both-2": ["atlas", "borealis"],
    "admin-in-atlas": ["atlas", "granary-admins"],
    "outsider": ["somewhere-else"],
}
"""Name at the provider to groups there."""

CONTACT = "the data desk"

ROOT = Path(__file__).parents[2]
"""Of the repository."""

PATIENCE = timedelta(seconds=40)
"""For anything on a slow machine."""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_until(condition: Callable[[], Any], what: str, patience: timedelta = PATIENCE) -> Any:
    deadline = time.monotonic() + patience.total_seconds()
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited in vain: {what}")


# -- the provider -------------------------------------------------------------------------


class Provider:
    """``oidc-provider-mock`` with our people; it can be stopped and come back at the same address."""

    def __init__(self, log: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "oidc_provider_mock", "--port", str(self.port)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        wait_until(lambda: _answers(f"{self.url}/.well-known/openid-configuration", 200), "the provider")
        for name, groups in PEOPLE.items():
            self.set_claims(name, preferred_username=name, groups=groups)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE.total_seconds())
            self._process = None

    def set_claims(self, sub: str, **claims: Any) -> None:
        httpx.put(f"{self.url}/users/{sub}", json=claims).raise_for_status()

    def revoke_tokens(self, sub: str) -> None:
        httpx.post(f"{self.url}/users/{sub}/revoke-tokens").raise_for_status()


# -- the control plane -----------------------------------------------------------------------


class ControlPlane:
    """The real one, on a database of its own; it can be stopped and come back at the same address."""

    def __init__(self, directory: Path, secrets_dir: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = directory / "control.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._variables = {
            "PATH": os.environ["PATH"],
            "GRANARY_SECRETS_DIR": str(secrets_dir),
            "GRANARY_CONTROL_BIND": f"127.0.0.1:{self.port}",
            "GRANARY_DATABASE_URL": f"sqlite:///{directory / 'granary.sqlite'}",
            "GRANARY_STORE_DIR": str(directory / "store"),
            "GRANARY_HOMES_DIR": str(directory / "homes"),
            "GRANARY_KERNEL_HOST_URL": f"http://127.0.0.1:{free_port()}",
            "GRANARY_TEAMS": json.dumps(TEAMS),
            "GRANARY_CONTACT": CONTACT,
        }

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hub.app"],
                cwd=ROOT, env=self._variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        wait_until(lambda: _answers(f"{self.url}/health", 200), "the control plane")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE.total_seconds())
            self._process = None


# -- hub and proxy -----------------------------------------------------------------------------


@dataclass
class RunningHub:
    """Processes of one deployment, in ``directory``."""

    directory: Path
    provider: Provider
    control: ControlPlane
    variables: dict[str, str]
    secrets: dict[str, str]
    port: int
    hub_port: int
    proxy_api_port: int
    extra_config: str = ""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _admin_token: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.hub_port}/hub/api"

    @property
    def cli_token(self) -> str:
        return self.secrets["granary_cli_token"]

    def start_proxy(self) -> None:
        self._start(
            "proxy",
            [str(Path(sys.executable).parent / "configurable-http-proxy"),
             "--ip", "127.0.0.1", "--port", str(self.port),
             "--api-ip", "127.0.0.1", "--api-port", str(self.proxy_api_port),
             "--error-target", f"http://127.0.0.1:{self.hub_port}/hub/error"],
            {"CONFIGPROXY_AUTH_TOKEN": self.secrets["granary_proxy_token"]},
        )  # fmt: skip
        wait_until(lambda: _answers(f"http://127.0.0.1:{self.proxy_api_port}/api/routes"), "proxy API")

    def pid_of_server(self, name: str) -> int:
        return int((self.directory / "state" / "servers" / f"{name}.pid").read_text().split()[0])

    def server(self, name: str) -> dict[str, Any] | None:
        """The hub's record of a person's server, None while there is none."""
        servers: dict[str, Any] = self.call("GET", f"/users/{name}", token=self.admin_token()).json()[
            "servers"
        ]
        return servers.get("")

    def admin_token(self) -> str:
        """Of a platform admin who signed in; the service account sees no servers."""
        if self._admin_token is None:
            visitor = Visitor(self)
            visitor.sign_in("admin")
            self._admin_token = visitor.token("admin")
        return self._admin_token

    def start_hub(self, **popen: Any) -> None:
        config = self.directory / "jupyterhub_config.py"
        config.write_text(f"from hub.config import configure\nconfigure(c)\n{self.extra_config}")
        self._start("hub", [sys.executable, "-m", "jupyterhub", "-f", str(config)], self.variables, **popen)
        wait_until(
            lambda: self._alive("hub") and _answers(f"{self.url}/hub/health", 200), "hub behind the proxy"
        )

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        process = self.processes.pop(name)
        process.send_signal(number)
        process.wait(PATIENCE.total_seconds())

    def log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def stop(self) -> None:
        for name in list(self.processes):
            self.kill(name)
        for pid_file in (self.directory / "state" / "servers").glob("*.pid"):
            pid, created = pid_file.read_text().split()
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                if psutil.Process(int(pid)).create_time() == float(created):
                    os.killpg(int(pid), signal.SIGKILL)
        self.control.stop()
        self.provider.stop()

    def call(self, method: str, path: str, *, token: str | None = None, **kwargs: Any) -> httpx.Response:
        """The hub's REST API, as ``granary-cli`` unless another token is given."""
        headers = {"Authorization": f"token {token or self.cli_token}"}
        return httpx.request(method, f"{self.url}/hub/api{path}", headers=headers, timeout=60, **kwargs)

    def _start(self, name: str, command: list[str], extra: dict[str, str], **popen: Any) -> None:
        environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **extra}
        with (self.directory / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, env=environment, cwd=ROOT, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, **popen,
            )  # fmt: skip

    def _alive(self, name: str) -> bool:
        status = self.processes[name].poll()
        assert status is None, f"{name} ended with {status}:\n{self.log(name)[-4000:]}"
        return True


@contextmanager
def running_hub(directory: Path, **variables: str) -> Iterator[RunningHub]:
    """A hub with ``TEAMS`` and ``PEOPLE``, stopped with all its servers at the end."""
    stated = {
        "granary_internal_secret": secrets.token_hex(16),
        "granary_kernel_host_secret": secrets.token_hex(16),
        "granary_oidc_client_secret": secrets.token_hex(16),
        "granary_hub_crypt_key": secrets.token_hex(32),
        "granary_hub_cookie_secret": secrets.token_hex(32),
        "granary_proxy_token": secrets.token_hex(16),
        "granary_cli_token": secrets.token_hex(16),
    }
    secrets_dir = directory / "secrets"
    secrets_dir.mkdir(mode=0o700)
    for name, value in stated.items():
        (secrets_dir / name).write_text(value)
    provider = Provider(directory / "provider.log")
    control = ControlPlane(directory, secrets_dir)
    port, hub_port, api_port = free_port(), free_port(), free_port()
    settings = {
        "GRANARY_SECRETS_DIR": str(secrets_dir),
        "GRANARY_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "GRANARY_HUB_BIND": f"127.0.0.1:{hub_port}",
        "GRANARY_PROXY_API_URL": f"http://127.0.0.1:{api_port}",
        "GRANARY_CONTROL_URL": control.url,
        "GRANARY_BRIDGE_URL": "http://127.0.0.1:9",
        "GRANARY_STATE_DIR": str(directory / "state"),
        "GRANARY_HOMES_DIR": str(directory / "homes"),
        "GRANARY_TEAMS": json.dumps(TEAMS),
        "GRANARY_CONTACT": CONTACT,
        "GRANARY_OIDC_ISSUER": provider.url,
        "GRANARY_OIDC_CLIENT_ID": "granary",
        "GRANARY_OIDC_SCOPES": '["openid", "profile"]',
        **variables,
    }
    hub = RunningHub(directory, provider, control, settings, stated, port, hub_port, api_port)
    try:
        provider.start()
        control.start()
        hub.start_proxy()
        hub.start_hub()
        yield hub
    finally:
        hub.stop()


def _answers(url: str, *expected: int) -> bool:
    try:
        status = httpx.get(url, timeout=2).status_code
    except httpx.TransportError:
        return False
    return status in expected if expected else status < 500


# -- a person at a browser without scripts ------------------------------------------------------


class Visitor:
    """Follows redirects, keeps cookies, submits forms."""

    def __init__(self, hub: RunningHub) -> None:
        self.hub = hub
        self.http = httpx.Client(follow_redirects=True, timeout=60)
        weakref.finalize(self, self.http.close)
        self.http.headers["Sec-Fetch-Mode"] = "navigate"

    def get(self, path: str) -> httpx.Response:
        return self.http.get(urljoin(self.hub.url, path))

    def sign_in(self, name: str, path: str = "/hub/home") -> httpx.Response:
        """Log in as ``name``, then go where ``path`` leads."""
        page = self.get(f"/hub/oauth_login?next={path}")
        assert str(page.url).startswith(self.hub.provider.url), page.text
        return self.http.post(page.url, data={"sub": name})

    def submit(self, page: httpx.Response, **fields: str) -> httpx.Response:
        """Submit the page's form as a browser would, ``fields`` chosen by the person."""
        form = FormReader.of(page.text)
        url = urljoin(str(page.url), form.action)
        return self.http.post(url, data=fields)

    def token(self, name: str, **body: Any) -> str:
        """An API token of the person signed in, made as the hub's token page does."""
        answer = self.api("POST", f"/users/{name}/tokens", json={"note": "test", **body})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])

    def api(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """The hub's REST API as the pages of the hub call it, by cookie."""
        cookies = self.http.cookies.jar
        xsrf = next(each.value for each in cookies if each.name == "_xsrf" and each.path == "/hub/")
        headers = {"X-XSRFToken": xsrf, "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
        return self.http.request(method, f"{self.hub.url}/hub/api{path}", headers=headers, **kwargs)


class FormReader(HTMLParser):
    """The first form of a page: its action and its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.inputs: list[dict[str, str | None]] = []

    @classmethod
    def of(cls, html: str) -> FormReader:
        reader = cls()
        reader.feed(html)
        return reader

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "form" and not self.action:
            self.action = dict(attrs).get("action") or ""
        if tag == "input":
            self.inputs.append(dict(attrs))


def text_of(html: str) -> str:
    """A page's words, without markup and repeated space."""
    words = re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(words)).strip()
