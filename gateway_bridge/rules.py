"""Who may do what at the bridge: a table of routes and a few judgements. Pure.

The table is the whole surface. A request that matches no row is refused before
anything else is looked at, and every row but one names what its caller must be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from hub.domain.names import checked_name
from hub.domain.people import USE_SCOPE, Person
from hub.domain.running import Grant
from hub.errors import (
    InvalidName,
    InvalidRequest,
    MethodNotAllowed,
    NotAMember,
    RouteNotFound,
    RunningKernelNotFound,
    ScopeMissing,
    TokenMissing,
)
from hub.policies.launch import allowed_environment

PUBLIC_PREFIX = "/services/gateway"
"""The public proxy keeps it; the same routes also answer without it, for user servers."""

MAX_SPEC_NAME_LENGTH = 200
MAX_TOKEN_LENGTH = 4096

WORKING_DIRECTORY_VARIABLE = "KERNEL_WORKING_DIR"
"""How stock Jupyter clients of a gateway say where the notebook is."""

_KERNEL_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TOKEN = re.compile(r"[!-~]+")
_AUTHORIZATION = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,31} +([!-~]+)")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNSAFE_IN_SEGMENT = re.compile(r"[/\\\x00-\x1f\x7f]")


class Need(StrEnum):
    """What a caller has to be for a route."""

    NOTHING = "nothing"
    MEMBER = "member"
    """A member of the team in the path whose token may use kernels."""
    OWNER = "owner"
    """A member who also started the kernel in the path, in that team."""


@dataclass(frozen=True)
class Route:
    """One row of the surface.

    ``pattern`` has ``{team}``, ``{kernel_id}``, ``{spec_name}`` and ``{resource}``
    for path segments. ``starts`` marks what makes new kernels: it is never allowed
    on an identity the hub has not confirmed just now.
    """

    name: str
    method: str
    pattern: str
    need: Need
    starts: bool = False
    websocket: bool = False


_TEAM = "/teams/{team}"
_KERNEL = "/teams/{team}/api/kernels/{kernel_id}"

ROUTES = (
    Route("health", "GET", "/health", Need.NOTHING),
    Route("version", "GET", f"{_TEAM}/api", Need.MEMBER),
    Route("status", "GET", f"{_TEAM}/api/status", Need.MEMBER),
    Route("list_specs", "GET", f"{_TEAM}/api/kernelspecs", Need.MEMBER),
    Route("get_spec", "GET", f"{_TEAM}/api/kernelspecs/{{spec_name}}", Need.MEMBER),
    Route("get_resource", "GET", f"{_TEAM}/kernelspecs/{{spec_name}}/{{resource}}", Need.MEMBER),
    Route("list_kernels", "GET", f"{_TEAM}/api/kernels", Need.MEMBER),
    Route("start_kernel", "POST", f"{_TEAM}/api/kernels", Need.MEMBER, starts=True),
    Route("get_kernel", "GET", _KERNEL, Need.OWNER),
    Route("stop_kernel", "DELETE", _KERNEL, Need.OWNER),
    Route("interrupt_kernel", "POST", f"{_KERNEL}/interrupt", Need.OWNER),
    Route("restart_kernel", "POST", f"{_KERNEL}/restart", Need.OWNER),
    Route("open_channels", "GET", f"{_KERNEL}/channels", Need.OWNER, websocket=True),
)


@dataclass(frozen=True)
class Match:
    """A request that has a route. ``team`` is a well-formed name wherever a route has one."""

    route: Route
    prefix: str
    """What stood before the route: empty or the public prefix."""
    variables: Mapping[str, str]
    query: tuple[tuple[str, str], ...]

    @property
    def team(self) -> str:
        return self.variables["team"]

    @property
    def kernel_id(self) -> str:
        return self.variables["kernel_id"]

    def __repr__(self) -> str:
        return f"Match(route={self.route.name!r})"


@dataclass(frozen=True)
class StartWish:
    """What a client asks for with ``POST /api/kernels``; the rest of the body has no say."""

    spec_name: str | None
    environment: Mapping[str, str]
    working_directory: str | None
    kernel_id: str | None
    """A kernel the client says exists already; it gets it only if it is its own."""


def match(method: str, target: str) -> Match:
    """Find the route of a request.

    Every path segment is percent-decoded exactly once, and one that could mean
    something else to another server (an encoded slash, ``..``, an empty segment)
    has no route.

    Raises
    ------
    RouteNotFound, MethodNotAllowed
    """
    path, _, query = target.partition("?")
    prefix = PUBLIC_PREFIX if path.startswith(f"{PUBLIC_PREFIX}/") else ""
    segments = [_decoded(segment) for segment in path.removeprefix(prefix).split("/")]
    candidates = [
        (route, found) for route, pattern in _COMPILED if (found := _fit(segments, pattern)) is not None
    ]
    if not candidates:
        raise RouteNotFound("There is nothing at this address.")
    for route, variables in candidates:
        if route.method == method:
            return Match(
                route, prefix, variables, tuple(parse_qsl(query, max_num_fields=20)) if query else ()
            )
    allowed = sorted(route.method for route, _ in candidates)
    raise MethodNotAllowed(f"This address answers only to {', '.join(allowed)}.", allowed=allowed)


def token_of(request: Match, authorization: str | None) -> str:
    """The hub token of a request.

    Taken from its ``Authorization`` header whatever the scheme; for websockets, whose
    clients in browsers cannot set headers, also from ``?token=``.

    Raises
    ------
    TokenMissing
    """
    found = _AUTHORIZATION.fullmatch(authorization or "")
    token = found[1] if found else ""
    if not token and request.route.websocket:
        token = next((value for name, value in request.query if name == "token"), "")
    if not _TOKEN.fullmatch(token) or len(token) > MAX_TOKEN_LENGTH:
        raise TokenMissing("Send a JupyterHub API token in the header: Authorization: token <token>.")
    return token


def admit(person: Person, team: str) -> None:
    """Let members of ``team`` pass whose token may use kernels.

    Who is no member gets the same answer whether or not there is such a team.

    Raises
    ------
    ScopeMissing, NotAMember
    """
    if not person.may_use_kernels:
        raise ScopeMissing(
            f"This token may not use kernels. Create one that has the scope {USE_SCOPE}.", scope=USE_SCOPE
        )
    if team not in person.teams:
        raise NotAMember(f"You are not a member of a team named {team}. Ask its admin to add you.", team=team)


def owned(grant: Grant | None, person: Person, team: str) -> Grant:
    """The grant, if it is the person's own in this team.

    Raises
    ------
    RunningKernelNotFound
        Alike for a kernel that does not exist, is another person's or another team's.
    """
    if grant is None or grant.owner != person.name or grant.team != team:
        raise no_such_kernel()
    return grant


def no_such_kernel() -> RunningKernelNotFound:
    """The one answer about kernels that are not there for the caller."""
    return RunningKernelNotFound("You have no such kernel running in this team.")


def is_kernel_id(value: str) -> bool:
    """Whether this can be one of our kernel ids: a UUID in canonical form."""
    return _KERNEL_ID.fullmatch(value) is not None


def start_wish(body: Any) -> StartWish:
    """Read the decoded body of a start; an absent one (None) asks for the default kernel.

    Fields we do not know are ignored, as Jupyter servers do.

    Raises
    ------
    InvalidRequest
    """
    if body is None:
        body = {}
    if not isinstance(body, dict):
        raise InvalidRequest('The body must be a JSON object such as {"name": "python-data"}.')
    name = _text(body, "name", MAX_SPEC_NAME_LENGTH)
    asked = {} if body.get("env") is None else body["env"]
    if not isinstance(asked, dict):
        raise InvalidRequest("env must be an object of names and values.")
    environment = {key: value for key, value in asked.items() if isinstance(value, str)}
    directory = environment.get(WORKING_DIRECTORY_VARIABLE) or _text(body, "cwd") or _text(body, "path")
    return StartWish(
        spec_name=name or None,
        environment=allowed_environment(environment),
        working_directory=directory or None,
        kernel_id=_text(body, "kernel_id") or None,
    )


def _text(body: Mapping[str, Any], name: str, longest: int = 4096) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > longest:
        raise InvalidRequest(f"{name} must be a text of at most {longest} characters.")
    return value


def _decoded(segment: str) -> str:
    if _BAD_ESCAPE.search(segment):
        raise RouteNotFound("There is nothing at this address.")
    try:
        decoded = unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        raise RouteNotFound("There is nothing at this address.") from None
    if decoded in {".", ".."} or _UNSAFE_IN_SEGMENT.search(decoded):
        raise RouteNotFound("There is nothing at this address.")
    return decoded


def _fit(segments: Iterable[str], pattern: tuple[str, ...]) -> dict[str, str] | None:
    parts = list(segments)
    if len(parts) != len(pattern):
        return None
    variables: dict[str, str] = {}
    for part, expected in zip(parts, pattern, strict=True):
        if expected.startswith("{"):
            if not part:
                return None
            variables[expected[1:-1]] = part
        elif part != expected:
            return None
    return variables if _well_formed(variables.get("team")) else None


def _well_formed(team: str | None) -> bool:
    try:
        return team is None or bool(checked_name(team, "team"))
    except InvalidName:
        return False


_COMPILED = tuple((route, tuple(route.pattern.split("/"))) for route in ROUTES)
