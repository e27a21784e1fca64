"""The Jupyter kernels REST API, with bodies and status codes as jupyter_server has them."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from types import TracebackType
from typing import Any, ClassVar

from pydantic import ValidationError
from tornado.web import HTTPError, RequestHandler

from gateway_bridge.kernelhost.auth import Gate
from gateway_bridge.kernelhost.launch import CheckedLaunch
from gateway_bridge.kernelhost.registry import Registry
from hub.errors import (
    Conflict,
    Denied,
    GranaryError,
    InternalError,
    Invalid,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    OriginRefused,
    RouteNotFound,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from hub.wire import ErrorBody

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 2**20
"""Of a launch: a few hundred variables of environment."""

API_VERSION = "2.21.1"
"""The jupyter_server whose API this is."""

DEFAULT_READY_TIMEOUT_SECONDS = 60.0
MAX_READY_TIMEOUT_SECONDS = 600.0

_STATUS: tuple[tuple[type[GranaryError], int], ...] = (
    (TooLarge, 413),
    (MethodNotAllowed, 405),
    (Invalid, 400),
    (Unauthenticated, 401),
    (Denied, 403),
    (NotFound, 404),
    (Conflict, 409),
    (Unavailable, 503),
)
_FAILED = 500

ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


class Handler(RequestHandler):
    """Base of all routes: errors of our tree become one body; no web page may call."""

    registry: Registry
    gate: Gate
    SUPPORTED_METHODS: ClassVar[tuple[str, ...]] = ("GET", "POST", "DELETE")  # type: ignore[misc] # a variable there

    def initialize(self, registry: Registry, gate: Gate) -> None:
        self.registry = registry
        self.gate = gate

    def set_default_headers(self) -> None:
        self.clear_header("Server")

    def prepare(self) -> None:
        if "Origin" in self.request.headers:
            raise OriginRefused("The kernel host is not for web pages.")
        if len(self.request.body or b"") > MAX_BODY_BYTES:
            raise TooLarge(f"A body may have at most {MAX_BODY_BYTES} bytes.")

    def answer(self, body: Any, status: int = 200) -> None:
        """Finish with a JSON body."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(body))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Called by tornado with whatever was raised."""
        error = _as_granary_error(status_code, kwargs.get("exc_info"))
        if isinstance(error, Unavailable):
            self.set_header("Retry-After", str(round(error.retry_after.total_seconds())))
        self.answer(ErrorBody.of(error).model_dump(), _status_of(error))

    def log_exception(self, *exc_info: Any) -> None:
        """Refusals are answers, not events; only defects of ours are logged, with their traceback."""
        if not isinstance(exc_info[1], GranaryError | HTTPError):
            log.error("%s %s failed", self.request.method, self.request.path, exc_info=exc_info)


class HostHandler(Handler):
    """A route for who holds the host's secret."""

    def prepare(self) -> None:
        super().prepare()
        self.gate.open_host(self.request.headers.get("Authorization"))


class KernelHandler(Handler):
    """A route below one kernel, for who holds its secret or the host's."""

    def prepare(self) -> None:
        super().prepare()
        self.gate.open_kernel(self.request.headers.get("Authorization"), self.path_args[0])


class Health(Handler):
    """Whether the process answers; the only route without a secret."""

    def get(self) -> None:
        self.answer({"status": "ok", "kernels": len(self.registry)})


class Version(HostHandler):
    def get(self) -> None:
        self.answer({"version": API_VERSION})


class Status(HostHandler):
    def get(self) -> None:
        self.answer(
            {
                "connections": sum(kernel.connections for kernel in self.registry),
                "kernels": len(self.registry),
                "last_activity": self.registry.last_activity.isoformat().replace("+00:00", "Z"),
                "started": self.registry.started_at.isoformat().replace("+00:00", "Z"),
            }
        )


class Kernels(HostHandler):
    def get(self) -> None:
        self.answer([kernel.model() for kernel in self.registry])

    async def post(self) -> None:
        kernel = await self.registry.start(_launch(self.request.body))
        self.set_header("Location", f"/api/kernels/{kernel.id}")
        self.answer(kernel.model(), 201)


class OneKernel(KernelHandler):
    def get(self, kernel_id: str) -> None:
        self.answer(self.registry.get(kernel_id).model())

    async def delete(self, kernel_id: str) -> None:
        await self.registry.stop(kernel_id)
        self.set_status(204)


class Interrupt(KernelHandler):
    def post(self, kernel_id: str) -> None:
        self.registry.get(kernel_id).interrupt()
        self.set_status(204)


class Restart(KernelHandler):
    async def post(self, kernel_id: str) -> None:
        kernel = self.registry.get(kernel_id)
        await kernel.restart()
        self.answer(kernel.model())


class Ready(KernelHandler):
    async def get(self, kernel_id: str) -> None:
        kernel = self.registry.get(kernel_id)
        await kernel.ready(_timeout(self.get_query_argument("timeout", None)))
        self.answer(kernel.model())


class Nowhere(Handler):
    """Everything else."""

    def prepare(self) -> None:
        raise RouteNotFound("The kernel host has nothing at this address.")


def _launch(body: bytes) -> CheckedLaunch:
    try:
        return CheckedLaunch.model_validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False, include_context=False)
        words = "; ".join(f"{'.'.join(map(str, p['loc'])) or 'body'}: {p['msg']}" for p in problems[:5])
        raise InvalidRequest(f"This cannot be launched: {words}.") from None


def _timeout(value: str | None) -> timedelta:
    if value is None:
        return timedelta(seconds=DEFAULT_READY_TIMEOUT_SECONDS)
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MAX_READY_TIMEOUT_SECONDS:
        raise InvalidRequest(f"timeout is a number of seconds up to {MAX_READY_TIMEOUT_SECONDS:g}.")
    return timedelta(seconds=seconds)


def _as_granary_error(status_code: int, exc_info: ExcInfo | None) -> GranaryError:
    error = exc_info[1] if exc_info is not None else None
    if isinstance(error, GranaryError):
        return error
    if status_code == 404:
        return RouteNotFound("The kernel host has nothing at this address.")
    if status_code == 405:
        return MethodNotAllowed("This address does not know the method.")
    if isinstance(error, HTTPError) and status_code < _FAILED:
        return InvalidRequest(error.log_message or "The request is not understood.")
    return InternalError("The kernel host failed; its log says why.")


def _status_of(error: GranaryError) -> int:
    return next((status for family, status in _STATUS if isinstance(error, family)), _FAILED)
