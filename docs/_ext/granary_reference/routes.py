"""Routes of every server, from the tables the servers themselves match requests against."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from tornado.web import RequestHandler

from gateway_bridge import rules
from gateway_bridge.kernelhost import app as kernelhost
from gateway_bridge.kernelhost import handlers
from granary_reference.text import code, table
from hub.api import health, internal
from hub.app import API_PREFIX, PREFIX, create_app
from hub.settings import ControlSettings


def control_plane() -> str:
    """The public REST API, from its OpenAPI description."""
    described = _control_plane().openapi()
    rows = [
        [
            code(f"{method.upper()} {path.removeprefix(API_PREFIX)}"),
            operation["summary"],
            _takes(described, operation),
        ]
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
    ]
    return table(["route", "what", "takes"], rows)


def internal_routes() -> str:
    """What only Granary's own processes call."""
    return table(["route", "what"], [[code(route), what] for route, what in _hidden()])


def bridge() -> str:
    """The bridge's routes; each also answers below the public prefix."""
    rows = [
        [code(f"{route.method} {route.pattern}"), _words(route), code(route.need.value)]
        for route in rules.ROUTES
    ]
    return table(["route", "what", "the caller must be"], rows)


def kernel_host() -> str:
    """The kernel host's routes, from its tornado application."""
    application = kernelhost.application(None, None)  # type: ignore[arg-type] # nothing is served
    rows = [
        [code(f"{method} {path}"), _secret_needed(handler)]
        for rule in application.wildcard_router.rules
        for path, handler in [(_readable(rule.matcher), rule.target)]
        for method in _methods(handler)
    ]
    return table(["route", "the secret must be"], rows)


def _readable(matcher: Any) -> str:
    pattern = matcher.regex.pattern.removesuffix("$").removesuffix("/?")
    return str(pattern).replace("([^/]+)", "{kernel_id}")


def _methods(handler: type[RequestHandler]) -> list[str]:
    """Those that a class below tornado's own base defines."""
    ours = [cls for cls in handler.__mro__ if issubclass(cls, RequestHandler) and cls is not RequestHandler]
    return [name for name in handler.SUPPORTED_METHODS if any(name.lower() in vars(cls) for cls in ours)]


def _secret_needed(handler: type[RequestHandler]) -> str:
    if issubclass(handler, handlers.HostHandler):
        return "the host's"
    return "none" if handler is handlers.Health else "this kernel's, or the host's"


def _control_plane() -> FastAPI:
    settings = ControlSettings(
        database_url="sqlite:////dev/null",
        store_dir=Path("store"),
        homes_dir=Path("homes"),
        teams=[],
        internal_secret="0" * 32,
        kernel_host_secret="0" * 32,
    )
    return create_app(settings)


def _hidden() -> Iterator[tuple[str, str]]:
    for prefix, router in (("", internal.router), ("", health.router), (PREFIX, health.index_router)):
        for route in router.routes:
            if isinstance(route, APIRoute):
                for method in sorted(route.methods):
                    yield f"{method} {prefix}{route.path}", route.summary or ""


def _takes(described: dict[str, Any], operation: dict[str, Any]) -> str:
    """Query parameters and fields of the body; those that may be left out are in brackets."""
    query = [
        (parameter["name"], parameter.get("required", False))
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "query"
    ]
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    body = described["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], {})
    fields = [(name, name in body.get("required", [])) for name in body.get("properties", {})]
    parts = []
    if query:
        parts.append("query " + ", ".join(_optional(*item) for item in query))
    if fields:
        parts.append("body " + ", ".join(_optional(*item) for item in fields))
    elif schema:
        parts.append(schema.get("description") or operation["requestBody"].get("description", "a JSON body"))
    return "; ".join(parts)


def _optional(name: str, required: bool) -> str:  # straight from the schema
    return code(name) if required else f"[{code(name)}]"


def _words(route: rules.Route) -> str:
    words = route.name.replace("_", " ")
    return f"{words.capitalize()} (websocket)" if route.websocket else words.capitalize()
