"""A team admin and a member of two teams: only the half that belongs to the admin's team is reached."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support.hub import RunningHub, Visitor, running_hub, text_of


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with running_hub(tmp_path_factory.mktemp("hub")) as running:
        for name in ("both-1", "admin-in-atlas"):
            Visitor(running).sign_in(name)
        yield running


@pytest.fixture
def team_admin(hub: RunningHub) -> Visitor:
    visitor = Visitor(hub)
    visitor.sign_in("atlas-admin")
    return visitor


@pytest.mark.parametrize("owner", ["both-1", "admin-in-atlas", "atlas-1"])
@pytest.mark.parametrize("body", [{}, {"scopes": ["read:users!user"]}, {"roles": ["user"]}])
def test_no_team_admin_makes_a_token_for_somebody_else(
    hub: RunningHub, team_admin: Visitor, owner: str, body: dict[str, object]
):
    """Stock, this would hand a platform admin's rights to the admin of any team they are in."""
    token = team_admin.token("atlas-admin")
    by_token = hub.call("POST", f"/users/{owner}/tokens", token=token, json=body)
    by_cookie = team_admin.api("POST", f"/users/{owner}/tokens", json=body)
    assert by_token.status_code == by_cookie.status_code == 403
    assert "token" not in by_token.json()


def test_tokens_of_members_can_be_revoked(hub: RunningHub, team_admin: Visitor):
    member = Visitor(hub)
    member.sign_in("atlas-1")
    theirs = member.token("atlas-1")
    token = team_admin.token("atlas-admin")
    found = hub.call("GET", "/users/atlas-1/tokens", token=token).json()["api_tokens"]
    for each in found:
        assert hub.call("DELETE", f"/users/atlas-1/tokens/{each['id']}", token=token).status_code == 204
    assert hub.call("GET", "/user", token=theirs).status_code == 403


def test_tokens_are_made_by_their_owners_and_platform_admins(hub: RunningHub):
    owner = Visitor(hub)
    owner.sign_in("both-1")
    assert owner.token("both-1")
    made = hub.call("POST", "/users/both-1/tokens", token=hub.admin_token(), json={"note": "x"})
    assert made.status_code == 201
    nobody = httpx.post(f"{hub.url}/hub/api/users/both-1/tokens", json={"auth": {"username": "both-1"}})
    assert nobody.status_code == 403


def test_a_team_admin_reaches_a_server_only_while_it_works_for_the_team(hub: RunningHub, team_admin: Visitor):
    token = team_admin.token("atlas-admin")
    for_borealis = {"user_options": {"team": "borealis"}}
    refused = hub.call("POST", "/users/both-1/server", token=token, json=for_borealis)
    assert (refused.status_code, refused.headers["Granary-Error"]) == (403, "not_team_admin")

    owner = Visitor(hub)
    owner.sign_in("both-1")
    started = hub.call("POST", "/users/both-1/server", token=owner.token("both-1"), json=for_borealis)
    assert started.status_code == 201, started.text
    assert str(owner.get("/user/both-1/lab").url) == f"{hub.url}/user/both-1/lab"
    page = team_admin.get("/user/both-1/lab")
    assert page.status_code == 403
    assert "works for a team that you do not administer" in text_of(page.text)
    assert team_admin.http.get(
        f"{hub.url}/user/both-1/api/contents", headers={"Authorization": f"token {token}"}
    ).status_code in {401, 403}

    assert hub.call("DELETE", "/users/both-1/server", token=token).status_code in {202, 204}
    for_atlas = {"user_options": {"team": "atlas"}}
    assert hub.call("POST", "/users/both-1/server", token=token, json=for_atlas).status_code == 201
    page = team_admin.get("/user/both-1/lab")
    assert "Authorize access" in text_of(page.text)
    hub.call("DELETE", "/users/both-1/server", token=token)
