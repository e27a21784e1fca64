"""One kernel host process per test module, and kernels in it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.support.kernelhost import KernelHostProcess
from tests.support.kernelsocket import KernelWebsocket


@pytest.fixture(scope="module")
def host() -> Iterator[KernelHostProcess]:
    """Small buffers, so that overflow is quick to reach."""
    running = KernelHostProcess(KEPT_OUTPUT_BYTES=str(4 * 2**20), CONNECTED_OUTPUT_BYTES=str(16 * 2**20))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def api(host: KernelHostProcess) -> Iterator[httpx.Client]:
    with host.client() as client:
        yield client


class KernelUnderTest:
    """One kernel, addressed by who holds the host's secret."""

    def __init__(self, host: KernelHostProcess, api: httpx.Client, **changes: Any) -> None:
        self.host = host
        self.api = api
        body = host.launch_body(**changes)
        api.post("/api/kernels", json=body).raise_for_status()
        self.id: str = body["kernel_id"]
        self.path = f"/api/kernels/{self.id}"
        self.url = f"{host.url}{self.path}"

    def ready(self) -> dict[str, Any]:
        response = self.api.get(f"{self.path}/ready")
        response.raise_for_status()
        model: dict[str, Any] = response.json()
        return model

    def model(self) -> dict[str, Any]:
        model: dict[str, Any] = self.api.get(self.path).json()
        return model

    def websocket(self, **how: Any) -> KernelWebsocket:
        return KernelWebsocket(self.url, self.host.secret, **how)


Starter = Callable[..., KernelUnderTest]


@pytest.fixture(scope="module")
def kernel(host: KernelHostProcess, api: httpx.Client) -> KernelUnderTest:
    """A kernel that the tests of a module share, and none of them ends."""
    return KernelUnderTest(host, api)


@pytest.fixture
def start(host: KernelHostProcess, api: httpx.Client) -> Iterator[Starter]:
    """Start kernels that end with the test."""
    started: list[KernelUnderTest] = []

    def start_one(**changes: Any) -> KernelUnderTest:
        started.append(KernelUnderTest(host, api, **changes))
        return started[-1]

    yield start_one
    for one in started:
        with contextlib.suppress(httpx.HTTPError):
            api.delete(one.path)
