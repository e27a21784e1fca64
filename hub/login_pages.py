"""The hub's handlers around a login: before, after, refused, logged out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from oauthenticator.oauth2 import OAuthCallbackHandler, OAuthLoginHandler, OAuthLogoutHandler
from tornado import web

LOGIN_DISCOVERY_AGE = timedelta(seconds=5)
"""A provider that answered within this is believed to be there."""

MAX_SHOWN_ERROR = 200
"""Characters of a provider's own error text that reach a page."""


class LoginRefused(web.HTTPError):
    """Somebody is known to the provider, but may not come in.

    Parameters
    ----------
    reason
        Who they are signed in as and why that is not enough.
    advice
        Whom to ask, what else to do.
    id_token
        Lets the page offer to end the session at the provider.
    """

    def __init__(self, reason: str, *, advice: str = "", id_token: str | None = None) -> None:
        super().__init__(403, "%s", reason)
        self.jupyterhub_message = f"{reason} {advice}".strip()
        self.refused_because = reason
        self.advice = advice
        self.id_token = id_token


def provider_unavailable() -> Any:
    """503, in words for people; the log has the reason."""
    error = _error(
        503,
        "The sign-in service is not answering, so nobody can sign in right now. "
        "Those who are signed in can go on working. Try again in a moment.",
    )
    error.headers = {"Retry-After": "5"}
    return error


def void_attempt() -> Any:
    """400 for a callback that belongs to no login in progress."""
    return _error(
        400,
        "This attempt to sign in is no longer valid: it is too old, was used already, "
        "or was begun in another window. Sign in once more.",
    )


def _error(status: int, text: str) -> Any:
    """An error whose text the hub shows; it reads these attributes."""
    error: Any = web.HTTPError(status, "%s", text)
    error.jupyterhub_message = text
    return error


class LoginHandler(OAuthLoginHandler):  # type: ignore[misc] # oauthenticator has no types
    """Sends the browser to the provider, if that is there to receive it."""

    async def get(self) -> None:
        await self.authenticator.discover(max_age=LOGIN_DISCOVERY_AGE, must_answer=True)
        super().get()


class CallbackHandler(OAuthCallbackHandler):  # type: ignore[misc] # oauthenticator has no types
    """Receives the browser back; a refusal is a page of its own with a way out."""

    def _request_summary(self) -> str:
        """What the log says of a request that failed: no query, which holds the provider's code."""
        return f"{self.request.method} {self.request.path} ({self.request.remote_ip})"

    async def get(self) -> None:
        try:
            await super().get()
        except LoginRefused as refused:
            await self._show(refused)

    def check_error(self) -> None:
        error = self.get_argument("error", "")
        if error == "access_denied":
            raise LoginRefused("Signing in was cancelled.", advice="You can begin again whenever you like.")
        if error:
            self.log.error("The provider refused a login: %r", error[:MAX_SHOWN_ERROR])
            raise _error(400, f"The sign-in service answered: {error[:MAX_SHOWN_ERROR]}")

    def check_code(self) -> None:
        self._or_void(super().check_code)

    def check_state(self) -> None:
        self._or_void(super().check_state)

    def _or_void(self, check: Any) -> None:
        try:
            check()
        except web.HTTPError as error:
            raise void_attempt() from error

    async def _show(self, refused: LoginRefused) -> None:
        self.set_status(refused.status_code)
        html = await self.render_template(
            "refused.html",
            reason=refused.refused_because,
            advice=refused.advice,
            provider_logout_url=await self.authenticator.logout_url_at_provider(refused.id_token),
        )
        self.finish(html)


class LogoutHandler(OAuthLogoutHandler):  # type: ignore[misc] # oauthenticator has no types
    """Ends the session here and at the provider; servers and kernels go on."""

    _provider_logout_url: str | None = None

    async def handle_logout(self) -> None:
        await super().handle_logout()
        if self.current_user is not None:
            state = await self.current_user.get_auth_state() or {}
            self._provider_logout_url = await self.authenticator.logout_url_at_provider(state.get("id_token"))

    async def render_logout_page(self) -> None:
        if self._provider_logout_url:
            self.redirect(self._provider_logout_url)
            return
        await super().render_logout_page()
