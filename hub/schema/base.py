"""What every table shares: naming of constraints, instants that come back aware."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, DateTime, Dialect, MetaData
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

NAME_LENGTH = 40
"""Of names and versions, see ``hub.domain.names``."""

PERSON_LENGTH = 255
"""What the hub stores as a person's or a group's name."""

ACTOR_LENGTH = PERSON_LENGTH + len("service:")

ID_LENGTH = 64
"""Of request ids and of ids that a kernel host gives out; our own UUIDs need 36."""


class Instant(TypeDecorator[datetime]):
    """Aware UTC in Python; UTC in both databases. SQLite keeps no zone, so it is put back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs a time zone")
        in_utc = value.astimezone(UTC)
        return in_utc.replace(tzinfo=None) if dialect.name == "sqlite" else in_utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class Table(DeclarativeBase):
    """Base of the typed tables."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: Instant,
        dict[str, Any]: JSON(none_as_null=True),
        dict[str, str]: JSON,
        list[str]: JSON,
        list[dict[str, Any]]: JSON,
        list[list[Any]]: JSON,
    }
