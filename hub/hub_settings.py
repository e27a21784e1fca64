"""Settings of the hub process, read by ``hub.config``."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from hub.process import ProcessSettings
from hub.setting_types import Address, Secret, Url
from hub.teams import MAX_GROUP_LENGTH, ConfiguredTeams

_HEX_KEY_LENGTH = 64
"""32 bytes, written in hexadecimal."""


def _origin(value: str) -> str:
    if urlsplit(value).path:
        raise ValueError("write scheme, host and port only; Granary takes the whole site")
    return value


def _hex_key(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if len(text) != _HEX_KEY_LENGTH or not all(char in "0123456789abcdef" for char in text):
        raise ValueError("needs 64 lower-case hexadecimal digits, for example from `openssl rand -hex 32`")
    return value


Origin = Annotated[Url, AfterValidator(_origin)]
HexKey = Annotated[SecretStr, AfterValidator(_hex_key)]


class HubSettings(ProcessSettings):
    """What JupyterHub needs to run for Granary."""

    public_url: Origin = "http://127.0.0.1:8000"
    """The address people type: scheme, host and port of the proxy."""
    hub_bind: Address = "127.0.0.1:8080"
    """Where the hub itself listens; never a public address."""
    proxy_api_url: Url = "http://127.0.0.1:8001"
    """The proxy's own API. The proxy runs as a process of its own and outlives the hub."""
    control_url: Url = "http://127.0.0.1:8081"
    """The control plane."""
    bridge_url: Url = "http://127.0.0.1:8082"
    """The bridge, as user servers reach it."""
    state_dir: Path
    """Directory of the hub's database, caches and logs of user servers; created with mode 0700."""
    homes_dir: Path
    """Directory of people's home directories; created with mode 0700."""
    teams: ConfiguredTeams
    """The teams Granary governs."""
    contact: Annotated[str, Field(max_length=300)] = "the people who run this site"
    """Whom to ask for access; ends a sentence that begins with "Ask"."""
    platform_admin_group: Annotated[str, Field(min_length=1, max_length=MAX_GROUP_LENGTH)] = "granary-admins"
    """Members of this group govern everything."""

    oidc_issuer: Url
    """The OpenID Connect provider, as its tokens and discovery document name it."""
    oidc_backchannel_url: Url | None = None
    """Where the hub itself reaches the issuer, if not at its public address."""
    oidc_client_id: Annotated[str, Field(min_length=1)]
    """Our name at the provider."""
    oidc_scopes: tuple[str, ...] = ("openid", "profile", "email", "groups")
    """JSON list of scopes to ask for; the groups claim has to come with them."""
    oidc_username_claim: Annotated[str, Field(min_length=1)] = "preferred_username"
    """The claim that names a person. With ``email`` only verified addresses are let in."""
    oidc_groups_claim: Annotated[str, Field(min_length=1)] = "groups"
    """The claim that lists a person's groups."""
    oidc_display_name: Annotated[str, Field(min_length=1, max_length=80)] = "your account"
    """Follows "Sign in with" on the login page."""
    login_refresh_seconds: Annotated[int, Field(ge=5)] = 60
    """Groups are asked of the provider again when they are older than this and the person is active."""

    internal_secret: Secret
    """Shared by Granary's own processes."""
    oidc_client_secret: SecretStr
    """Our password at the provider."""
    hub_crypt_key: HexKey
    """Encrypts the provider's tokens in the hub's database."""
    hub_cookie_secret: HexKey
    """Signs browser sessions; changing it signs everybody out."""
    proxy_token: Secret
    """Opens the proxy's API."""
    cli_token: Secret
    """Hub API token of the service account ``granary-cli``, a platform admin."""

    @property
    def login_refresh_after(self) -> timedelta:
        return timedelta(seconds=self.login_refresh_seconds)

    @field_validator("platform_admin_group")
    @classmethod
    def _platform_admins_are_a_group_of_their_own(cls, value: str, info: ValidationInfo) -> str:
        teams: ConfiguredTeams = info.data.get("teams", ())
        if any(value in {team.name, team.to_domain().admin_group} for team in teams):
            raise ValueError(f"{value} is a team or a team's admins already")
        return value
