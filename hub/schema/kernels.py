"""Named kernels."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from hub.schema.base import NAME_LENGTH, Table


class KernelRow(Table):
    """A kernel belongs to one team for good."""

    __tablename__ = "kernels"

    name: Mapped[str] = mapped_column(String(NAME_LENGTH), primary_key=True)
    owner_team: Mapped[str] = mapped_column(ForeignKey("teams.name"), index=True)
    display_name: Mapped[str] = mapped_column(String(120))
    description: Mapped[str] = mapped_column(Text)
    language: Mapped[str] = mapped_column(String(NAME_LENGTH))
    created_at: Mapped[datetime]
