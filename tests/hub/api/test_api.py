"""What the API answers when all is well."""

from __future__ import annotations

import re
import time
from typing import Any

from hub.wire import GrantedKernelBody, KernelChoicesBody, SpawnPolicyBody
from tests.support.catalogue import a_release, an_entry, put
from tests.support.control import API, Control

QUICK_SECONDS = 0.05
"""About 1 ms where nothing else runs; reading the rows each time takes more than this."""


async def test_me_and_my_teams(control: Control):
    me = (await control.people("atlas-admin", "GET", "/me")).json()
    assert me == {
        "name": "atlas-admin",
        "kind": "user",
        "platform_admin": False,
        "may_use_kernels": True,
        "teams": [{"name": "atlas", "display_name": "Atlas", "member": True, "admin": True}],
    }
    assert (await control.people("outsider", "GET", "/teams")).json() == {"teams": []}
    admins = (await control.people("admin", "GET", "/teams")).json()["teams"]
    assert [(team["name"], team["member"], team["admin"]) for team in admins] == [
        ("atlas", False, True),
        ("borealis", False, True),
    ]
    assert (await control.people("granary-cli", "GET", "/me")).json()["kind"] == "service"


async def test_choices_are_the_same_for_bridge_and_people(control: Control):
    internal = await control.internal("GET", "/teams/borealis/kernel-choices")
    public = await control.people("borealis-1", "GET", "/teams/borealis/kernel-choices")
    assert internal.content == public.content
    body = KernelChoicesBody.model_validate_json(internal.content)
    assert body.default == "python-data"
    [choice] = body.choices
    assert (choice.spec_name, choice.version, choice.channel) == ("python-data", "2026.10.1", "prod")
    assert (await control.internal("GET", "/teams/carina/kernel-choices")).json()["code"] == "team_not_found"


async def test_a_kernel_is_started_found_and_stopped(control: Control):
    body = {
        "person": "atlas-1",
        "spec_name": "python-data.dev",
        "request_id": "r1",
        "environment": {"KERNEL_USERNAME": "root", "TZ": "UTC"},
    }
    answer = await control.internal("POST", "/teams/atlas/running-kernels", json=body)
    assert answer.status_code == 201
    started = GrantedKernelBody.model_validate_json(answer.content)
    again = await control.internal("POST", "/teams/atlas/running-kernels", json=body)
    assert again.content == answer.content
    kernel_id = started.running_kernel.id
    assert re.fullmatch(r"[0-9a-f-]{36}", kernel_id)
    assert control.host.kernels[kernel_id].environment["TZ"] == "UTC"

    grant = await control.internal("GET", f"/running-kernels/{kernel_id}/grant")
    assert grant.json() == started.grant.model_dump()
    listed = await control.internal("GET", "/teams/atlas/running-kernels", params={"person": "atlas-1"})
    assert [kernel["running_kernel"]["id"] for kernel in listed.json()["kernels"]] == [kernel_id]
    for team, person in (("atlas", "atlas-2"), ("borealis", "atlas-1")):
        none = await control.internal("GET", f"/teams/{team}/running-kernels", params={"person": person})
        assert none.json() == {"kernels": []}

    foreign = await control.internal("DELETE", f"/running-kernels/{kernel_id}", params={"person": "atlas-2"})
    assert foreign.json()["code"] == "running_kernel_not_found"
    for _ in range(2):
        stopped = await control.internal(
            "DELETE", f"/running-kernels/{kernel_id}", params={"person": "atlas-1"}
        )
        assert stopped.status_code == 204
    assert (await control.internal("GET", f"/running-kernels/{kernel_id}/grant")).status_code == 404


async def test_what_a_person_may_spawn(control: Control):
    groups = ["borealis", "somewhere", "atlas", "atlas-admins"]
    answer = await control.internal("POST", "/people/ada/spawn-policy", json={"groups": groups})
    policy = SpawnPolicyBody.model_validate_json(answer.content)
    assert [team.display_name for team in policy.teams] == ["Atlas", "Borealis"]
    assert policy.contact == "the data desk"


async def test_kernels_and_releases(control: Control):
    [kernel] = (await control.people("borealis-1", "GET", "/kernels")).json()["kernels"]
    assert kernel == (await control.people("borealis-1", "GET", "/kernels/python-data")).json()
    assert [release["version"] for release in kernel["releases"]] == ["2026.11.1", "2026.10.1"]
    assert kernel["channels"] == {"dev": "2026.11.1", "prod": "2026.10.1"}
    release = (await control.people("borealis-1", "GET", "/kernels/python-data/releases/2026.11.1")).json()
    assert {"name": "pandas", "version": "2.3.3"} in release["packages"]
    missing = await control.people("borealis-1", "GET", "/kernels/python-data/releases/9.9")
    assert missing.json()["code"] == "release_not_found"


async def test_publishing_over_http(control: Control):
    manifest = {
        "kernel": "python-lab",
        "team": "atlas",
        "display_name": "Lab",
        "release": {"version": "1.0", "environment": {"requirements": ["ipykernel==7.4.0"]}},
        "channels": ["prod"],
    }
    answer = await control.people("atlas-admin", "POST", "/kernels/python-lab/releases", json=manifest)
    assert answer.status_code == 202
    publication_id = answer.json()["id"]
    deadline = time.monotonic() + 20
    publication: dict[str, Any] = {"state": "queued"}
    while publication["state"] not in {"done", "failed"} and time.monotonic() < deadline:
        publication = (await control.people("atlas-admin", "GET", f"/publications/{publication_id}")).json()
    assert (publication["state"], publication["error"]) == ("done", None)
    assert publication["release"]["stage"] == "active"
    again = await control.people("atlas-admin", "POST", "/kernels/python-lab/releases", json=manifest)
    assert (again.status_code, again.json()["id"]) == (200, publication_id)
    offered = (await control.people("atlas-1", "GET", "/teams/atlas/kernel-choices")).json()["choices"]
    assert "python-lab" in [choice["spec_name"] for choice in offered]


async def test_the_audit_log_is_read_in_pages(control: Control):
    for number in range(5):
        version = ("2026.11.1", "2026.10.1")[number % 2]
        await control.people(
            "atlas-admin",
            "PUT",
            "/kernels/python-data/channels/prod",
            json={"version": version},
        )
    seen: list[int] = []
    params: dict[str, Any] = {"limit": 2, "action": "channel."}
    while True:
        page = (await control.people("admin", "GET", "/audit", params=params)).json()
        seen += [record["seq"] for record in page["records"]]
        if page["next_before"] is None:
            break
        params["before"] = page["next_before"]
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == 5
    assert await control.app.state.services.audit.verify() is None


async def test_index_and_health(control: Control):
    for path in ("/services/granary", "/services/granary/"):
        assert (await control.client.get(path)).json()["openapi"] == "api/v1/openapi.json"
    assert (await control.client.get("/health")).json() == {"status": "ok"}


async def test_openapi_says_everything_about_every_route(control: Control):
    document = (await control.client.get(f"{API}/openapi.json")).json()
    operations = [operation for operations in document["paths"].values() for operation in operations.values()]
    assert all(path.startswith(f"{API}/") for path in document["paths"])
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)
    error = {"$ref": "#/components/schemas/ErrorBody"}
    for operation in operations:
        assert operation["summary"]
        assert operation["tags"]
        assert operation["security"] == [{"HubToken": []}]
        for status in ("400", "401", "403", "500", "503"):
            assert operation["responses"][status]["content"]["application/json"]["schema"] == error
        assert "422" not in operation["responses"]
        assert ("413" in operation["responses"]) is ("requestBody" in operation)
    described = {
        status for operation in operations for status in operation["responses"] if not status.startswith("2")
    }
    assert described == {"400", "401", "403", "404", "409", "413", "500", "503"}


async def test_choices_are_quick_with_hundreds_of_kernels(control: Control):
    entries = [
        an_entry(
            *(a_release(version, f"kernel-{number}") for version in ("1.0", "1.1", "1.2")),
            kernel=f"kernel-{number}",
            channels={"prod": "1.1", "dev": "1.2"},
            entitled={"atlas": {"prod", "dev"}},
        )
        for number in range(300)
    ]
    await control.app.state.services.database.write(lambda session: put(session, *entries))
    seconds = []
    for _ in range(20):
        begun = time.perf_counter()
        answer = await control.internal("GET", "/teams/atlas/kernel-choices")
        seconds.append(time.perf_counter() - begun)
    assert len(answer.json()["choices"]) == 602
    assert sorted(seconds)[10] < QUICK_SECONDS
