"""Mistakes in the hub's settings are one sentence each, before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from hub.hub_settings import HubSettings
from hub.process import load_settings
from tests.support.hub_settings import good_settings


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("public_url", "hub.example.org", "begins with http"),
        ("public_url", "https://hub.example.org/jupyter", "scheme, host and port only"),
        ("hub_bind", "8080", "host:port"),
        ("hub_bind", "127.0.0.1:99999", "host:port"),
        ("oidc_issuer", "https://id.example.org/?x=1", "without ? and #"),
        ("hub_crypt_key", "short", "64 lower-case hexadecimal digits"),
        ("proxy_token", "short", "at least 16"),
        ("teams", [{"name": "Atlas"}], "cannot name a team"),
        ("teams", [{"name": "atlas", "colour": "red"}], "Extra inputs"),
        ("teams", [{"name": "atlas"}, {"name": "atlas"}], "named twice"),
        ("teams", [{"name": "atlas", "admin_group": "atlas"}], "every member would be an admin"),
        ("teams", [{"name": "atlas"}, {"name": "atlas-admins"}], "named twice"),
        ("platform_admin_group", "atlas", "a team or a team's admins already"),
        ("login_refresh_seconds", 1, "greater than or equal to 5"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, name: str, value: Any, says: str):
    with pytest.raises(ValidationError) as refused:
        HubSettings(**(good_settings(tmp_path) | {name: value}))
    (problem,) = refused.value.errors()
    assert problem["loc"][0] == name
    assert says in problem["msg"]


def test_a_process_without_settings_ends_with_a_sentence_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delenv("GRANARY_SECRETS_DIR", raising=False)
    with pytest.raises(SystemExit) as ended:
        load_settings(HubSettings)
    said = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert "GRANARY_TEAMS: Field required" in said[2]
    assert all(line.startswith("GRANARY_") for line in said)


def test_no_secret_is_printed(tmp_path: Path):
    stated = good_settings(tmp_path)
    shown = repr(HubSettings(**stated))
    assert not any(stated[name] in shown for name in stated if name.endswith(("secret", "key", "token")))
