"""What a difference between books and host means, and when it is acted on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from hub.domain.running import RunState
from hub.policies.reconcile import START_GRACE, BookedKernel, Doubts, reconcile

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def booked(kernel_id: str, state: RunState = RunState.RUNNING, age: timedelta = START_GRACE) -> BookedKernel:
    return BookedKernel(kernel_id, kernel_id, state, NOW - age)


def test_a_missing_kernel_is_lost_at_the_second_look_in_a_row():
    first = reconcile([booked("a"), booked("b")], {"b"}, {"b"}, set(), Doubts(), now=NOW)
    assert not first.lost
    second = reconcile([booked("a"), booked("b")], {"b"}, {"b"}, set(), first.doubts, now=NOW)
    assert second.lost == {"a"}


def test_one_that_comes_back_is_not_lost():
    first = reconcile([booked("a")], set(), set(), set(), Doubts(), now=NOW)
    back = reconcile([booked("a")], {"a"}, {"a"}, set(), first.doubts, now=NOW)
    again = reconcile([booked("a")], set(), set(), set(), back.doubts, now=NOW)
    assert not again.lost


def test_a_start_under_way_is_left_alone():
    young = booked("a", RunState.STARTING, START_GRACE - timedelta(seconds=1))
    for listed in (set[str](), {"a"}):
        verdict = reconcile([young], listed, listed, set(), Doubts(), now=NOW)
        ended = verdict.never_started | verdict.lost | verdict.unknown
        assert not ended
        assert not verdict.confirmed


def test_a_start_whose_process_died_is_settled():
    verdict = reconcile(
        [booked("a", RunState.STARTING), booked("b", RunState.STARTING)],
        {"a"},
        {"a"},
        set(),
        Doubts(),
        now=NOW,
    )
    assert dict(verdict.confirmed) == {"a": "a"}
    assert verdict.never_started == {"b"}


def test_what_is_over_is_stopped_at_the_second_look_and_strangers_never():
    first = reconcile([], {"over", "young", "stranger"}, {"over", "young"}, {"over"}, Doubts(), now=NOW)
    assert not first.stop
    second = reconcile([], {"over", "young", "stranger"}, {"over", "young"}, {"over"}, first.doubts, now=NOW)
    assert second.stop == {"over"}
    assert first.unknown == second.unknown == {"stranger"}


ids = st.sampled_from("abcdef")


@given(
    st.lists(
        st.builds(
            booked,
            ids,
            st.sampled_from([RunState.STARTING, RunState.RUNNING]),
            st.timedeltas(timedelta(0), timedelta(minutes=2)),
        ),
        unique_by=lambda kernel: kernel.id,
    ),
    st.lists(st.tuples(st.sets(ids), st.sets(ids)), max_size=4),
)
def test_nothing_listed_is_ended_and_nothing_unknown_is_stopped(
    kernels: list[BookedKernel], looks: list[tuple[set[str], set[str]]]
):
    doubts = Doubts()
    names = {kernel.id for kernel in kernels}
    for listed, ended in looks:
        over = (listed & ended) - names
        verdict = reconcile(kernels, listed, listed & (names | over), over, doubts, now=NOW)
        assert not (verdict.lost | verdict.never_started) & listed
        assert verdict.stop <= over
        assert not verdict.unknown & (names | over)
        doubts = verdict.doubts
