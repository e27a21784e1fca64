"""Which processes an installation consists of, and how each is started. Pure."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from hub.local.config import DEMO_TEAMS, LocalConfig
from hub.local.layout import Layout
from hub.teams import ConfiguredTeam

LOOPBACK = "127.0.0.1"

INTERNAL_PORTS = ("proxy_api", "hub", "control", "bridge", "kernelhost", "oidc")
"""Ports nobody types; chosen freely and kept as long as they are free."""

OIDC_PATH = "/oidc"
"""Where the bundled provider lives behind the public port."""

SECRETS_VARIABLE = "GRANARY_SECRETS_DIR"
"""Names the folder of a process's secrets."""

BUNDLED_CLIENT = "granary"

INHERITED = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "TZ", "USER", "XDG_CACHE_HOME")
INHERITED_PREFIXES = ("GRANARY_LOG_", "PIP_", "SSL_CERT_", "UV_")
"""What a process sees of the environment ``granary up`` was started in; nothing in it is a secret of ours."""

BUILD_ONLY = (
    "ALL_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "all_proxy",
    "https_proxy",
    "http_proxy",
    "no_proxy",
)
"""For the control plane, which fetches packages."""


@dataclass(frozen=True)
class Health:
    """How to see that a process does its work: a page that answers 200, or a port that listens."""

    port: int
    path: str | None = None

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}{self.path}"


HEALTH_PATHS: Mapping[str, tuple[str, str | None]] = {
    "kernelhost": ("kernelhost", "/health"),
    "proxy": ("proxy_api", None),
    "control": ("control", "/health"),
    "hub": ("hub", "/hub/health"),
    "bridge": ("bridge", "/health"),
    "oidc": ("oidc", f"{OIDC_PATH}/.well-known/openid-configuration"),
}
"""Port and path of each process's health page; None where listening is all one can see."""


@dataclass(frozen=True)
class ProcessPlan:
    """One process, from nothing."""

    name: str
    title: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    health: Health
    after: tuple[str, ...] = ()
    """Processes that have to be healthy before this one is started."""

    def fingerprint(self) -> str:
        """Changes when a process that was started by this plan should be replaced."""
        text = json.dumps([self.argv, dict(self.environment), self.health.port], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Place:
    """The addresses of an installation."""

    host: str
    public_port: int
    public_url: str
    ports: Mapping[str, int]
    """Internal port by name of ``INTERNAL_PORTS``."""

    def at(self, name: str) -> str:
        return f"{LOOPBACK}:{self.ports[name]}"

    def url(self, name: str) -> str:
        return f"http://{self.at(name)}"


def governed_teams(config: LocalConfig, *, demo: bool) -> tuple[ConfiguredTeam, ...]:
    """The configured teams; without any, those of the demo."""
    if config.teams is not None:
        return config.teams
    return DEMO_TEAMS if demo else ()


def make_plans(
    layout: Layout,
    config: LocalConfig,
    place: Place,
    inherited: Mapping[str, str],
    *,
    demo: bool,
    version: str,
) -> list[ProcessPlan]:
    """All processes, in the order in which they are started.

    Parameters
    ----------
    inherited
        The environment of ``granary up``; see ``INHERITED``.
    version
        Of the installed distribution: another one needs other processes.
    """
    base = {
        name: value
        for name, value in inherited.items()
        if name in INHERITED or name.startswith(INHERITED_PREFIXES)
    } | {"GRANARY_VERSION": version, "PYTHONUNBUFFERED": "1"}
    teams = json.dumps([team.model_dump() for team in governed_teams(config, demo=demo)])
    common = {"GRANARY_TEAMS": teams, "GRANARY_CONTACT": config.contact}
    fetching = {name: inherited[name] for name in BUILD_ONLY if name in inherited}

    def plan(
        name: str,
        title: str,
        module: str,
        settings: Mapping[str, str],
        *after: str,
        args: tuple[str, ...] = (),
    ) -> ProcessPlan:
        secrets = {SECRETS_VARIABLE: str(layout.secrets_of(name))}
        argv = (sys.executable, "-m", module, *args)
        port, path = HEALTH_PATHS[name]
        health = Health(place.ports[port], path)
        return ProcessPlan(name, title, argv, {**base, **secrets, **settings}, health, after)

    plans = [
        plan(
            "kernelhost",
            "kernel host",
            "gateway_bridge.kernelhost.app",
            {
                "GRANARY_KERNEL_HOST_BIND": place.at("kernelhost"),
                "GRANARY_RUNTIME_DIR": str(layout.runtime_dir),
            },
        ),
        plan(
            "proxy",
            "proxy",
            "hub.local.proxy",
            {
                "GRANARY_PUBLIC_URL": place.public_url,
                "GRANARY_PROXY_BIND": f"{place.host}:{place.public_port}",
                "GRANARY_PROXY_API_BIND": place.at("proxy_api"),
                "GRANARY_PROXY_HUB_URL": place.url("hub"),
            },
        ),
        plan(
            "control",
            "control plane",
            "hub.app",
            {
                **common,
                **fetching,
                "GRANARY_CONTROL_BIND": place.at("control"),
                "GRANARY_DATABASE_URL": f"sqlite:///{layout.database}",
                "GRANARY_STORE_DIR": str(layout.store_dir),
                "GRANARY_HOMES_DIR": str(layout.homes_dir),
                "GRANARY_HUB_API_URL": f"{place.url('hub')}/hub/api",
                "GRANARY_KERNEL_HOST_URL": place.url("kernelhost"),
            },
        ),
        plan(
            "hub",
            "hub",
            "jupyterhub",
            {
                **common,
                **_login(config, place),
                "GRANARY_PUBLIC_URL": place.public_url,
                "GRANARY_HUB_BIND": place.at("hub"),
                "GRANARY_PROXY_API_URL": place.url("proxy_api"),
                "GRANARY_CONTROL_URL": place.url("control"),
                "GRANARY_BRIDGE_URL": place.url("bridge"),
                "GRANARY_STATE_DIR": str(layout.hub_dir),
                "GRANARY_HOMES_DIR": str(layout.homes_dir),
                "GRANARY_PLATFORM_ADMIN_GROUP": config.platform_admin_group,
            },
            "proxy",
            args=("-f", str(layout.hub_dir / "jupyterhub_config.py")),
        ),
        plan(
            "bridge",
            "bridge",
            "gateway_bridge.app",
            {
                "GRANARY_BRIDGE_BIND": place.at("bridge"),
                "GRANARY_CONTROL_URL": place.url("control"),
                "GRANARY_HUB_API_URL": f"{place.url('hub')}/hub/api",
            },
        ),
    ]
    if config.oidc is None:
        plans.append(
            plan(
                "oidc",
                "sign-in",
                "hub.local.oidc",
                {
                    "GRANARY_OIDC_BIND": place.at("oidc"),
                    "GRANARY_PUBLIC_URL": place.public_url,
                    "GRANARY_OIDC_DIR": str(layout.oidc_dir),
                    "GRANARY_OIDC_ACCOUNTS_FILE": str(layout.accounts_file),
                },
            )
        )
    return plans


def hub_config_text(config: LocalConfig) -> str:
    """The hub's configuration file: ours, then the operator's own."""
    lines = ["from hub.config import configure", "", "configure(c)  # noqa: F821"]
    lines += [f"load_subconfig({str(file)!r})  # noqa: F821" for file in config.hub_config_files]
    return "\n".join(lines) + "\n"


def _login(config: LocalConfig, place: Place) -> dict[str, str]:
    if config.oidc is None:
        return {
            "GRANARY_OIDC_ISSUER": f"{place.public_url}{OIDC_PATH}",
            "GRANARY_OIDC_BACKCHANNEL_URL": f"{place.url('oidc')}{OIDC_PATH}",
            "GRANARY_OIDC_CLIENT_ID": BUNDLED_CLIENT,
            "GRANARY_OIDC_USERNAME_CLAIM": "sub",
            "GRANARY_OIDC_DISPLAY_NAME": "your Granary account",
        }
    return {
        "GRANARY_OIDC_ISSUER": config.oidc.issuer,
        "GRANARY_OIDC_CLIENT_ID": config.oidc.client_id,
        "GRANARY_OIDC_SCOPES": json.dumps(config.oidc.scopes),
        "GRANARY_OIDC_USERNAME_CLAIM": config.oidc.username_claim,
        "GRANARY_OIDC_GROUPS_CLAIM": config.oidc.groups_claim,
    }
