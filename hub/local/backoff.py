"""How long a process that died stays down. Pure."""

from __future__ import annotations

from datetime import timedelta

FIRST_PAUSE = timedelta(milliseconds=500)
LONGEST_PAUSE = timedelta(seconds=30)

STEADY_AFTER = timedelta(minutes=1)
"""A process that ran this long was well: its death starts the pauses anew."""


def pause_before_restart(deaths_in_a_row: int) -> timedelta:
    """0.5 s after the first death, doubling to 30 s."""
    if deaths_in_a_row < 1:
        return timedelta(0)
    doublings: int = 1 << min(deaths_in_a_row - 1, 16)
    return min(FIRST_PAUSE * doublings, LONGEST_PAUSE)
