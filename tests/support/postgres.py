"""A real PostgreSQL server of the tests' own: in a temporary directory, on a unix socket, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
from psycopg import sql

from tests.support.hub import wait_until

HOW_TO_INSTALL = "no PostgreSQL server binary found: install it with `apt-get install postgresql`"

START_BOUND = timedelta(seconds=60)
"""On a slow machine with a cold disk."""

SUPERUSER = "granary"


def find_binaries() -> Path | None:
    """The directory with ``initdb`` and ``postgres``; Debian keeps them off the PATH."""
    on_path = shutil.which("initdb")
    candidates = [Path(on_path).parent] if on_path else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in candidates if (folder / "postgres").exists()), None)


class PostgresServer:
    """A running server; ``new_database`` gives an address nobody else uses."""

    def __init__(self, socket_dir: Path) -> None:
        self._socket_dir = socket_dir

    def url(self, database: str) -> str:
        return f"postgresql://{SUPERUSER}@/{database}?host={self._socket_dir}"

    def new_database(self, template: str = "template1") -> str:
        name = f"t_{uuid.uuid4().hex}"
        with self._admin() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
        return name

    def answers(self) -> bool:
        try:
            with self._admin():
                return True
        except psycopg.OperationalError:
            return False

    def _admin(self) -> psycopg.Connection:
        return psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=2)


@contextmanager
def running_postgres(binaries: Path) -> Iterator[PostgresServer]:
    """Start a server as a user that PostgreSQL accepts: it refuses to run as root."""
    folder = Path(tempfile.mkdtemp(prefix="granary-pg-"))  # short: a socket's path has 107 characters
    identity = _identity()
    if identity:
        os.chown(folder, identity["user"], identity["group"])
    data = folder / "data"
    try:
        subprocess.run(
            [binaries / "initdb", "-D", data, "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True, capture_output=True, timeout=START_BOUND.total_seconds(), **identity, cwd=folder,
        )  # fmt: skip
        log = (folder / "log").open("wb")
        process = subprocess.Popen(
            [binaries / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, **identity, cwd=folder,
        )  # fmt: skip
        server = PostgresServer(folder)
        try:
            wait_until(server.answers, f"PostgreSQL in {folder}", START_BOUND)
            yield server
        finally:
            process.send_signal(signal.SIGQUIT)  # nothing in it is worth a tidy end
            process.wait(START_BOUND.total_seconds())
            log.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _identity() -> dict[str, int]:
    if os.getuid() != 0:
        return {}
    names = [name for name in ("postgres", "nobody") if _exists(name)]
    entry = pwd.getpwnam(names[0])
    return {"user": entry.pw_uid, "group": entry.pw_gid}


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
