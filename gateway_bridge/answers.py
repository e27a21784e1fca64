"""What the bridge answers: bodies in JSON, errors by one table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from gateway_bridge.http1 import render_answer
from hub.domain.running import RunState
from hub.errors import (
    Conflict,
    Denied,
    Failed,
    GranaryError,
    Invalid,
    MethodNotAllowed,
    NotFound,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from hub.wire import ErrorBody, HostKernel, RunningKernelBody

STATUS_OF = (
    (TooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (MethodNotAllowed, HTTPStatus.METHOD_NOT_ALLOWED),
    (Invalid, HTTPStatus.BAD_REQUEST),
    (Unauthenticated, HTTPStatus.UNAUTHORIZED),
    (Denied, HTTPStatus.FORBIDDEN),
    (NotFound, HTTPStatus.NOT_FOUND),
    (Conflict, HTTPStatus.CONFLICT),
    (Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (Failed, HTTPStatus.INTERNAL_SERVER_ERROR),
    (GranaryError, HTTPStatus.INTERNAL_SERVER_ERROR),
)
"""First match wins."""

UNKNOWN_STATE = "unknown"
"""Jupyter's word for a kernel nobody could be asked about."""


@dataclass(frozen=True)
class Answer:
    """A complete answer; ``body`` None sends none."""

    status: int = HTTPStatus.OK
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def render(self, *, request_id: str, keep_alive: bool, head_only: bool) -> bytes:
        """The answer's bytes; ``head_only`` for a HEAD request, which gets no body."""
        content = b"" if self.body is None else json.dumps(self.body, separators=(",", ":")).encode()
        headers = dict(self.headers)
        if content:
            headers["Content-Type"] = "application/json"
        if self.status != HTTPStatus.NO_CONTENT:
            headers["Content-Length"] = str(len(content))
        headers["X-Request-ID"] = request_id
        headers["Cache-Control"] = "no-store"
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Connection"] = "keep-alive" if keep_alive else "close"
        return render_answer(self.status, headers) + (b"" if head_only else content)


def answer_of(error: GranaryError) -> Answer:
    """The one way an error becomes an answer."""
    status = next(status for family, status in STATUS_OF if isinstance(error, family))
    headers: dict[str, str] = {}
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(int(error.retry_after.total_seconds()))
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="Granary"'
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(str(method) for method in _listed(error.details.get("allowed")))
    return Answer(status, ErrorBody.of(error).model_dump(mode="json"), headers)


def kernel_model(kernel_id: str, spec_name: str, host: HostKernel) -> dict[str, Any]:
    """A kernel as Jupyter clients know it, under our id and the name it was started by."""
    return {
        "id": kernel_id,
        "name": spec_name,
        "last_activity": jupyter_instant(host.last_activity),
        "execution_state": host.execution_state,
        "connections": host.connections,
    }


def unasked_model(row: RunningKernelBody) -> dict[str, Any]:
    """A kernel whose host was not or could not be asked: what the control plane knows of it."""
    starting = row.state is RunState.STARTING
    return {
        "id": row.id,
        "name": row.spec_name,
        "last_activity": jupyter_instant(row.started_at),
        "execution_state": "starting" if starting else UNKNOWN_STATE,
        "connections": 0,
    }


def jupyter_instant(at: datetime) -> str:
    """In the only form jupyter_server as a gateway client can read: microseconds and a Z."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []
