"""Entitlements of teams to kernels."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from hub.schema.base import Table


class EntitlementRow(Table):
    """The channels of a kernel that a team may use, sorted."""

    __tablename__ = "entitlements"

    kernel: Mapped[str] = mapped_column(ForeignKey("kernels.name"), primary_key=True)
    team: Mapped[str] = mapped_column(ForeignKey("teams.name"), primary_key=True, index=True)
    channels: Mapped[list[str]]
    granted_at: Mapped[datetime]
