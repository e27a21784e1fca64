"""The real process: settings and secrets from outside, quick to start, clean to stop, mute about secrets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from hub.storage.engine import database_url, open_engine
from tests.support.control import HOST_SECRET, INTERNAL_SECRET, control_environment
from tests.support.hub import free_port, wait_until

STOP_SECONDS = 5
INTERNAL = {"Authorization": f"Bearer {INTERNAL_SECRET}"}


@dataclass
class Process:
    popen: subprocess.Popen[bytes]
    url: str
    log: Path

    def healthy(self) -> bool:
        assert self.popen.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"{self.url}/health", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self, with_signal: int = signal.SIGTERM) -> int:
        self.popen.send_signal(with_signal)
        return self.popen.wait(STOP_SECONDS)


def environment(tmp_path: Path, port: int, **changes: str) -> dict[str, str]:
    secrets = tmp_path / "secrets"
    secrets.mkdir(exist_ok=True)
    (secrets / "granary_internal_secret").write_text(INTERNAL_SECRET)
    (secrets / "granary_kernel_host_secret").write_text(HOST_SECRET)
    database = f"sqlite:///{tmp_path}/data/granary.sqlite"
    return {
        "PATH": os.environ["PATH"],
        "GRANARY_SECRETS_DIR": str(secrets),
        "GRANARY_CONTROL_BIND": f"127.0.0.1:{port}",
        **control_environment(database, tmp_path, "http://127.0.0.1:1/hub/api"),
        **changes,
    }


@contextmanager
def control_process(tmp_path: Path) -> Iterator[Process]:
    port = free_port()
    log = tmp_path / "log"
    with log.open("ab") as out:
        popen = subprocess.Popen(
            [sys.executable, "-m", "hub.app"], env=environment(tmp_path, port), stdout=out, stderr=out,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    process = Process(popen, f"http://127.0.0.1:{port}", log)
    try:
        wait_until(process.healthy, "the control plane")
        yield process
    finally:
        popen.kill()
        popen.wait(STOP_SECONDS)


def test_it_starts_serves_and_stops(tmp_path: Path):
    with control_process(tmp_path) as process:
        choices = httpx.get(f"{process.url}/internal/v1/teams/atlas/kernel-choices", headers=INTERNAL)
        assert choices.json() == {"default": None, "choices": []}
        assert httpx.get(f"{process.url}/services/granary/api/v1/openapi.json").status_code == 200
        body = {"person": "ada", "spec_name": "python-data", "request_id": "r"}
        start = httpx.post(
            f"{process.url}/internal/v1/teams/atlas/running-kernels", headers=INTERNAL, json=body
        )
        assert start.json()["code"] == "kernel_not_found"
        me = httpx.get(
            f"{process.url}/services/granary/api/v1/me?token=seen", headers={"Authorization": "token private"}
        )
        assert me.json()["code"] == "hub_unavailable"
        begun = time.monotonic()
        assert process.stop() == 0
        assert time.monotonic() - begun < STOP_SECONDS
        log = process.log.read_text()
        assert "GET /services/granary/api/v1/me 503" in log
        for secret in (INTERNAL_SECRET, HOST_SECRET, "private", "seen", "Traceback"):
            assert secret not in log
        assert (tmp_path / "data" / "granary.sqlite").stat().st_mode & 0o077 == 0


def test_it_stops_in_time_with_clients_connected(tmp_path: Path):
    with control_process(tmp_path) as process, httpx.Client(base_url=process.url) as client:
        client.get("/health")
        assert process.stop(signal.SIGINT) in {0, -signal.SIGINT}


def test_what_was_written_survives_kill(tmp_path: Path):
    with control_process(tmp_path) as process:
        process.stop(signal.SIGKILL)
    with control_process(tmp_path) as process:
        teams = httpx.post(
            f"{process.url}/internal/v1/people/ada/spawn-policy", headers=INTERNAL, json={"groups": ["atlas"]}
        )
        assert teams.json()["teams"] == [{"name": "atlas", "display_name": "Atlas"}]
        engine = open_engine(database_url(f"sqlite:///{tmp_path}/data/granary.sqlite"), pool_size=1)
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT count(*) FROM audit WHERE action = 'team.govern'")) == 2
        engine.dispose()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"GRANARY_DATABASE_URL": "mysql://x"}, "GRANARY_DATABASE_URL: Value error, only a sqlite file"),
        ({"GRANARY_CONTROL_BIND": "8081"}, "GRANARY_CONTROL_BIND: Value error, write host:port"),
        ({"GRANARY_TEAMS": "[]x"}, "GRANARY_TEAMS"),
        ({"GRANARY_SECRETS_DIR": ""}, "GRANARY_INTERNAL_SECRET: Field required"),
    ],
)
def test_wrong_settings_are_one_sentence_and_an_exit_code(tmp_path: Path, changes: dict[str, str], told: str):
    ended = subprocess.run(
        [sys.executable, "-m", "hub.app"],
        env=environment(tmp_path, free_port(), **changes),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_database_that_is_not_there_is_said_in_words(tmp_path: Path):
    changes = {"GRANARY_DATABASE_URL": "postgresql://nobody:hidden@127.0.0.1:1/none"}
    ended = subprocess.run(
        [sys.executable, "-m", "hub.app"],
        env=environment(tmp_path, free_port(), **changes),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode not in {0, 2}
    assert "cannot start" in ended.stderr
    assert "hidden" not in ended.stderr
    assert "Traceback" not in ended.stderr
