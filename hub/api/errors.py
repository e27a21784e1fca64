"""The one table from error to status, and what every refusal looks like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from hub.errors import (
    Conflict,
    Denied,
    Failed,
    GranaryError,
    Invalid,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    RouteNotFound,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from hub.wire import ErrorBody

STATUS: dict[type[GranaryError], int] = {
    TooLarge: 413,
    MethodNotAllowed: 405,
    Invalid: 400,
    Unauthenticated: 401,
    Denied: 403,
    NotFound: 404,
    Conflict: 409,
    Unavailable: 503,
    Failed: 500,
    GranaryError: 500,
}
"""By family; the first match counts, so exceptions to a family stand above it."""

_MAX_PROBLEMS = 5
"""Mistakes named in one answer."""


def status_of(error: GranaryError) -> int:
    return next(status for family, status in STATUS.items() if isinstance(error, family))


def error_response(error: GranaryError) -> Response:
    """The answer to a request that ended in ``error``."""
    headers = {}
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(int(error.retry_after.total_seconds()))
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "token"
    return Response(
        ErrorBody.of(error).model_dump_json(),
        status_code=status_of(error),
        headers=headers,
        media_type="application/json",
    )


def responses(*families: type[GranaryError]) -> dict[int | str, dict[str, Any]]:
    """What an operation's description says of its refusals; those of every operation are included."""
    common: tuple[type[GranaryError], ...] = (Invalid, Unauthenticated, Denied, Failed, Unavailable)
    return {
        STATUS[family]: {
            "model": ErrorBody,
            "description": f"Refused: `{family.code}` or one of its kinds",
        }
        for family in (*common, *families)
    }


def install(app: FastAPI) -> None:
    """Make every refusal of ``app`` an ``ErrorBody``, also those of the framework."""
    app.add_exception_handler(GranaryError, _granary_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _framework_error)


async def _granary_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, GranaryError)  # noqa: S101 # registered for nothing else
    return error_response(error)


async def _invalid_request(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 # registered for nothing else
    return error_response(InvalidRequest(_explain(error.errors())))


async def _framework_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 # registered for nothing else
    if error.status_code == STATUS[NotFound]:
        return error_response(
            RouteNotFound("There is nothing at this address. See openapi.json for what there is.")
        )
    if error.status_code == STATUS[MethodNotAllowed]:
        return error_response(MethodNotAllowed(f"{request.method} is not possible at this address."))
    return error_response(InvalidRequest("The request could not be read."))


def _explain(problems: Sequence[Any]) -> str:
    """The first few mistakes, each with the place it is in; never the value itself."""
    told = []
    for problem in problems[:_MAX_PROBLEMS]:
        place = ".".join(str(part) for part in problem["loc"] if part != "body")
        told.append(f"{place[:80]}: {problem['msg']}" if place else str(problem["msg"]))
    more = len(problems) - len(told)
    return "The request does not fit: " + "; ".join(told) + (f"; and {more} more." if more > 0 else ".")
