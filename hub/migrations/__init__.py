"""Brings the database to the form this version of Granary needs."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, inspect, text

HEAD = "0001"
"""The newest revision; a test compares it with the scripts beside this file."""


class DatabaseTooNew(Exception):
    """The database was written by a newer Granary than this one."""


def current_revision(engine: Engine) -> str | None:
    """The revision the database is at; None if it is empty."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return found


def upgrade(engine: Engine) -> None:
    """Bring the database to ``HEAD``; harmless if it is there already or another replica does the same.

    Raises
    ------
    DatabaseTooNew
    """
    if current_revision(engine) == HEAD:
        return  # the usual start: Alembic is not even imported, which saves its 0.2 s
    run_alembic(engine)


def run_alembic(engine: Engine) -> None:
    """Run every script the database has not seen, in one transaction."""
    from alembic import command  # noqa: PLC0415 # see upgrade()
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["engine"] = engine
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        found = current_revision(engine)
        raise DatabaseTooNew(
            f"The database is at revision {found}, which this version does not know: a newer Granary has "
            "used it. Install that version again, or restore the copy made before its first start."
        ) from error
