"""Releases: written once."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from hub.schema.base import ACTOR_LENGTH, NAME_LENGTH, Table


class ReleaseRow(Table):
    """Nothing but ``stage`` is ever updated; ``hub.storage.catalogue`` has no way to."""

    __tablename__ = "releases"

    kernel: Mapped[str] = mapped_column(ForeignKey("kernels.name"), primary_key=True)
    version: Mapped[str] = mapped_column(String(NAME_LENGTH), primary_key=True)
    stage: Mapped[str] = mapped_column(String(16))
    artifact_kind: Mapped[str] = mapped_column(String(16))
    artifact_digest: Mapped[str] = mapped_column(String(80), index=True)
    artifact_reference: Mapped[str] = mapped_column(String(400))
    language_version: Mapped[str] = mapped_column(String(NAME_LENGTH))
    packages: Mapped[list[list[Any]]] = mapped_column(deferred=True)
    """Bill of materials, pairs of name and version; long, so read only when asked for."""
    cpu_millicores: Mapped[int]
    memory_bytes: Mapped[int] = mapped_column(BigInteger)
    gpus: Mapped[list[list[Any]]]
    """Pairs of type and count."""
    environment: Mapped[dict[str, str]]
    published_by: Mapped[str] = mapped_column(String(ACTOR_LENGTH))
    published_at: Mapped[datetime]
