"""Kernels that people started."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKeyConstraint, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from hub.schema.base import ID_LENGTH, NAME_LENGTH, PERSON_LENGTH, Table


class RunningKernelRow(Table):
    """One start. The row is written before the host is asked, so nothing runs unrecorded."""

    __tablename__ = "running_kernels"
    __table_args__ = (
        ForeignKeyConstraint(["kernel", "version"], ["releases.kernel", "releases.version"]),
        ForeignKeyConstraint(["team"], ["teams.name"]),
        UniqueConstraint("owner", "request_id"),
        Index(None, "state", "host"),
        Index(None, "team", "state"),
        Index(None, "host_kernel_id"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    owner: Mapped[str] = mapped_column(String(PERSON_LENGTH))
    team: Mapped[str] = mapped_column(String(NAME_LENGTH))
    kernel: Mapped[str] = mapped_column(String(NAME_LENGTH))
    version: Mapped[str] = mapped_column(String(NAME_LENGTH))
    spec_name: Mapped[str] = mapped_column(String(2 * NAME_LENGTH + 2))
    host: Mapped[str] = mapped_column(String(NAME_LENGTH))
    host_kernel_id: Mapped[str | None] = mapped_column(String(ID_LENGTH))
    """The id the host knows it by; ours, unless the host insists on its own."""
    request_id: Mapped[str] = mapped_column(String(ID_LENGTH))
    state: Mapped[str] = mapped_column(String(16))
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[str | None] = mapped_column(String(32))
    end_text: Mapped[str | None]
    """For people: what the host said, if the start failed."""
