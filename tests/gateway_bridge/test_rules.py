"""The route table and the judgements, without any IO."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_bridge.rules import (
    PUBLIC_PREFIX,
    ROUTES,
    Match,
    Need,
    Route,
    admit,
    is_kernel_id,
    match,
    owned,
    start_wish,
    token_of,
)
from hub.domain.people import Person
from hub.domain.running import Grant
from hub.errors import (
    GranaryError,
    InvalidRequest,
    MethodNotAllowed,
    NotAMember,
    RouteNotFound,
    RunningKernelNotFound,
    ScopeMissing,
    TokenMissing,
)

KERNEL = "6f1c0c80-5a0f-4d4b-9a53-0d4f6f1f7f10"

VALUES = {
    "{team}": "atlas",
    "{kernel_id}": KERNEL,
    "{spec_name}": "python-data.dev",
    "{resource}": "logo-64x64.png",
}


def path_of(route: Route) -> str:
    return "/".join(VALUES.get(part, part) for part in route.pattern.split("/"))


@pytest.mark.parametrize("prefix", ["", PUBLIC_PREFIX])
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_every_route_is_found_with_and_without_the_public_prefix(route: Route, prefix: str) -> None:
    found = match(route.method, prefix + path_of(route))
    assert found.route is route
    assert found.prefix == prefix
    assert found.variables == {
        part[1:-1]: VALUES[part] for part in route.pattern.split("/") if part.startswith("{")
    }


def test_only_health_asks_nothing_of_its_caller() -> None:
    assert [route.name for route in ROUTES if route.need is Need.NOTHING] == ["health"]


def test_whatever_names_a_kernel_asks_for_its_owner() -> None:
    assert {route.need for route in ROUTES if "{kernel_id}" in route.pattern} == {Need.OWNER}


def test_only_starts_are_marked_as_starts() -> None:
    assert [route.name for route in ROUTES if route.starts] == ["start_kernel"]


NOWHERE = [
    "/",
    "",
    "//health",
    "/health/",
    "/Health",
    "/healthz",
    "/teams",
    "/teams/atlas",
    "/teams/atlas/",
    "/teams//api",
    "/teams/atlas/api/",
    "/teams/atlas//api",
    "/teams/../teams/atlas/api",
    "/teams/atlas/./api",
    "/teams/atlas/api/kernels/",
    f"/teams/atlas/api/kernels/{KERNEL}/",
    f"/teams/atlas/api/kernels/{KERNEL}/shutdown",
    f"/teams/atlas/api/kernels/{KERNEL}/channels/x",
    "/teams/Atlas/api",
    "/teams/-atlas/api",
    "/teams/a b/api",
    "/teams/atlas%2Fapi",
    "/teams/atlas/api%2Fkernels",
    "/teams/%2e%2e/api",
    "/teams/atlas%00/api",
    "/teams/atlas/api%",
    "/teams/atlas/api%2",
    "/teams/atlas/api%zz",
    "/teams/%ff/api",
    "/teams/%C0%AE/api",
    "/teams/atlas\\api",
    "/teams/atlas%5capi",
    "/teams/%61%74las%2f..%2fx/api",
    "/teams/" + "a" * 41 + "/api",
    "/services/gatewayteams/atlas/api",
    "/services/gateway",
    "/services/gateway/services/gateway/health",
    "/api",
    "/api/kernels",
    "/hub/api/user",
    "/teams/admin/api",
    "/teams/atlas;x=y/api",
    "/teams/atlas/kernelspecs/python-data/../../x",
    "/teams/atlas/kernelspecs/python-data/a/b",
]


@pytest.mark.parametrize("path", NOWHERE)
def test_other_paths_lead_nowhere(path: str) -> None:
    with pytest.raises(RouteNotFound):
        match("GET", path)


def test_segments_are_decoded_exactly_once() -> None:
    assert match("GET", "/teams/%61tlas/api").team == "atlas"
    with pytest.raises(RouteNotFound):
        match("GET", "/teams/%2561tlas/api")


@given(st.text(max_size=60))
def test_any_path_is_matched_or_refused(path: str) -> None:
    try:
        found = match("GET", "/" + path)
    except GranaryError:
        return
    assert found.route in ROUTES


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "TRACE", "DELETE"])
def test_other_methods_are_told_which_ones_there_are(method: str) -> None:
    with pytest.raises(MethodNotAllowed) as refused:
        match(method, "/teams/atlas/api/kernels")
    assert refused.value.details["allowed"] == ["GET", "POST"]


# -- tokens ---------------------------------------------------------------------------------------


def asked(path: str) -> Match:
    return match("GET", path)


@pytest.mark.parametrize("scheme", ["token", "Token", "Bearer", "bearer", "X-Whatever"])
def test_a_token_is_read_whatever_the_scheme(scheme: str) -> None:
    assert token_of(asked("/teams/atlas/api"), f"{scheme} abc") == "abc"


@pytest.mark.parametrize(
    "header", [None, "", "abc", "token", "token ", "token a b", "token a\tb", "to ken a", "token ä"]
)
def test_without_a_token_nobody_is_asked(header: str | None) -> None:
    with pytest.raises(TokenMissing):
        token_of(asked("/teams/atlas/api"), header)


def test_a_token_in_the_query_counts_for_websockets_only() -> None:
    channels = f"/teams/atlas/api/kernels/{KERNEL}/channels?session_id=s&token=abc"
    assert token_of(asked(channels), None) == "abc"
    assert token_of(asked(channels), "token header") == "header"
    with pytest.raises(TokenMissing):
        token_of(asked("/teams/atlas/api/kernels?token=abc"), None)


# -- people ---------------------------------------------------------------------------------------

MEMBER = Person("atlas-1", frozenset({"atlas"}), may_use_kernels=True)


def test_members_pass() -> None:
    admit(MEMBER, "atlas")


@pytest.mark.parametrize(
    ("person", "error"),
    [
        (Person("a", frozenset({"atlas"})), ScopeMissing),
        (Person("a", frozenset({"atlas"}), manages=frozenset({"atlas"})), ScopeMissing),
        (Person("a", frozenset({"atlas"}), manages_all=True), ScopeMissing),
        (Person("a", frozenset({"borealis"}), may_use_kernels=True), NotAMember),
        (Person("a", frozenset({"atlas-admins"}), may_use_kernels=True), NotAMember),
        (Person("a", frozenset(), may_use_kernels=True, manages_all=True), NotAMember),
    ],
)
def test_others_do_not(person: Person, error: type[GranaryError]) -> None:
    with pytest.raises(error):
        admit(person, "atlas")


def test_a_stranger_learns_nothing_about_which_teams_there_are() -> None:
    answers = []
    for team in ("borealis", "no-such-team"):
        with pytest.raises(NotAMember) as refused:
            admit(MEMBER, team)
        answers.append(refused.value.message.replace(team, "T"))
    assert answers[0] == answers[1]


def grant(owner: str = "atlas-1", team: str = "atlas") -> Grant:
    return Grant(KERNEL, owner, team, "python-data", "http://h:1", KERNEL, "secret")


def test_the_owner_has_the_grant() -> None:
    assert owned(grant(), MEMBER, "atlas") == grant()


@pytest.mark.parametrize(
    "other", [None, grant(owner="atlas-2"), grant(owner="Atlas-1"), grant(team="borealis")]
)
def test_for_everybody_else_the_kernel_does_not_exist(other: Grant | None) -> None:
    with pytest.raises(RunningKernelNotFound) as refused:
        owned(other, MEMBER, "atlas")
    assert (refused.value.message, dict(refused.value.details)) == (
        "You have no such kernel running in this team.",
        {},
    )


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        KERNEL.upper(),
        KERNEL.replace("-", ""),
        f"{{{KERNEL}}}",
        KERNEL + "\n",
        KERNEL[:-1],
        "../" + KERNEL,
    ],
)
def test_only_canonical_ids_are_ids(value: str) -> None:
    assert not is_kernel_id(value)
    assert is_kernel_id(KERNEL)


# -- starts ---------------------------------------------------------------------------------------


def test_a_stock_clients_environment_shrinks_to_what_is_harmless() -> None:
    wish = start_wish(
        {
            "name": "python-data",
            "env": {
                "KERNEL_USERNAME": "somebody-else",
                "KERNEL_IMAGE": "evil",
                "KERNEL_NAMESPACE": "kube-system",
                "KERNEL_UID": "0",
                "KERNEL_WORKING_DIR": "/home/atlas-1/notes",
                "PATH": "/evil",
                "LD_PRELOAD": "/evil.so",
                "TZ": "Europe/Berlin",
                "LANG": 5,
            },
            "unknown": {"a": 1},
        }
    )
    assert wish.spec_name == "python-data"
    assert wish.environment == {"TZ": "Europe/Berlin"}
    assert wish.working_directory == "/home/atlas-1/notes"
    assert wish.kernel_id is None


@pytest.mark.parametrize(
    "body", [None, {}, {"name": None}, {"name": ""}, {"name": None, "env": None, "path": None}]
)
def test_no_name_asks_for_the_default(body: object) -> None:
    assert start_wish(body).spec_name is None


@pytest.mark.parametrize(
    "body",
    [
        [],
        "x",
        1,
        True,
        {"name": 1},
        {"name": "x" * 201},
        {"env": []},
        {"env": "x"},
        {"path": 1},
        {"kernel_id": 7},
    ],
)
def test_a_body_of_another_shape_is_refused(body: object) -> None:
    with pytest.raises(InvalidRequest):
        start_wish(body)
