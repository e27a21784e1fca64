"""Migrations lead to exactly the tables of ``hub.schema``, on both databases."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from hub import migrations
from hub.schema import metadata
from hub.storage.engine import database_url, open_engine
from tests.support.postgres import PostgresServer


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def empty_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/empty.sqlite"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.url(server.new_database())
    opened = open_engine(database_url(url), pool_size=3)
    yield opened
    opened.dispose()


def test_the_newest_script_is_the_one_that_is_looked_for():
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_heads() == [migrations.HEAD]


def test_an_upgraded_database_is_what_the_code_expects(empty_engine: Engine):
    assert migrations.current_revision(empty_engine) is None
    migrations.upgrade(empty_engine)
    assert migrations.current_revision(empty_engine) == migrations.HEAD
    with empty_engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_upgrading_again_changes_nothing(empty_engine: Engine):
    migrations.upgrade(empty_engine)
    migrations.upgrade(empty_engine)
    migrations.run_alembic(empty_engine)
    assert migrations.current_revision(empty_engine) == migrations.HEAD


UPGRADE = """
import sys
from hub import migrations
from hub.storage.engine import database_url, open_engine
migrations.upgrade(open_engine(database_url(sys.argv[1]), pool_size=1))
"""


def test_replicas_that_start_together_upgrade_once(empty_engine: Engine):
    url = empty_engine.url.render_as_string(hide_password=False)
    replicas = [subprocess.Popen([sys.executable, "-c", UPGRADE, url]) for _ in range(3)]
    assert [replica.wait(60) for replica in replicas] == [0, 0, 0]
    assert migrations.current_revision(empty_engine) == migrations.HEAD


def test_a_database_from_the_future_is_refused_in_words(empty_engine: Engine):
    migrations.upgrade(empty_engine)
    with empty_engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(migrations.DatabaseTooNew, match=r"9999.*newer Granary"):
        migrations.upgrade(empty_engine)
