"""What a server is started for: every kind of person, every kind of option."""

from __future__ import annotations

from typing import Any

import pytest

from hub.errors import GranaryError, InvalidRequest, NotAMember, NoTeam, TeamChoiceNeeded
from hub.wire import SpawnPolicyBody, TeamBody
from spawner.plan import needs_question, plan_launch, preselected

ATLAS = TeamBody(name="atlas", display_name="Atlas")
BOREALIS = TeamBody(name="borealis", display_name="borealis")
BRIDGE = "http://127.0.0.1:8082/"


def policy(*teams: TeamBody) -> SpawnPolicyBody:
    return SpawnPolicyBody(teams=list(teams), contact="the data desk")


@pytest.mark.parametrize(
    ("teams", "options", "team"),
    [
        ([ATLAS], {}, "atlas"),
        ([ATLAS], {"team": None}, "atlas"),
        ([ATLAS], {"team": ""}, "atlas"),
        ([ATLAS], {"team": "atlas"}, "atlas"),
        ([ATLAS, BOREALIS], {"team": "borealis"}, "borealis"),
    ],
)
def test_a_permitted_start(teams: list[TeamBody], options: dict[str, Any], team: str):
    plan = plan_launch(policy(*teams), options, bridge_url=BRIDGE)
    assert plan.team == team
    assert plan.environment() == {
        "GRANARY_TEAM": team,
        "GRANARY_GATEWAY_URL": f"http://127.0.0.1:8082/teams/{team}",
    }


@pytest.mark.parametrize(
    ("teams", "options", "error", "says"),
    [
        ([], {}, NoTeam, "in no team that Granary governs"),
        ([], {"team": "atlas"}, NoTeam, "Ask the data desk"),
        ([ATLAS, BOREALIS], {}, TeamChoiceNeeded, "Atlas (atlas), borealis"),
        ([ATLAS], {"team": "borealis"}, NotAMember, "You can choose: Atlas (atlas)"),
        ([ATLAS, BOREALIS], {"team": "Atlas"}, NotAMember, "not a member of a team 'Atlas'"),
        ([ATLAS], {"team": "atlas "}, NotAMember, "not a member"),
        ([ATLAS], {"team": "x" * 5000}, NotAMember, "x" * 60 + "'"),
        ([ATLAS], {"team": ["atlas"]}, InvalidRequest, "as text"),
        ([ATLAS], {"team": {"name": "atlas"}}, InvalidRequest, "as text"),
        ([ATLAS], {"team": 7}, InvalidRequest, "as text"),
        ([ATLAS], {"team": True}, InvalidRequest, "as text"),
        ([ATLAS], {"image": "evil:latest"}, InvalidRequest, "'image'"),
        ([ATLAS], {"team": "atlas", "KERNEL_UID": 0}, InvalidRequest, "'KERNEL_UID'"),
        ([ATLAS], {"n" * 5000: 1}, InvalidRequest, "n" * 60 + "'"),
    ],
)
def test_a_refused_start_says_why(
    teams: list[TeamBody], options: dict[str, Any], error: type[GranaryError], says: str
):
    with pytest.raises(error) as refused:
        plan_launch(policy(*teams), options, bridge_url=BRIDGE)
    assert says in refused.value.message
    assert len(refused.value.message) < 400


def test_options_of_the_spawner_underneath_are_left_to_it():
    plan = plan_launch(policy(ATLAS), {"profile": "large"}, bridge_url=BRIDGE, other_options={"profile"})
    assert plan.team == "atlas"


@pytest.mark.parametrize(
    ("teams", "remembered", "asks", "first"),
    [
        ([ATLAS], {}, False, "atlas"),
        ([ATLAS], {"team": "atlas"}, False, "atlas"),
        ([ATLAS], {"team": "borealis"}, True, "atlas"),
        ([ATLAS], {"image": "evil"}, True, "atlas"),
        ([ATLAS, BOREALIS], {}, True, ""),
        ([ATLAS, BOREALIS], {"team": "borealis"}, True, "borealis"),
        ([ATLAS, BOREALIS], {"team": "gone"}, True, ""),
        ([ATLAS, BOREALIS], {"team": ["atlas"]}, True, ""),
    ],
)
def test_when_a_person_is_asked(teams: list[TeamBody], remembered: dict[str, Any], asks: bool, first: str):
    assert needs_question(policy(*teams), remembered) is asks
    assert preselected(policy(*teams), remembered) == first


def test_nobody_without_a_team_is_asked_anything():
    with pytest.raises(NoTeam):
        needs_question(policy(), {})
