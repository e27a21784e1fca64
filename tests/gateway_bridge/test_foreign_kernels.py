"""Another person's kernel, another team's and none at all are the same to a caller, on every route."""

from __future__ import annotations

import httpx
import pytest

from gateway_bridge.rules import ROUTES, Need, Route
from tests.support.bridge import UPGRADE, World

UNKNOWN = "6f1c0c80-5a0f-4d4b-9a53-0d4f6f1f7f10"


def plain(response: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    headers = {name: value for name, value in response.headers.items() if name != "x-request-id"}
    return response.status_code, response.content, headers


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.need is Need.OWNER], ids=lambda route: route.name
)
async def test_foreign_and_unknown_kernels_are_alike(world: World, route: Route) -> None:
    """The owner has used the kernels just before, so that the bridge knows their grants."""
    owner, caller = (
        world.hub.issue("both-2", "atlas", "borealis"),
        world.hub.issue("both-1", "atlas", "borealis"),
    )
    foreign = world.control.run("both-2", "atlas")
    elsewhere = world.control.run("both-1", "borealis")
    async with world.client(owner) as client:
        assert (await client.get(f"/teams/atlas/api/kernels/{foreign}")).status_code == 200
    seen = len(world.host.requests)
    async with world.client(caller) as client:
        assert (await client.get(f"/teams/borealis/api/kernels/{elsewhere}")).status_code == 200
        answers = []
        for kernel_id in (UNKNOWN, foreign, elsewhere, "not-an-id", UNKNOWN.upper()):
            path = route.pattern.replace("{team}", "atlas").replace("{kernel_id}", kernel_id)
            answers.append(
                await client.request(route.method, path, headers=UPGRADE if route.websocket else {})
            )
    assert answers[0].status_code == 404
    assert answers[0].json()["code"] == "running_kernel_not_found"
    assert all(plain(answer) == plain(answers[0]) for answer in answers)
    assert len(world.host.requests) == seen + 1, "only the caller's own kernel was asked about"
    assert foreign in world.control.kernels


async def test_a_known_foreign_grant_costs_the_same_question_as_an_unknown_one(world: World) -> None:
    owner, caller = world.hub.issue("atlas-2", "atlas"), world.hub.issue("atlas-1", "atlas")
    foreign = world.control.run("atlas-2", "atlas")
    async with world.client(owner) as client:
        await client.get(f"/teams/atlas/api/kernels/{foreign}")
        await client.get(f"/teams/atlas/api/kernels/{foreign}")
    assert world.control.asked_grants == [foreign]
    async with world.client(caller) as client:
        for kernel_id in (foreign, UNKNOWN, foreign, UNKNOWN):
            await client.get(f"/teams/atlas/api/kernels/{kernel_id}")
    assert world.control.asked_grants == [foreign, foreign, UNKNOWN, foreign, UNKNOWN]


@pytest.mark.parametrize("kernel_id", ["foreign", UNKNOWN, "../x", "", 7])
async def test_nobody_adopts_a_kernel_by_naming_it_in_a_start(world: World, kernel_id: str | int) -> None:
    foreign = world.control.run("atlas-2", "atlas")
    caller = world.hub.issue("atlas-1", "atlas")
    asked = foreign if kernel_id == "foreign" else kernel_id
    async with world.client(caller) as client:
        response = await client.post(
            "/teams/atlas/api/kernels", json={"name": "python-data", "kernel_id": asked}
        )
    expected = {"": 201, 7: 400}.get(kernel_id, 404)
    assert response.status_code == expected
    assert response.json().get("id") != foreign


async def test_a_list_holds_only_ones_own_kernels_of_that_team(world: World) -> None:
    caller = world.hub.issue("both-1", "atlas", "borealis")
    mine = world.control.run("both-1", "atlas")
    world.control.run("both-1", "borealis")
    world.control.run("both-2", "atlas")
    async with world.client(caller) as client:
        listed = (await client.get("/teams/atlas/api/kernels")).json()
    assert [model["id"] for model in listed] == [mine]
