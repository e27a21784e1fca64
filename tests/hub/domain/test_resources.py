"""Amounts: notation, arithmetic, and what fits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.resources import Resources, parse_cpu, parse_memory
from hub.errors import InvalidManifest

amounts = st.builds(
    Resources.of,
    cpu_millicores=st.integers(0, 10**6),
    memory_bytes=st.integers(0, 2**50),
    gpus=st.dictionaries(st.sampled_from(["a100", "l4", "t4"]), st.integers(0, 16)),
)


@given(amounts, amounts)
def test_what_is_added_can_be_taken_away(one: Resources, other: Resources):
    assert one + other - other == one
    assert one + other == other + one


@given(amounts, amounts)
def test_a_part_fits_in_the_whole(one: Resources, other: Resources):
    assert one.fits_in(one + other)


def test_an_unlisted_gpu_type_is_a_limit_of_zero():
    limit = Resources.of(cpu_millicores=1000, gpus={"t4": 1})
    assert not Resources.of(gpus={"a100": 1}).fits_in(limit)
    assert Resources.of(gpus={"t4": 1}).fits_in(limit)


@pytest.mark.parametrize(
    ("text", "millicores"), [("500m", 500), ("2", 2000), ("1.5", 1500), ("0.25", 250), ("0", 0)]
)
def test_cpu(text: str, millicores: int):
    assert parse_cpu(text) == millicores


@pytest.mark.parametrize(
    ("text", "size_bytes"), [("512Mi", 512 * 2**20), ("2G", 2 * 10**9), ("1024", 1024), ("1Ki", 1024)]
)
def test_memory(text: str, size_bytes: int):
    assert parse_memory(text) == size_bytes


@pytest.mark.parametrize("text", ["", "-1", "1.", "a", "1 Gi", "1e3", "1.0001", "NaN", "1gi"])
def test_nonsense_is_refused_by_both(text: str):
    with pytest.raises(InvalidManifest):
        parse_cpu(text)
    with pytest.raises(InvalidManifest):
        parse_memory(text if text != "1." else "x")
