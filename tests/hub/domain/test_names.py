"""Names: what may name things, what a kernelspec name asks for, and slugs that never collide (T7, T12)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.names import (
    MAX_NAME_LENGTH,
    SpecName,
    checked_name,
    checked_version,
    parse_spec_name,
    slug,
    version_key,
)
from hub.errors import InvalidName, InvalidVersion

NASTY = [
    "", " ", "a b", "Python", "python_data", "-python", "python-", "py--thon", "1python", "python\n",
    "python/..", "../etc", "pythön", "\u0440ython", "a" * (MAX_NAME_LENGTH + 1), "python.data", "python\x00",
    "%2e%2e", "default",
]  # fmt: skip


@pytest.mark.parametrize("value", ["python-data", "r", "julia1", "a" * MAX_NAME_LENGTH])
def test_plain_names_are_taken(value: str):
    assert checked_name(value, "kernel") == value


@pytest.mark.parametrize("value", NASTY)
def test_nasty_names_are_refused_with_a_sentence(value: str):
    with pytest.raises(InvalidName) as refusal:
        checked_name(value, "kernel")
    assert "kernel" in refusal.value.message


@pytest.mark.parametrize("value", ["2026.11.1", "2026.11", "1.0.0", "1.2.3-rc.1", "0.0.1"])
def test_versions(value: str):
    assert checked_version(value) == value


@pytest.mark.parametrize(
    "value", ["", "1", "v1.0", "1.0\n", "1..0", "1.0.0+x", "1.0-RC", "latest", "1.0/..", "٣.٤", "9" * 50]
)
def test_what_is_no_version(value: str):
    with pytest.raises(InvalidVersion):
        checked_version(value)


def test_versions_sort_as_numbers_and_candidates_before_the_release():
    shuffled = ["2026.11.2", "2026.11.1", "2026.2.1", "2026.11.1-rc.1", "2025.12.1"]
    expected = ["2025.12.1", "2026.2.1", "2026.11.1-rc.1", "2026.11.1", "2026.11.2"]
    assert sorted(shuffled, key=version_key) == expected


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("python-data", SpecName("python-data", "prod", None)),
        ("python-data.dev", SpecName("python-data", "dev", None)),
        ("python-data.v2026.11.1", SpecName("python-data", None, "2026.11.1")),
        ("python-data.vnext", SpecName("python-data", "vnext", None)),
        ("python3", SpecName("python3", "prod", None)),  # what notebooks from elsewhere ask for
    ],
)
def test_spec_names_read_and_print_alike(text: str, meant: SpecName):
    assert parse_spec_name(text) == meant
    assert str(meant) == text


@given(st.text(max_size=60))
def test_any_text_is_a_spec_name_or_a_clear_refusal(text: str):
    try:
        parsed = parse_spec_name(text)
    except (InvalidName, InvalidVersion) as refusal:
        assert refusal.message  # noqa: PT017 # either outcome is right; any other exception fails the test
    else:
        assert parse_spec_name(str(parsed)) == parsed


LOOKALIKES = [
    "alice",
    "Alice",
    "ALICE",
    "alice ",
    "a.lice",
    "a-lice",
    "a_lice",
    "älice",
    "alice--",
    "-alice",
    "a" * 80,
    "a" * 81,
]


def test_lookalikes_get_different_slugs():
    assert len({slug(name) for name in LOOKALIKES}) == len(LOOKALIKES)


def test_nobody_can_be_named_like_anothers_slug():
    assert slug(slug("Alice")) != slug("Alice")


@given(st.text(), st.text())
def test_slugs_are_labels_and_never_collide(one: str, other: str):
    for text in (one, other):
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", slug(text))
    assert (slug(one) == slug(other)) == (one == other)
