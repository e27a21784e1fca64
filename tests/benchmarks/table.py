"""What benchmarks report, and how contenders are measured side by side."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Samples:
    """Repeated measurements of one thing, in one unit."""

    name: str
    unit: str
    values: Sequence[float]
    at_most: float | None = None
    """The gate: the greatest median, in ``unit``, that is good enough."""
    ratio_at_most: float | None = None
    """The gate: the greatest ratio to the first row that is good enough."""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def cells(self, baseline: float) -> list[str]:
        """Name, median, spread, ratio to the first row, runs and gate, ready to print."""
        return [
            self.name,
            f"{self.median:.4g} {self.unit}",
            f"{min(self.values):.4g} to {max(self.values):.4g}",
            f"{self.median / baseline:.2f}" if baseline else "",
            str(len(self.values)),
            self._gate(baseline),
        ]

    def _gate(self, baseline: float) -> str:
        gates = []
        if self.at_most is not None:
            gates.append(f"{self.at_most:g} {self.unit}: {_verdict(self.median <= self.at_most)}")
        if self.ratio_at_most is not None and baseline:
            met = self.median / baseline <= self.ratio_at_most
            gates.append(f"ratio {self.ratio_at_most:g}: {_verdict(met)}")
        return ", ".join(gates)


@dataclass(frozen=True)
class Table:
    """One question and its answers. Ratios are to the first row."""

    title: str
    rows: Sequence[Samples] = field(default_factory=tuple)

    def __str__(self) -> str:
        header = ["", "median", "least to most", "ratio", "runs", "at most"]
        baseline = self.rows[0].median if self.rows else 0.0
        lines = [header, *(row.cells(baseline) for row in self.rows)]
        if not any(line[-1] for line in lines[1:]):
            lines = [line[:-1] for line in lines]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        body = "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )
        return f"{self.title}\n{body}"


def interleaved(
    contenders: Mapping[str, Callable[[], float]], *, unit: str, rounds: int, warm_up: int = 1
) -> list[Samples]:
    """Measure contenders in turn, round by round, so that a busy moment hits all alike.

    A contender returns one measurement in ``unit``. The first ``warm_up`` rounds are
    thrown away.
    """
    values: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(warm_up + rounds):
        for name, measure in contenders.items():
            value = measure()
            if turn >= warm_up:
                values[name].append(value)
    return [Samples(name, unit, measured) for name, measured in values.items()]


def _verdict(met: bool) -> str:
    return "met" if met else "missed"
