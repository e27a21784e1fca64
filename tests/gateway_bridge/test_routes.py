"""What each route answers, over real sockets."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import httpx
import pytest

from hub.errors import all_errors
from tests.support.bridge import UPGRADE, World

KERNELS = "/teams/atlas/api/kernels"


@pytest.fixture
def token(world: World) -> str:
    return world.hub.issue("atlas-1", "atlas")


def assert_error(response: httpx.Response, status: int, code: str) -> None:
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert response.headers["Content-Type"] == "application/json"
    assert set(response.json()) == {"code", "message", "reason", "details"}
    assert code in all_errors()


def refusal(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "message": message, "reason": None, "details": {}}


# -- the server ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/health", "/services/gateway/health"])
async def test_health_asks_nobody(world: World, path: str) -> None:
    async with world.client(None) as client:
        assert (await client.get(path)).json() == {"status": "ok"}
    assert world.hub.asked == []


async def test_version_and_status(world: World, token: str) -> None:
    world.control.run("atlas-1", "atlas")
    world.control.run("atlas-2", "atlas")
    async with world.client(token) as client:
        assert (await client.get("/teams/atlas/api")).json() == {"version": "2.17.0"}
        status = (await client.get("/teams/atlas/api/status")).json()
    assert status["kernels"] == 1
    assert set(status) == {"started", "last_activity", "connections", "kernels"}


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT"])
async def test_other_methods_are_refused_with_a_list(world: World, token: str, method: str) -> None:
    async with world.client(token) as client:
        response = await client.request(method, KERNELS)
        again = await client.get("/health")
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, POST")
    assert again.status_code == 200
    if method == "HEAD":
        assert response.content == b""
    else:
        assert_error(response, 405, "method_not_allowed")


async def test_an_unknown_address(world: World, token: str) -> None:
    async with world.client(token) as client:
        assert_error(await client.get("/teams/atlas/api/contents"), 404, "route_not_found")


async def test_request_ids_are_kept_or_made(world: World) -> None:
    async with world.client(None) as client:
        kept = await client.get("/health", headers={"X-Request-ID": "abc-1.2_3"})
        assert kept.headers["X-Request-ID"] == "abc-1.2_3"
        for bad in ("a b", "x" * 65, "a;b", ""):
            made = await client.get("/health", headers={"X-Request-ID": bad})
            assert made.headers["X-Request-ID"] != bad
            assert len(made.headers["X-Request-ID"]) == 32


# -- who is let in ---------------------------------------------------------------------------------


async def test_the_order_of_refusals(world: World, token: str) -> None:
    bare = world.hub.issue("atlas-1", "atlas", scopes=())
    async with world.client(None) as client:
        missing = await client.get(KERNELS)
        assert_error(missing, 401, "token_missing")
        assert missing.headers["WWW-Authenticate"].startswith("Bearer")
    async with world.client("unknown") as client:
        assert_error(await client.get(KERNELS), 401, "token_rejected")
    async with world.client(bare) as client:
        assert_error(await client.get(KERNELS), 403, "scope_missing")
        assert_error(await client.get("/teams/borealis/api/kernels"), 403, "scope_missing")
    async with world.client(token) as client:
        existing = await client.get("/teams/borealis/api/kernels")
        invented = await client.get("/teams/invented/api/kernels")
    assert_error(existing, 403, "not_a_member")
    assert existing.text.replace("borealis", "T") == invented.text.replace("invented", "T")


async def test_cookies_count_for_nothing(world: World, token: str) -> None:
    async with world.client(None) as client:
        response = await client.get(KERNELS, headers={"Cookie": f"token={token}; jupyterhub-session-id=x"})
    assert_error(response, 401, "token_missing")


async def test_a_token_in_a_rest_query_counts_for_nothing(world: World, token: str) -> None:
    async with world.client(None) as client:
        assert_error(await client.get(KERNELS, params={"token": token}), 401, "token_missing")


# -- kernelspecs -----------------------------------------------------------------------------------


async def test_kernelspecs_have_the_shape_jupyter_knows(world: World, token: str) -> None:
    async with world.client(token) as client:
        models = (await client.get("/teams/atlas/api/kernelspecs")).json()
        one = (await client.get("/teams/atlas/api/kernelspecs/python-data.dev")).json()
        none = await client.get("/teams/atlas/api/kernelspecs/python3")
        logo = await client.get("/teams/atlas/kernelspecs/python-data/logo-64x64.png")
    assert models["default"] == "python-data"
    assert set(models["kernelspecs"]) == {"python-data", "python-data.dev"}
    assert models["kernelspecs"]["python-data.dev"] == one
    assert set(one) == {"name", "spec", "resources"}
    assert set(one["spec"]) == {"argv", "env", "display_name", "language", "interrupt_mode", "metadata"}
    assert one["spec"]["metadata"]["granary"]["channel"] == "dev"
    assert_error(none, 404, "kernel_not_found")
    assert_error(logo, 404, "kernel_not_found")


async def test_a_team_without_kernels_has_an_empty_list(world: World) -> None:
    async with world.client(world.hub.issue("borealis-1", "borealis")) as client:
        models = (await client.get("/teams/borealis/api/kernelspecs")).json()
    assert models == {"default": "", "kernelspecs": {}}


async def test_the_last_list_is_shown_while_the_control_plane_is_down(world: World, token: str) -> None:
    async with world.client(token) as client:
        before = await client.get("/teams/atlas/api/kernelspecs")
        await world.control.server.stop()
        after = before
        for _ in range(100):
            after = await client.get("/teams/atlas/api/kernelspecs")
            if "Granary-Stale-Seconds" in after.headers:
                break
            await asyncio.sleep(0.05)
    assert before.json() == after.json()
    assert "Granary-Stale-Seconds" not in before.headers
    assert int(after.headers["Granary-Stale-Seconds"]) >= 2


# -- starts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "/services/gateway"])
async def test_a_start_answers_like_jupyter(world: World, token: str, prefix: str) -> None:
    async with world.client(token) as client:
        response = await client.post(
            f"{prefix}{KERNELS}",
            json={
                "name": "python-data.dev",
                "env": {"KERNEL_WORKING_DIR": "notes", "KERNEL_USERNAME": "x", "TZ": "UTC"},
            },
        )
    model = response.json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"{prefix}{KERNELS}/{model['id']}"
    assert set(model) == {"id", "name", "last_activity", "execution_state", "connections"}
    assert (model["name"], model["execution_state"]) == ("python-data.dev", "starting")
    [start] = world.control.starts
    assert (start["person"], start["team"], start["spec_name"]) == ("atlas-1", "atlas", "python-data.dev")
    assert (start["environment"], start["working_directory"]) == ({"TZ": "UTC"}, "notes")


async def test_without_a_body_the_default_kernel_starts(world: World, token: str) -> None:
    async with world.client(token) as client:
        assert (await client.post(KERNELS)).status_code == 201
    assert world.control.starts[0]["spec_name"] is None


@pytest.mark.parametrize(
    "body",
    ["{", "[]", '{"name": "a", "name": "b"}', '{"env": {"TZ": "a", "TZ": "b"}}', "[" * 100_000, '{"a": NaN}',
     "\xff", '{"name": 1}', '{"a": ' + "1" * 5000 + "}"],
)  # fmt: skip
async def test_a_body_that_is_not_understood_starts_nothing(world: World, token: str, body: str) -> None:
    async with world.client(token) as client:
        assert_error(await client.post(KERNELS, content=body.encode("latin-1")), 400, "invalid_request")
    assert world.control.starts == []


async def test_an_idempotency_key_is_a_persons_own(world: World, token: str) -> None:
    other = world.hub.issue("atlas-2", "atlas")
    key = {"Idempotency-Key": "try-1"}
    async with world.client(token) as client, world.client(other) as stranger:
        first = await client.post(KERNELS, json={}, headers=key)
        again = await client.post(KERNELS, json={}, headers=key)
        new = await client.post(KERNELS, json={})
        theirs = await stranger.post(KERNELS, json={}, headers=key)
        bad = await client.post(KERNELS, json={}, headers={"Idempotency-Key": "x" * 256})
    assert first.json()["id"] == again.json()["id"]
    assert len({first.json()["id"], new.json()["id"], theirs.json()["id"]}) == 3
    assert_error(bad, 400, "invalid_request")


async def test_the_control_planes_refusal_is_passed_on_word_by_word(world: World, token: str) -> None:
    refusal = {"code": "not_entitled", "message": "Ask team borealis.", "reason": None, "details": {"a": 1}}
    world.control.refusal = (403, refusal)
    async with world.client(token) as client:
        response = await client.post(KERNELS, json={"name": "secret"})
    assert_error(response, 403, "not_entitled")
    assert response.json() == refusal


async def test_a_start_without_the_control_plane_is_refused_within_a_second(world: World, token: str) -> None:
    await world.control.server.stop()
    async with world.client(token) as client:
        started = time.monotonic()
        response = await client.post(KERNELS, json={})
        assert time.monotonic() - started < 1
    assert_error(response, 503, "control_plane_unavailable")
    assert int(response.headers["Retry-After"]) > 0


async def test_a_refused_secret_of_ours_is_not_the_persons_token(world: World, token: str) -> None:
    world.control.refusal = (401, {"code": "token_rejected", "message": "no", "details": {}})
    async with world.client(token) as client:
        assert_error(await client.post(KERNELS, json={}), 503, "control_plane_unavailable")


async def test_ones_own_kernel_can_be_named_in_a_start(world: World, token: str) -> None:
    mine = world.control.run("atlas-1", "atlas")
    async with world.client(token) as client:
        response = await client.post(KERNELS, json={"name": "x", "kernel_id": mine})
    assert (response.status_code, response.json()["id"]) == (201, mine)
    assert world.control.starts == []


# -- running kernels -------------------------------------------------------------------------------


async def test_models_come_from_the_host_under_our_id_and_name(world: World, token: str) -> None:
    mine = world.control.run("atlas-1", "atlas", spec_name="python-data.dev")
    world.control.run("atlas-2", "atlas")
    world.host.state = "busy"
    async with world.client(token) as client:
        [listed] = (await client.get(KERNELS)).json()
        one = (await client.get(f"{KERNELS}/{mine}")).json()
    assert listed == one
    assert one == {
        "id": mine,
        "name": "python-data.dev",
        "last_activity": "2026-02-03T04:05:06.000000Z",
        "execution_state": "busy",
        "connections": 0,
    }


async def test_a_silent_host_delays_a_list_by_a_second_and_is_called_unknown(
    world: World, token: str
) -> None:
    mine = world.control.run("atlas-1", "atlas")
    world.control.kernels[mine]["running_kernel"]["state"] = "running"
    world.host.hold = asyncio.Event()
    async with world.client(token) as client:
        started = time.monotonic()
        [listed] = (await client.get(KERNELS)).json()
        assert time.monotonic() - started < 3
    world.host.hold.set()
    assert (listed["execution_state"], listed["last_activity"]) == ("unknown", "2026-01-01T00:00:00.000000Z")


async def test_a_kernel_its_host_does_not_know_is_not_listed(world: World, token: str) -> None:
    world.control.run("atlas-1", "atlas")
    world.host.refusal = (404, {"code": "running_kernel_not_found", "message": "x", "details": {}})
    async with world.client(token) as client:
        assert (await client.get(KERNELS)).json() == []


async def test_interrupt_restart_and_stop(world: World, token: str) -> None:
    mine = world.control.run("atlas-1", "atlas")
    async with world.client(token) as client:
        assert (await client.post(f"{KERNELS}/{mine}/interrupt", json={})).status_code == 204
        restarted = await client.post(f"{KERNELS}/{mine}/restart", json={})
        assert (restarted.status_code, restarted.json()["id"]) == (200, mine)
        stopped = await client.delete(f"{KERNELS}/{mine}")
        assert (stopped.status_code, stopped.content) == (204, b"")
        assert_error(await client.get(f"{KERNELS}/{mine}"), 404, "running_kernel_not_found")
    assert [request for request in world.host.requests if request[0] == "POST"] == [
        ("POST", f"/api/kernels/host-{mine}/interrupt"),
        ("POST", f"/api/kernels/host-{mine}/restart"),
    ]
    assert {headers["authorization"] for headers in world.host.headers} == {f"token kernel-secret-of-{mine}"}


async def test_the_owner_keeps_working_while_the_control_plane_is_down(world: World, token: str) -> None:
    mine = world.control.run("atlas-1", "atlas")
    other = world.hub.issue("atlas-2", "atlas")
    async with world.client(token) as client, world.client(other) as stranger:
        await client.get(f"{KERNELS}/{mine}")
        await world.control.server.stop()
        assert (await client.post(f"{KERNELS}/{mine}/interrupt")).status_code == 204
        assert (await client.get(f"{KERNELS}/{mine}")).status_code == 200
        foreign = await stranger.get(f"{KERNELS}/{mine}")
        unknown = await stranger.get(f"{KERNELS}/6f1c0c80-5a0f-4d4b-9a53-0d4f6f1f7f10")
    assert_error(foreign, 503, "control_plane_unavailable")
    assert foreign.content == unknown.content


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        ((500, refusal("kernel_start_failed", "No module named ipykernel")), 500, "kernel_start_failed"),
        ((503, refusal("kernel_host_unavailable", "full")), 503, "kernel_host_unavailable"),
        ((401, refusal("token_rejected", "x")), 503, "kernel_host_unavailable"),
        ((403, {"message": "Forbidden"}), 503, "kernel_host_unavailable"),
        ((302, {"a": "redirect"}), 503, "kernel_host_unavailable"),
        ((500, ["not", "ours"]), 503, "kernel_host_unavailable"),
        ((404, refusal("whatever", "the host's words")), 404, "running_kernel_not_found"),
    ],
)
async def test_a_hosts_refusal_is_told_before_the_upgrade_and_in_rest_alike(
    world: World, token: str, answer: tuple[int, Any], status: int, code: str
) -> None:
    mine = world.control.run("atlas-1", "atlas")
    world.host.refusal = answer
    async with world.client(token) as client:
        assert_error(await client.post(f"{KERNELS}/{mine}/restart"), status, code)
        assert_error(await client.get(f"{KERNELS}/{mine}/channels", headers=UPGRADE), status, code)
        assert (await client.get("/health")).status_code == 200


@pytest.mark.parametrize(
    "host_url",
    [
        "http://127.0.0.1:9",
        "ftp://127.0.0.1",
        "http://user:pass@127.0.0.1:9",
        "http://[::1",
        "file:///etc",
        "",
    ],
)
async def test_an_address_that_does_not_serve_is_said_to_be_unavailable(
    world: World, token: str, host_url: str
) -> None:
    mine = world.control.run("atlas-1", "atlas")
    world.control.kernels[mine]["grant"]["host_url"] = host_url
    async with world.client(token) as client:
        assert_error(await client.get(f"{KERNELS}/{mine}"), 503, "kernel_host_unavailable")


@pytest.mark.parametrize(
    "change",
    [
        {"Upgrade": None}, {"Connection": None}, {"Upgrade": "h2c"}, {"Connection": "keep-alive"},
        {"Sec-WebSocket-Version": "8"}, {"Sec-WebSocket-Version": None}, {"Sec-WebSocket-Key": None},
        {"Sec-WebSocket-Key": "short"}, {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="[:-1] + "!"},
        {"Sec-WebSocket-Protocol": "a b"}, {"Sec-WebSocket-Protocol": ",".join("abcdefghij")},
    ],
    ids=str,
)  # fmt: skip
async def test_half_a_websocket_handshake_reaches_no_host(
    world: World, token: str, change: dict[str, Any]
) -> None:
    mine = world.control.run("atlas-1", "atlas")
    headers: dict[str, Any] = {**UPGRADE, **change}
    given = {name: value for name, value in headers.items() if value is not None}
    async with world.client(token) as client:
        assert_error(await client.get(f"{KERNELS}/{mine}/channels", headers=given), 400, "invalid_request")
    assert world.host.requests == []


@pytest.mark.parametrize("query", ["session_id=a&session_id=b", "session_id=a/b", "session_id=" + "x" * 129])
async def test_an_odd_session_id_reaches_no_host(world: World, token: str, query: str) -> None:
    mine = world.control.run("atlas-1", "atlas")
    async with world.client(token) as client:
        response = await client.get(f"{KERNELS}/{mine}/channels?{query}", headers=UPGRADE)
    assert_error(response, 400, "invalid_request")
    assert world.host.requests == []


# -- what is written down ----------------------------------------------------------------------------


async def test_a_defect_of_ours_shows_no_traceback(
    world: World, token: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gateway_bridge.bridge.spec_models", lambda _: 1 // 0)
    async with world.client(token) as client:
        response = await client.get("/teams/atlas/api/kernelspecs")
    assert_error(response, 500, "internal_error")
    assert "ZeroDivisionError" not in response.text
    assert response.headers["X-Request-ID"] in caplog.text


async def test_no_secret_is_logged(world: World, token: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "asyncio", "websockets"):
        logging.getLogger(name).setLevel(logging.WARNING)
    mine = world.control.run("atlas-1", "atlas")
    async with world.client(token) as client:
        await client.get(f"{KERNELS}/{mine}")
        await client.get(f"{KERNELS}/{mine}/channels", params={"token": token})
        await client.get(f"/{token}")
        await client.get(KERNELS, headers={"X-Token": token})
    await world.exchange(f"GET /{token} HTTP/1.1\r\nAuthorization : token {token}\r\n\r\n".encode())
    assert "route='get_kernel'" in caplog.text
    for secret in (token, f"kernel-secret-of-{mine}", "an-internal-secret-of-this-test"):
        assert secret not in caplog.text
