"""The one place of this process that reads the clock; Jupyter makes our objects and hands them none."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 # see above
