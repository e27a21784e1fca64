"""Somebody else's OpenID Connect provider instead of the bundled one, by configuration."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.support.installation import Installation, free_port, wait_until

pytestmark = pytest.mark.e2e

CONFIG = """
contact: the science desk
teams:
  - {{name: atlas, display_name: Atlas}}
oidc:
  issuer: {issuer}
  client_id: granary-client
  client_secret_file: client-secret
  scopes: [openid, profile, email]
  username_claim: sub
"""


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """A provider that asks for a name and no password; its claims are what a test says."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "oidc_provider_mock", "--port", str(port)])
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until("the provider to answer", lambda: _answers(f"{url}/.well-known/openid-configuration"))
        yield url
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def outside(issuer: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    base = tmp_path_factory.mktemp("outside")
    (base / "client-secret").write_text("a secret the provider made")
    (base / "granary.yaml").write_text(CONFIG.format(issuer=issuer))
    installation = Installation(base / "dir", free_port(), "--config", str(base / "granary.yaml"))
    try:
        installation.up()
        yield installation
    finally:
        installation.end_for_good()


def test_no_provider_of_ours_is_started(outside: Installation):
    assert "oidc" not in {view["name"] for view in outside.status()["processes"]}
    assert not (outside.directory / "demo-accounts.json").exists()
    assert outside.cli("kernel", "list")["kernels"] == []


def test_a_member_of_a_configured_team_comes_in(outside: Installation, issuer: str):
    answer = sign_in(outside, issuer, "ada", groups=["atlas", "something-else"])
    assert answer.url.path == "/hub/token"


def test_who_is_in_no_team_is_told_whom_to_ask(outside: Installation, issuer: str):
    answer = sign_in(outside, issuer, "stranger", groups=["something-else"])
    assert answer.status_code == httpx.codes.FORBIDDEN
    assert "in no team" in answer.text
    assert "the science desk" in answer.text


def sign_in(outside: Installation, issuer: str, subject: str, *, groups: list[str]) -> httpx.Response:
    claims = {"groups": groups}
    httpx.put(f"{issuer}/users/{subject}", json=claims, trust_env=False).raise_for_status()
    with httpx.Client(base_url=outside.url, follow_redirects=True, timeout=30, trust_env=False) as http:
        page = http.get("/hub/oauth_login?next=/hub/token")
        return http.post(page.url, data={"sub": subject})


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False
