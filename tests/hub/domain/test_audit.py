"""The audit chain: whatever is done to it afterwards shows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.audit import GENESIS_HASH, AuditRecord, Cause, Change, canonical_json, find_broken_link, seal

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def chain_of(*changes: Change) -> list[AuditRecord]:
    records: list[AuditRecord] = []
    for number, change in enumerate(changes):
        last = records[-1] if records else None
        records.append(
            seal(
                change,
                Cause("atlas-admin", f"r{number}"),
                NOON + timedelta(seconds=number),
                last_seq=last.seq if last else 0,
                last_hash=last.hash if last else GENESIS_HASH,
            )
        )
    return records


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
changes = st.builds(
    Change,
    action=st.text(max_size=10),
    subject=st.text(max_size=10),
    team=st.none() | st.text(max_size=5),
    reason=st.text(max_size=10),
    before=st.none() | st.dictionaries(st.text(), json_values, max_size=3),
    after=st.none() | st.dictionaries(st.text(), json_values, max_size=3),
)


@given(st.lists(changes, max_size=6))
def test_an_untouched_chain_is_whole_and_so_is_each_rest_of_it(told: list[Change]):
    records = chain_of(*told)
    assert find_broken_link(records) is None
    for number in range(1, len(records)):
        known = records[number - 1]
        assert find_broken_link(records[number:], last_seq=known.seq, last_hash=known.hash) is None


THREE = chain_of(*(Change("channel.set", f"s{n}", "atlas", after={"version": str(n)}) for n in range(3)))


@pytest.mark.parametrize(
    "forged",
    [
        {"at": NOON},
        {"actor": "somebody-else"},
        {"action": "channel.delete"},
        {"subject": "s9"},
        {"team": "borealis"},
        {"team": None},
        {"reason": "because"},
        {"before": {}},
        {"after": {"version": "2"}},
        {"after": None},
        {"request_id": "r9"},
        {"prev_hash": GENESIS_HASH},
        {"hash": GENESIS_HASH},
    ],
    ids=lambda forged: next(iter(forged)),
)
def test_a_changed_field_breaks_the_chain_there(forged: dict[str, Any]):
    broken = find_broken_link([THREE[0], replace(THREE[1], **forged), THREE[2]])
    assert broken is not None
    assert broken.seq == 2


def test_a_changed_record_with_a_fitting_hash_breaks_the_next_link():
    forged = seal(Change("x", "y", None), Cause("z", "r"), NOON, last_seq=1, last_hash=THREE[0].hash)
    broken = find_broken_link([THREE[0], forged, THREE[2]])
    assert broken is not None
    assert broken.seq == 3


@pytest.mark.parametrize("left", [[0, 2], [1, 2], [0, 2, 1], [2, 1, 0], [0, 0, 1, 2]])
def test_removed_moved_or_repeated_records_show(left: list[int]):
    assert find_broken_link([THREE[number] for number in left]) is not None


def test_the_zone_in_which_an_instant_is_told_does_not_matter():
    there = THREE[1].at.astimezone(timezone(timedelta(hours=5)))
    assert find_broken_link([THREE[0], replace(THREE[1], at=there), THREE[2]]) is None


def test_canonical_json_is_one_text():
    assert canonical_json({"b": [1, None], "a": "é\ud800"}) == r'{"a":"\u00e9\ud800","b":[1,null]}'
    with pytest.raises(TypeError):
        canonical_json({"a": object()})
