"""Our errors as Jupyter handlers raise them, with status, code and words kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tornado import web

from hub.errors import (
    BridgeUnavailable,
    Conflict,
    Denied,
    Failed,
    GranaryError,
    Invalid,
    NotFound,
    TooLarge,
    Unauthenticated,
    Unavailable,
    from_code,
)

# Narrow classes before their families: the first match wins.
_STATUS: tuple[tuple[type[GranaryError], int], ...] = (
    (TooLarge, 413),
    (Invalid, 400),
    (Unauthenticated, 401),
    (Denied, 403),
    (NotFound, 404),
    (Conflict, 409),
    (Unavailable, 503),
    (Failed, 500),
)

_FIRST_ERROR = 400
"""Lower ones, such as a redirect to a login page, are no answer of a bridge."""


class Refusal(web.HTTPError):
    """A GranaryError on its way to the browser.

    Jupyter's own handlers would show their own words for it; ours (``handlers``)
    write it as the one error body that REST and CLI show too.
    """

    def __init__(self, error: GranaryError, status: int | None = None) -> None:
        super().__init__(status or status_of(error), error.message)
        self.error = error

    def body(self) -> dict[str, Any]:
        """As in ``hub.wire.ErrorBody``, which is not loaded here for pydantic's weight."""
        return {
            "code": self.error.code,
            "message": self.error.message,
            "reason": None,
            "details": dict(self.error.details),
        }


def status_of(error: GranaryError) -> int:
    """The HTTP status of an error's family; 500 for what is in none."""
    return next((status for family, status in _STATUS if isinstance(error, family)), 500)


def refusal_from_answer(status: int, content: bytes) -> Refusal:
    """What the bridge answered with a status of 400 and above.

    A body that is not ours (a proxy's page, a plain gateway's message) keeps its
    status and, if it has any, its words.
    """
    body = _json_object(content)
    message = body.get("message")
    code, details = body.get("code"), body.get("details")
    if isinstance(code, str) and isinstance(message, str):
        return Refusal(from_code(code, message, details if isinstance(details, dict) else {}), status)
    words = message if isinstance(message, str) and message else f"The kernel bridge answered {status}."
    family = next((family for family, known in _STATUS if known == status), BridgeUnavailable)
    error = BridgeUnavailable(words) if family is Unavailable else family(words)
    return Refusal(error, status if status >= _FIRST_ERROR else None)


def _json_object(content: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
