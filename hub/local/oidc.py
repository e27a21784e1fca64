"""``python -m hub.local.oidc``: the bundled OpenID Connect provider, canaille, behind the public port.

People can sign in and nothing else: no registration, no mail, no groups of their
own. Who exists and who is in which group is what the accounts file says.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Coroutine, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from asgiref.wsgi import WsgiToAsgi
from pydantic import SecretStr

from hub.local.accounts import Account, read_accounts
from hub.local.layout import write_private
from hub.local.plan import BUNDLED_CLIENT, OIDC_PATH
from hub.process import ProcessSettings, load_settings, setup_logging
from hub.setting_types import Address, Secret, Url

SCOPES = ("openid", "profile", "email", "groups")
STOP_SECONDS = 2
RSA_BITS = 2048
TOKEN_BYTES = 36

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class OidcSettings(ProcessSettings):
    """Settings of the bundled provider."""

    oidc_bind: Address = "127.0.0.1:8084"
    """Where it listens; the proxy leads its path here."""
    public_url: Url = "http://127.0.0.1:8000"
    """The address people type; the issuer is ``/oidc`` below it."""
    oidc_dir: Path
    """Directory of its database and signing key."""
    oidc_accounts_file: Path
    """JSON list of the people who can sign in."""
    oidc_client_secret: SecretStr
    """The hub's password here."""
    oidc_session_secret: Secret
    """Signs browser sessions here."""


class AtPublicAddress:
    """WSGI middleware: whatever way a request came, it was made to the public address.

    The provider writes the address of a request into tokens and documents; the hub
    asks it directly, browsers come through the proxy, and both have to read the same.
    """

    def __init__(self, app: Wsgi, public_url: str, prefix: str) -> None:
        self._app = app
        self._scheme, self._host = urlsplit(public_url)[:2]
        self._prefix = prefix

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == self._prefix or path.startswith(f"{self._prefix}/"):
            environ["PATH_INFO"] = path[len(self._prefix) :] or "/"
        environ["SCRIPT_NAME"] = self._prefix
        environ["HTTP_HOST"] = self._host
        environ["wsgi.url_scheme"] = self._scheme
        return self._app(environ, start_response)


class EachRequestAlone:
    """ASGI middleware: a request sees no context variables of earlier ones on its connection.

    uvicorn begins a kept connection's next request in the context of the one before,
    where asgiref has left a reference to an executor that has ended: it would fail.
    """

    def __init__(self, app: Callable[..., Coroutine[Any, Any, None]]) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await asyncio.create_task(self._app(scope, receive, send), context=contextvars.Context())


def make_provider(settings: OidcSettings) -> Any:
    """The provider as a Flask application, with its people."""
    import canaille  # noqa: PLC0415 # a second to import, for this process alone

    if settings.public_url.startswith("http:"):
        # Authlib allows this on loopback only; `granary up --host` may name another address.
        os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
    _make_every_token_different()
    app = canaille.create_app(config=_canaille_config(settings))
    _compare_hashed_client_secrets()
    _refuse_wrong_client_secrets()
    _provision(app, settings)
    app.wsgi_app = AtPublicAddress(app.wsgi_app, settings.public_url, OIDC_PATH)
    return app


def _canaille_config(settings: OidcSettings) -> dict[str, Any]:
    secure = settings.public_url.startswith("https:")
    return {
        "SECRET_KEY": settings.oidc_session_secret.get_secret_value(),
        "PREFERRED_URL_SCHEME": "https" if secure else "http",
        # The hub is on the same host, and cookies do not know ports.
        "SESSION_COOKIE_NAME": "granary-oidc",
        "SESSION_COOKIE_PATH": OIDC_PATH,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_SECURE": secure,
        "CANAILLE": {
            "DATABASE": "sql",
            "NAME": "Granary",
            "LOGO": None,
            "FAVICON": None,
            "LANGUAGE": "en",
            "JAVASCRIPT": True,
            "HTMX": False,
            "ENABLE_REGISTRATION": False,
            "ENABLE_PASSWORD_RECOVERY": False,
            "EMAIL_CONFIRMATION": False,
            "SMTP": None,
            "SMPP": None,
            "ACL": {"DEFAULT": {"PERMISSIONS": ["use_oidc"], "READ": ["user_name", "groups"], "WRITE": []}},
        },
        "CANAILLE_SQL": {"DATABASE_URI": f"sqlite:///{settings.oidc_dir / 'canaille.sqlite'}"},
        "CANAILLE_OIDC": {
            "ACTIVE_JWKS": [_signing_key(settings.oidc_dir / "signing-key.json")],
            "REQUIRE_NONCE": False,  # PKCE and state bind the answer to its request; the hub sends no nonce
            "TRUSTED_DOMAINS": [urlsplit(settings.public_url).hostname],
        },
    }


def _signing_key(path: Path) -> dict[str, str]:
    """Kept, so that tokens issued before a restart stay valid."""
    if not path.exists():
        from joserfc.jwk import RSAKey  # noqa: PLC0415 # only the first time

        write_private(path, json.dumps(RSAKey.generate_key(RSA_BITS, auto_kid=True).as_dict(private=True)))
    key: dict[str, str] = json.loads(path.read_text())
    return key


def _provision(app: Any, settings: OidcSettings) -> None:
    """Make people, groups and the one client what the files say; nothing to do if they have not changed."""
    marker = settings.oidc_dir / "provisioned"
    wanted = _digest(settings)
    if marker.exists() and secrets.compare_digest(marker.read_text(), wanted):
        return
    from canaille.backends import Backend  # noqa: PLC0415 # see make_provider

    with app.app_context(), Backend.instance.session():
        accounts = read_accounts(settings.oidc_accounts_file)
        _provision_people(Backend.instance, accounts)
        _provision_client(Backend.instance, settings)
    write_private(marker, wanted)


def _provision_people(backend: Any, accounts: tuple[Account, ...]) -> None:
    from canaille.app import models  # noqa: PLC0415 # see make_provider

    people = {}
    for account in accounts:
        user = backend.get(models.User, user_name=account.name) or models.User(user_name=account.name)
        user.formatted_name = user.display_name = account.full_name
        user.family_name = account.full_name.rpartition(" ")[2] or account.name
        user.emails = [f"{account.name}@example.org"]
        user.password = account.password
        backend.save(user)
        people[account.name] = user
    for stale in backend.query(models.User):
        if stale.user_name not in people:
            backend.delete(stale)
    for group in backend.query(models.Group):
        backend.delete(group)
    for name in sorted({group for account in accounts for group in account.groups}):
        members = [people[account.name] for account in accounts if name in account.groups]
        backend.save(models.Group(display_name=name, members=members))


def _provision_client(backend: Any, settings: OidcSettings) -> None:
    from canaille.app import models  # noqa: PLC0415 # see make_provider

    client = backend.get(models.Client, client_id=BUNDLED_CLIENT) or models.Client(client_id=BUNDLED_CLIENT)
    client.client_name = "Granary"
    client.client_secret = _hashed(settings.oidc_client_secret.get_secret_value())
    client.client_uri = settings.public_url
    client.redirect_uris = [f"{settings.public_url}/hub/oauth_callback"]
    client.post_logout_redirect_uris = [f"{settings.public_url}/hub/login"]
    client.grant_types = ["authorization_code", "refresh_token"]
    client.response_types = ["code"]
    client.scope = list(SCOPES)
    client.token_endpoint_auth_method = "client_secret_post"  # noqa: S105 # the name of a method
    client.client_id_issued_at = datetime.now(UTC)  # noqa: TID251 # canaille wants it, nobody reads it
    backend.save(client)
    client.audience = [client]
    backend.save(client)


def _compare_hashed_client_secrets() -> None:
    """Keep the client's secret out of the provider's database, which would hold it in clear."""
    from canaille.app import models  # noqa: PLC0415 # see make_provider

    def check_client_secret(client: Any, given: str) -> bool:
        return secrets.compare_digest(client.client_secret or "", _hashed(given))

    models.Client.check_client_secret = check_client_secret


def _make_every_token_different() -> None:
    """Two sign-ins of one person in one second would get equal tokens, and the second one would fail."""
    from canaille.oidc import provider  # noqa: PLC0415 # see make_provider

    def random_token(**_about: object) -> str:
        return secrets.token_urlsafe(TOKEN_BYTES)

    provider.generate_access_token = random_token


def _refuse_wrong_client_secrets() -> None:
    """Tried after the others and not there without a fixed host name, this method would be status 500."""
    from canaille.oidc import provider  # noqa: PLC0415 # see make_provider

    method = provider.JWTClientAuth.CLIENT_AUTH_METHOD
    provider.authorization.register_client_auth_method(method, lambda *_about: None)


def _hashed(secret: str) -> str:
    """A plain hash is enough: the secret is 256 random bits, nothing one could guess."""
    return hashlib.sha256(secret.encode()).hexdigest()


PROVISIONING = b"2"
"""Counted up when what provisioning writes changes, so that older installations get it."""


def _digest(settings: OidcSettings) -> str:
    """Of everything provisioning depends on; keyed, because passwords are part of it."""
    key = settings.oidc_session_secret.get_secret_value().encode()
    content = PROVISIONING + settings.oidc_accounts_file.read_bytes()
    content += settings.public_url.encode() + settings.oidc_client_secret.get_secret_value().encode()
    return hashlib.blake2b(content, key=key[:64]).hexdigest()


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    setup_logging("oidc")
    settings = load_settings(OidcSettings)
    os.umask(0o077)
    host, _, port = settings.oidc_bind.rpartition(":")
    uvicorn.run(
        EachRequestAlone(
            WsgiToAsgi(make_provider(settings))  # type: ignore[no-untyped-call] # asgiref has no types
        ),
        host=host,
        port=int(port),
        log_config=None,
        access_log=False,  # its addresses carry codes and tokens
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=STOP_SECONDS,
    )


if __name__ == "__main__":
    main()
