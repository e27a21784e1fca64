"""Scopes filtered by group reach the servers of that team, not of its members."""

from __future__ import annotations

import pytest

from hub.policies.reach import START, VISIT, may_make_token, reaches_server


@pytest.mark.parametrize(
    ("scopes", "team", "reached"),
    [
        ({"access:servers"}, "borealis", True),
        ({"access:servers"}, None, True),
        ({"access:servers!user=both-1"}, "borealis", True),
        ({"access:servers!server=both-1/"}, None, True),
        ({"access:servers!group=atlas"}, "atlas", True),
        ({"access:servers!group=atlas"}, "borealis", False),
        ({"access:servers!group=atlas"}, None, False),
        ({"access:servers!group=None"}, None, False),
        ({"access:servers!user=atlas-admin"}, "atlas", False),
        ({"access:servers!server=both-1/other"}, "atlas", False),
        ({"start:servers", "servers!group=atlas"}, "atlas", False),
        (set(), "atlas", False),
    ],
)
def test_who_may_visit(scopes: set[str], team: str | None, reached: bool):
    assert reaches_server(scopes, VISIT, owner="both-1", server="", team=team) is reached


def test_starting_and_visiting_are_different_rights():
    scopes = {"start:servers!group=atlas"}
    assert reaches_server(scopes, START, owner="both-1", server="", team="atlas")
    assert not reaches_server(scopes, VISIT, owner="both-1", server="", team="atlas")


@pytest.mark.parametrize(
    ("scopes", "requester", "allowed"),
    [
        ({"tokens!user=both-1"}, "both-1", True),
        ({"tokens"}, "admin", True),
        ({"tokens!group=atlas"}, "atlas-admin", False),
        ({"tokens!user=both-1"}, "atlas-admin", False),
    ],
)
def test_who_may_make_a_token_for_both_1(scopes: set[str], requester: str, allowed: bool):
    assert may_make_token(scopes, requester=requester, owner="both-1") is allowed
