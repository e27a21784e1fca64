"""Login by any OpenID Connect provider: discovery, claims, refusals in words, logout at the provider."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
from oauthenticator.generic import GenericOAuthenticator
from tornado import web
from tornado.httpclient import HTTPClientError
from tornado.simple_httpclient import SimpleAsyncHTTPClient
from traitlets import Unicode, default

from hub.errors import LoginDenied
from hub.guards import HANDLERS
from hub.login_pages import (
    CallbackHandler,
    LoginHandler,
    LoginRefused,
    LogoutHandler,
    provider_unavailable,
    void_attempt,
)
from hub.oidc import (
    Provider,
    ProviderMisconfigured,
    check_id_token,
    groups_of,
    read_provider,
    subject_of,
    username_of,
)

PROVIDER_TIMEOUT = timedelta(seconds=5)
"""For each call to the provider while a person waits to be signed in."""

REFRESH_BOUND = timedelta(seconds=2)
"""For asking the provider again while a person is doing something else."""

PROVIDER_REST = timedelta(seconds=15)
"""After a failure to refresh, the provider is not asked again by anybody for so long."""

DISCOVERY_AGE = timedelta(minutes=5)
"""How long a discovery document is used before it is fetched again."""

MAX_ANSWER_BYTES = 2 * 2**20
"""Of any answer of the provider; a person in ten thousand groups fits."""

_PRIVATE_FILE = 0o600


class GranaryOIDCAuthenticator(GenericOAuthenticator):  # type: ignore[misc] # oauthenticator has no types
    """``generic-oauth`` for OpenID Connect, configured by the issuer alone.

    What it adds: endpoints from the discovery document, found when they are needed,
    so that the hub starts while the provider is down; only governed groups taken
    over; names checked and bound to the provider's account; ID tokens checked;
    refreshing that never locks anybody out because the provider is down; logout that
    ends the session there too.
    """

    login_handler = LoginHandler
    callback_handler = CallbackHandler
    logout_handler = LogoutHandler

    issuer = Unicode(config=True, help="The provider, as it names itself in its discovery document.")
    backchannel_url = Unicode(
        config=True, help="Where the hub reaches the issuer, if not at its public address. Empty for no."
    )
    discovery_cache = Unicode(config=True, help="File that keeps the last good discovery document.")
    groups_claim = Unicode("groups", config=True, help="The claim that lists a person's groups.")
    post_logout_url = Unicode(config=True, help="Where the provider sends people after a logout.")
    contact = Unicode(config=True, help='Whom to ask for access; ends a sentence that begins with "Ask".')

    @default("manage_groups")
    def _default_manage_groups(self) -> bool:
        return True

    @default("enable_auth_state")
    def _default_enable_auth_state(self) -> bool:
        return True

    @default("refresh_pre_spawn")
    def _default_refresh_pre_spawn(self) -> bool:
        """``auth_refresh_age`` is enough: a forced refresh can only fail where nobody can sign in again."""
        return False

    @default("http_client")
    def _default_http_client(self) -> SimpleAsyncHTTPClient:
        return SimpleAsyncHTTPClient(force_instance=True, max_body_size=MAX_ANSWER_BYTES)

    @default("http_request_kwargs")
    def _default_http_request_kwargs(self) -> dict[str, Any]:
        seconds = PROVIDER_TIMEOUT.total_seconds()
        return {"connect_timeout": seconds, "request_timeout": seconds}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.provider: Provider | None = None
        self._provider_read_at = 0.0
        self._rest_until = 0.0

    def get_handlers(self, app: Any) -> list[tuple[str, type]]:
        """Login and logout, and the handlers that keep team admins within their team."""
        return [*super().get_handlers(app), *HANDLERS]

    # -- discovery -------------------------------------------------------------------

    async def discover(self, *, max_age: timedelta = DISCOVERY_AGE, must_answer: bool = False) -> Provider:
        """The provider's endpoints; also sets the traits that the base class works with.

        Parameters
        ----------
        max_age
            A document read longer ago is fetched anew.
        must_answer
            Whether the last known document will not do if that fails.

        Raises
        ------
        tornado.web.HTTPError
            503 when the provider is not answering.
        """
        now = asyncio.get_running_loop().time()
        if self.provider is None or now - self._provider_read_at > max_age.total_seconds():
            fetched = await self._fetch_provider()
            if fetched is not None:
                self._provider_read_at = now
            elif must_answer:
                raise provider_unavailable()
            self.provider = fetched or self.provider or self._cached_provider()
        if self.provider is None:
            raise provider_unavailable()
        self.authorize_url = self.provider.authorization
        self.token_url = self.provider.token
        self.userdata_url = self.provider.userinfo
        return self.provider

    async def _fetch_provider(self) -> Provider | None:
        base = (self.backchannel_url or self.issuer).rstrip("/")
        try:
            document = await self.httpfetch(
                f"{base}/.well-known/openid-configuration", label="reading the discovery document"
            )
            provider = self._read_provider(document)
        except (HTTPClientError, OSError, ValueError, ProviderMisconfigured) as error:
            self.log.warning("Cannot read the discovery document of %s: %s", self.issuer, error)
            return None
        try:
            await asyncio.to_thread(_write_private, Path(self.discovery_cache), json.dumps(document))
        except OSError as error:
            self.log.warning("The discovery document is not kept for later: %s", error)
        return provider

    def _cached_provider(self) -> Provider | None:
        try:
            return self._read_provider(json.loads(Path(self.discovery_cache).read_text()))
        except (OSError, ValueError, ProviderMisconfigured):
            return None

    def _read_provider(self, document: object) -> Provider:
        return read_provider(document, issuer=self.issuer, backchannel_url=self.backchannel_url or None)

    # -- who is it ---------------------------------------------------------------------

    async def authenticate(self, handler: Any, data: Any = None, **kwargs: Any) -> dict[str, Any] | None:
        """Turn the code of a callback into a person.

        Raises
        ------
        LoginRefused
            The provider vouches for somebody who may not come in.
        tornado.web.HTTPError
            503 when the provider is not answering, 400 when the attempt is void.
        """
        await self.discover()
        try:
            model: dict[str, Any] = await super().authenticate(handler, data, **kwargs)
            self._check_id_token(model["auth_state"])
        except HTTPClientError as error:
            raise (void_attempt() if error.code < 500 else provider_unavailable()) from error
        except (OSError, ValueError) as error:
            self.log.warning("The provider's answer cannot be used: %s", error)
            raise provider_unavailable() from error
        except ProviderMisconfigured as error:
            self.log.warning("The provider and our configuration differ: %s", error)
            raise provider_unavailable() from error
        except LoginDenied as denied:
            raise LoginRefused(denied.message) from denied
        await self._require_same_account(handler, model)
        return model

    async def token_to_user(self, token_info: Mapping[str, Any]) -> dict[str, Any]:
        """The claims we use of the person a token stands for, and no others: they are kept."""
        claims = await super().token_to_user(token_info)
        if not isinstance(claims, Mapping):
            raise ProviderMisconfigured("the answer of the userinfo endpoint is not a JSON object")
        return {
            "sub": subject_of(claims),
            "name": username_of(claims, self.username_claim),
            "groups": sorted(groups_of(claims, self.groups_claim, self.allowed_groups)),
        }

    def user_info_to_username(self, user_info: Mapping[str, Any]) -> str:
        return str(user_info["name"])

    async def get_user_groups(self, auth_state: Mapping[str, Any]) -> set[str]:
        return set(auth_state[self.user_auth_state_key]["groups"])

    async def check_allowed(self, username: str, auth_model: dict[str, Any] | None) -> bool:
        """Let in members of governed groups.

        Raises
        ------
        LoginRefused
        """
        if await super().check_allowed(username, auth_model):
            return True
        raise LoginRefused(
            f"You are signed in as {username}, but you are in no team that Granary governs.",
            advice=f"Ask {self.contact} for access, or sign in with another account.",
            id_token=((auth_model or {}).get("auth_state") or {}).get("id_token"),
        )

    def _check_id_token(self, auth_state: Mapping[str, Any]) -> None:
        """At login only: the tokens of a refresh come with an ID token of long ago, or none."""
        id_token = auth_state.get("id_token")
        if not id_token:
            return
        try:
            claims = jwt.decode(id_token, options={"verify_signature": False})
        except jwt.PyJWTError as error:
            raise ProviderMisconfigured("the ID token cannot be read") from error
        check_id_token(
            claims,
            issuer=self.issuer,
            client_id=self.client_id,
            subject=auth_state[self.user_auth_state_key]["sub"],
            now=datetime.now(UTC),
        )

    async def _require_same_account(self, handler: Any, model: dict[str, Any]) -> None:
        """Refuse an account that would take over another's name, servers and kernels.

        Two accounts of the provider can have one name here: by different letter case,
        or because a name was given to somebody new. The first one keeps it.
        """
        known = handler.find_user(model["name"])
        state = await known.get_auth_state() if known is not None else None
        bound_to = ((state or {}).get(self.user_auth_state_key) or {}).get("sub")
        if bound_to is not None and bound_to != model["auth_state"][self.user_auth_state_key]["sub"]:
            self.log.warning("Refused a second account for the name %s", model["name"])
            raise LoginRefused(
                f"The name {model['name']} belongs to another account of your sign-in service.",
                advice=f"Ask {self.contact}: they can free the name, or your account can be renamed.",
                id_token=model["auth_state"].get("id_token"),
            )

    # -- staying signed in ---------------------------------------------------------------

    async def refresh_user(self, user: Any, handler: Any = None, **kwargs: Any) -> Any:
        """Take over the person's groups as they are now, if the provider answers in time.

        Never raises: the hub would refuse even API tokens while the provider is down.
        Only the provider's own refusal ends a browser session, and that by a new login.
        """
        now = asyncio.get_running_loop().time()
        if now < self._rest_until:
            return True
        try:
            async with asyncio.timeout(REFRESH_BOUND.total_seconds()):
                await self.discover()
                return await super().refresh_user(user, handler, **kwargs)
        except LoginDenied as denied:
            self.log.warning("%s has to sign in again: %s", user.name, denied.message)
            return False
        except Exception as error:  # noqa: BLE001 # whatever it is, it must not sign everybody out
            self._rest_until = now + PROVIDER_REST.total_seconds()
            self.log.warning("Groups of %s stay as they were: %s: %s", user.name, type(error).__name__, error)
            return True

    async def logout_url_at_provider(self, id_token: str | None) -> str | None:
        """Where a browser ends its session with the provider, if it has one."""
        try:
            provider = self.provider or await self.discover()
        except web.HTTPError:
            return None
        return provider.logout_url(
            id_token=id_token, client_id=self.client_id, return_to=self.post_logout_url
        )


def _write_private(path: Path, text: str) -> None:
    """Replace the file in one step, so that no reader ever sees half of it."""
    fresh = path.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE_FILE), "w") as file:
        file.write(text)
    fresh.replace(path)
