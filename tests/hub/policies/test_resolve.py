"""What a kernelspec name starts: by tables, and by properties over random catalogues."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.kernels import CatalogueEntry, Stage
from hub.domain.names import SpecName, parse_spec_name
from hub.errors import (
    ChannelNotFound,
    Denied,
    GranaryError,
    NotEntitled,
    NotFound,
    ReleaseNotFound,
    ReleaseNotStartable,
)
from hub.policies.resolve import choices, default_choice, resolve
from tests.support.catalogue import a_release, an_entry, python_data

ENTRY = python_data()


@pytest.mark.parametrize(
    ("name", "team", "version"),
    [
        ("python-data", "atlas", "2026.10.1"),
        ("python-data", "borealis", "2026.10.1"),
        ("python-data.dev", "atlas", "2026.11.1"),
        ("python-data.v2026.11.1", "atlas", "2026.11.1"),
        ("python-data.v2026.10.1", "borealis", "2026.10.1"),
    ],
)
def test_a_name_means_one_release(name: str, team: str, version: str):
    choice = resolve(parse_spec_name(name), ENTRY, team)
    assert (choice.release.version, choice.spec_name) == (version, name)


@pytest.mark.parametrize(
    ("name", "team", "error"),
    [
        ("python-data", "carina", NotEntitled),
        ("python-data.v2026.10.1", "carina", NotEntitled),
        ("python-data.dev", "borealis", NotEntitled),
        ("python-data.staging", "atlas", NotEntitled),
        ("python-data.v2026.11.1", "borealis", ReleaseNotFound),
        ("python-data.v1.0", "atlas", ReleaseNotFound),
    ],
)
def test_a_name_that_means_nothing_here(name: str, team: str, error: type[GranaryError]):
    with pytest.raises(error):
        resolve(parse_spec_name(name), ENTRY, team)


def test_an_entitlement_to_a_channel_nobody_has_set():
    entry = an_entry(a_release(), channels={}, entitled={"atlas": {"prod"}})
    with pytest.raises(ChannelNotFound):
        resolve(parse_spec_name("python-data"), entry, "atlas")


@pytest.mark.parametrize("stage", list(Stage))
def test_only_startable_stages_start(stage: Stage):
    entry = an_entry(a_release(stage=stage), channels={"prod": "2026.11.1"}, entitled={"atlas": {"prod"}})
    offered = choices([entry], "atlas")
    assert bool(offered) is stage.startable
    if stage.startable:
        assert resolve(parse_spec_name("python-data"), entry, "atlas").release.stage is stage
    else:
        with pytest.raises(ReleaseNotStartable):
            resolve(parse_spec_name("python-data"), entry, "atlas")


TEAMS = ("atlas", "borealis", "carina")
CHANNELS = ("prod", "dev", "staging")
VERSIONS = ("1.0", "1.1", "2.0")


@st.composite
def entries(draw: st.DrawFn) -> CatalogueEntry:
    versions = draw(st.lists(st.sampled_from(VERSIONS), unique=True, min_size=1))
    releases = [a_release(version, stage=draw(st.sampled_from(list(Stage)))) for version in versions]
    channels = draw(st.dictionaries(st.sampled_from(CHANNELS), st.sampled_from(versions)))
    entitled = draw(st.dictionaries(st.sampled_from(TEAMS), st.sets(st.sampled_from(CHANNELS), min_size=1)))
    return an_entry(*releases, owner=draw(st.sampled_from(TEAMS)), channels=channels, entitled=entitled)


spec_names = st.one_of(
    st.sampled_from(CHANNELS).map(lambda name: SpecName("python-data", name, None)),
    st.sampled_from(VERSIONS).map(lambda version: SpecName("python-data", None, version)),
)


@given(entries(), st.sampled_from(TEAMS))
def test_whatever_is_offered_starts(entry: CatalogueEntry, team: str):
    offered = choices([entry], team)
    for choice in offered:
        assert resolve(parse_spec_name(choice.spec_name), entry, team) == choice
    default = default_choice(offered)
    assert default is None or default in {choice.spec_name for choice in offered}


@given(entries(), st.sampled_from(TEAMS), spec_names)
def test_what_starts_is_what_was_asked_for_and_allowed(entry: CatalogueEntry, team: str, wanted: SpecName):
    try:
        choice = resolve(wanted, entry, team)
    except (Denied, NotFound):
        return
    held = entry.entitlements.get(team)
    assert choice.release.stage.startable
    assert held is not None or team == entry.kernel.owner_team
    if wanted.version is not None:
        assert choice.release.version == wanted.version
    else:
        assert choice.release.version == entry.channels[str(wanted.channel)].version
        assert held is not None
        assert wanted.channel in held.channels


@given(entries(), spec_names)
def test_a_team_without_entitlement_that_owns_nothing_starts_nothing(entry: CatalogueEntry, wanted: SpecName):
    assert choices([entry], "stranger") == []
    with pytest.raises(NotEntitled):
        resolve(wanted, entry, "stranger")
