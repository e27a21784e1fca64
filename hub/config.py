"""``configure(c)``: JupyterHub for Granary.

A deployment's whole ``jupyterhub_config.py`` is::

    from hub.config import configure
    configure(c)
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hub.domain.people import MANAGE_SCOPE, USE_SCOPE, Team
from hub.hub_settings import HubSettings
from hub.login import GranaryOIDCAuthenticator
from hub.process import load_settings

TEMPLATES = Path(__file__).parent / "templates"

ROUTE_CHECK = timedelta(seconds=5)
"""How long a restarted proxy may be without routes."""

SERVER_CHECK = timedelta(seconds=10)
"""Between two looks whether a person's server still runs."""

START_BOUND = timedelta(seconds=30)
"""A server that has not answered by then is given up."""

CLI_SERVICE = "granary-cli"
"""Service account of the command line on this machine."""

SERVER_TOKEN_SCOPES = ("access:servers!server", "users:activity!user", USE_SCOPE)
"""All that a user server's token can do: be visited, report activity, use kernels as its person."""


def configure(c: Any, settings: HubSettings | None = None) -> None:
    """Set everything JupyterHub needs to run as part of Granary on one machine.

    Parameters
    ----------
    c
        The configuration object of ``jupyterhub_config.py``. What a deployment sets
        on it afterwards wins.
    settings
        Read from the environment and the secrets directory if left out; a mistake
        there ends the process with one line a mistake.
    """
    settings = load_settings(HubSettings) if settings is None else settings
    _places(c, settings)
    _proxy(c, settings)
    _login(c, settings)
    _rights(c, settings)
    _servers(c, settings)
    _pages(c, settings)


def team_admin_role(team: Team) -> dict[str, Any]:
    """What the admins of ``team`` may do in the hub.

    Never ``groups!group=``: it would let them add people to their team and so reach
    those people's servers.
    """
    name = team.name
    return {
        "name": f"team-admin-{name}",
        "description": f"Admins of team {team.display_name}",
        "groups": [team.admin_group],
        "scopes": [
            "admin-ui",
            f"list:users!group={name}",
            f"read:users!group={name}",
            f"read:groups!group={name}",
            f"servers!group={name}",
            f"access:servers!group={name}",
            f"tokens!group={name}",
            f"{MANAGE_SCOPE}!group={name}",
        ],
    }


def _places(c: Any, settings: HubSettings) -> None:
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    c.JupyterHub.db_url = f"sqlite:///{settings.state_dir.resolve() / 'jupyterhub.sqlite'}"
    c.JupyterHub.upgrade_db = True
    # JupyterHub upgrades its database by running `alembic`, which lies beside our Python.
    os.environ["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    )
    c.JupyterHub.cookie_secret = bytes.fromhex(settings.hub_cookie_secret.get_secret_value())
    c.CryptKeeper.keys = [bytes.fromhex(settings.hub_crypt_key.get_secret_value())]
    c.JupyterHub.hub_bind_url = f"http://{settings.hub_bind}"
    c.JupyterHub.public_url = f"{settings.public_url}/"


def _proxy(c: Any, settings: HubSettings) -> None:
    """The proxy is a process of its own: a hub that restarts cuts nobody off."""
    c.JupyterHub.proxy_class = "configurable-http-proxy"
    c.ConfigurableHTTPProxy.should_start = False
    c.ConfigurableHTTPProxy.api_url = settings.proxy_api_url
    c.ConfigurableHTTPProxy.auth_token = settings.proxy_token.get_secret_value()
    c.JupyterHub.cleanup_proxy = False
    c.JupyterHub.last_activity_interval = int(ROUTE_CHECK.total_seconds())
    # Routes, not hub services: the hub waits for services when it starts, and a
    # service with an address but without a token would be an OAuth client without a secret.
    routes = {"/services/granary/": settings.control_url, "/services/gateway/": settings.bridge_url}
    backchannel = settings.oidc_backchannel_url
    if backchannel and settings.oidc_issuer.startswith(f"{settings.public_url}/"):
        parts = urlsplit(backchannel)
        routes[f"{urlsplit(settings.oidc_issuer).path}/"] = f"{parts.scheme}://{parts.netloc}"
    c.ConfigurableHTTPProxy.extra_routes = routes


def _login(c: Any, settings: HubSettings) -> None:
    c.JupyterHub.authenticator_class = GranaryOIDCAuthenticator
    login = c.GranaryOIDCAuthenticator
    login.issuer = settings.oidc_issuer
    login.backchannel_url = settings.oidc_backchannel_url or ""
    login.discovery_cache = str(settings.state_dir / "oidc-discovery.json")
    login.client_id = settings.oidc_client_id
    login.client_secret = settings.oidc_client_secret.get_secret_value()
    login.scope = list(settings.oidc_scopes)
    login.username_claim = settings.oidc_username_claim
    login.groups_claim = settings.oidc_groups_claim
    login.login_service = settings.oidc_display_name
    login.oauth_callback_url = f"{settings.public_url}/hub/oauth_callback"
    login.post_logout_url = f"{settings.public_url}/hub/login"
    login.allowed_groups = _governed_groups(settings)
    login.admin_groups = {settings.platform_admin_group}
    login.auth_refresh_age = settings.login_refresh_seconds
    login.contact = settings.contact


def _governed_groups(settings: HubSettings) -> set[str]:
    teams = [team.to_domain() for team in settings.teams]
    return {settings.platform_admin_group} | {
        group for team in teams for group in (team.name, team.admin_group)
    }


def _rights(c: Any, settings: HubSettings) -> None:
    c.JupyterHub.custom_scopes = {
        USE_SCOPE: {"description": "Start and use kernels."},
        MANAGE_SCOPE: {"description": "Govern kernels: publish, promote, entitle."},
    }
    # A role named "user" in load_roles would replace the built-in one instead of adding to it.
    c.JupyterHub.extra_user_scopes = {USE_SCOPE}
    c.JupyterHub.services = [
        {"name": CLI_SERVICE, "api_token": settings.cli_token.get_secret_value(), "display": False}
    ]
    c.JupyterHub.load_roles = [
        *(team_admin_role(team.to_domain()) for team in settings.teams),
        {
            "name": "platform-admin",
            "description": "Govern the kernels of every team",
            "groups": [settings.platform_admin_group],
            "services": [CLI_SERVICE],
            "scopes": [MANAGE_SCOPE, USE_SCOPE],
        },
        {
            "name": "granary-cli",
            "description": "See people and groups from the command line",
            "services": [CLI_SERVICE],
            "scopes": ["list:users", "read:users", "list:groups", "read:groups"],
        },
    ]


def _servers(c: Any, settings: HubSettings) -> None:
    c.JupyterHub.spawner_class = "granary-local"
    c.JupyterHub.cleanup_servers = False
    c.JupyterHub.allow_named_servers = False
    c.Spawner.default_url = "/lab"
    c.Spawner.server_token_scopes = list(SERVER_TOKEN_SCOPES)
    c.Spawner.start_timeout = c.Spawner.http_timeout = int(START_BOUND.total_seconds())
    c.Spawner.poll_interval = int(SERVER_CHECK.total_seconds())
    governed = c.GovernedSpawnerMixin
    governed.control_url = settings.control_url
    governed.bridge_url = settings.bridge_url
    governed.internal_secret = settings.internal_secret.get_secret_value()
    c.GranaryLocalSpawner.homes_dir = str(settings.homes_dir.resolve())
    c.GranaryLocalSpawner.state_dir = str(settings.state_dir.resolve())


def first_page(teams: frozenset[str]) -> Callable[[Any], str]:
    """Where somebody arrives who asked for no page: their server, or for admins in no team the admin page.

    The hub calls it with a request's handler; an empty answer means its own default,
    which starts the person's server.
    """

    def choose(handler: Any) -> str:
        user = handler.current_user
        if user is None or not user.admin or teams & {group.name for group in user.groups}:
            return ""
        return f"{handler.hub.base_url}admin"

    return choose


def _pages(c: Any, settings: HubSettings) -> None:
    c.JupyterHub.default_url = first_page(frozenset(team.name for team in settings.teams))
    c.JupyterHub.template_paths = [str(TEMPLATES)]
    c.JupyterHub.template_vars = {"granary_contact": settings.contact}
    c.JupyterHub.tornado_settings = {
        # Two dicts: the hub adds its path to the second, and user servers get the first.
        "cookie_options": {"samesite": "Lax"},
        "xsrf_cookie_kwargs": {"samesite": "Lax"},
        "headers": {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"},
    }
