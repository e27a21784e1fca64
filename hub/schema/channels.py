"""Channels of kernels."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKeyConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from hub.schema.base import ACTOR_LENGTH, NAME_LENGTH, Table


class ChannelRow(Table):
    """A named pointer to one release of the same kernel."""

    __tablename__ = "channels"
    __table_args__ = (ForeignKeyConstraint(["kernel", "version"], ["releases.kernel", "releases.version"]),)

    kernel: Mapped[str] = mapped_column(String(NAME_LENGTH), primary_key=True)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH), primary_key=True)
    version: Mapped[str] = mapped_column(String(NAME_LENGTH))
    set_by: Mapped[str] = mapped_column(String(ACTOR_LENGTH))
    set_at: Mapped[datetime]
