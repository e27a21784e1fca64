"""What people see of each other through the bridge: nothing (T1, T2, T3, T4)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.support.installation import Installation
from tests.support.jupyter import JupyterApi

pytestmark = pytest.mark.e2e

ROUTES = [
    ("GET", ""),
    ("DELETE", ""),
    ("POST", "/interrupt"),
    ("POST", "/restart"),
]


@pytest.fixture(scope="module")
def kernel(granary: Installation) -> Iterator[str]:
    api = granary.bridge("atlas-1", "atlas")
    kernel_id = api.start_kernel("python-base")
    yield kernel_id
    assert kernel_id in api.kernel_ids()
    api.stop_kernel(kernel_id)


@pytest.mark.parametrize("name", ["atlas-2", "both-1", "atlas-admin", "admin"])
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_anothers_kernel_does_not_exist_on_any_route(
    granary: Installation, kernel: str, name: str, method: str, path: str
):
    api = granary.bridge(name, "atlas")
    foreign = api.http.request(method, f"/api/kernels/{kernel}{path}")
    unknown = api.http.request(method, f"/api/kernels/{uuid.uuid4()}{path}")
    if name == "admin":  # in no team: not even the team exists
        assert foreign.status_code == httpx.codes.FORBIDDEN
    else:
        assert foreign.status_code == httpx.codes.NOT_FOUND
    assert (foreign.status_code, foreign.content) == (unknown.status_code, unknown.content)


@pytest.mark.parametrize("name", ["atlas-2", "both-1"])
def test_anothers_kernel_opens_no_websocket(granary: Installation, kernel: str, name: str):
    with (
        pytest.raises(InvalidStatus) as refusal,
        granary.bridge(name, "atlas").socket(kernel) as socket,
    ):
        socket.execute("1")
    assert refusal.value.response.status_code == httpx.codes.NOT_FOUND


def test_nor_does_it_for_a_list_or_an_adoption(granary: Installation, kernel: str):
    api = granary.bridge("atlas-2", "atlas")
    assert kernel not in api.kernel_ids()
    answer = api.http.post("/api/kernels", json={"name": "python-base", "kernel_id": kernel})
    assert answer.status_code == httpx.codes.NOT_FOUND


def test_nobody_gets_into_a_team_they_are_not_in(granary: Installation):
    for team in ("borealis", "no-such-team"):
        answer = granary.bridge("atlas-1", team).http.get("/api/kernels")
        assert answer.status_code == httpx.codes.FORBIDDEN
        assert answer.json()["code"] == "not_a_member"


HOSTILE = {
    "KERNEL_USERNAME": "atlas-2",
    "KERNEL_IMAGE": "evil/image",
    "KERNEL_NAMESPACE": "kube-system",
    "KERNEL_UID": "0",
    "KERNEL_WORKING_DIR": "/etc",
    "GRANARY_PERSON": "atlas-2",
    "PATH": "/tmp/evil",
    "LD_PRELOAD": "/tmp/evil.so",
    "PYTHONPATH": "/tmp/evil",
    "HOME": "/root",
    "JUPYTER_PATH": "/tmp/evil",
}

LOOK = """
import os
names = %r
print({name: os.environ.get(name) for name in names}, os.getcwd())
"""


def test_a_client_environment_changes_nothing(granary: Installation):
    api = granary.bridge("atlas-1", "atlas")
    plain = api.start_kernel("python-base")
    hostile = api.start_kernel("python-base", env=HOSTILE)
    try:
        assert _looks_like(api, plain) == _looks_like(api, hostile)
        assert "'GRANARY_PERSON': 'atlas-1'" in _looks_like(api, hostile)
    finally:
        api.stop_kernel(plain)
        api.stop_kernel(hostile)


def _looks_like(api: JupyterApi, kernel_id: str) -> str:
    with api.socket(kernel_id) as socket:
        return socket.execute(LOOK % sorted(HOSTILE)).stdout
