"""Every public route, asked by everybody: the whole matrix, and a check that it is the whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.control import API, Control
from tests.support.tokens import PEOPLE

ANONYMOUS = "anonymous"
UNKNOWN_TOKEN = "nobody"
EVERYBODY = (ANONYMOUS, UNKNOWN_TOKEN, *PEOPLE)


def manifest(number: int) -> dict[str, Any]:
    """A version of its own for everybody who asks."""
    return {
        "kernel": "python-lab",
        "team": "atlas",
        "display_name": "Lab",
        "release": {"version": f"1.{number}", "environment": {"requirements": ["ipykernel==7.4.0"]}},
    }


@dataclass
class Case:
    """One route: how it is asked and what whom it answers with.

    ``then`` overrides ``everybody_else`` by role. Those without a valid token get
    401 and the powerless 403 unless ``then`` says otherwise.
    """

    method: str
    route: str
    everybody_else: int
    then: dict[str, int] = field(default_factory=dict)
    body: Callable[[int], Any] = lambda _number: None
    path: str = ""
    before: tuple[str, Any] | None = None
    """Path and body of what an admin puts back each time."""
    params: dict[str, str] = field(default_factory=dict)

    def expected(self, role: str) -> int:
        if role in {ANONYMOUS, UNKNOWN_TOKEN}:
            return 401
        return self.then.get(role, 403 if role == "atlas-1-powerless" else self.everybody_else)

    def __str__(self) -> str:
        return f"{self.method} {self.route}{'?' if self.params else ''}"


def only(status: int, *roles: str) -> dict[str, int]:
    return dict.fromkeys(roles, status)


SEES_NOTHING = only(404, "outsider", "service-atlas-1")
"""In no team: kernels of others do not exist for them."""
GOVERNS = ("atlas-admin", "admin", "granary-cli")

CASES = [
    Case("GET", "/me", 200),
    Case("GET", "/teams", 200),
    Case(
        "GET", "/teams/{team}/kernel-choices", 200, path="/teams/atlas/kernel-choices",
        then=only(403, "borealis-1", "borealis-admin", "outsider", "service-atlas-1"),
    ),
    Case("GET", "/kernels", 200),
    Case("GET", "/kernels/{kernel}", 200, SEES_NOTHING, path="/kernels/python-data"),
    Case(
        "GET", "/kernels/{kernel}/releases/{version}", 200, SEES_NOTHING,
        path="/kernels/python-data/releases/2026.11.1",
    ),
    Case(
        "PUT", "/kernels/{kernel}/channels/{channel}", 403, SEES_NOTHING | only(200, *GOVERNS),
        lambda _number: {"version": "2026.11.1"},
        "/kernels/python-data/channels/prod",
    ),
    Case(
        "DELETE", "/kernels/{kernel}/channels/{channel}", 403,
        SEES_NOTHING | only(204, *GOVERNS), path="/kernels/python-data/channels/prod",
        before=("/kernels/python-data/channels/prod", {"version": "2026.11.1"}),
    ),
    Case(
        "PUT", "/kernels/{kernel}/entitlements/{team}", 403, SEES_NOTHING | only(200, *GOVERNS),
        lambda _number: {"channels": ["prod", "dev"]},
        "/kernels/python-data/entitlements/borealis",
    ),
    Case(
        "DELETE", "/kernels/{kernel}/entitlements/{team}", 403,
        SEES_NOTHING | only(204, *GOVERNS), path="/kernels/python-data/entitlements/borealis",
        before=("/kernels/python-data/entitlements/borealis", {"channels": ["prod"]}),
    ),
    Case(
        "POST", "/kernels/{kernel}/releases", 403, only(202, *GOVERNS), manifest,
        "/kernels/python-lab/releases",
    ),
    Case(
        "GET", "/publications/{publication_id}", 404, only(404, "atlas-1-powerless"), path="/publications/x"
    ),
    Case("GET", "/running-kernels", 200),
    Case(
        "GET", "/running-kernels", 403, only(200, *GOVERNS), params={"team": "atlas"}
    ),
    Case(
        "DELETE", "/running-kernels/{kernel_id}", 404, only(404, "atlas-1-powerless"),
        path="/running-kernels/00000000-0000-4000-8000-000000000000",
    ),
    Case("GET", "/audit", 403, only(200, *GOVERNS, "borealis-admin")),
    Case("GET", "/audit", 403, only(200, *GOVERNS), params={"team": "atlas"}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_who_is_answered_how(control: Control, case: Case):
    for number, role in enumerate(EVERYBODY):
        if case.before is not None:
            path, body = case.before
            assert (await control.people("admin", "PUT", path, json=body)).status_code == 200
        answer = await control.people(
            role,
            case.method,
            case.path or case.route,
            json=case.body(number),
            params=case.params,
            headers={"Authorization": ""} if role == ANONYMOUS else {},
        )
        assert answer.status_code == case.expected(role), (role, answer.text)
        if answer.is_error:
            assert answer.json()["code"]
            assert answer.json()["message"]


def test_no_route_is_missing_in_the_matrix(control: Control):
    described = {
        (method.upper(), path.removeprefix(API))
        for path, operations in control.app.openapi()["paths"].items()
        for method in operations
    }
    assert described == {(case.method, case.route) for case in CASES}


async def test_foreign_and_unknown_kernels_answer_alike(control: Control):
    body = {"person": "atlas-1", "spec_name": "python-data", "request_id": "r1"}
    started = (await control.internal("POST", "/teams/atlas/running-kernels", json=body)).json()
    kernel_id = started["running_kernel"]["id"]
    unknown_id = "00000000-0000-4000-8000-000000000000"
    for role in ("atlas-2", "both-1", "borealis-admin", "outsider", "service-atlas-1", "atlas-1-powerless"):
        foreign = await control.people(role, "DELETE", f"/running-kernels/{kernel_id}")
        unknown = await control.people(role, "DELETE", f"/running-kernels/{unknown_id}")
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.text.replace(kernel_id, unknown_id) == unknown.text
        assert (await control.people(role, "GET", "/running-kernels")).text.count(kernel_id) == 0
    assert kernel_id in (await control.people("atlas-1", "GET", "/running-kernels")).text
    assert (await control.people("atlas-1", "DELETE", f"/running-kernels/{kernel_id}")).status_code == 204
    assert (await control.people("atlas-1", "DELETE", f"/running-kernels/{kernel_id}")).status_code == 204
    assert control.host.stopped == [kernel_id]


async def test_a_team_admin_reads_the_records_of_the_own_team_only(control: Control):
    await control.people(
        "atlas-admin", "PUT", "/kernels/python-data/channels/prod", json={"version": "2026.11.1"}
    )
    own = (await control.people("atlas-admin", "GET", "/audit")).json()["records"]
    assert {record["team"] for record in own} == {"atlas"}
    assert own[0]["action"] == "channel.set"
    others = (await control.people("borealis-admin", "GET", "/audit")).json()["records"]
    assert {record["team"] for record in others} <= {"borealis"}
    everything = (await control.people("admin", "GET", "/audit")).json()["records"]
    assert {record["team"] for record in everything} == {"atlas", "borealis"}


@pytest.mark.parametrize("secret", ["", "wrong-secret-0123456789", "token-admin"])
async def test_internal_routes_are_for_our_own_processes(control: Control, secret: str):
    for path in ("/teams/atlas/kernel-choices", "/running-kernels/x/grant"):
        answer = await control.client.get(
            f"/internal/v1{path}", headers={"Authorization": f"Bearer {secret}"}
        )
        assert answer.status_code == 401
        assert answer.json()["code"] in {"token_missing", "token_rejected"}
