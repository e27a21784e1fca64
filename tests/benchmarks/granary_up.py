"""How long ``granary up`` takes in an empty directory, and in one it was in before."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from tests.benchmarks.installation import shared_installation
from tests.benchmarks.table import Samples, Table
from tests.support.installation import Installation, free_port

ROUNDS = 1
SECOND_STARTS = 3
"""After each first start."""
SECOND_SECONDS = 10.0


def run() -> Table:
    """A first start builds the demo's environments; their packages come from uv's cache."""
    first: list[float] = []
    second: list[float] = []
    shared_installation()  # has filled the cache
    for _ in range(ROUNDS):
        _measure(first, second)
    rows = [Samples("again", "s", second), Samples("first, packages in uv's cache", "s", first)]
    return Table("granary up, until it says it is ready", [replace(rows[0], at_most=SECOND_SECONDS), rows[1]])


def _measure(first: list[float], second: list[float]) -> None:
    with tempfile.TemporaryDirectory(prefix="granary-up-") as folder:
        installation = Installation(Path(folder) / "granary", free_port())
        try:
            first.append(installation.up())
            for _ in range(SECOND_STARTS):
                installation.down()
                second.append(installation.up())
        finally:
            installation.end_for_good()
