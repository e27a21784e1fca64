"""Scopes and roles, from the configuration the hub process really makes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from traitlets.config import Config

from granary_reference.text import code, table
from hub.config import configure
from hub.hub_settings import HubSettings

TEAM = "atlas"
"""Stands for any team."""


def configured() -> Any:
    """JupyterHub's configuration of a site with one team."""
    config = Config()
    with tempfile.TemporaryDirectory() as folder:
        settings = HubSettings(
            state_dir=Path(folder) / "state",
            homes_dir=Path(folder) / "homes",
            teams=[{"name": TEAM, "display_name": "Atlas"}],
            oidc_issuer="http://127.0.0.1/oidc",
            oidc_client_id="granary",
            internal_secret="0" * 64,
            oidc_client_secret="0" * 64,
            hub_crypt_key="0" * 64,
            hub_cookie_secret="0" * 64,
            proxy_token="0" * 64,
            cli_token="0" * 64,
        )
        configure(config, settings)
    return config


def markdown() -> str:
    """Scopes of our own, what everybody holds, what each role adds."""
    config = configured()
    hub = config.JupyterHub
    scopes = table(
        ["scope", "allows"],
        [[code(name), about["description"]] for name, about in hub.custom_scopes.items()],
    )
    everybody = table(
        ["who", "scopes beyond JupyterHub's own"],
        [
            ["every person who may log in", _codes(hub.extra_user_scopes)],
            ["a user server's token, for its person", _codes(config.Spawner.server_token_scopes)],
        ],
    )
    roles = table(["role", "held by", "scopes"], [_role(role) for role in hub.load_roles])
    return f"## Scopes\n\n{scopes}\n## Everybody\n\n{everybody}\n## Roles\n\n{roles}"


def _role(role: dict[str, Any]) -> list[str]:
    holders = [f"group `{name}`" for name in role.get("groups", [])]
    holders += [f"service account `{name}`" for name in role.get("services", [])]
    return [f"{code(role['name'])}: {role['description']}", ", ".join(holders), _codes(role["scopes"])]


def _codes(names: Any) -> str:
    return ", ".join(code(name) for name in sorted(names))
