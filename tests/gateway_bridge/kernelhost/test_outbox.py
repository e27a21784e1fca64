"""Delivery once and in order, whatever is dropped, resumed or slow."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_bridge.kernelhost.outbox import (
    MESSAGE_OVERHEAD_BYTES,
    Entry,
    Gap,
    Message,
    Outbox,
    gap_in_words,
)

LIMIT = 100_000
CELL = b'{"msg_id": "cell-1"}'
EVERYTHING = 10**9


def output(text: str, parent: bytes = CELL, size: int = 0) -> Message:
    return Message("iopub", [b"{}", parent, b"{}", text.encode().ljust(size)], output=True)


def reply(text: str) -> Message:
    return Message("shell", [b"{}", CELL, b"{}", text.encode()], output=False)


def text_of(entry: Entry) -> str:
    return f"gap of {entry.messages}" if isinstance(entry, Gap) else entry.parts[3].decode().strip()


def fetch(outbox: Outbox, max_bytes: int = EVERYTHING) -> list[str]:
    """Take and send, as a websocket does."""
    taken = outbox.take(max_bytes)
    for entry in taken:
        outbox.was_sent(entry if isinstance(entry, Message) else output(gap_in_words(entry)))
    return [text_of(entry) for entry in taken]


def filled(*texts: str, limit: int = LIMIT) -> Outbox:
    outbox = Outbox(limit)
    for text in texts:
        outbox.put(output(text))
    return outbox


def test_messages_come_out_once_and_in_order() -> None:
    outbox = filled("a", "b", "c")
    assert fetch(outbox, max_bytes=1) == ["a"]
    assert fetch(outbox) == ["b", "c"]
    assert fetch(outbox) == []
    assert not outbox
    assert outbox.sent == 3


def test_a_client_that_counts_gets_exactly_the_rest() -> None:
    outbox = filled("a", "b", "c")
    fetch(outbox)
    outbox.put(output("d"))
    outbox.resume(1)
    assert fetch(outbox) == ["b", "c", "d"]
    assert outbox.sent == 4


def test_a_client_that_does_not_count_gets_what_was_not_sent() -> None:
    outbox = filled("a", "b")
    fetch(outbox)
    outbox.put(output("c"))
    outbox.resume(None)
    assert fetch(outbox) == ["c"]


def test_what_was_not_written_whole_is_sent_again() -> None:
    outbox = filled("a", "b")
    fetch(outbox)
    outbox.put(output("c"))
    outbox.take_back_last()
    outbox.resume(None)
    assert fetch(outbox) == ["b", "c"]
    assert outbox.sent == 3


def test_what_arrived_is_forgotten() -> None:
    outbox = filled("a", "b")
    fetch(outbox)
    outbox.has_arrived(2)
    assert outbox.size_bytes == 0
    outbox.resume(2)
    assert fetch(outbox) == []


def test_a_client_that_lost_more_than_is_kept_is_told() -> None:
    outbox = filled("a", "b", "c")
    fetch(outbox)
    outbox.has_arrived(3)
    outbox.resume(1)
    assert fetch(outbox) == ["gap of 2"]


def test_a_client_of_a_forgotten_session_goes_on_counting() -> None:
    outbox = Outbox(LIMIT, delivered=7)
    outbox.resume(7)
    outbox.put(output("a"))
    assert fetch(outbox) == ["a"]
    assert outbox.sent == 8


def test_overflow_drops_the_oldest_output_and_leaves_one_gap() -> None:
    outbox = Outbox(LIMIT)
    for number in range(20):
        outbox.put(output(str(number), size=10_000))
    got = fetch(outbox)
    assert got[0] == "gap of 11"
    assert got[1:] == [str(number) for number in range(11, 20)]


def test_overflow_spares_replies_and_states() -> None:
    outbox = Outbox(LIMIT)
    for number in range(40):
        outbox.put(output(f"out {number}", size=10_000))
        if number in {3, 4}:
            outbox.put(reply(f"reply {number}"))
    got = fetch(outbox)
    assert got[:5] == ["gap of 4", "reply 3", "gap of 1", "reply 4", "gap of 26"]


def test_gaps_of_different_cells_stay_apart() -> None:
    outbox = Outbox(LIMIT)
    other = b'{"msg_id": "cell-2"}'
    for number in range(4):
        outbox.put(output("x", CELL if number < 2 else other, size=10_000))
    outbox.set_limit(MESSAGE_OVERHEAD_BYTES)
    gaps = outbox.take(EVERYTHING)
    assert all(isinstance(gap, Gap) for gap in gaps)
    assert sum(gap.messages for gap in gaps if isinstance(gap, Gap)) == 4
    assert isinstance(gaps[-1], Gap)
    assert gaps[-1].parent == other


def test_even_replies_go_when_there_are_too_many() -> None:
    outbox = Outbox(LIMIT)
    for number in range(10_000):
        outbox.put(reply(str(number)))
    assert outbox.size_bytes <= LIMIT
    got = fetch(outbox)
    assert got[0].startswith("gap of ")
    assert got[-1] == "9999"


def test_one_message_larger_than_the_bound_still_reaches_a_connected_client() -> None:
    outbox = Outbox(LIMIT)
    outbox.put(output("small"))
    outbox.put(output("huge", size=5 * LIMIT))
    outbox.put(reply("done"))
    assert fetch(outbox) == ["gap of 1", "huge", "done"]


def test_a_smaller_bound_takes_effect_at_once() -> None:
    outbox = Outbox(LIMIT)
    outbox.set_limit(10 * LIMIT)
    outbox.put(output("huge", size=5 * LIMIT))
    outbox.set_limit(LIMIT)
    assert outbox.size_bytes <= LIMIT
    assert fetch(outbox) == ["gap of 1"]


def test_sent_messages_make_room_for_waiting_ones() -> None:
    outbox = Outbox(LIMIT)
    for number in range(9):
        outbox.put(output(str(number), size=10_000))
    fetch(outbox)
    for number in range(9, 18):
        outbox.put(output(str(number), size=10_000))
    assert outbox.size_bytes <= LIMIT
    assert fetch(outbox) == [str(number) for number in range(9, 18)]


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(0, 40_000)),
            st.tuples(st.just("fetch"), st.integers(1, 60_000)),
            st.tuples(st.just("arrive"), st.integers(0, 10)),
            st.tuples(st.just("reconnect"), st.integers(0, 10)),
        ),
        max_size=60,
    )
)
def test_a_counting_client_misses_nothing_that_is_not_shown_as_a_gap(steps: list[tuple[str, int]]) -> None:
    """A model of a client that loses its connection with messages on their way."""
    outbox = Outbox(LIMIT)
    received: list[str] = []
    in_flight: list[str] = []
    produced = 0
    for step, amount in steps:
        if step == "put":
            outbox.put(output(str(produced), size=amount))
            produced += 1
        elif step == "fetch":
            in_flight += fetch(outbox, amount)
        elif step == "arrive":
            received += in_flight[:amount]
            del in_flight[:amount]
            outbox.has_arrived(len(received))
        else:
            received += in_flight[:amount]
            in_flight.clear()
            outbox.resume(len(received))
    received += in_flight
    received += fetch(outbox)
    seen = [int(text) for text in received if text.isdigit()]
    missing = sum(int(text.removeprefix("gap of ")) for text in received if not text.isdigit())
    assert seen == sorted(set(seen))
    assert len(seen) + missing >= produced
    assert len(seen) == produced or missing


@pytest.mark.parametrize(
    ("gap", "words"),
    [
        (Gap(1, 0, b"{}"), "1 message of output missing"),
        (Gap(2345, 5 * 2**20, b"{}"), "2,345 messages of output (5.0 MiB) missing"),
        (Gap(2, 2000, b"{}"), "2 messages of output (2.0 KiB) missing"),
        (Gap(2, 20, b"{}"), "2 messages of output (20 bytes) missing"),
    ],
)
def test_gaps_are_told_in_words(gap: Gap, words: str) -> None:
    assert words in gap_in_words(gap)
    json.dumps(gap_in_words(gap))
