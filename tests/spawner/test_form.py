"""The team question as people meet it."""

from __future__ import annotations

from hub.wire import SpawnPolicyBody, TeamBody
from spawner.form import team_question
from tests.support.hub import FormReader, text_of


def test_every_team_is_a_labelled_radio_button():
    teams = [TeamBody(name="atlas", display_name="Atlas"), TeamBody(name="borealis", display_name="Borealis")]
    html = team_question(SpawnPolicyBody(teams=teams, contact="x"), "borealis")
    inputs = FormReader.of(html).inputs
    assert [(each["type"], each["name"], each["value"], "checked" in each) for each in inputs] == [
        ("radio", "team", "atlas", False),
        ("radio", "team", "borealis", True),
    ]
    assert all(f'<label class="form-check-label" for="{each["id"]}">' in html for each in inputs)
    assert all("required" in each for each in inputs)
    assert text_of(html).startswith("Which team does this server work for? Atlas Borealis")


def test_names_are_text_and_never_markup():
    team = TeamBody(name='a"><script>x</script>', display_name="<img src=x onerror=alert(1)> & co")
    html = team_question(SpawnPolicyBody(teams=[team], contact="x"), "")
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;img src=x onerror=alert(1)&gt; &amp; co" in html
