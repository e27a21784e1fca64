"""Control plane and kernel host together: real kernels, started, lost and found."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hub.artifacts.environment import EnvironmentStore
from hub.launchers.endpoint import JupyterEndpointLauncher
from tests.support.control import Control, running_control
from tests.support.kernelhost import KernelHostProcess
from tests.support.tokens import TokenHub
from tests.support.wheels import TINY_KERNEL, make_index

PATIENCE_SECONDS = 60
LOST_WITHIN_SECONDS = 30
MANIFEST = {
    "kernel": "python-lab",
    "team": "atlas",
    "display_name": "Lab",
    "release": {
        "version": "1.0",
        "environment": {"requirements": ["ipykernel==7.4.0"]},
        "variables": {"OMP_NUM_THREADS": "2"},
    },
    "channels": ["prod"],
}


@pytest.fixture(scope="module")
def kernel_host() -> Iterator[KernelHostProcess]:
    host = KernelHostProcess()
    yield host
    host.stop()


@pytest.fixture
def token_hub() -> Iterator[TokenHub]:
    hub = TokenHub().start()
    yield hub
    hub.stop()


@pytest.fixture
async def control(
    kernel_host: KernelHostProcess, sqlite_url: str, tmp_path: Path, token_hub: TokenHub
) -> AsyncIterator[Control]:
    launcher = JupyterEndpointLauncher("local", kernel_host.url, kernel_host.secret)
    async with running_control(sqlite_url, tmp_path, token_hub, launcher) as running:
        yield running


async def published(control: Control, manifest: dict[str, Any]) -> dict[str, Any]:
    answer = await control.people(
        "atlas-admin", "POST", f"/kernels/{manifest['kernel']}/releases", json=manifest
    )
    publication = answer.json()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while publication["state"] not in {"done", "failed"}:
        assert time.monotonic() < deadline, publication
        await asyncio.sleep(0.05)
        publication = (
            await control.people("atlas-admin", "GET", f"/publications/{publication['id']}")
        ).json()
    return publication


async def started(control: Control, request_id: str = "r1") -> dict[str, Any]:
    body = {"person": "atlas-1", "spec_name": "python-lab", "request_id": request_id}
    answer = await control.internal("POST", "/teams/atlas/running-kernels", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_from_manifest_to_a_kernel_that_answers(
    control: Control, kernel_host: KernelHostProcess, tmp_path: Path
):
    publication = await published(control, MANIFEST)
    assert publication["state"] == "done", publication["error"]
    with kernel_host.client() as client:
        assert client.get("/api/kernels").json() == [], "the throw-away kernel is gone"
    granted = await started(control)
    grant = granted["grant"]
    assert granted["running_kernel"]["state"] == "running"
    one_kernel = f"{grant['host_url']}/api/kernels/{grant['host_kernel_id']}"
    headers = {"Authorization": f"token {grant['secret']}"}
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
        ready = await client.get(f"{one_kernel}/ready?timeout=30", headers=headers)
        assert (ready.status_code, ready.json()["execution_state"]) == (200, "idle")
        others = await client.get(f"{grant['host_url']}/api/kernels", headers=headers)
        assert others.status_code in {401, 403}, "the secret opens one kernel and nothing else"
    home = tmp_path / "homes" / "atlas-1"
    assert home.stat().st_mode & 0o777 == 0o700
    kernel_id = granted["running_kernel"]["id"]
    stopped = await control.internal("DELETE", f"/running-kernels/{kernel_id}", params={"person": "atlas-1"})
    assert stopped.status_code == 204
    with kernel_host.client() as client:
        assert client.get("/api/kernels").json() == []


async def test_a_kernel_its_host_has_lost_is_ended_in_the_books(
    control: Control, kernel_host: KernelHostProcess
):
    await published(control, MANIFEST)
    kernel_id = (await started(control))["running_kernel"]["id"]
    with kernel_host.client() as client:
        client.delete(f"/api/kernels/{kernel_id}").raise_for_status()
    deadline = time.monotonic() + LOST_WITHIN_SECONDS
    while (await control.internal("GET", f"/running-kernels/{kernel_id}/grant")).status_code == 200:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    records = (await control.people("admin", "GET", "/audit", params={"action": "running_kernel.end"})).json()
    assert records["records"][0]["reason"] == "host_lost"


async def test_a_kernel_the_control_plane_does_not_know_is_left_alone(
    control: Control, kernel_host: KernelHostProcess
):
    stranger = kernel_host.launch_body()
    with kernel_host.client() as client:
        client.post("/api/kernels", json=stranger).raise_for_status()
        reconciler = control.app.state.reconciler
        for _ in range(3):
            verdict = await reconciler.look()
            assert stranger["kernel_id"] in verdict.unknown
        assert stranger["kernel_id"] in client.get("/api/kernels").text
        client.delete(f"/api/kernels/{stranger['kernel_id']}").raise_for_status()


async def test_an_environment_whose_kernel_does_not_start_is_not_published(
    kernel_host: KernelHostProcess, sqlite_url: str, tmp_path: Path, token_hub: TokenHub
):
    launcher = JupyterEndpointLauncher("local", kernel_host.url, kernel_host.secret)
    store = EnvironmentStore(tmp_path / "store", environ=make_index(tmp_path / "index"))
    manifest = MANIFEST | {"release": {"version": "1.0", "environment": {"requirements": [TINY_KERNEL]}}}
    async with running_control(sqlite_url, tmp_path, token_hub, launcher, store) as control:
        publication = await published(control, manifest)
        assert publication["error"]["code"] == "kernel_start_failed", publication
        assert [step["name"] for step in publication["steps"]] == ["resolving", "building", "checking"]
        assert (await control.people("admin", "GET", "/kernels")).json() == {"kernels": []}
