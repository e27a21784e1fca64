"""Publications of releases."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from hub.schema.base import ACTOR_LENGTH, ID_LENGTH, NAME_LENGTH, Table


class PublicationRow(Table):
    """A request to publish, kept for good: it is the source a release came from."""

    __tablename__ = "publications"
    __table_args__ = (Index(None, "kernel", "version"), Index(None, "state"), Index(None, "check_kernel_id"))

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    kernel: Mapped[str] = mapped_column(String(NAME_LENGTH))
    version: Mapped[str] = mapped_column(String(NAME_LENGTH))
    team: Mapped[str] = mapped_column(String(NAME_LENGTH))
    manifest: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(16))
    steps: Mapped[list[dict[str, Any]]]
    artifact_digest: Mapped[str | None] = mapped_column(String(80))
    problem: Mapped[dict[str, Any] | None]
    check_kernel_id: Mapped[str] = mapped_column(String(36))
    requested_by: Mapped[str] = mapped_column(String(ACTOR_LENGTH))
    request_id: Mapped[str] = mapped_column(String(ID_LENGTH))
    requested_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
