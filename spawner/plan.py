"""What a user server is started for: pure, from the policy's answer and the options asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from hub.errors import GranaryError, InvalidRequest, NotAMember, NoTeam, TeamChoiceNeeded
from hub.wire import SpawnPolicyBody, TeamBody

TEAM_OPTION = "team"
"""Name of the option in the spawn form, in ``?opt-team=`` and in the hub's REST API."""

_SHOWN = 60
"""Characters of a wrong answer that are repeated in the refusal."""


@dataclass(frozen=True)
class LaunchPlan:
    """What the policy settled about one start. Nothing in it comes from the client but the choice of team."""

    team: str
    team_display_name: str
    gateway_url: str
    """The bridge's address for this team, as the server reaches it."""

    def environment(self) -> dict[str, str]:
        """Variables the server finds; they hold no secret."""
        return {"GRANARY_TEAM": self.team, "GRANARY_GATEWAY_URL": self.gateway_url}


def plan_launch(
    policy: SpawnPolicyBody,
    options: Mapping[str, object],
    *,
    bridge_url: str,
    other_options: Collection[str] = (),
) -> LaunchPlan:
    """Decide what a person's server is started for.

    Parameters
    ----------
    policy
        The control plane's answer for this person, asked for this start.
    options
        As given with the request: from the form, the address or the REST API. Hostile until checked.
    bridge_url
        Base address of the bridge, without a team.
    other_options
        Names of options that belong to the spawner underneath and are checked there.

    Raises
    ------
    NoTeam
        The person is in no governed team.
    TeamChoiceNeeded
        There are several teams and the options name none.
    NotAMember
        The options name a team that is not among the person's.
    InvalidRequest
        An option is unknown or not text.
    """
    unknown = sorted(str(name)[:_SHOWN] for name in options if name not in {TEAM_OPTION, *other_options})
    if unknown:
        raise InvalidRequest(
            f"A server cannot be started with the option {unknown[0]!r}: only {TEAM_OPTION!r} can be chosen.",
            unknown_options=unknown[:10],
        )
    team = _chosen(policy, options.get(TEAM_OPTION))
    url = f"{bridge_url.rstrip('/')}/teams/{quote(team.name, safe='')}"
    return LaunchPlan(team.name, team.display_name, url)


def needs_question(
    policy: SpawnPolicyBody, remembered: Mapping[str, object], *, other_options: Collection[str] = ()
) -> bool:
    """Whether a person has to be asked before their server starts.

    ``remembered`` are the options of the last attempt, which the hub applies again
    when none are given. One team needs no question, unless those would be refused:
    somebody who has left the team of last time is asked, not moved silently.

    Raises
    ------
    NoTeam
    """
    _require_some_team(policy)
    if len(policy.teams) > 1:
        return True
    try:
        plan_launch(policy, remembered, bridge_url="", other_options=other_options)
    except GranaryError:
        return True
    return False


def preselected(policy: SpawnPolicyBody, remembered: Mapping[str, object]) -> str:
    """The team the form offers first: the one of last time, else the only one, else none (``""``)."""
    names = [team.name for team in policy.teams]
    last = remembered.get(TEAM_OPTION)
    if last in names:
        return str(last)
    return names[0] if len(names) == 1 else ""


def _chosen(policy: SpawnPolicyBody, asked: object) -> TeamBody:
    _require_some_team(policy)
    teams = {team.name: team for team in policy.teams}
    if asked is None or asked == "":
        if len(teams) == 1:
            return policy.teams[0]
        raise TeamChoiceNeeded(
            f"You are in several teams: {_listed(policy)}. Choose the one this server works for.",
            teams=sorted(teams),
        )
    if not isinstance(asked, str):
        raise InvalidRequest("The option 'team' has to be the name of one team, as text.")
    if asked not in teams:
        raise NotAMember(
            f"You are not a member of a team {asked[:_SHOWN]!r}, so no server starts for it. "
            f"You can choose: {_listed(policy)}. If that is wrong, ask {policy.contact}.",
            team=asked[:_SHOWN],
            teams=sorted(teams),
        )
    return teams[asked]


def _require_some_team(policy: SpawnPolicyBody) -> None:
    if not policy.teams:
        raise NoTeam(
            "You are in no team that Granary governs, so there is nothing to start for you. "
            f"Ask {policy.contact}."
        )


def _listed(policy: SpawnPolicyBody) -> str:
    return ", ".join(
        team.display_name if team.display_name == team.name else f"{team.display_name} ({team.name})"
        for team in policy.teams
    )
