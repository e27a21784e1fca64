"""The bundled provider as a process: people sign in through its pages, and can do nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from hub.local.accounts import Account, demo_people, keep_accounts
from hub.local.plan import BUNDLED_CLIENT, OIDC_PATH

START_SECONDS = 40
STOP_SECONDS = 10
PUBLIC_URL = "http://granary.example.org:8000"
CALLBACK = f"{PUBLIC_URL}/hub/oauth_callback"
CLIENT_SECRET = secrets.token_hex(32)


class Provider:
    """One provider in a directory of its own, started as ``granary up`` starts it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        (folder / "oidc").mkdir()
        (folder / "secrets").mkdir()
        (folder / "secrets/granary_oidc_client_secret").write_text(CLIENT_SECRET)
        (folder / "secrets/granary_oidc_session_secret").write_text(secrets.token_hex(32))
        self.accounts_file = folder / "accounts.json"
        keep_accounts(self.accounts_file, demo_people("granary-admins"))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "GRANARY_OIDC_BIND": self.address,
            "GRANARY_PUBLIC_URL": PUBLIC_URL,
            "GRANARY_OIDC_DIR": str(self.folder / "oidc"),
            "GRANARY_OIDC_ACCOUNTS_FILE": str(self.accounts_file),
            "GRANARY_SECRETS_DIR": str(self.folder / "secrets"),
        }
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hub.local.oidc"], env=environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                pytest.fail((self.folder / "log").read_text())
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            finally:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with self.browser() as http:
                return http.get(f"{OIDC_PATH}/.well-known/openid-configuration").status_code == 200
        except httpx.TransportError:
            return False

    def browser(self) -> httpx.Client:
        """Comes by the way the proxy would lead it; the host it names is its own business."""
        return httpx.Client(base_url=f"http://{self.address}", trust_env=False, timeout=20)

    def account(self, name: str) -> Account:
        return next(found for found in map(_account, self.entries()) if found.name == name)

    def entries(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.accounts_file.read_text())
        return found


def _account(entry: dict[str, Any]) -> Account:
    return Account(**entry)


class Login:
    """One person's browser on its way through the provider's pages."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        self.verifier = secrets.token_urlsafe(48)
        self.state = secrets.token_urlsafe(16)

    def begin(self, **changed: str) -> httpx.Response:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": BUNDLED_CLIENT,
            "redirect_uri": CALLBACK,
            "scope": "openid profile email groups",
            "state": self.state,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return self.follow(self.http.get(f"{OIDC_PATH}/oauth/authorize", params=query | changed))

    def submit(self, page: httpx.Response, **fields: str) -> httpx.Response:
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
        assert token, page.text[:2000]
        data = {"csrf_token": token[1], **fields}
        return self.follow(self.http.post(urlsplit(str(page.url)).path, data=data))

    def follow(self, answer: httpx.Response) -> httpx.Response:
        """Follow redirects within the provider; one that leaves it is the answer."""
        while answer.is_redirect:
            to = urlsplit(answer.headers["location"])
            if not to.path.startswith(f"{OIDC_PATH}/"):
                break
            assert not to.netloc or f"{to.scheme}://{to.netloc}" == PUBLIC_URL
            answer = self.http.get(to.path + (f"?{to.query}" if to.query else ""))
        return answer

    def sign_in(self, account: Account, password: str | None = None) -> httpx.Response:
        page = self.submit(self.begin(), login=account.name)
        return self.submit(page, password=account.password if password is None else password)

    def redeem(self, answer: httpx.Response, **changed: str) -> httpx.Response:
        location = urlsplit(answer.headers["location"])
        assert f"{location.scheme}://{location.netloc}{location.path}" == CALLBACK
        query = parse_qs(location.query)
        assert query["state"] == [self.state]
        form = {
            "grant_type": "authorization_code",
            "code": query["code"][0],
            "redirect_uri": CALLBACK,
            "code_verifier": self.verifier,
            "client_id": BUNDLED_CLIENT,
            "client_secret": CLIENT_SECRET,
        }
        return self.http.post(f"{OIDC_PATH}/oauth/token", data=form | changed)

    def userinfo(self, token: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {token}"}
        answer = self.http.get(f"{OIDC_PATH}/oauth/userinfo", headers=headers)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    made = Provider(tmp_path_factory.mktemp("provider"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def login(provider: Provider) -> Iterator[Login]:
    with new_login(provider) as found:
        yield found


@contextmanager
def new_login(provider: Provider) -> Iterator[Login]:
    with provider.browser() as http:
        yield Login(http)


def who_is(provider: Provider, name: str) -> dict[str, Any]:
    with new_login(provider) as login:
        token = login.redeem(login.sign_in(provider.account(name))).json()["access_token"]
        return login.userinfo(token)


def test_its_addresses_are_public_ones_whichever_way_one_comes(provider: Provider):
    with provider.browser() as http:
        document = http.get(f"{OIDC_PATH}/.well-known/openid-configuration").json()
    assert document["issuer"].rstrip("/") == f"{PUBLIC_URL}{OIDC_PATH}"
    for name in ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"):
        assert document[name].startswith(f"{PUBLIC_URL}{OIDC_PATH}/")


@pytest.mark.parametrize(
    ("name", "groups"),
    [("atlas-admin", {"atlas", "atlas-admins"}), ("admin", {"granary-admins"}), ("outsider", set())],
)
def test_signing_in_tells_who_one_is_and_ones_groups(provider: Provider, name: str, groups: set[str]):
    claims = who_is(provider, name)
    assert claims["sub"] == name
    assert set(claims.get("groups") or []) == groups


def test_a_wrong_password_is_refused(login: Login, provider: Provider):
    answer = login.sign_in(provider.account("atlas-1"), password="wrong")
    assert answer.status_code == 200
    assert "location" not in answer.headers
    assert 'name="password"' in answer.text


def test_somebody_unknown_gets_no_further_than_the_password(login: Login):
    page = login.submit(login.begin(), login="nobody")
    answer = login.submit(page, password="x") if 'name="password"' in page.text else page
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    "address", ["https://evil.example.org/", f"{CALLBACK}/../evil", f"{CALLBACK}?next=x", f"{PUBLIC_URL}/"]
)
def test_nobody_is_sent_to_an_unknown_address(login: Login, provider: Provider, address: str):
    login.sign_in(provider.account("atlas-1"))
    answer = login.begin(redirect_uri=address)
    assert answer.status_code == 400
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    "wrong", [{"client_secret": "wrong"}, {"client_secret": ""}, {"code_verifier": "w" * 64}]
)
def test_a_code_is_worth_nothing_without_secret_and_verifier(
    login: Login, provider: Provider, wrong: dict[str, str]
):
    answer = login.redeem(login.sign_in(provider.account("atlas-1")), **wrong)
    assert answer.status_code in {400, 401}
    assert "access_token" not in answer.text


def test_one_person_signs_in_several_times_at_once(provider: Provider):
    assert len({json.dumps(who_is(provider, "both-1"), sort_keys=True) for _ in range(3)}) == 1


def test_a_code_is_used_once(login: Login, provider: Provider):
    answer = login.sign_in(provider.account("atlas-1"))
    assert login.redeem(answer).status_code == 200
    assert login.redeem(answer).status_code == 400


@pytest.mark.parametrize(
    "path", ["/register", "/users", "/groups", "/groups/add", "/profile/atlas-1", "/admin/client", "/reset"]
)
def test_people_can_do_nothing_but_sign_in(login: Login, provider: Provider, path: str):
    login.sign_in(provider.account("atlas-1"))
    for method in ("GET", "POST"):
        answer = login.http.request(method, f"{OIDC_PATH}{path}")
        assert answer.status_code != 200, (method, path)
    assert set(who_is(provider, "atlas-1")["groups"]) == {"atlas"}


def test_no_secret_and_no_code_is_logged_or_kept_in_clear(provider: Provider, login: Login):
    account = provider.account("atlas-2")
    answer = login.sign_in(account)
    code = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
    login.redeem(answer)
    log = (provider.folder / "log").read_text()
    assert not [text for text in (account.password, code, CLIENT_SECRET, login.verifier) if text in log]
    kept = b"".join(path.read_bytes() for path in (provider.folder / "oidc").iterdir())
    assert account.password.encode() not in kept
    assert CLIENT_SECRET.encode() not in kept
    modes = {path.stat().st_mode & 0o077 for path in (provider.folder / "oidc").iterdir()}
    assert modes == {0}


def test_the_accounts_file_is_taken_over_at_the_next_start(tmp_path: Path):
    provider = Provider(tmp_path)
    provider.start()
    try:
        assert set(who_is(provider, "atlas-1")["groups"]) == {"atlas"}
        entries = provider.entries()
        leaver = provider.account("atlas-2")
        for entry in entries:
            if entry["name"] == "atlas-1":
                entry["groups"] = ["borealis"]
        provider.accounts_file.write_text(
            json.dumps([entry for entry in entries if entry["name"] != "atlas-2"])
        )
        provider.stop()
        provider.start()
        assert set(who_is(provider, "atlas-1")["groups"]) == {"borealis"}
        assert set(who_is(provider, "atlas-admin")["groups"]) == {"atlas", "atlas-admins"}
        with new_login(provider) as login:
            page = login.submit(login.begin(), login=leaver.name)
            answer = login.submit(page, password=leaver.password) if 'name="password"' in page.text else page
            assert "location" not in answer.headers
    finally:
        provider.stop()
