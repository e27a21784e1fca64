"""Bad input of every kind is a clear refusal in one shape; nothing leaks and nothing breaks."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.api.edge import MAX_BODY_BYTES
from hub.api.errors import STATUS, status_of
from hub.errors import GranaryError, Unavailable, all_errors
from hub.wire import ErrorBody
from tests.support.control import API, INTERNAL_SECRET, Control
from tests.support.tokens import header

FIELDS = {"code", "message", "reason", "details"}


def is_refusal(answer: httpx.Response, status: int, code: str) -> str:
    """Check the shape and give the message."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == FIELDS
    assert body["code"] == code
    assert answer.headers["x-request-id"]
    assert isinstance(ErrorBody.model_validate(body).to_error(), GranaryError)
    return str(body["message"])


@pytest.mark.parametrize("error", all_errors().values(), ids=lambda error: error.code)
def test_every_error_has_a_status(error: type[GranaryError]):
    assert status_of(error("x")) in STATUS.values()


async def test_unknown_routes_and_methods(control: Control):
    for path in ("/nothing", f"{API}/nothing", "/services/granary/docs", "/internal/v1", "/docs", "/redoc"):
        is_refusal(await control.client.get(path), 404, "route_not_found")
    is_refusal(await control.client.post("/health"), 405, "method_not_allowed")
    is_refusal(await control.people("admin", "PATCH", "/me"), 405, "method_not_allowed")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "required"),
        (b"{", "JSON"),
        (b"[]", "dictionary or object"),
        (b'{"version": 1}', "version"),
        (b'{"version": "1.0", "reasn": "x"}', "reasn"),
        (b'{"version": "1.0", "reason": "a\\u0000b"}', "control characters"),
        (b'{"version": "1.0", "reason": "' + b"x" * 501 + b'"}', "500"),
        (b"\xff\xfe", ""),
        (b"[" * 100_000, ""),
    ],
)
async def test_a_body_that_does_not_fit(control: Control, body: bytes, told: str):
    answer = await control.people(
        "admin",
        "PUT",
        "/kernels/python-data/channels/prod",
        content=body,
        headers={"Content-Type": "application/json"},
    )
    message = is_refusal(answer, 400, "invalid_request")
    assert told in message


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=100000", "since=yesterday", "since=2026-11-21T00:00:00", "before=x", "unknown=1",
     "before=99999999999999999999", "actor=%00", "team=%ff%00"],
)  # fmt: skip
async def test_a_query_that_does_not_fit(control: Control, query: str):
    is_refusal(await control.people("admin", "GET", f"/audit?{query}"), 400, "invalid_request")


async def test_a_body_that_is_too_large(control: Control):
    path = "/kernels/python-data/channels/prod"
    announced = await control.people("admin", "PUT", path, content=b" " * (MAX_BODY_BYTES + 1))
    is_refusal(announced, 413, "too_large")

    async def unannounced() -> Any:
        for _ in range(MAX_BODY_BYTES // 65536 + 1):
            yield b" " * 65536

    is_refusal(await control.people("admin", "PUT", path, content=unannounced()), 413, "too_large")


@pytest.mark.parametrize("authorization", ["", "token", "token ", "x", "token \xff", "Basic dXNlcjpwYXNz"])
async def test_tokens_of_every_form(control: Control, authorization: str):
    answer = await control.client.get(f"{API}/me", headers={"Authorization": authorization.encode("latin-1")})
    assert answer.status_code == 401
    assert answer.json()["code"] in {"token_missing", "token_rejected"}
    assert answer.headers["www-authenticate"]


@pytest.mark.parametrize("scheme", ["token", "Bearer", "bearer", "Token"])
async def test_any_scheme_word_will_do(control: Control, scheme: str):
    answer = await control.client.get(f"{API}/me", headers=header("atlas-1", scheme))
    assert answer.json()["name"] == "atlas-1"


async def test_a_defect_is_told_by_an_id_only(
    control: Control, caplog: pytest.LogCaptureFixture, monkeypatch
):
    async def breaks(*_args: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(control.app.state.services.catalogue, "kernels", breaks)
    with caplog.at_level(logging.ERROR):
        answer = await control.people("admin", "GET", "/kernels", headers={"X-Request-Id": "my-id.1"})
    message = is_refusal(answer, 500, "internal_error")
    assert "my-id.1" in message
    assert answer.headers["x-request-id"] == "my-id.1"
    assert "secret detail" not in answer.text
    assert "my-id.1" in caplog.text
    assert "secret detail" in caplog.text


@pytest.mark.parametrize("sent", ["a b", "x" * 65, "é", "<script>"])
async def test_a_request_id_that_does_not_belong_in_a_log_is_replaced(control: Control, sent: str):
    answer = await control.client.get("/health", headers={"X-Request-Id": sent.encode()})
    assert answer.headers["x-request-id"].isalnum()


async def test_a_hub_that_is_down(control: Control):
    control.hub.answer_with = (503, b"")
    answer = await control.people("both-1", "GET", "/me")
    is_refusal(answer, 503, "hub_unavailable")
    assert answer.headers["retry-after"] == str(int(Unavailable.retry_after.total_seconds()))


async def test_a_host_that_is_down(control: Control):
    control.host.down = True
    body = {"person": "atlas-1", "spec_name": "python-data", "request_id": "r1"}
    answer = await control.internal("POST", "/teams/atlas/running-kernels", json=body)
    is_refusal(answer, 503, "kernel_host_unavailable")


async def test_the_log_has_paths_without_queries_and_no_tokens(
    control: Control, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.DEBUG):
        await control.people("admin", "GET", "/audit?subject=private-matter")
        await control.internal("GET", "/teams/atlas/running-kernels?person=atlas-1")
        await control.client.get("/x%0d%0aFORGED%1b[31m")
    access = [record.getMessage() for record in caplog.records if record.name == "hub.access"]
    assert any("GET /services/granary/api/v1/audit 200" in line for line in access)
    assert "private-matter" not in " ".join(access)
    for secret in ("token-admin", INTERNAL_SECRET, "secret-of-"):
        assert secret not in caplog.text
    assert all(line.isprintable() for line in access)


PIECES = st.text(min_size=1, max_size=60).map(lambda text: quote(text, errors="surrogatepass", safe=""))
BODIES = st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kernel=PIECES, other=PIECES, body=BODIES)
async def test_whatever_is_sent_is_a_refusal(control: Control, kernel: str, other: str, body: Any):
    await refuses_all(control, kernel, other, body)


@pytest.mark.postgresql
@pytest.mark.parametrize("piece", ["%00", "a%00b", "%F0%9F%98%80", "%ED%A0%80", "%27--", "x" * 5000])
async def test_what_postgresql_cannot_store_is_a_refusal(control_on_postgres: Control, piece: str):
    await refuses_all(control_on_postgres, piece, piece, {"version": "1.0", "channels": ["prod"]})
    for body in ({"person": "a\0b", "request_id": "r"}, {"person": "ada", "request_id": "r\0"}):
        answer = await control_on_postgres.internal("POST", "/teams/atlas/running-kernels", json=body)
        is_refusal(answer, 400, "invalid_request")


async def refuses_all(control: Control, kernel: str, other: str, body: Any) -> None:
    for method, path in (
        ("GET", f"/kernels/{kernel}"),
        ("GET", f"/kernels/python-data/releases/{other}"),
        ("PUT", f"/kernels/{kernel}/channels/{other}"),
        ("PUT", f"/kernels/python-data/entitlements/{other}"),
        ("DELETE", f"/kernels/python-data/entitlements/{other}"),
        ("DELETE", f"/kernels/python-data/channels/{other}"),
        ("POST", f"/kernels/{kernel}/releases"),
        ("GET", f"/publications/{kernel}"),
        ("DELETE", f"/running-kernels/{kernel}"),
        ("GET", f"/running-kernels?team={other}"),
        ("GET", f"/teams/{other}/kernel-choices"),
    ):
        answer = await control.people("admin", method, path, json=body)
        assert answer.status_code in {200, 400, 404, 405}, (method, path, answer.text)
        if answer.status_code == 200:
            assert path.startswith("/running-kernels?")
        else:
            assert set(answer.json()) == FIELDS
