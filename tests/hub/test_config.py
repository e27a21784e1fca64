"""``configure(c)``: the exact rights it grants, and where it lets things listen."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from hub.config import configure
from hub.hub_settings import HubSettings
from tests.support.hub_settings import SECRETS, good_settings


def configured(directory: Path, **changed: Any) -> Config:
    c = Config()
    configure(c, HubSettings(**(good_settings(directory) | changed)))
    return c


@pytest.fixture(autouse=True)
def _path_as_it_was(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", os.environ["PATH"])


def test_a_team_admin_holds_exactly_these_scopes(tmp_path: Path):
    roles = {role["name"]: role for role in configured(tmp_path).JupyterHub.load_roles}
    assert roles["team-admin-atlas"]["groups"] == ["atlas-admins"]
    assert roles["team-admin-borealis"]["groups"] == ["b-leads"]
    assert roles["team-admin-atlas"]["scopes"] == [
        "admin-ui",
        "list:users!group=atlas",
        "read:users!group=atlas",
        "read:groups!group=atlas",
        "servers!group=atlas",
        "access:servers!group=atlas",
        "tokens!group=atlas",
        "custom:kernels:manage!group=atlas",
    ]


def test_nobody_may_change_who_is_in_a_team(tmp_path: Path):
    """``groups!group=T`` would let a team admin pull outsiders in and so reach their servers."""
    for role in configured(tmp_path).JupyterHub.load_roles:
        for scope in role["scopes"]:
            assert scope.split("!")[0] not in {"groups", "admin:groups", "admin:users", "users"}


def test_no_role_replaces_a_built_in_one(tmp_path: Path):
    c = configured(tmp_path)
    assert {role["name"] for role in c.JupyterHub.load_roles}.isdisjoint({"user", "admin", "server", "token"})
    assert c.JupyterHub.extra_user_scopes == {"custom:kernels:use"}
    assert c.Spawner.server_token_scopes == [
        "access:servers!server",
        "users:activity!user",
        "custom:kernels:use",
    ]


def test_only_governed_groups_come_from_the_provider(tmp_path: Path):
    login = configured(tmp_path).GranaryOIDCAuthenticator
    assert login.allowed_groups == {"granary-admins", "atlas", "atlas-admins", "borealis", "b-leads"}
    assert login.admin_groups == {"granary-admins"}


def test_hub_and_proxy_outlive_each_other(tmp_path: Path):
    c = configured(tmp_path)
    assert c.ConfigurableHTTPProxy.should_start is False
    assert c.JupyterHub.cleanup_servers is c.JupyterHub.cleanup_proxy is False
    assert c.JupyterHub.last_activity_interval <= 10
    assert c.JupyterHub.hub_bind_url == "http://127.0.0.1:8080"


def test_a_provider_of_our_own_is_routed(tmp_path: Path):
    routes = configured(
        tmp_path,
        oidc_issuer="https://hub.example.org/oidc",
        oidc_backchannel_url="http://127.0.0.1:9090/oidc",
    ).ConfigurableHTTPProxy.extra_routes
    assert routes == {
        "/services/granary/": "http://127.0.0.1:8081",
        "/services/gateway/": "http://127.0.0.1:8082",
        "/oidc/": "http://127.0.0.1:9090",
    }


def test_a_provider_elsewhere_is_not_routed(tmp_path: Path):
    for backchannel in (None, "http://10.0.0.7/realm"):
        routes = configured(tmp_path, oidc_backchannel_url=backchannel).ConfigurableHTTPProxy.extra_routes
        assert set(routes) == {"/services/granary/", "/services/gateway/"}


def test_the_state_directory_is_private(tmp_path: Path):
    configured(tmp_path)
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_settings_come_from_variables_and_secret_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    directory = tmp_path / "secrets"
    directory.mkdir()
    for name, value in SECRETS.items():
        (directory / f"granary_{name}").write_text(f"{value}\n")
    monkeypatch.setenv("GRANARY_SECRETS_DIR", str(directory))
    monkeypatch.setenv("GRANARY_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("GRANARY_HOMES_DIR", str(tmp_path / "homes"))
    monkeypatch.setenv("GRANARY_TEAMS", json.dumps([{"name": "atlas"}]))
    monkeypatch.setenv("GRANARY_OIDC_ISSUER", "https://id.example.org/")
    monkeypatch.setenv("GRANARY_OIDC_CLIENT_ID", "granary")
    c = Config()
    configure(c)
    assert c.GranaryOIDCAuthenticator.client_secret == SECRETS["oidc_client_secret"]
    assert c.GranaryOIDCAuthenticator.issuer == "https://id.example.org"
    assert c.ConfigurableHTTPProxy.auth_token == SECRETS["proxy_token"]
