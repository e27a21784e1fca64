"""A kernel's state follows what people ask of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from gateway_bridge.kernelhost.activity import Activity

START = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
LATER = START + timedelta(minutes=5)


def header(msg_type: str) -> bytes:
    return json.dumps({"msg_id": "1", "msg_type": msg_type}).encode()


def tell(activity: Activity, msg_type: str, parent: str | None, content: object) -> bool:
    parent_header = b"{}" if parent is None else header(parent)
    return activity.observe(header(msg_type), parent_header, json.dumps(content).encode(), LATER)


def test_executing_makes_busy_and_active() -> None:
    activity = Activity(START)
    assert tell(activity, "status", "execute_request", {"execution_state": "busy"})
    assert (activity.state, activity.last) == ("busy", LATER)
    assert activity.parent == header("execute_request")
    tell(activity, "status", "execute_request", {"execution_state": "idle"})
    assert (activity.state, activity.parent) == ("idle", b"{}")


def test_small_talk_ends_starting_but_is_no_activity() -> None:
    activity = Activity(START)
    tell(activity, "status", "kernel_info_request", {"execution_state": "busy"})
    assert (activity.state, activity.last) == ("idle", START)
    tell(activity, "status", "kernel_info_request", {"execution_state": "busy"})
    assert (activity.state, activity.last) == ("idle", START)


def test_a_kernel_that_starts_says_so() -> None:
    activity = Activity(START)
    activity.ready()
    tell(activity, "status", None, {"execution_state": "starting"})
    assert activity.state == "starting"


def test_anything_while_busy_is_activity() -> None:
    activity = Activity(START)
    activity.state = "busy"
    assert not tell(activity, "stream", "kernel_info_request", {})
    assert activity.last == LATER


def test_output_of_a_cell_is_activity_even_afterwards() -> None:
    activity = Activity(START)
    tell(activity, "stream", "execute_request", {})
    assert activity.last == LATER


@pytest.mark.parametrize("content", [{}, {"execution_state": 3}, [], None])
def test_a_status_without_a_state_changes_nothing(content: object) -> None:
    activity = Activity(START)
    assert tell(activity, "status", "execute_request", content)
    assert activity.state == "starting"


def test_the_word_status_in_a_header_makes_no_status() -> None:
    activity = Activity(START)
    odd = json.dumps({"msg_type": "stream", "username": "status"}).encode()
    assert not activity.observe(odd, header("execute_request"), b'{"execution_state": "busy"}', LATER)
    assert activity.state == "starting"


def test_dead_is_said() -> None:
    activity = Activity(START)
    activity.end(LATER)
    assert activity.state == "dead"
