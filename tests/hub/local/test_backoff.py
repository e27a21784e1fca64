"""How long a process that died stays down."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.local.backoff import FIRST_PAUSE, LONGEST_PAUSE, pause_before_restart


@pytest.mark.parametrize(
    ("deaths", "seconds"),
    [(-1, 0), (0, 0), (1, 0.5), (2, 1), (3, 2), (4, 4), (5, 8), (6, 16), (7, 30), (8, 30), (10**6, 30)],
)
def test_pauses_double_to_half_a_minute(deaths: int, seconds: float):
    assert pause_before_restart(deaths) == timedelta(seconds=seconds)


@given(st.integers(min_value=1))
def test_it_never_shrinks_and_stays_within_its_bounds(deaths: int):
    pause = pause_before_restart(deaths)
    assert FIRST_PAUSE <= pause <= pause_before_restart(deaths + 1) <= LONGEST_PAUSE
