"""What the hub believes of a provider: nothing that is not exactly as it should be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hub.errors import LoginDenied
from hub.oidc import (
    ProviderMisconfigured,
    check_id_token,
    groups_of,
    read_provider,
    subject_of,
    username_of,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
GOVERNED = {"atlas", "atlas-admins", "granary-admins"}

DOCUMENT = {
    "issuer": "https://hub.example.org/oidc",
    "authorization_endpoint": "https://hub.example.org/oidc/authorize",
    "token_endpoint": "https://hub.example.org/oidc/token",
    "userinfo_endpoint": "https://hub.example.org/oidc/userinfo",
    "end_session_endpoint": "https://hub.example.org/oidc/logout?x=1",
}


# -- groups (CVE-2024-29033 and kin) -------------------------------------------------------


@pytest.mark.parametrize(
    ("claim", "believed"),
    [
        (["atlas"], {"atlas"}),
        (["atlas", "somewhere-else", "atlas"], {"atlas"}),
        ("atlas", {"atlas"}),
        ("atlas,granary-admins", set()),
        ("atlas granary-admins", set()),
        (["atlas,granary-admins"], set()),
        (["Atlas", "ATLAS", " atlas", "atlas ", "atlas\n", "atlas\0", "\u0430tlas"], set()),
        ([["granary-admins"], {"name": "granary-admins"}, None, 1, True], set()),
        ({"granary-admins": True}, set()),
        ({"groups": ["granary-admins"]}, set()),
        (True, set()),
        (None, set()),
        ([], set()),
        ([f"group-{number}" for number in range(10_000)] + ["atlas"], {"atlas"}),
        (["/atlas", "atlas/granary-admins", "../granary-admins", "*", ".*", "%"], set()),
    ],
)
def test_only_governed_groups_letter_by_letter(claim: object, believed: set[str]):
    assert groups_of({"groups": claim}, "groups", GOVERNED) == believed


def test_a_missing_claim_is_no_group():
    assert groups_of({}, "groups", GOVERNED) == frozenset()


# -- names (CVE-2021-41194, CVE-2026-54338) --------------------------------------------------


@pytest.mark.parametrize("name", ["atlas-1", "a", "a.b_c+d@example.org", "1ab", "x" * 64])
def test_names_that_fit(name: str):
    assert username_of({"name": name.upper()}, "name") == name


@pytest.mark.parametrize(
    "name",
    ["", "x" * 65, "x" * 10**6, "..", ".a", "a.", "-a", "a/b", "a%2fb", "a b", "a\nb", "a\n", "a\0", "é", "ﬀ",
     "İ", "\u212a", "a'b", '"a"', "<b>", "a;b", "{x}", None, 7, ["atlas-1"], {"a": 1}, True],
)  # fmt: skip
def test_names_that_do_not_fit_are_refused_not_repaired(name: object):
    with pytest.raises(LoginDenied) as refused:
        username_of({"name": name}, "name")
    assert len(refused.value.message) < 300


@pytest.mark.parametrize("verified", [False, None, "true", 1])
def test_an_address_counts_only_if_verified(verified: object):
    with pytest.raises(LoginDenied, match="not verified"):
        username_of({"email": "a@example.org", "email_verified": verified}, "email")
    assert username_of({"email": "A@example.org", "email_verified": True}, "email") == "a@example.org"


@pytest.mark.parametrize("subject", [None, "", 5, ["x"], "x" * 256])
def test_an_account_needs_an_identifier(subject: object):
    with pytest.raises(LoginDenied):
        subject_of({"sub": subject})


# -- documents and tokens ----------------------------------------------------------------------


def test_browsers_go_public_the_hub_goes_inside():
    provider = read_provider(
        DOCUMENT, issuer="https://hub.example.org/oidc", backchannel_url="http://127.0.0.1:9090/oidc/"
    )
    assert provider.authorization == "https://hub.example.org/oidc/authorize"
    assert provider.token == "http://127.0.0.1:9090/oidc/token"
    assert provider.userinfo == "http://127.0.0.1:9090/oidc/userinfo"


def test_only_what_lies_below_the_issuer_is_rewritten():
    document = DOCUMENT | {"token_endpoint": "https://hub.example.org/oidc-elsewhere/token"}
    provider = read_provider(
        document, issuer=DOCUMENT["issuer"], backchannel_url="http://127.0.0.1:9090/oidc"
    )
    assert provider.token == "https://hub.example.org/oidc-elsewhere/token"


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://evil.example.org"},
        {"issuer": None},
        {"token_endpoint": None},
        {"token_endpoint": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"userinfo_endpoint": ["https://hub.example.org/oidc/userinfo"]},
        {"end_session_endpoint": "javascript:alert(1)"},
    ],
)
def test_a_document_that_is_not_ours_is_refused(change: dict[str, Any]):
    with pytest.raises(ProviderMisconfigured):
        read_provider(DOCUMENT | change, issuer=DOCUMENT["issuer"])


@pytest.mark.parametrize("document", [None, [], "text", 3])
def test_something_else_is_no_document(document: object):
    with pytest.raises(ProviderMisconfigured):
        read_provider(document, issuer=DOCUMENT["issuer"])


def test_logout_names_session_client_and_way_back():
    provider = read_provider(DOCUMENT, issuer=DOCUMENT["issuer"])
    assert provider.logout_url(id_token="t.o.k", client_id="granary", return_to="https://h/x?y") == (
        "https://hub.example.org/oidc/logout?x=1&client_id=granary"
        "&post_logout_redirect_uri=https%3A%2F%2Fh%2Fx%3Fy&id_token_hint=t.o.k"
    )


def test_a_provider_without_logout_has_no_such_address():
    document = {name: value for name, value in DOCUMENT.items() if name != "end_session_endpoint"}
    provider = read_provider(document, issuer=DOCUMENT["issuer"])
    assert provider.logout_url(id_token=None, client_id="granary", return_to="https://h/") is None


ID_TOKEN = {
    "iss": "https://id.example.org/",
    "aud": "granary",
    "sub": "s-1",
    "exp": (NOW + timedelta(minutes=5)).timestamp(),
}


def check(**changed: Any) -> None:
    check_id_token(
        ID_TOKEN | changed, issuer="https://id.example.org", client_id="granary", subject="s-1", now=NOW
    )


def test_a_good_id_token():
    check()
    check(aud=["other", "granary"])
    check(exp=(NOW - timedelta(minutes=1)).timestamp())


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"iss": "https://evil.example.org"}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"aud": "other"}, "audience"),
        ({"aud": None}, "audience"),
        ({"aud": ["other"]}, "audience"),
        ({"sub": "s-2"}, "subject"),
        ({"exp": (NOW - timedelta(minutes=3)).timestamp()}, "expiry"),
        ({"exp": "never"}, "expiry"),
        ({"exp": None}, "expiry"),
    ],
)
def test_an_id_token_for_somebody_else(changed: dict[str, Any], wrong: str):
    with pytest.raises(ProviderMisconfigured, match=wrong):
        check(**changed)
