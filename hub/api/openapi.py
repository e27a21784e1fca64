"""What ``openapi.json`` says, put right where the framework's guess is not what we do."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from hub.api.errors import STATUS, responses
from hub.errors import TooLarge

_FRAMEWORKS_OWN_REFUSAL = "422"
"""We answer 400 with an ``ErrorBody`` instead."""

_FRAMEWORKS_OWN_SCHEMAS = ("HTTPValidationError", "ValidationError")


def describe(app: FastAPI) -> None:
    """Make ``app.openapi()`` true; made once, on first use."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _corrected(generate())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # the documented way to extend it


def _corrected(document: dict[str, Any]) -> dict[str, Any]:
    for operations in document["paths"].values():
        for operation in operations.values():
            answers = operation["responses"]
            answers.pop(_FRAMEWORKS_OWN_REFUSAL, None)
            if "requestBody" in operation:
                status = STATUS[TooLarge]
                description = responses(TooLarge)[status]["description"]
                answers[str(status)] = {**answers["400"], "description": description}
    for name in _FRAMEWORKS_OWN_SCHEMAS:
        document["components"]["schemas"].pop(name, None)
    return document
