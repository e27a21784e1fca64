"""Teams as configuration names them: ``GRANARY_TEAMS``, read alike by every process that needs it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from hub.domain.names import checked_name
from hub.domain.people import Team
from hub.errors import InvalidName

MAX_GROUP_LENGTH = 255
"""What the hub stores as a group's name."""


def _team_name(value: str) -> str:
    try:
        return checked_name(value, "team")
    except InvalidName as error:
        raise ValueError(error.message) from error


class ConfiguredTeam(BaseModel):
    """One entry of ``GRANARY_TEAMS``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, AfterValidator(_team_name)]
    """The hub group whose members are the team."""
    display_name: Annotated[str, Field(max_length=80)] = ""
    """What people read; the name if left out."""
    admin_group: Annotated[str, Field(max_length=MAX_GROUP_LENGTH)] = ""
    """The hub group whose members are the team's admins; ``<name>-admins`` if left out."""

    @model_validator(mode="after")
    def _admins_are_a_group_of_their_own(self) -> ConfiguredTeam:
        if self.admin_group == self.name:
            msg = f"team {self.name}: admin_group is the team itself, so every member would be an admin"
            raise ValueError(msg)
        return self

    def to_domain(self) -> Team:
        return Team(
            name=self.name,
            display_name=self.display_name or self.name,
            admin_group=self.admin_group or f"{self.name}-admins",
        )


def _no_group_means_two_things(teams: Sequence[ConfiguredTeam]) -> tuple[ConfiguredTeam, ...]:
    names = [group for team in teams for group in (team.name, team.to_domain().admin_group)]
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise ValueError(f"these groups are named twice, as a team or as a team's admins: {', '.join(twice)}")
    return tuple(teams)


ConfiguredTeams = Annotated[tuple[ConfiguredTeam, ...], AfterValidator(_no_group_means_two_things)]
"""JSON list of objects; no group is two teams, or a team and some team's admins."""
