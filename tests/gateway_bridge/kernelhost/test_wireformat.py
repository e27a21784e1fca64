"""Frames equal those of jupyter_server byte for byte, and nothing malformed passes."""

from __future__ import annotations

import json
import struct
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.jsonutil import json_default
from jupyter_client.session import Session
from jupyter_server.services.kernels.connection.base import (
    deserialize_binary_message,
    deserialize_msg_from_ws_v1,
    serialize_binary_message,
    serialize_msg_to_ws_v1,
)

from gateway_bridge.kernelhost.messages import Signer
from gateway_bridge.kernelhost.wireformat import (
    V1_PROTOCOL,
    MalformedMessage,
    decode,
    decode_default,
    decode_v1,
    encode_default,
    encode_v1,
    frame_of,
    pack,
    websocket_frame,
)

KEY = b"secret key"
DATES = st.sampled_from(
    [
        "2026-11-21T10:00:00.123456Z",
        "2026-11-21T10:00:00Z",
        "2026-11-21T10:00:00.5+05:30",
        "2026-11-21T10:00:00+0200",
        "2026-11-21T10:00:00",
        "2026-02-30T10:00:00Z of no month",
        "2026-11-21T10:00:00.123456789Z",
        "tomorrow",
    ]
)
TEXT = st.text().filter(lambda text: "T" not in text)  # no dates but those above
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT | DATES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=8), JSON, max_size=4)
HEADERS = st.fixed_dictionaries(
    {"msg_id": st.text(min_size=1), "msg_type": st.text(min_size=1), "version": st.just("5.3"), "date": DATES}
)
PARTS = st.tuples(HEADERS, OBJECTS, OBJECTS, OBJECTS).map(lambda dicts: [pack(part) for part in dicts])
BUFFERS = st.lists(st.binary(max_size=20), max_size=3)


def as_jupyter_server_sends_it(channel: str, parts: list[bytes]) -> tuple[bytes, bool]:
    """What ZMQChannelsWebsocketConnection writes in the default protocol."""
    session = Session(key=KEY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        message = session.deserialize([Signer(KEY).signature(parts), *parts])
        message["channel"] = channel
        if message["buffers"]:
            return serialize_binary_message(message), True
        return json.dumps(message, default=json_default).encode(), False


def as_jupyter_server_passes_it_on(frame: str | bytes) -> tuple[str, list[bytes]]:
    """Channel and parts that reach the kernel in the default protocol."""
    message: dict[str, Any] = (
        deserialize_binary_message(frame) if isinstance(frame, bytes) else json.loads(frame)
    )
    session = Session(key=KEY)
    parts = session.serialize(message)[2:]
    return message.pop("channel"), [*parts, *message.get("buffers", [])]


@given(parts=PARTS, buffers=BUFFERS)
def test_v1_frames_are_those_of_jupyter_server(parts: list[bytes], buffers: list[bytes]) -> None:
    ours = b"".join(encode_v1("iopub", [*parts, *buffers]))
    assert ours == serialize_msg_to_ws_v1([*parts, *buffers], "iopub")
    assert decode_v1(ours) == deserialize_msg_from_ws_v1(ours) == ("iopub", [*parts, *buffers])


@given(parts=PARTS, buffers=BUFFERS)
def test_default_frames_are_those_of_jupyter_server(parts: list[bytes], buffers: list[bytes]) -> None:
    payload, binary = encode_default("shell", [*parts, *buffers])
    assert (b"".join(payload), binary) == as_jupyter_server_sends_it("shell", [*parts, *buffers])


@pytest.mark.filterwarnings("ignore:Interpreting naive datetime")
@given(header=HEADERS, parent=OBJECTS, content=OBJECTS, buffers=BUFFERS)
def test_default_frames_are_passed_on_as_by_jupyter_server(
    header: dict[str, Any], parent: dict[str, Any], content: dict[str, Any], buffers: list[bytes]
) -> None:
    message = {
        "header": header,
        "parent_header": parent,
        "metadata": {},
        "content": content,
        "channel": "control",
    }
    text = json.dumps(message)
    assert decode_default(text) == as_jupyter_server_passes_it_on(text)
    binary = serialize_binary_message({**message, "buffers": buffers})
    assert decode_default(binary) == as_jupyter_server_passes_it_on(binary)


@pytest.mark.parametrize("date", ["0000-00-00T00:00:00Z", "2026-02-30T10:00:00Z", "0001-01-01T00:00:00"])
def test_dates_that_are_none_pass_as_they_are(date: str) -> None:
    header = f'{{"msg_id": "1", "msg_type": "x", "date": "{date}"}}'.encode()
    payload, _ = encode_default("iopub", [header, b"{}", b"{}", b"{}"])
    assert json.loads(payload[0])["header"]["date"] in {date, f"{date}Z"}


@pytest.mark.filterwarnings("ignore:Message serialization failed")
def test_numbers_that_json_has_not_are_passed_on_as_by_jupyter_server() -> None:
    text = (
        '{"header": {"msg_id": "1", "msg_type": "x"}, "parent_header": {}, "metadata": {},'
        ' "content": {"a": NaN, "b": [Infinity, -Infinity, 1.5]}, "channel": "shell"}'
    )
    assert decode_default(text) == as_jupyter_server_passes_it_on(text)


def test_a_message_without_a_channel_is_for_the_shell() -> None:
    text = '{"header": {}, "parent_header": {}, "metadata": {}, "content": {}}'
    assert decode(None, text) == ("shell", [b"{}"] * 4)


@pytest.mark.parametrize(
    ("length", "head"),
    [
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e" + struct.pack("!H", 126)),
        (2**16, b"\x82\x7f" + struct.pack("!Q", 2**16)),
    ],
)
def test_frame_heads_of_every_length(length: int, head: bytes) -> None:
    assert websocket_frame([b"x" * length], binary=True)[0] == head


def test_the_protocol_decides_the_kind_of_frame() -> None:
    parts = [b'{"msg_id": "1", "msg_type": "x"}', b"{}", b"{}", b"{}"]
    assert frame_of(V1_PROTOCOL, "shell", parts)[0][0] == 0x82
    assert frame_of(None, "shell", parts)[0][0] == 0x81
    assert frame_of(None, "shell", [*parts, b"buffer"])[0][0] == 0x82


def v1_with(*offsets: int, tail: bytes = b"") -> bytes:
    return struct.pack(f"<{len(offsets) + 1}Q", len(offsets), *offsets) + tail


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x01",
        v1_with(1, 2),
        struct.pack("<Q", 2**63),
        struct.pack("<Q", 9_999) + bytes(100),
        v1_with(56, 61, 60, 62, 63, 64, tail=b"shell" + b"{}" * 4),
        v1_with(56, 61, 63, 65, 67, 2**40, tail=b"shell" + b"{}" * 4),
        v1_with(0, 5, 7, 9, 11, 13, tail=b"shell" + b"{}" * 4),
        v1_with(56, 58, 60, 62, 64, 66, tail=b"\xff\xff" + b"{}" * 4),
    ],
)
def test_malformed_v1_frames_are_refused(frame: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode(V1_PROTOCOL, frame)


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '{"header": 1, "parent_header": {}, "metadata": {}, "content": {}}',
        '{"header": {}, "parent_header": {}, "metadata": {}, "content": {}, "channel": 3}',
        '{"header": {}, "parent_header": {}, "metadata": {}, "content": {}, "buffers": ["x"]}',
        '{"header": {}, "parent_header": {}, "metadata": {}, "content": {"x": "\\ud800"}}',
        b"",
        b"\x00\x00\x00\x00",
        b"\xff\xff\xff\xff",
        struct.pack("!II", 1, 2) + b"{}",
        struct.pack("!II", 1, 2**31) + b"{}",
    ],
)
def test_malformed_default_frames_are_refused(frame: str | bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode(None, frame)


def test_text_is_no_v1_frame() -> None:
    with pytest.raises(MalformedMessage):
        decode(V1_PROTOCOL, "text")


@given(frame=st.binary(max_size=200))
def test_arbitrary_bytes_are_decoded_or_refused(frame: bytes) -> None:
    for protocol in (V1_PROTOCOL, None):
        try:
            channel, parts = decode(protocol, frame)
        except MalformedMessage:
            continue
        assert isinstance(channel, str)
        assert len(parts) >= 4


@pytest.mark.parametrize("part", [b"", b"[]", b"\xff", b"[" * 100_000])
def test_a_kernel_message_that_is_no_json_is_not_encoded_as_json(part: bytes) -> None:
    with pytest.raises(MalformedMessage):
        encode_default("iopub", [part, b"{}", b"{}", b"{}"])
