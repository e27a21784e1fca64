"""The question on the spawn page, as HTML for the hub's form."""

from __future__ import annotations

from html import escape

from hub.wire import SpawnPolicyBody, TeamBody
from spawner.plan import TEAM_OPTION


def team_question(policy: SpawnPolicyBody, selected: str) -> str:
    """Radio buttons, one a team; works with the keyboard alone and on a narrow screen.

    ``selected`` is the name of the team that is checked already, or ``""``.
    """
    choices = "\n".join(_choice(team, checked=team.name == selected) for team in policy.teams)
    return (
        '<fieldset class="granary-teams">\n'
        "<legend>Which team does this server work for?</legend>\n"
        f"{choices}\n"
        '<p class="form-text">It decides which kernels the launcher offers. '
        "Your files are the same for every team.</p>\n"
        "</fieldset>"
    )


def _choice(team: TeamBody, *, checked: bool) -> str:
    name, label = escape(team.name), escape(team.display_name)
    state = " checked" if checked else ""
    return (
        '<div class="form-check">'
        f'<input class="form-check-input" type="radio" required name="{TEAM_OPTION}" '
        f'id="team-{name}" value="{name}"{state}>'
        f'<label class="form-check-label" for="team-{name}">{label}</label>'
        "</div>"
    )
