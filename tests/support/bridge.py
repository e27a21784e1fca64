"""A bridge on this test's event loop, between small real servers over real sockets.

The servers speak what hub, control plane and kernel host speak to the bridge, and
can be told to fail; each fault is named after what goes wrong.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

from gateway_bridge.app import serve
from gateway_bridge.settings import BridgeSettings

INTERNAL_SECRET = "an-internal-secret-of-this-test"
HOST_SECRET_PREFIX = "kernel-secret-of-"

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
"""A websocket handshake by hand (the key of RFC 6455)."""

STARTED_AT = datetime(2026, 1, 1, tzinfo=UTC).isoformat()


class LocalServer:
    """A tornado application on a free port that can go away and come back at the same port."""

    def __init__(self, routes: list[Any]) -> None:
        self._application = Application(routes, log_function=lambda _: None, websocket_max_message_size=2**30)
        self.port = 0
        self._server: HTTPServer | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        sockets = bind_sockets(self.port, "127.0.0.1", reuse_port=False)
        self.port = sockets[0].getsockname()[1]
        self._server = HTTPServer(self._application)
        self._server.add_sockets(sockets)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            await self._server.close_all_connections()
            self._server = None


class _JsonHandler(RequestHandler):
    world: Any

    def initialize(self, world: Any) -> None:
        self.world = world

    def answer(self, status: int, body: Any = None) -> None:
        self.set_status(status)
        if body is not None:
            self.set_header("Content-Type", "application/json")
            self.finish(json.dumps(body))

    def refuse(self, status: int, code: str, message: str = "no") -> None:
        self.answer(status, {"code": code, "message": message, "reason": None, "details": {}})


# -- the hub ----------------------------------------------------------------------------------


class HubAnswers403WithDatabaseDown:
    """Every token is refused like an unknown one; only what must read the database shows it."""

    user_status = 403
    token_endpoint_status = 500


class HubAnswers500:
    user_status = 500
    token_endpoint_status = 500


class HubSpeaksGibberish:
    user_status = 200
    token_endpoint_status = 200


@dataclass
class Hub:
    """``/user`` and the OAuth token endpoint, as a hub answers them."""

    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    fault: Any = None
    asked: list[str] = field(default_factory=list)
    """Tokens in the order they were asked about."""
    hold: asyncio.Event | None = None
    """While set to an event, answers wait for it."""

    def __post_init__(self) -> None:
        arguments = {"world": self}
        self.server = LocalServer(
            [(r"/hub/api/user", _HubUser, arguments), (r"/hub/api/oauth2/token", _HubToken, arguments)]
        )

    @property
    def api_url(self) -> str:
        return f"{self.server.url}/hub/api"

    def issue(self, name: str, *groups: str, scopes: tuple[str, ...] = ("custom:kernels:use",)) -> str:
        """A new token of this person."""
        token = uuid.uuid4().hex
        self.people[token] = {"name": name, "kind": "user", "groups": list(groups), "scopes": list(scopes)}
        return token

    def revoke(self, token: str) -> None:
        del self.people[token]


class _HubUser(_JsonHandler):
    async def get(self) -> None:
        token = self.request.headers.get("Authorization", "").removeprefix("token ")
        self.world.asked.append(token)
        if self.world.hold is not None:
            await self.world.hold.wait()
        if self.world.fault is not None:
            self.answer(self.world.fault.user_status, {"status": self.world.fault.user_status})
        elif token in self.world.people:
            self.answer(200, self.world.people[token])
        else:
            self.answer(403, {"status": 403, "message": None})


class _HubToken(_JsonHandler):
    def check_xsrf_cookie(self) -> None:
        pass

    def post(self) -> None:
        if self.world.fault is not None:
            self.answer(self.world.fault.token_endpoint_status, {"status": 500})
        else:
            self.answer(401, {"error": "invalid_client"})


# -- the control plane ----------------------------------------------------------------------------


@dataclass
class Control:
    """The internal routes the bridge calls, over a dictionary of kernels."""

    host_url: str
    kernels: dict[str, dict[str, Any]] = field(default_factory=dict)
    starts: list[dict[str, Any]] = field(default_factory=list)
    asked_grants: list[str] = field(default_factory=list)
    choices: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    refusal: tuple[int, dict[str, Any]] | None = None
    """If set, what starts are answered with."""

    def __post_init__(self) -> None:
        arguments = {"world": self}
        base = "/internal/v1"
        self.server = LocalServer(
            [
                (rf"{base}/teams/([^/]+)/kernel-choices", _Choices, arguments),
                (rf"{base}/teams/([^/]+)/running-kernels", _Kernels, arguments),
                (rf"{base}/running-kernels/([^/]+)/grant", _Grant, arguments),
                (rf"{base}/running-kernels/([^/]+)", _Kernel, arguments),
            ]
        )

    def run(
        self, owner: str, team: str, *, host_url: str | None = None, spec_name: str = "python-data"
    ) -> str:
        """Note a running kernel and return its id."""
        kernel_id = str(uuid.uuid4())
        self.kernels[kernel_id] = {
            "running_kernel": {
                "id": kernel_id,
                "owner": owner,
                "team": team,
                "kernel": spec_name.partition(".")[0],
                "version": "2026.11.1",
                "spec_name": spec_name,
                "host": "local",
                "state": "starting",
                "started_at": STARTED_AT,
            },
            "grant": {
                "kernel_id": kernel_id,
                "owner": owner,
                "team": team,
                "spec_name": spec_name,
                "host_url": host_url or self.host_url,
                "host_kernel_id": f"host-{kernel_id}",
                "secret": f"{HOST_SECRET_PREFIX}{kernel_id}",
            },
        }
        return kernel_id


class _Internal(_JsonHandler):
    def check_xsrf_cookie(self) -> None:
        pass

    def prepare(self) -> None:
        if self.request.headers.get("Authorization") != f"Bearer {INTERNAL_SECRET}":
            self.refuse(401, "token_rejected")


class _Choices(_Internal):
    def get(self, team: str) -> None:
        if team not in self.world.choices:
            self.refuse(404, "team_not_found")
            return
        choices = self.world.choices[team]
        default = choices[0]["spec_name"] if choices else None
        self.answer(200, {"default": default, "choices": choices})


class _Kernels(_Internal):
    def get(self, team: str) -> None:
        person = self.get_query_argument("person")
        found = [
            kernel
            for kernel in self.world.kernels.values()
            if (kernel["grant"]["owner"], kernel["grant"]["team"]) == (person, team)
        ]
        self.answer(200, {"kernels": found})

    def post(self, team: str) -> None:
        asked = json.loads(self.request.body)
        earlier = next(
            (start for start in self.world.starts if start["request_id"] == asked["request_id"]), None
        )
        if self.world.refusal is not None:
            self.answer(*self.world.refusal)
        elif earlier is not None:
            self.answer(201, self.world.kernels[earlier["id"]])
        else:
            kernel_id = self.world.run(asked["person"], team, spec_name=asked["spec_name"] or "python-data")
            self.world.starts.append({**asked, "team": team, "id": kernel_id})
            self.answer(201, self.world.kernels[kernel_id])


class _Grant(_Internal):
    def get(self, kernel_id: str) -> None:
        self.world.asked_grants.append(kernel_id)
        if kernel_id in self.world.kernels:
            self.answer(200, self.world.kernels[kernel_id]["grant"])
        else:
            self.refuse(404, "running_kernel_not_found", "the control plane's own words")


class _Kernel(_Internal):
    def delete(self, kernel_id: str) -> None:
        kernel = self.world.kernels.get(kernel_id)
        if kernel is None or kernel["grant"]["owner"] != self.get_query_argument("person"):
            self.refuse(404, "running_kernel_not_found")
        else:
            del self.world.kernels[kernel_id]
            self.answer(204)


# -- the kernel host --------------------------------------------------------------------------------


@dataclass
class KernelHost:
    """Kernels that echo: every message comes back, and some texts make it talk by itself."""

    requests: list[tuple[str, str]] = field(default_factory=list)
    """Method and target, as received."""
    headers: list[dict[str, str]] = field(default_factory=list)
    sockets: list[_Channels] = field(default_factory=list)
    refusal: tuple[int, dict[str, Any]] | None = None
    hold: asyncio.Event | None = None
    state: str = "idle"

    def __post_init__(self) -> None:
        arguments = {"world": self}
        self.server = LocalServer(
            [
                (r"/api/kernels/host-([0-9a-f-]+)/channels", _Channels, arguments),
                (r"/api/kernels/host-([0-9a-f-]+)", _HostKernel, arguments),
                (r"/api/kernels/host-([0-9a-f-]+)/(interrupt|restart)", _HostAction, arguments),
            ]
        )


class _AtHost(_JsonHandler):
    def check_xsrf_cookie(self) -> None:
        pass

    async def prepare(self) -> None:
        self.world.requests.append((str(self.request.method), str(self.request.uri)))
        self.world.headers.append({name.lower(): value for name, value in self.request.headers.items()})
        kernel_id = self.path_args[0]
        if self.world.hold is not None:
            await self.world.hold.wait()
        if self.world.refusal is not None:
            self.answer(*self.world.refusal)
        elif self.request.headers.get("Authorization") != f"token {HOST_SECRET_PREFIX}{kernel_id}":
            self.refuse(403, "denied", "not this kernel's secret")

    def model(self) -> dict[str, Any]:
        return {
            "id": f"host-{self.path_args[0]}",
            "name": "whatever-the-host-calls-it",
            "last_activity": "2026-02-03T04:05:06Z",
            "execution_state": self.world.state,
            "connections": len(self.world.sockets),
        }


class _HostKernel(_AtHost):
    def get(self, _: str) -> None:
        self.answer(200, self.model())


class _HostAction(_AtHost):
    def post(self, _: str, action: str) -> None:
        self.answer(204) if action == "interrupt" else self.answer(200, self.model())


class _Channels(WebSocketHandler, _AtHost):  # type: ignore[misc] # tornado gives both a prepare
    def open(self, *_: str) -> None:
        self.set_nodelay(True)
        self.world.sockets.append(self)

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return subprotocols[0] if subprotocols else None

    def on_message(self, message: str | bytes) -> None:
        self.write_message(message, binary=isinstance(message, bytes))

    def on_close(self) -> None:
        self.world.sockets.remove(self)


# -- everything together -------------------------------------------------------------------------------


@dataclass
class World:
    """One bridge and everything it talks to."""

    hub: Hub
    control: Control
    host: KernelHost
    port: int
    stop: asyncio.Event
    running: asyncio.Task[None]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def channels_url(self, kernel_id: str, team: str = "atlas") -> str:
        return f"ws://127.0.0.1:{self.port}/teams/{team}/api/kernels/{kernel_id}/channels"

    def client(self, token: str | None) -> httpx.AsyncClient:
        headers = {} if token is None else {"Authorization": f"token {token}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, trust_env=False, timeout=20)

    async def exchange(self, data: bytes) -> bytes:
        """Send raw bytes and return everything that comes back until the bridge closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            return await asyncio.wait_for(reader.read(), timeout=20)
        finally:
            writer.close()


@asynccontextmanager
async def bridge_world() -> AsyncIterator[World]:
    """A bridge with people of two teams; everything is stopped at the end."""
    hub, host = Hub(), KernelHost()
    control = Control(host.server.url)
    control.choices = {"atlas": [choice("python-data"), choice("python-data.dev")], "borealis": []}
    stop = asyncio.Event()
    listening: asyncio.Future[tuple[str, int]] = asyncio.get_running_loop().create_future()
    settings = BridgeSettings(
        bridge_bind="127.0.0.1:0",
        control_url=control.server.url,
        hub_api_url=hub.api_url,
        internal_secret=INTERNAL_SECRET,
    )
    running = asyncio.create_task(serve(settings, stop, listening))
    try:
        _, port = await asyncio.wait_for(listening, 10)
        yield World(hub, control, host, port, stop, running)
    finally:
        stop.set()
        await asyncio.wait_for(running, 10)
        for server in (hub.server, control.server, host.server):
            await server.stop()


def choice(spec_name: str) -> dict[str, Any]:
    """One thing a team may start, as the control plane lists it."""
    kernel, _, channel = spec_name.partition(".")
    return {
        "spec_name": spec_name,
        "kernel": kernel,
        "channel": channel or "prod",
        "version": "2026.11.1",
        "stage": "active",
        "display_name": "Python data",
        "description": "",
        "language": "python",
        "language_version": "3.11.7",
        "owner_team": "atlas",
        "artifact_digest": "sha256:" + "0" * 64,
    }


async def eventually(condition: Callable[[], Any], what: str, *, within_seconds: float = 10) -> Any:
    """Poll until ``condition`` gives something true."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_seconds
    while loop.time() < deadline:
        if found := condition():
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(f"waited in vain: {what}")
