"""Run by Alembic, which finds this file by its name."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Engine, text

from hub.schema import metadata

MIGRATION_LOCK = 0x6772616E
"""Key of the PostgreSQL advisory lock that lets one replica migrate while the others wait."""


def run_migrations(engine: Engine) -> None:
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        # SQLite alters a table by copying it; batch mode writes scripts that work on both.
        context.configure(
            connection=connection,
            target_metadata=metadata,
            render_as_batch=True,
            transaction_per_migration=False,
        )
        context.run_migrations()


run_migrations(context.config.attributes["engine"])
