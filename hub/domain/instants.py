"""Time, as a value that is passed in. Only composition roots read a real clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

Clock = Callable[[], datetime]
"""Returns the present instant, aware UTC."""
