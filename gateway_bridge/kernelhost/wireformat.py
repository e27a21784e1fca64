"""Kernel messages as the Jupyter kernel websocket carries them. Pure.

A message is a channel and its parts: header, parent header, metadata, content, each
packed JSON, and any number of binary buffers after them. Two protocols carry it:

- ``v1.kernel.websocket.jupyter.org``: offsets, the channel, the parts as they are.
  Nothing is parsed.
- the default one, for clients that name none: one JSON object as text, or, with
  buffers, a binary frame of offsets, that object and the buffers.

What is made here equals, byte for byte, what jupyter_server makes of the same
message; messages of the protocol before version 5 are not adapted.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

V1_PROTOCOL = "v1.kernel.websocket.jupyter.org"

JSON_PARTS = ("header", "parent_header", "metadata", "content")
"""The parts every message has, in their order; buffers follow."""

DEFAULT_CHANNEL = "shell"
"""Of a message that names none, as in jupyter_server."""

_V1_WORD = 8
"""Bytes of a number in the head of a v1 frame, little-endian."""
_DEFAULT_WORD = 4
"""Bytes of a number in the head of a binary default frame, big-endian."""
MAX_PARTS = 10_000
"""Of one message, buffers included; more is no message but an attempt on our memory."""

_FIN = 0x80
_TEXT = 0x1
_BINARY = 0x2
_LENGTH_IN_2_BYTES = 126
_LENGTH_IN_8_BYTES = 127

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?(?:Z|[+-]\d{2}:?\d{2})?")

Parts = Sequence[bytes]


class MalformedMessage(ValueError):
    """A frame is no kernel message; the text says why."""


# -- from the kernel to a client ---------------------------------------------------------


def encode_v1(channel: str, parts: Parts) -> list[bytes]:
    """One message as chunks of a v1 frame's payload; the parts are not copied."""
    name = channel.encode()
    offset = _V1_WORD * (len(parts) + 3)
    offsets = [len(parts) + 2, offset]
    offset += len(name)
    offsets.append(offset)
    for part in parts:
        offset += len(part)
        offsets.append(offset)
    return [struct.pack(f"<{len(offsets)}Q", *offsets), name, *parts]


def encode_default(channel: str, parts: Parts) -> tuple[list[bytes], bool]:
    """One message as chunks of a default frame's payload, and whether the frame is binary.

    Raises
    ------
    MalformedMessage
        A part is not the JSON it should be.
    """
    try:
        header, parent, metadata, content = (json.loads(part) for part in parts[: len(JSON_PARTS)])
        message = {
            "header": _dates_normalised(header),
            "msg_id": header["msg_id"],
            "msg_type": header["msg_type"],
            "parent_header": _dates_normalised(parent),
            "metadata": metadata,
            "content": content,
        }
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise MalformedMessage(f"not a kernel message: {error}") from error
    buffers = parts[len(JSON_PARTS) :]
    if not buffers:
        return [json.dumps({**message, "buffers": [], "channel": channel}).encode()], False
    chunks = [json.dumps({**message, "channel": channel}).encode(), *buffers]
    offsets = [len(chunks), _DEFAULT_WORD * (len(chunks) + 1)]
    for chunk in chunks[:-1]:
        offsets.append(offsets[-1] + len(chunk))
    return [struct.pack(f"!{len(offsets)}I", *offsets), *chunks], True


def websocket_frame(payload: Sequence[bytes], *, binary: bool) -> list[bytes]:
    """A whole frame as a server sends it, unmasked (RFC 6455, section 5.2), in chunks."""
    length = sum(map(len, payload))
    first = _FIN | (_BINARY if binary else _TEXT)
    if length < _LENGTH_IN_2_BYTES:
        head = struct.pack("!BB", first, length)
    elif length < 2**16:
        head = struct.pack("!BBH", first, _LENGTH_IN_2_BYTES, length)
    else:
        head = struct.pack("!BBQ", first, _LENGTH_IN_8_BYTES, length)
    return [head, *payload]


def frame_of(protocol: str | None, channel: str, parts: Parts) -> list[bytes]:
    """One message as a whole frame of the protocol the client chose. Raises ``MalformedMessage``."""
    if protocol == V1_PROTOCOL:
        return websocket_frame(encode_v1(channel, parts), binary=True)
    payload, binary = encode_default(channel, parts)
    return websocket_frame(payload, binary=binary)


# -- from a client to the kernel -----------------------------------------------------------


def decode(protocol: str | None, payload: str | bytes) -> tuple[str, list[bytes]]:
    """Channel and parts of a frame in the protocol the client chose. Raises ``MalformedMessage``."""
    if protocol != V1_PROTOCOL:
        return decode_default(payload)
    if isinstance(payload, str):
        raise MalformedMessage("this protocol has binary frames only")
    return decode_v1(payload)


def decode_v1(payload: bytes) -> tuple[str, list[bytes]]:
    """Channel and parts of a v1 frame, cut out without being read. Raises ``MalformedMessage``."""
    count = int.from_bytes(payload[:_V1_WORD], "little")
    if not len(JSON_PARTS) + 2 <= count <= MAX_PARTS or len(payload) < _V1_WORD * (count + 1):
        raise MalformedMessage("the number of parts is wrong")
    offsets = struct.unpack_from(f"<{count}Q", payload, _V1_WORD)
    bounds = (_V1_WORD * (count + 1), *offsets, len(payload))
    if any(end < start for start, end in pairwise(bounds)):
        raise MalformedMessage("the offsets are wrong")
    pieces = [payload[start:end] for start, end in pairwise(offsets)]
    return _channel_name(pieces[0]), pieces[1:]


def decode_default(payload: str | bytes) -> tuple[str, list[bytes]]:
    """Channel and packed parts of a default frame, text or binary. Raises ``MalformedMessage``."""
    buffers: list[bytes] = []
    text: str | bytes = payload
    if isinstance(payload, bytes):
        text, *buffers = _default_pieces(payload)
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage(f"not JSON: {error}") from error
    if not isinstance(message, dict) or not all(isinstance(message.get(p), dict) for p in JSON_PARTS):
        raise MalformedMessage(f"a message has {', '.join(JSON_PARTS)}, each an object")
    channel = message.get("channel")
    if not isinstance(channel, str | None):
        raise MalformedMessage("the channel is not text")
    if isinstance(payload, bytes):
        for part in ("header", "parent_header"):
            message[part] = _dates_normalised(message[part])
    elif message.get("buffers"):
        raise MalformedMessage("buffers come in binary frames only")
    return channel or DEFAULT_CHANNEL, [*(pack(message[part]) for part in JSON_PARTS), *buffers]


def pack(value: object) -> bytes:
    """JSON as kernels are sent it: UTF-8, numbers that JSON has not as text. Raises ``MalformedMessage``."""
    try:
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        except ValueError:
            text = json.dumps(_without_nan(value), ensure_ascii=False, allow_nan=False)
        return text.encode("utf-8", "surrogateescape")
    except (ValueError, TypeError, RecursionError) as error:
        raise MalformedMessage(f"not representable: {error}") from error


def _default_pieces(payload: bytes) -> list[bytes]:
    count = int.from_bytes(payload[:_DEFAULT_WORD], "big")
    if not 1 <= count <= MAX_PARTS or len(payload) < _DEFAULT_WORD * (count + 1):
        raise MalformedMessage("the number of buffers is wrong")
    offsets = struct.unpack_from(f"!{count}I", payload, _DEFAULT_WORD)
    bounds = (_DEFAULT_WORD * (count + 1), *offsets, len(payload))
    if any(end < start for start, end in pairwise(bounds)):
        raise MalformedMessage("the offsets are wrong")
    return [payload[start:end] for start, end in zip(offsets, bounds[2:], strict=True)]


def _channel_name(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise MalformedMessage("the channel is not text") from error


def _dates_normalised(value: Any) -> Any:
    """Dates as jupyter_client writes them back after it has read them: UTC as ``Z``, zone never missing."""
    if isinstance(value, dict):
        return {key: _dates_normalised(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_dates_normalised(entry) for entry in value]
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            instant = datetime.fromisoformat(value)
            if instant.tzinfo is None:
                instant = instant.astimezone()
        except (ValueError, OverflowError):
            return value  # 30 February, the year 0
        return instant.isoformat().replace("+00:00", "Z")
    return value


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_without_nan(entry) for entry in value]
    return value
