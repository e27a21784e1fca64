"""Whom a group-filtered hub scope lets reach a server: pure.

JupyterHub reads ``access:servers!group=T`` as "every server of every member of T",
whatever else those members belong to. A server works for one team, so here it means
"every server that works for T".
"""

from __future__ import annotations

from collections.abc import Collection

START = "start:servers"
"""Expanded hub scope of those who start a server."""

VISIT = "access:servers"
"""Expanded hub scope of those who use a server."""

MAKE_TOKENS = "tokens"
"""Expanded hub scope of those who make tokens."""

TEAM_IN_STATE = "granary_team"
"""Where the hub's record of a running server says which team it works for."""


def reaches_server(
    scopes: Collection[str], action: str, *, owner: str, server: str, team: str | None
) -> bool:
    """Whether the holder of ``scopes`` may do ``action`` to one server.

    Parameters
    ----------
    scopes
        Expanded scopes, as the hub resolved them for the request.
    action
        ``START`` or ``VISIT``.
    owner, server
        The person whose server it is, and its name (empty for the default one).
    team
        The team it works for; None while it works for none.
    """
    enough = {action, f"{action}!user={owner}", f"{action}!server={owner}/{server}"}
    if team is not None:
        enough.add(f"{action}!group={team}")
    return not enough.isdisjoint(scopes)


def may_make_token(scopes: Collection[str], *, requester: str, owner: str) -> bool:
    """Whether ``requester`` may make a token that speaks for ``owner``.

    A token can do all that its owner can, in every team. So it takes the owner, or
    somebody who may do that for everybody; never somebody who administers one of the
    owner's teams.
    """
    return requester == owner or MAKE_TOKENS in scopes
