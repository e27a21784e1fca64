"""What the hub believes of an OpenID Connect provider. Pure: documents and claims in, values out."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from hub.errors import InvalidName, LoginDenied

MAX_USERNAME_LENGTH = 64
"""Longer names are refused at login; directories and cookies are made from them."""

MAX_SUBJECT_LENGTH = 255
"""What OpenID Connect allows for ``sub``."""

CLOCK_SKEW = timedelta(minutes=2)
"""By which the provider's clock may be behind or ahead of ours."""

_USERNAME = re.compile(r"[a-z0-9](?:[a-z0-9._@+-]*[a-z0-9])?")


class ProviderMisconfigured(Exception):
    """The provider's documents or tokens contradict our configuration; for operators, not for people."""


@dataclass(frozen=True)
class Provider:
    """A provider's endpoints, from its discovery document.

    ``authorization`` and ``end_session`` are visited by browsers at their public
    addresses, ``token`` and ``userinfo`` are called by the hub.
    """

    issuer: str
    authorization: str
    token: str
    userinfo: str
    end_session: str | None

    def logout_url(self, *, id_token: str | None, client_id: str, return_to: str) -> str | None:
        """Where a browser ends its session with the provider, or None if the provider has no such place."""
        if self.end_session is None:
            return None
        query = {"client_id": client_id, "post_logout_redirect_uri": return_to}
        if id_token:
            query["id_token_hint"] = id_token
        glue = "&" if urlsplit(self.end_session).query else "?"
        return f"{self.end_session}{glue}{urlencode(query)}"


def read_provider(document: object, *, issuer: str, backchannel_url: str | None = None) -> Provider:
    """Read a discovery document.

    Parameters
    ----------
    document
        Parsed JSON of ``/.well-known/openid-configuration``.
    issuer
        The issuer we are configured for; the document has to name the same.
    backchannel_url
        If given, endpoints below ``issuer`` that the hub calls are called below this address.

    Raises
    ------
    ProviderMisconfigured
    """
    if not isinstance(document, Mapping):
        raise ProviderMisconfigured("the discovery document is not a JSON object")
    found = document.get("issuer")
    if not isinstance(found, str) or found.rstrip("/") != issuer.rstrip("/"):
        raise ProviderMisconfigured(
            f"the discovery document is of issuer {str(found)[:200]!r}, not {issuer!r}"
        )
    inward = _Rewrite(issuer, backchannel_url)
    end_session = document.get("end_session_endpoint")
    return Provider(
        issuer=found,
        authorization=_endpoint(document, "authorization_endpoint"),
        token=inward(_endpoint(document, "token_endpoint")),
        userinfo=inward(_endpoint(document, "userinfo_endpoint")),
        end_session=None if end_session is None else _endpoint(document, "end_session_endpoint"),
    )


@dataclass(frozen=True)
class _Rewrite:
    issuer: str
    backchannel_url: str | None

    def __call__(self, url: str) -> str:
        prefix = f"{self.issuer.rstrip('/')}/"
        if self.backchannel_url is None or not url.startswith(prefix):
            return url
        return f"{self.backchannel_url.rstrip('/')}/{url.removeprefix(prefix)}"


def _endpoint(document: Mapping[str, object], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or urlsplit(value).scheme not in {"http", "https"}:
        raise ProviderMisconfigured(f"the discovery document has no usable {name}")
    return value


def check_id_token(
    claims: Mapping[str, Any], *, issuer: str, client_id: str, subject: str, now: datetime
) -> None:
    """Refuse an ID token that is not for us, not for this person or no longer valid.

    The token came straight from the token endpoint, so its signature says nothing
    more than the connection did (OpenID Connect Core, 3.1.3.7); its contents do.

    Raises
    ------
    ProviderMisconfigured
    """
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    expires = claims.get("exp")
    problems = {
        "issuer": str(claims.get("iss")).rstrip("/") != issuer.rstrip("/"),
        "audience": client_id not in audiences,
        "subject": claims.get("sub") != subject,
        "expiry": not isinstance(expires, int | float) or expires < (now - CLOCK_SKEW).timestamp(),
    }
    wrong = [name for name, is_wrong in problems.items() if is_wrong]
    if wrong:
        raise ProviderMisconfigured(f"the ID token has a wrong {', '.join(wrong)}")


def subject_of(claims: Mapping[str, Any]) -> str:
    """The provider's own, never reused name of an account.

    Raises
    ------
    LoginDenied
    """
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT_LENGTH:
        raise LoginDenied("Your sign-in service sent no usable account identifier, so you are not signed in.")
    return subject


def username_of(claims: Mapping[str, Any], claim: str) -> str:
    """The name a person has here: lower case, of few characters, of bounded length.

    The letters A to Z are folded to lower case and nothing else is; whatever does not
    fit then is refused, not repaired, because two repaired names could be one.

    Raises
    ------
    LoginDenied
    """
    value = claims.get(claim)
    if not isinstance(value, str) or not value:
        raise LoginDenied(
            f"Your sign-in service sent no name for you (in {claim!r}), so you are not signed in."
        )
    if claim == "email" and claims.get("email_verified") is not True:
        raise LoginDenied(
            "Your sign-in service has not verified your e-mail address, and people are known here by it. "
            "Verify it there, then sign in again."
        )
    try:
        # The Kelvin sign's lower case is the letter k: fold only what is ASCII.
        return checked_username(value.lower() if value.isascii() else value)
    except InvalidName as error:
        raise LoginDenied(error.message) from error


def checked_username(value: str) -> str:
    """Return ``value`` if it can be a person's name here.

    Raises
    ------
    InvalidName
    """
    if len(value) > MAX_USERNAME_LENGTH or not _USERNAME.fullmatch(value):
        raise InvalidName(
            f"The name {value[:MAX_USERNAME_LENGTH]!r} cannot be used here: names have at most "
            f"{MAX_USERNAME_LENGTH} letters of the English alphabet, digits and . _ @ + - between them."
        )
    return value


def groups_of(claims: Mapping[str, Any], claim: str, governed: Collection[str]) -> frozenset[str]:
    """The governed groups among those the provider lists, letter by letter.

    A list of names, or one name alone, as some providers send a single group. Anything
    else in the claim counts for nothing: no splitting, no folding, no looking inside.
    """
    value = claims.get(claim)
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        return frozenset()
    return frozenset(entry for entry in value if isinstance(entry, str)) & frozenset(governed)
