"""Settings of a hub that would start, for tests that change one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SECRETS = {
    "internal_secret": "internal-secret-0123456789",
    "oidc_client_secret": "client-secret-0123456789",
    "hub_crypt_key": "ab" * 32,
    "hub_cookie_secret": "cd" * 32,
    "proxy_token": "proxy-token-0123456789",
    "cli_token": "cli-token-0123456789",
}


def good_settings(directory: Path) -> dict[str, Any]:
    return {
        "public_url": "https://hub.example.org",
        "state_dir": directory / "state",
        "homes_dir": directory / "homes",
        "teams": [{"name": "atlas", "display_name": "Atlas"}, {"name": "borealis", "admin_group": "b-leads"}],
        "oidc_issuer": "https://id.example.org/realm",
        "oidc_client_id": "granary",
        **SECRETS,
    }
