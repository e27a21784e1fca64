"""Teams that Granary governs or once governed."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from hub.schema.base import NAME_LENGTH, PERSON_LENGTH, Table


class TeamRow(Table):
    """A team that left the configuration keeps its row, for history, but is not governed."""

    __tablename__ = "teams"

    name: Mapped[str] = mapped_column(String(NAME_LENGTH), primary_key=True)
    display_name: Mapped[str] = mapped_column(String(80))
    admin_group: Mapped[str] = mapped_column(String(PERSON_LENGTH))
    governed: Mapped[bool]
    created_at: Mapped[datetime]
