"""The benchmarks' own arithmetic."""

from __future__ import annotations

from itertools import count

import pytest

from tests.benchmarks.__main__ import main
from tests.benchmarks.table import Samples, Table, interleaved


def test_contenders_take_turns_and_warm_up_is_not_counted() -> None:
    clock = count()
    ours, stock = interleaved(
        {"ours": lambda: float(next(clock)), "stock": lambda: float(next(clock))}, unit="s", rounds=3
    )
    assert ours.values == [2.0, 4.0, 6.0]
    assert stock.values == [3.0, 5.0, 7.0]


def test_a_table_compares_with_its_first_row() -> None:
    text = str(Table("Server ready", [Samples("ours", "s", [1.0, 2.0, 3.0]), Samples("stock", "s", [5.0])]))
    title, header, ours, stock = text.splitlines()
    assert title == "Server ready"
    assert header.split() == ["median", "least", "to", "most", "ratio", "runs"]
    assert ours.split() == ["ours", "2", "s", "1", "to", "3", "1.00", "3"]
    assert stock.split() == ["stock", "5", "s", "5", "to", "5", "2.50", "1"]


def test_an_unknown_name_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err


def test_a_gate_says_whether_it_is_met() -> None:
    rows = [
        Samples("stock", "s", [1.0]),
        Samples("quick", "s", [1.5], at_most=1.6),
        Samples("slow", "s", [1.7], ratio_at_most=1.6),
    ]
    _, header, stock, quick, slow = str(Table("Server ready", rows)).splitlines()
    assert header.endswith("at most")
    assert stock.endswith("1")
    assert quick.endswith("1.6 s: met")
    assert slow.endswith("ratio 1.6: missed")
