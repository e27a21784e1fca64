from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from jupyter_server.services.kernels.connection.base import (
    deserialize_binary_message,
    deserialize_msg_from_ws_v1,
    serialize_binary_message,
    serialize_msg_to_ws_v1,
)

from spawner.singleuser.protocol import AWAY, V1, session_of, status_message

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def test_a_status_in_the_v1_framing_is_what_jupyter_reads() -> None:
    message = status_message(V1, "kernel-session", AWAY, now=NOW)
    assert isinstance(message, bytes)
    channel, parts = deserialize_msg_from_ws_v1(message)
    header, parent, metadata, content = (json.loads(part) for part in parts)
    assert channel == "iopub"
    assert (header["msg_type"], header["session"]) == ("status", "kernel-session")
    assert (parent, metadata, content) == ({}, {}, {"execution_state": AWAY})


def test_a_status_in_the_default_framing_is_json() -> None:
    message = status_message(None, "kernel-session", "idle", now=NOW)
    assert isinstance(message, str)
    body = json.loads(message)
    assert (body["channel"], body["content"]) == ("iopub", {"execution_state": "idle"})
    assert body["header"]["session"] == "kernel-session"


HEADER = {"msg_id": "1", "session": "of-the-kernel", "msg_type": "stream", "date": "2026-11-21T09:30:00Z"}
BODY = {"header": HEADER, "parent_header": {}, "metadata": {}, "content": {}, "channel": "iopub"}


def test_the_session_of_jupyters_own_messages() -> None:
    parts = [json.dumps(part).encode() for part in (HEADER, {}, {}, {})]
    assert session_of(V1, serialize_msg_to_ws_v1([*parts, b"a buffer"], "iopub")) == "of-the-kernel"
    assert session_of(None, json.dumps(BODY)) == "of-the-kernel"
    for buffers in ([], [b"one"], [b"one", b"two"]):
        framed = serialize_binary_message({**BODY, "buffers": buffers})
        assert session_of(None, framed) == "of-the-kernel"
        assert deserialize_binary_message(framed)["buffers"] == buffers


@pytest.mark.parametrize("subprotocol", [V1, None])
@pytest.mark.parametrize(
    "garbage", ["", "{", "[]", "{}", b"", b"\0" * 7, b"\xff" * 64, '{"header": {"session": 1}}']
)
def test_what_is_no_message_has_no_session(subprotocol: str | None, garbage: str | bytes) -> None:
    assert session_of(subprotocol, garbage) is None
