"""People and teams as policies see them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

MANAGE_SCOPE = "custom:kernels:manage"
"""Hub scope of those who govern kernels; ``!group=T`` narrows it to team T."""

USE_SCOPE = "custom:kernels:use"
"""Hub scope of those (people, servers, tokens) who start and use kernels."""

_MANAGE_TEAM = f"{MANAGE_SCOPE}!group="


@dataclass(frozen=True)
class Team:
    """A hub group that Granary governs. The team's name is the group's name."""

    name: str
    display_name: str
    admin_group: str
    """The hub group whose members are this team's admins."""


@dataclass(frozen=True)
class Person:
    """Who is asking, as the hub vouches for them, narrowed by the scopes of their token.

    ``teams`` holds hub groups, governed or not; policies intersect with the teams
    Granary knows. ``manages`` holds the teams the *token* may govern.
    """

    name: str
    teams: frozenset[str] = field(default_factory=frozenset)
    manages: frozenset[str] = field(default_factory=frozenset)
    manages_all: bool = False
    may_use_kernels: bool = False
    is_service: bool = False

    @property
    def actor(self) -> str:
        """How the audit log names them; a service is never mistaken for a person of that name."""
        return f"service:{self.name}" if self.is_service else self.name

    def may_manage(self, team: str) -> bool:
        return self.manages_all or team in self.manages


def person_from_hub(name: str, *, kind: str, groups: Iterable[str], scopes: Iterable[str]) -> Person:
    """Read what ``GET /hub/api/user`` says of the owner of a token.

    ``kind`` is the model's ``kind``: ``user`` or ``service``. A scope that is not
    one of the three forms we know, letter by letter, grants nothing here.
    """
    manages: set[str] = set()
    manages_all = may_use = False
    for scope in scopes:
        if scope == USE_SCOPE:
            may_use = True
        elif scope == MANAGE_SCOPE:
            manages_all = True
        elif scope.startswith(_MANAGE_TEAM):
            manages.add(scope.removeprefix(_MANAGE_TEAM))
    return Person(
        name=name,
        teams=frozenset(groups),
        manages=frozenset(manages),
        manages_all=manages_all,
        may_use_kernels=may_use,
        is_service=kind == "service",
    )
