"""Counters that tell readers whether what they remember is still true."""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from hub.schema.base import NAME_LENGTH, Table


class RevisionRow(Table):
    """Raised in the transaction that changes what it counts, so a reader is never late."""

    __tablename__ = "revisions"

    name: Mapped[str] = mapped_column(String(NAME_LENGTH), primary_key=True)
    value: Mapped[int]
