"""How long to wait before trying again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta

FIRST_PAUSE = timedelta(milliseconds=200)
LONGEST_PAUSE = timedelta(seconds=10)


@dataclass
class Backoff:
    """Pauses that double up to a limit, without end.

    Each is drawn from the upper half of its range, so that the thousand sockets a
    dying bridge drops do not come back in one instant.
    """

    first: timedelta = FIRST_PAUSE
    longest: timedelta = LONGEST_PAUSE
    attempts: int = 0

    def next_pause(self) -> timedelta:
        ceiling = self.first
        for _ in range(self.attempts):
            if ceiling >= self.longest:
                break
            ceiling *= 2
        self.attempts += 1
        return min(ceiling, self.longest) * random.uniform(0.5, 1.0)  # noqa: S311 # spreads load, hides nothing

    def reset(self) -> None:
        self.attempts = 0
