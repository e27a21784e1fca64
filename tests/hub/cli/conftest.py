"""A control plane that listens, builds real environments of tiny packages, and a command line on it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from click.testing import CliRunner, Result

from hub.app import create_app
from hub.artifacts.environment import EnvironmentStore
from hub.cli import main
from hub.settings import ControlSettings
from tests.support.control import HOST_SECRET, INTERNAL_SECRET, TEAMS_AS_VALUES
from tests.support.hub import free_port, wait_until
from tests.support.launchers import HostInMemory
from tests.support.tokens import TokenHub
from tests.support.wheels import make_index

Run = Callable[..., Result]


class CountingStore(EnvironmentStore):
    """Counts what is really installed."""

    installed = 0

    def _install(self, *arguments: Any) -> None:
        self.installed += 1
        super()._install(*arguments)


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return make_index(tmp_path_factory.mktemp("index"))


@pytest.fixture
def builder(tmp_path: Path, index: dict[str, str]) -> CountingStore:
    return CountingStore(tmp_path / "store", environ=index)


@pytest.fixture
def host() -> HostInMemory:
    return HostInMemory()


@pytest.fixture
def control_url(tmp_path: Path, sqlite_url: str, builder: CountingStore, host: HostInMemory) -> Iterator[str]:
    token_hub = TokenHub().start()
    settings = ControlSettings(
        database_url=sqlite_url,
        store_dir=tmp_path / "store",
        homes_dir=tmp_path / "homes",
        hub_api_url=token_hub.url,
        teams=TEAMS_AS_VALUES,
        contact="the data desk",
        internal_secret=INTERNAL_SECRET,
        kernel_host_secret=HOST_SECRET,
    )
    port = free_port()
    config = uvicorn.Config(
        create_app(settings, builder=builder, launcher=host), port=port, log_level="warning"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, "the control plane")
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(20)
    token_hub.stop()


@pytest.fixture
def granary(control_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``granary …`` as atlas-admin, or as another ``role``."""
    monkeypatch.setenv("GRANARY_URL", control_url)

    def run(*arguments: str, role: str = "atlas-admin") -> Result:
        monkeypatch.setenv("GRANARY_TOKEN", f"token-{role}")
        return CliRunner().invoke(main, arguments)

    return run


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[..., str]:
    """Write a manifest of tiny packages; keywords replace fields of its release."""

    def write(name: str = "python-tiny", version: str = "1.0", **release: Any) -> str:
        requirements = release.pop("requirements", ["ipykernel==0.0.1"])
        document = {
            "kernel": name,
            "team": "atlas",
            "release": {"version": version, "environment": {"requirements": requirements}, **release},
        }
        path = tmp_path / f"{name}-{version}.yaml"
        path.write_text(json.dumps(document))
        return str(path)

    return write
