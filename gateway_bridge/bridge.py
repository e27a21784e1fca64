"""What each route does, once the rules let its caller pass."""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import Any

from gateway_bridge import rules
from gateway_bridge.answers import Answer, jupyter_instant, kernel_model, unasked_model
from gateway_bridge.grants import Grants
from gateway_bridge.handshake import read_upgrade
from gateway_bridge.hosts import Hosts
from gateway_bridge.identity import Identities
from gateway_bridge.relay import Relay
from gateway_bridge.rules import Match, Need
from gateway_bridge.server import Request, read_key
from gateway_bridge.sockets import OpenSocket, OpenSockets
from gateway_bridge.specs import Specs, find_spec, spec_models
from hub.client import InternalClient
from hub.domain.people import Person
from hub.domain.running import Grant
from hub.errors import (
    BridgeUnavailable,
    InternalError,
    InvalidRequest,
    KernelNotFound,
    RunningKernelNotFound,
    Unavailable,
)
from hub.wire import GrantedKernelBody, HostKernel, StartRequest

JUPYTER_SERVER_VERSION = "2.17.0"
"""The jupyter_server whose REST API this is; clients read it from ``GET /api``."""

ASK_HOSTS_TIMEOUT = timedelta(seconds=1)
"""For a list of kernels; a host that does not answer meanwhile is reported as unknown."""


@dataclass(frozen=True)
class Call:
    """A request whose caller has passed the rules. ``grant`` where the route needs an owner."""

    request: Request
    match: Match
    token: str
    person: Person
    body: bytes
    grant: Grant | None

    @property
    def own(self) -> Grant:
        if self.grant is None:
            raise InternalError("This route was not asked for its kernel's owner.")
        return self.grant


class Bridge:
    """Answers requests for kernels; holds no state but caches and the sockets that are open."""

    def __init__(
        self,
        *,
        control: InternalClient,
        identities: Identities,
        grants: Grants,
        specs: Specs,
        hosts: Hosts,
        sockets: OpenSockets,
        started_at: datetime,
    ) -> None:
        self._control = control
        self._identities = identities
        self._grants = grants
        self._specs = specs
        self._hosts = hosts
        self._sockets = sockets
        self._started_at = started_at
        self._stopping = False
        self._actions: dict[str, Callable[[Call], Awaitable[Answer | None]]] = {
            route.name: getattr(self, f"_{route.name}")
            for route in rules.ROUTES
            if route.need is not Need.NOTHING
        }

    def stop(self) -> None:
        """Close every websocket and open no more."""
        self._stopping = True
        self._sockets.close_all()

    async def handle(self, request: Request) -> Answer | None:
        """Answer one request; None if it became a websocket."""
        match = rules.match(request.head.method, request.head.target)
        request.about["route"] = match.route.name
        if match.route.need is Need.NOTHING:
            return self._health()
        request.about["team"] = match.team
        token = rules.token_of(match, request.head.headers.get("authorization"))
        person = await self._identities.person(token, stale_ok=not match.route.starts)
        request.about["person"] = person.name
        rules.admit(person, match.team)
        grant = None
        if match.route.need is Need.OWNER:
            grant = await self._grants.own(match.kernel_id, person, match.team)
            request.about["kernel"] = grant.kernel_id
        body = b"" if match.route.websocket else await request.body()
        return await self._actions[match.route.name](Call(request, match, token, person, body, grant))

    # -- the server itself ---------------------------------------------------------------

    def _health(self) -> Answer:
        if self._stopping:
            raise BridgeUnavailable("The gateway is stopping.")
        return Answer(body={"status": "ok"})

    async def _version(self, _: Call) -> Answer:
        return Answer(body={"version": JUPYTER_SERVER_VERSION})

    async def _status(self, call: Call) -> Answer:
        models = await self._models(call)
        started = jupyter_instant(self._started_at)
        return Answer(
            body={
                "started": started,
                "last_activity": max([started, *(model["last_activity"] for model in models)]),
                "connections": sum(model["connections"] for model in models),
                "kernels": len(models),
            }
        )

    # -- kernelspecs -----------------------------------------------------------------------

    async def _list_specs(self, call: Call) -> Answer:
        known = await self._specs.of(call.match.team)
        return Answer(body=spec_models(known.value), headers=_staleness(known.age, stale=known.stale))

    async def _get_spec(self, call: Call) -> Answer:
        known = await self._specs.of(call.match.team)
        spec = find_spec(known.value, call.match.variables["spec_name"])
        return Answer(body=spec, headers=_staleness(known.age, stale=known.stale))

    async def _get_resource(self, _: Call) -> Answer:
        raise KernelNotFound("This kernel has no such file.")

    # -- kernels ---------------------------------------------------------------------------

    async def _list_kernels(self, call: Call) -> Answer:
        return Answer(body=await self._models(call))

    async def _start_kernel(self, call: Call) -> Answer:
        wish = rules.start_wish(_decoded(call.body))
        if wish.kernel_id is not None:
            grant = await self._grants.own(wish.kernel_id, call.person, call.match.team)
            return _created(call, await self._model(grant))
        key = read_key(call.request)
        started = await self._control.start(
            call.match.team,
            StartRequest(
                person=call.person.name,
                spec_name=wish.spec_name,
                request_id=_start_id(call, key),
                environment=dict(wish.environment),
                working_directory=wish.working_directory,
            ),
        )
        grant = started.grant.to_domain()
        self._grants.remember(grant)
        call.request.about["kernel"] = grant.kernel_id
        return _created(call, unasked_model(started.running_kernel))

    async def _get_kernel(self, call: Call) -> Answer:
        return Answer(body=await self._model(call.own))

    async def _stop_kernel(self, call: Call) -> Answer:
        try:
            await self._control.stop(call.own.kernel_id, call.person.name)
        except RunningKernelNotFound:
            raise rules.no_such_kernel() from None
        finally:
            self._grants.forget(call.own.kernel_id)
        return Answer(HTTPStatus.NO_CONTENT)

    async def _interrupt_kernel(self, call: Call) -> Answer:
        await self._hosts.interrupt(call.own)
        return Answer(HTTPStatus.NO_CONTENT)

    async def _restart_kernel(self, call: Call) -> Answer:
        await self._hosts.restart(call.own)
        return Answer(body=await self._model(call.own))

    async def _open_channels(self, call: Call) -> None:
        upgrade = read_upgrade(call.request.head, call.match.query)
        if self._stopping:
            raise BridgeUnavailable("The gateway is restarting; connect again.")
        host, greeting = await self._hosts.dial(call.own, upgrade)
        socket = OpenSocket(Relay(), call.person.name, call.match.team, call.own.kernel_id)
        self._sockets.add(call.token, socket)
        # Holds no more than it needs: the call's headers and body can go.
        closed = partial(self._sockets.remove, call.token, socket)
        socket.relay.start(call.request.stream, host, greeting, closed)

    # -- models ----------------------------------------------------------------------------

    async def _model(self, grant: Grant) -> dict[str, Any]:
        return kernel_model(grant.kernel_id, grant.spec_name, await self._hosts.model(grant))

    async def _models(self, call: Call) -> list[dict[str, Any]]:
        """The person's kernels in the team, as fresh as their hosts answer within the bound."""
        rows = await self._control.running(call.match.team, call.person.name)
        asked = [asyncio.create_task(self._ask(row)) for row in rows]
        if asked:
            await asyncio.wait(asked, timeout=ASK_HOSTS_TIMEOUT.total_seconds())
        models = []
        for row, task in zip(rows, asked, strict=True):
            if not task.done():
                task.cancel()
                models.append(unasked_model(row.running_kernel))
            elif (model := task.result()) is not None:
                models.append(model)
        return models

    async def _ask(self, row: GrantedKernelBody) -> dict[str, Any] | None:
        """One kernel's model; None if its host says that it is gone."""
        grant = row.grant.to_domain()
        self._grants.remember(grant)
        try:
            host: HostKernel = await self._hosts.model(grant)
        except RunningKernelNotFound:
            return None
        except Unavailable:
            return unasked_model(row.running_kernel)
        return kernel_model(grant.kernel_id, row.running_kernel.spec_name, host)


def _created(call: Call, model: dict[str, Any]) -> Answer:
    location = f"{call.match.prefix}/teams/{call.match.team}/api/kernels/{model['id']}"
    return Answer(HTTPStatus.CREATED, model, {"Location": location})


def _start_id(call: Call, key: str | None) -> str:
    """The control plane's request id of a start: equal only for equal keys of one person and team."""
    if key is None:
        return uuid.uuid4().hex
    parts = json.dumps([call.person.name, call.match.team, key])
    return hashlib.sha256(parts.encode()).hexdigest()


def _staleness(age: timedelta, *, stale: bool) -> dict[str, str]:
    return {"Granary-Stale-Seconds": str(int(age.total_seconds()))} if stale else {}


def _decoded(body: bytes) -> Any:
    """A JSON body; an empty one is None. Raises ``InvalidRequest``, also for names given twice."""
    if not body.strip():
        return None
    try:
        return json.loads(body, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise InvalidRequest("The body must be JSON, with every name once and no deep nesting.") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
