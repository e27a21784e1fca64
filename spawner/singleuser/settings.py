"""What the hub tells a user server through its environment.

Read by hand rather than with pydantic: this process exists once per person, and
loading pydantic would cost every one of them a tenth of a second and ten megabytes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from hub.domain.names import checked_name
from hub.errors import InvalidName

GATEWAY_URL = "GRANARY_GATEWAY_URL"
"""The bridge's address for this server's team, such as ``http://127.0.0.1:8082/teams/atlas``."""

TEAM = "GRANARY_TEAM"
"""The team this server works for."""

TOKEN = "JUPYTERHUB_API_TOKEN"  # noqa: S105 # the variable's name
"""The server's own hub token; it identifies the person to the bridge."""

TERMINALS = "GRANARY_TERMINALS"
"""``0`` takes terminals out of JupyterLab; on by default."""

EXTENSIONS = "GRANARY_SERVER_EXTENSIONS"
"""Further Jupyter server extensions to load: package names, separated by commas."""

PLAIN_IMPORTS = "GRANARY_PLAIN_IMPORTS"
"""``1`` loads all that stock ``jupyterhub-singleuser`` loads: a slower start, for finding faults."""

_OFF = frozenset({"0", "false", "no", "off"})
_ON = frozenset({"", "1", "true", "yes", "on"})


class BadEnvironment(ValueError):
    """A variable is missing or wrong; the message names it and says what to do."""


@dataclass(frozen=True)
class UserServerSettings:
    """Settings of one user server."""

    gateway_url: str
    team: str
    token: str = field(repr=False)
    data_dir: Path
    """Where what has to outlive the server is kept, in the person's home."""
    terminals: bool = True
    extensions: tuple[str, ...] = ()

    @staticmethod
    def from_environment(environment: Mapping[str, str] = os.environ) -> UserServerSettings:
        """Read and check the environment.

        Raises
        ------
        BadEnvironment
        """
        home = environment.get("HOME") or str(Path.home())
        data_home = environment.get("XDG_DATA_HOME") or str(Path(home, ".local", "share"))
        names = environment.get(EXTENSIONS, "").split(",")
        return UserServerSettings(
            gateway_url=_gateway_url(_required(environment, GATEWAY_URL)),
            team=_team(_required(environment, TEAM)),
            token=_required(environment, TOKEN),
            data_dir=Path(data_home, "granary"),
            terminals=_switch(environment, TERMINALS),
            extensions=tuple(name.strip() for name in names if name.strip()),
        )


def _required(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "").strip()
    if not value:
        raise BadEnvironment(f"{name}: not set. The hub's spawner sets it; start the server from the hub.")
    return value


def _gateway_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise BadEnvironment(f"{GATEWAY_URL}: {value!r} is no http:// or https:// address of a bridge.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise BadEnvironment(f"{GATEWAY_URL}: give the address alone, without user, query or fragment.")
    return value.rstrip("/")


def _team(value: str) -> str:
    try:
        return checked_name(value, "team")
    except InvalidName as error:
        raise BadEnvironment(f"{TEAM}: {error.message}") from error


def _switch(environment: Mapping[str, str], name: str) -> bool:
    value = environment.get(name, "").strip().lower()
    if value in _OFF:
        return False
    if value in _ON:
        return True
    raise BadEnvironment(f"{name}: {value!r} is neither on nor off; write 1 or 0.")
