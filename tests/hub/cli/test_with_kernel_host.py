"""Publishing with every process real: control plane, kernel host, a kernel that has to answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from hub.cli import main
from hub.demo import demo_manifests
from tests.support.control import HOST_SECRET, INTERNAL_SECRET, control_environment
from tests.support.hub import ROOT, free_port, wait_until
from tests.support.tokens import TokenHub

STOP_SECONDS = 20


@contextmanager
def process(module: str, folder: Path, variables: dict[str, str], secrets: dict[str, str]) -> Iterator[None]:
    """A module run as deployments do: settings by environment, secrets by file."""
    secrets_dir = folder / f"secrets-{module}"
    secrets_dir.mkdir(mode=0o700)
    for name, value in secrets.items():
        (secrets_dir / name).write_text(value)
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with (folder / f"{module}.log").open("wb") as log:
        started = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**inherited, **variables, "GRANARY_SECRETS_DIR": str(secrets_dir)},
        )  # fmt: skip
    try:
        yield
    finally:
        started.terminate()
        try:
            started.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            started.kill()
            raise


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=2).status_code < 500
    except httpx.TransportError:
        return False


@pytest.fixture
def control_url(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    token_hub = TokenHub().start()
    host_port, port = free_port(), free_port()
    host_url, url = f"http://127.0.0.1:{host_port}", f"http://127.0.0.1:{port}"
    host = {
        "GRANARY_KERNEL_HOST_BIND": f"127.0.0.1:{host_port}",
        "GRANARY_RUNTIME_DIR": str(tmp_path_factory.mktemp("r")),
    }
    control = {
        **control_environment(f"sqlite:///{tmp_path}/granary.sqlite", tmp_path, token_hub.url),
        "GRANARY_CONTROL_BIND": f"127.0.0.1:{port}",
        "GRANARY_KERNEL_HOST_URL": host_url,
    }
    host_secret = {"granary_kernel_host_secret": HOST_SECRET}
    with (
        process("gateway_bridge.kernelhost.app", tmp_path, host, host_secret),
        process("hub.app", tmp_path, control, {**host_secret, "granary_internal_secret": INTERNAL_SECRET}),
    ):
        wait_until(lambda: answers(f"{host_url}/api") and answers(f"{url}/health"), "both processes")
        yield url
    token_hub.stop()


def test_a_release_is_there_once_a_kernel_in_it_has_answered(
    control_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRANARY_URL", control_url)
    monkeypatch.setenv("GRANARY_TOKEN", "token-atlas-admin")
    done = CliRunner().invoke(main, ["kernel", "publish", str(demo_manifests()[0]), "--json"])
    assert done.exit_code == 0, done.output
    publication = json.loads(done.stdout)
    assert [step["name"] for step in publication["steps"]] == ["resolving", "building", "checking"]
    assert publication["state"] == "done"

    shown = json.loads(CliRunner().invoke(main, ["kernel", "show", "python-base", "--json"]).stdout)
    assert shown["channels"] == {"prod": "2026.11.1"}
    assert shown["entitlements"] == {"atlas": ["prod"], "borealis": ["prod"]}
    assert json.loads(CliRunner().invoke(main, ["running", "list", "--json"]).stdout) == {"kernels": []}
    wait_until(lambda: not ipykernels(tmp_path), "the kernel that was tried to be gone")


def ipykernels(folder: Path) -> list[str]:
    """Command lines of processes that run out of the store in ``folder``."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"{folder}/store/" in command:
            found.append(command)
    return found
