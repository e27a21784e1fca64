"""A release on its way into the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class PublicationState(StrEnum):
    QUEUED = "queued"
    RESOLVING = "resolving"
    BUILDING = "building"
    CHECKING = "checking"
    DONE = "done"
    FAILED = "failed"

    @property
    def finished(self) -> bool:
        return self in (PublicationState.DONE, PublicationState.FAILED)


@dataclass(frozen=True)
class PublicationStep:
    """One part of the work, in the order it was begun."""

    name: str
    """The state the publication was in meanwhile."""
    text: str
    """What was last heard of it."""
    seconds: float | None
    """How long it took; None while it is under way."""


@dataclass(frozen=True)
class PublicationProblem:
    """Why a publication failed: an error's code, message and details."""

    code: str
    message: str
    details: Mapping[str, Any]


@dataclass(frozen=True)
class Publication:
    """One request to publish a release and what became of it.

    ``manifest`` is the document as it was sent. ``check_kernel_id`` is the id of
    the throw-away kernel that proves the release starts.
    """

    id: str
    kernel: str
    version: str
    team: str
    manifest: Mapping[str, Any]
    state: PublicationState
    requested_by: str
    request_id: str
    requested_at: datetime
    check_kernel_id: str
    steps: tuple[PublicationStep, ...] = ()
    artifact_digest: str | None = None
    problem: PublicationProblem | None = None
    finished_at: datetime | None = None
