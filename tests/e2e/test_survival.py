"""What is killed costs nobody a kernel: the same kernel answers with its variables afterwards."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.support.installation import Installation, wait_until
from tests.support.jupyter import JupyterApi

pytestmark = pytest.mark.e2e


@pytest.fixture
def server(granary: Installation) -> JupyterApi:
    return granary.start_server("atlas-2")


@pytest.fixture
def kernel(server: JupyterApi) -> Iterator[str]:
    kernel_id = server.start_kernel("python-base")
    with server.socket(kernel_id) as socket:
        assert socket.execute("kept = 'still here'").status == "ok"
    yield kernel_id
    server.stop_kernel(kernel_id)


def variables_of(api: JupyterApi, kernel_id: str) -> str:
    with api.socket(kernel_id) as socket:
        return socket.execute("print(kept)").stdout.strip()


@pytest.mark.parametrize("process", ["hub", "control", "bridge", "proxy", "oidc"])
def test_a_killed_process_comes_back_and_kernels_never_notice(
    granary: Installation, server: JupyterApi, kernel: str, process: str
):
    old_pid = granary.kill(process)
    granary.until_back(process, old_pid)
    wait_until("the kernel to be listed again", lambda: kernel in _ids(server))
    assert variables_of(server, kernel) == "still here"
    view = next(view for view in granary.status()["processes"] if view["name"] == process)
    assert view["restarts"] >= 1
    assert view["last_exit"] == "killed by SIGKILL"


def test_a_killed_user_server_leaves_its_kernels_to_the_next(
    granary: Installation, server: JupyterApi, kernel: str
):
    os.kill(granary.server_pid("atlas-2"), signal.SIGKILL)
    assert variables_of(granary.bridge("atlas-2", "atlas"), kernel) == "still here"
    granary.stop_server("atlas-2")  # what the hub does by itself at its next look
    again = granary.start_server("atlas-2")
    assert kernel in again.kernel_ids()
    assert variables_of(again, kernel) == "still here"


def test_a_stopped_user_server_leaves_its_kernels_too(granary: Installation, server: JupyterApi, kernel: str):
    granary.stop_server("atlas-2")
    again = granary.start_server("atlas-2")
    assert variables_of(again, kernel) == "still here"


def test_a_killed_supervisor_is_followed_by_one_that_knows_everything(
    granary: Installation, server: JupyterApi, kernel: str
):
    before = {view["name"]: view["pid"] for view in granary.status()["processes"]}
    granary.kill_supervisor()
    assert not granary.status()["supervised"]
    granary.up()
    after = {view["name"]: view["pid"] for view in granary.status()["processes"]}
    assert after == before
    assert variables_of(server, kernel) == "still here"


def _ids(server: JupyterApi) -> list[str]:
    answer = server.http.get("/api/kernels")
    return [kernel["id"] for kernel in answer.json()] if answer.is_success else []
