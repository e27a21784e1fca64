"""The processes of an installation: what each is told, and what none is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hub.local.config import LocalConfig, OidcSection
from hub.local.layout import Layout
from hub.local.plan import (
    BUILD_ONLY,
    INTERNAL_PORTS,
    Health,
    Place,
    ProcessPlan,
    hub_config_text,
    make_plans,
)
from hub.local.secrets import ALL, KNOWN_BY, make_secrets
from hub.teams import ConfiguredTeam

PLACE = Place(
    "127.0.0.1",
    8000,
    "http://127.0.0.1:8000",
    {name: 40_000 + number for number, name in enumerate(INTERNAL_PORTS)},
)
OUTSIDE = LocalConfig(
    oidc=OidcSection(
        issuer="https://id.example.org",
        client_id="granary-here",
        client_secret_file=Path("/etc/granary/secret"),
        scopes=("openid", "roles"),
        username_claim="email",
        groups_claim="roles",
    )
)
SURROUNDINGS = {
    "HOME": "/home/ada",
    "PATH": "/usr/bin",
    "UV_INDEX_URL": "https://packages.example.org",
    "GRANARY_LOG_LEVEL": "DEBUG",
    "HTTPS_PROXY": "http://user:swordfish@proxy.example.org",
    "GRANARY_INTERNAL_SECRET": "swordfish",
    "GRANARY_SECRETS_DIR": "/elsewhere",
    "GRANARY_TEAMS": "[]",
    "AWS_SECRET_ACCESS_KEY": "swordfish",
    "JUPYTERHUB_API_TOKEN": "swordfish",
    "PYTHONPATH": "/elsewhere",
    "PYTHONDONTWRITEBYTECODE": "1",
    "LD_PRELOAD": "/elsewhere.so",
}


def plans(
    config: LocalConfig | None = None,
    *,
    root: Path = Path("/srv/granary"),
    place: Place = PLACE,
    demo: bool = True,
    version: str = "1",
) -> dict[str, ProcessPlan]:
    made = make_plans(Layout(root), config or LocalConfig(), place, SURROUNDINGS, demo=demo, version=version)
    return {plan.name: plan for plan in made}


def test_the_processes_and_their_order():
    made = plans()
    assert list(made) == ["kernelhost", "proxy", "control", "hub", "bridge", "oidc"]
    assert made["hub"].after == ("proxy",)
    assert set(made) == set(KNOWN_BY)


def test_no_process_is_told_a_secret(tmp_path: Path):
    layout = Layout(tmp_path)
    layout.secrets_dir.mkdir()
    make_secrets(layout, {})
    values = {(layout.secrets_dir / name).read_text() for name in ALL}
    for plan in plans(root=tmp_path).values():
        told = [*plan.argv, *plan.environment.values()]
        assert not [text for text in told if any(value in text for value in values)]
        assert not {name.upper() for name in ALL} & set(plan.environment)
        assert plan.environment["GRANARY_SECRETS_DIR"] == str(layout.secrets_of(plan.name))


def test_only_what_is_listed_is_inherited():
    for plan in plans().values():
        assert plan.environment["HOME"] == "/home/ada"
        assert plan.environment["UV_INDEX_URL"] == "https://packages.example.org"
        assert plan.environment["GRANARY_LOG_LEVEL"] == "DEBUG"
        for name in (
            "AWS_SECRET_ACCESS_KEY",
            "GRANARY_INTERNAL_SECRET",
            "JUPYTERHUB_API_TOKEN",
            "PYTHONPATH",
            "PYTHONDONTWRITEBYTECODE",
            "LD_PRELOAD",
        ):
            assert name not in plan.environment


def test_the_way_out_with_its_credentials_is_for_builds_alone():
    made = plans()
    assert {name for name, plan in made.items() if set(BUILD_ONLY) & set(plan.environment)} == {"control"}
    assert [name for name, plan in made.items() if "swordfish" in str(plan.environment)] == ["control"]
    assert not [name for name, plan in made.items() if "swordfish" in " ".join(plan.argv)]


def test_teams_are_those_configured_else_the_demos_else_none():
    own = LocalConfig(teams=(ConfiguredTeam(name="zephyr"),))

    def names(plan: ProcessPlan) -> list[str]:
        return [team["name"] for team in json.loads(plan.environment["GRANARY_TEAMS"])]

    for process in ("hub", "control"):
        assert names(plans(own)[process]) == ["zephyr"]
        assert names(plans()[process]) == ["atlas", "borealis"]
        assert names(plans(demo=False)[process]) == []


def test_the_bundled_provider_is_found_by_both_of_its_addresses():
    environment = plans()["hub"].environment
    assert environment["GRANARY_OIDC_ISSUER"] == "http://127.0.0.1:8000/oidc"
    assert environment["GRANARY_OIDC_BACKCHANNEL_URL"] == f"http://127.0.0.1:{PLACE.ports['oidc']}/oidc"


def test_another_provider_takes_the_bundled_ones_place():
    made = plans(OUTSIDE)
    assert "oidc" not in made
    hub = made["hub"].environment
    assert "GRANARY_OIDC_BACKCHANNEL_URL" not in hub
    assert hub["GRANARY_OIDC_ISSUER"] == "https://id.example.org"
    assert hub["GRANARY_OIDC_CLIENT_ID"] == "granary-here"
    assert json.loads(hub["GRANARY_OIDC_SCOPES"]) == ["openid", "roles"]
    assert hub["GRANARY_OIDC_USERNAME_CLAIM"] == "email"
    assert hub["GRANARY_OIDC_GROUPS_CLAIM"] == "roles"


def test_a_fingerprint_is_the_same_for_the_same_plan_and_order_is_no_matter():
    hub = plans()["hub"]
    shuffled = dict(reversed(hub.environment.items()))
    assert plans()["hub"].fingerprint() == replace(hub, environment=shuffled).fingerprint()
    assert len({plan.fingerprint() for plan in plans().values()}) == len(plans())


@pytest.mark.parametrize(
    "other",
    [
        plans(version="2"),
        plans(root=Path("/srv/other")),
        plans(place=replace(PLACE, ports={name: port + 100 for name, port in PLACE.ports.items()})),
    ],
)
def test_a_fingerprint_changes_with_version_directory_and_ports(other: dict[str, ProcessPlan]):
    for name, plan in plans().items():
        assert other[name].fingerprint() != plan.fingerprint()


def test_what_concerns_one_process_leaves_the_others_running():
    before = plans()
    after = plans(LocalConfig(platform_admin_group="root"))
    assert {name for name in before if before[name].fingerprint() != after[name].fingerprint()} == {"hub"}


def test_only_the_public_port_listens_where_people_say():
    made = plans(place=replace(PLACE, host="0.0.0.0"))
    told = [name for plan in made.values() for name, value in plan.environment.items() if "0.0.0.0" in value]
    assert told == ["GRANARY_PROXY_BIND"]


def test_health_is_asked_on_loopback():
    assert Health(1234, "/health").url == "http://127.0.0.1:1234/health"


def test_the_hubs_configuration_is_python_whatever_files_are_called():
    files = (Path('/etc/it\'s "ours".py'), Path("/etc/b\\n.py"))
    loaded: list[str] = []
    text = hub_config_text(LocalConfig(hub_config_files=files))
    exec(  # the file as JupyterHub runs it, without JupyterHub
        compile(text.replace("from hub.config import configure", ""), "config", "exec"),
        {"c": None, "configure": lambda c: loaded.append("ours"), "load_subconfig": loaded.append},
    )
    assert loaded == ["ours", *map(str, files)]
