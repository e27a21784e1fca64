from __future__ import annotations

from datetime import timedelta

from spawner.singleuser.backoff import Backoff
from spawner.singleuser.outbox import Outbox


def test_messages_leave_in_the_order_they_came() -> None:
    outbox = Outbox()
    assert outbox.put("one")
    assert outbox.put(b"two")
    taken = []
    while (message := outbox.first()) is not None:
        taken.append(message)
        outbox.drop_first()
    assert taken == ["one", b"two"]
    assert outbox.size_bytes == 0
    assert not outbox


def test_full_by_count_or_by_size_takes_nothing_more() -> None:
    by_count = Outbox(max_messages=2)
    assert [by_count.put("x") for _ in range(3)] == [True, True, False]
    by_size = Outbox(max_bytes=10)
    assert [by_size.put(b"x" * 6), by_size.put(b"x" * 5), by_size.put(b"x" * 4)] == [True, False, True]


def test_pauses_double_to_a_limit_and_never_end() -> None:
    pauses = Backoff(first=timedelta(seconds=1), longest=timedelta(seconds=10))
    drawn = [pauses.next_pause().total_seconds() for _ in range(2_000)]
    for pause, ceiling in zip(drawn[:6], [1, 2, 4, 8, 10, 10], strict=True):
        assert ceiling / 2 <= pause <= ceiling
    assert all(5 <= pause <= 10 for pause in drawn[4:])
    assert len({round(pause, 6) for pause in drawn[4:]}) > 1_000, "drawn, not fixed"
    pauses.reset()
    assert pauses.next_pause() <= timedelta(seconds=1)
