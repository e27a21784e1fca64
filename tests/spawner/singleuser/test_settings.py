from __future__ import annotations

from pathlib import Path

import pytest

from spawner.singleuser.settings import BadEnvironment, UserServerSettings

GOOD = {
    "GRANARY_GATEWAY_URL": "http://127.0.0.1:8082/teams/atlas/",
    "GRANARY_TEAM": "atlas",
    "JUPYTERHUB_API_TOKEN": "secret-token",
    "HOME": "/homes/atlas-1",
}


def test_what_the_spawner_sets_is_enough() -> None:
    settings = UserServerSettings.from_environment(GOOD)
    assert settings.gateway_url == "http://127.0.0.1:8082/teams/atlas"
    assert settings.data_dir == Path("/homes/atlas-1/.local/share/granary")
    assert settings.terminals
    assert settings.extensions == ()
    assert "secret-token" not in repr(settings)


def test_terminals_off_extensions_and_a_data_home() -> None:
    more = {
        "GRANARY_TERMINALS": "0",
        "GRANARY_SERVER_EXTENSIONS": "jupyterlab_git, ",
        "XDG_DATA_HOME": "/data",
    }
    settings = UserServerSettings.from_environment(GOOD | more)
    assert not settings.terminals
    assert settings.extensions == ("jupyterlab_git",)
    assert settings.data_dir == Path("/data/granary")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GRANARY_GATEWAY_URL", ""),
        ("GRANARY_GATEWAY_URL", "ftp://host"),
        ("GRANARY_GATEWAY_URL", "http://"),
        ("GRANARY_GATEWAY_URL", "http://user:pw@host/teams/atlas"),
        ("GRANARY_GATEWAY_URL", "http://host/teams/atlas?token=1"),
        ("GRANARY_TEAM", ""),
        ("GRANARY_TEAM", "../other"),
        ("JUPYTERHUB_API_TOKEN", ""),
        ("GRANARY_TERMINALS", "perhaps"),
    ],
)
def test_a_bad_value_is_named(name: str, value: str) -> None:
    with pytest.raises(BadEnvironment, match=f"^{name}: "):
        UserServerSettings.from_environment(GOOD | {name: value})
