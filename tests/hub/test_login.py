"""Logging in at a real provider through a real hub: who comes in, as what, and what the hub survives."""

from __future__ import annotations

import signal
import stat
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.support.hub import RunningHub, Visitor, running_hub, text_of, wait_until

REFRESH_SECONDS = 5


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    directory = tmp_path_factory.mktemp("hub")
    with running_hub(directory, GRANARY_LOGIN_REFRESH_SECONDS=str(REFRESH_SECONDS)) as running:
        yield running


@pytest.fixture
def visitor(hub: RunningHub) -> Visitor:
    return Visitor(hub)


def person(hub: RunningHub, name: str) -> dict[str, Any]:
    found: dict[str, Any] = hub.call("GET", f"/users/{name}").json()
    return found


# -- coming in -------------------------------------------------------------------------------


def test_groups_become_teams_and_nothing_else_is_taken_over(hub: RunningHub, visitor: Visitor):
    hub.provider.set_claims(
        "s-1", preferred_username="Somebody", groups=["atlas", "wheel", "granary-admins "]
    )
    visitor.sign_in("s-1")
    assert person(hub, "somebody")["groups"] == ["atlas"]
    assert person(hub, "somebody")["admin"] is False
    groups = {group["name"] for group in hub.call("GET", "/groups").json()}
    assert groups <= {"atlas", "atlas-admins", "borealis", "borealis-admins", "granary-admins"}


def test_the_login_uses_pkce_and_a_state(hub: RunningHub, visitor: Visitor):
    page = visitor.get("/hub/oauth_login")
    asked = parse_qs(urlsplit(str(page.url)).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["code_challenge"]
    assert asked["state"]
    assert asked["scope"] == ["openid profile"]


def test_the_login_page_says_where_one_signs_in(hub: RunningHub, visitor: Visitor):
    words = text_of(visitor.get("/hub/login").text)
    assert "Sign in with your account" in words
    assert "No account? Ask the data desk." in words


def test_an_outsider_reads_why_and_finds_a_way_out(hub: RunningHub, visitor: Visitor):
    page = visitor.sign_in("outsider")
    assert page.status_code == 403
    words = text_of(page.text)
    assert "You are signed in as outsider, but you are in no team that Granary governs." in words
    assert "Ask the data desk for access" in words
    assert f"{hub.provider.url}/oauth2/end_session?client_id=granary" in page.text
    assert "id_token_hint=" in page.text
    assert hub.call("GET", "/users/outsider").status_code == 404
    assert not [cookie for cookie in visitor.http.cookies.jar if cookie.name == "jupyterhub-hub-login"]


def test_cancelling_is_a_page_with_a_way_back(hub: RunningHub, visitor: Visitor):
    page = visitor.get("/hub/oauth_login")
    page = visitor.http.post(page.url, data={"action": "deny"})
    assert page.status_code == 403
    assert "Signing in was cancelled." in text_of(page.text)


@pytest.mark.parametrize(
    "groups",
    ["atlas,borealis", {"atlas": True}, [["atlas"]], [{"name": "atlas"}], True, None, ["ATLAS", "atlas\n"]],
)
def test_a_hostile_groups_claim_lets_nobody_in(hub: RunningHub, visitor: Visitor, groups: object):
    hub.provider.set_claims("hostile", preferred_username="hostile", groups=groups)
    assert visitor.sign_in("hostile").status_code == 403
    assert hub.call("GET", "/users/hostile").status_code == 404


def test_a_person_in_ten_thousand_groups_comes_in(hub: RunningHub, visitor: Visitor):
    groups = [f"group-{number}" for number in range(10_000)] + ["atlas"]
    hub.provider.set_claims("popular", preferred_username="popular", groups=groups)
    assert visitor.sign_in("popular").status_code == 200
    assert person(hub, "popular")["groups"] == ["atlas"]


@pytest.mark.parametrize("name", ["../admin", "a/b", "x" * 65, "\u212aelvin", "", None, ["admin"], 1, "a\nb"])
def test_a_hostile_name_lets_nobody_in(hub: RunningHub, visitor: Visitor, name: object):
    hub.provider.set_claims("hostile", preferred_username=name, groups=["atlas"])
    page = visitor.sign_in("hostile")
    assert page.status_code == 403
    assert "You cannot come in with this account" in text_of(page.text)


def test_a_second_account_cannot_take_a_name(hub: RunningHub, visitor: Visitor):
    hub.provider.set_claims("first", preferred_username="Zoe", groups=["atlas"])
    hub.provider.set_claims("second", preferred_username="zoe", groups=["atlas", "granary-admins"])
    assert visitor.sign_in("first").status_code == 200
    page = Visitor(hub).sign_in("second")
    assert page.status_code == 403
    assert "The name zoe belongs to another account" in text_of(page.text)
    assert person(hub, "zoe")["admin"] is False
    assert Visitor(hub).sign_in("first").status_code == 200


def test_a_callback_out_of_nowhere_is_refused_in_words(hub: RunningHub, visitor: Visitor):
    page = visitor.get("/hub/oauth_callback?code=stolen&state=e30=")
    assert page.status_code == 400
    assert "This attempt to sign in is no longer valid" in text_of(page.text)


def test_a_used_code_is_worth_nothing(hub: RunningHub, visitor: Visitor):
    page = visitor.get("/hub/oauth_login")
    visitor.http.follow_redirects = False
    callback = visitor.http.post(page.url, data={"sub": "atlas-1"}).headers["Location"]
    cookies = dict(visitor.http.cookies)
    assert visitor.http.get(callback).status_code == 302
    again = httpx.get(callback, cookies=cookies)
    assert again.status_code == 400
    assert "no longer valid" in text_of(again.text)


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example/", "/\\evil.example", "\\\\evil.example"]
)
def test_nobody_is_sent_elsewhere_after_the_login(hub: RunningHub, visitor: Visitor, target: str):
    page = visitor.http.get(f"{hub.url}/hub/oauth_login", params={"next": target})
    visitor.http.follow_redirects = False
    answer = visitor.http.post(page.url, data={"sub": "atlas-1"})
    answer = visitor.http.get(answer.headers["Location"])
    landed = urlsplit(answer.headers["Location"])
    assert landed.netloc == ""
    assert not answer.headers["Location"].startswith(("//", "/\\", "\\"))


# -- rights -------------------------------------------------------------------------------------


def test_a_platform_admin_is_one_as_long_as_the_provider_says_so(hub: RunningHub):
    hub.provider.set_claims("chief", preferred_username="chief", groups=["granary-admins"])
    Visitor(hub).sign_in("chief")
    assert person(hub, "chief")["admin"] is True
    hub.provider.set_claims("chief", preferred_username="chief", groups=["atlas"])
    Visitor(hub).sign_in("chief")
    assert person(hub, "chief")["admin"] is False
    assert person(hub, "chief")["groups"] == ["atlas"]


def test_a_team_admin_reaches_the_own_team_only(hub: RunningHub, visitor: Visitor):
    for name in ("atlas-1", "borealis-1"):
        Visitor(hub).sign_in(name)
    visitor.sign_in("atlas-admin")
    token = visitor.token("atlas-admin")
    names = {found["name"] for found in hub.call("GET", "/users", token=token).json()}
    assert "atlas-1" in names
    assert "borealis-1" not in names
    may_do = set(hub.call("GET", "/user", token=token).json()["scopes"])
    assert "custom:kernels:manage!group=atlas" in may_do
    assert "custom:kernels:manage" not in may_do
    assert not [scope for scope in may_do if "borealis" in scope or scope.split("!")[0] == "groups"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/users/borealis-1", None),
        ("POST", "/users/borealis-1/server", None),
        ("POST", "/users/borealis-1/tokens", {}),
        ("POST", "/groups/atlas/users", {"users": ["borealis-1"]}),
        ("POST", "/groups/new", None),
        ("DELETE", "/groups/atlas", None),
        ("PUT", "/groups/atlas/properties", {"x": 1}),
        ("POST", "/users/newcomer", None),
        ("PATCH", "/users/atlas-1", {"admin": True}),
        ("PATCH", "/users/atlas-admin", {"admin": True}),
        ("DELETE", "/users/atlas-1", None),
        ("POST", "/users/atlas-admin/tokens", {"scopes": ["admin:users"]}),
        ("POST", "/users/atlas-admin/tokens", {"scopes": ["custom:kernels:manage"]}),
        ("POST", "/users/atlas-admin/tokens", {"scopes": ["servers!group=borealis"]}),
        ("POST", "/users/atlas-admin/tokens", {"roles": ["admin"]}),
        ("POST", "/shutdown", {}),
        ("GET", "/proxy", None),
    ],
)
def test_a_team_admin_cannot_widen_anything(
    hub: RunningHub, visitor: Visitor, method: str, path: str, body: object
):
    Visitor(hub).sign_in("borealis-1")
    visitor.sign_in("atlas-admin")
    answer = hub.call(method, path, token=visitor.token("atlas-admin"), json=body)
    assert answer.status_code in {400, 403, 404}, answer.text


def test_nobody_sees_what_the_provider_told_us(hub: RunningHub, visitor: Visitor):
    visitor.sign_in("atlas-1")
    team_admin = Visitor(hub)
    team_admin.sign_in("atlas-admin")
    for token in (visitor.token("atlas-1"), team_admin.token("atlas-admin"), hub.cli_token):
        assert "auth_state" not in hub.call("GET", "/users/atlas-1", token=token).json()
    database = (hub.directory / "state" / "jupyterhub.sqlite").read_bytes()
    assert b"id_token" not in database
    assert b"access_token" not in database


def test_the_discovery_document_is_kept_privately(hub: RunningHub):
    kept = hub.directory / "state" / "oidc-discovery.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


# -- going out -------------------------------------------------------------------------------------


def test_logging_out_ends_the_session_at_the_provider_too(hub: RunningHub, visitor: Visitor):
    visitor.sign_in("atlas-1")
    page = visitor.get("/hub/logout")
    assert str(page.url).startswith(f"{hub.provider.url}/oauth2/end_session")
    asked = parse_qs(urlsplit(str(page.url)).query)
    assert asked["id_token_hint"][0].count(".") == 2
    assert asked["post_logout_redirect_uri"] == [f"{hub.url}/hub/login"]
    visitor.http.follow_redirects = False
    assert "/hub/login" in visitor.get("/hub/home").headers["Location"]


# -- the provider changes its mind, or is down --------------------------------------------------------


def test_groups_follow_the_provider_while_a_person_is_active(hub: RunningHub, visitor: Visitor):
    hub.provider.set_claims("mover", preferred_username="mover", groups=["atlas"])
    visitor.sign_in("mover")
    token = visitor.token("mover")
    hub.provider.set_claims("mover", preferred_username="mover", groups=["borealis"])

    def groups() -> bool:
        found = hub.call("GET", "/user", token=token).json()["groups"]
        return bool(found == ["borealis"])

    wait_until(groups, "the group at the next refresh")


def test_tokens_revoked_at_the_provider_end_the_session_but_not_the_automation(
    hub: RunningHub, visitor: Visitor
):
    visitor.sign_in("atlas-2")
    token = visitor.token("atlas-2")
    hub.provider.revoke_tokens("atlas-2")
    visitor.http.follow_redirects = False

    def signed_out() -> bool:
        return "/hub/login" in visitor.get("/hub/home").headers.get("Location", "")

    wait_until(signed_out, "a new login to be asked for")
    assert hub.call("GET", "/user", token=token).status_code == 200


def test_a_provider_that_is_down_locks_nobody_out(hub: RunningHub, visitor: Visitor):
    visitor.sign_in("atlas-2")
    token = visitor.token("atlas-2")
    hub.provider.stop()
    try:
        until = time.monotonic() + REFRESH_SECONDS + 1
        while time.monotonic() < until:
            assert hub.call("GET", "/user", token=token).json()["groups"] == ["atlas"]
            assert visitor.get("/hub/home").status_code == 200
            time.sleep(0.5)
        page = Visitor(hub).get("/hub/login")
        assert page.status_code == 200

        hub.kill("hub", signal.SIGTERM)
        hub.start_hub()
        assert hub.call("GET", "/user", token=token).json()["groups"] == ["atlas"]
        page = Visitor(hub).get("/hub/oauth_login")
        assert page.status_code == 503
        assert "The sign-in service is not answering" in text_of(page.text)
    finally:
        hub.provider.start()
    assert Visitor(hub).sign_in("atlas-1").status_code == 200
