"""The little of the Jupyter websocket protocols this server speaks for itself.

Everything a kernel or a browser says is passed on unread. Only while the way to the
kernel is interrupted does the server say one thing: the kernel's status.
"""

from __future__ import annotations

import json
import struct
from datetime import datetime
from typing import Any
from uuid import uuid4

from spawner.singleuser.outbox import Message

V1 = "v1.kernel.websocket.jupyter.org"
"""Subprotocol that frames a message's parts with offsets; without it, a message is JSON."""

STATES = frozenset({"starting", "idle", "busy", "restarting", "dead"})
"""All that JupyterLab accepts in a status; it refuses the message with any other."""

AWAY = "busy"
"""What is told while the kernel cannot be reached: cells wait, as they do for a busy kernel."""

_PROTOCOL_VERSION = "5.3"
_V1_WORD = 8
"""Bytes of an offset in the v1 framing, little-endian."""

_MAX_V1_PARTS = 1024


def status_message(subprotocol: str | None, kernel_session: str, state: str, *, now: datetime) -> Message:
    """An iopub ``status`` as the kernel would send it.

    Parameters
    ----------
    kernel_session
        The session of the kernel's other messages. JupyterLab drops what it has not
        handled yet when a message with another session arrives.
    state
        One of ``STATES``.
    """
    header = {
        "msg_id": uuid4().hex,
        "msg_type": "status",
        "session": kernel_session,
        "username": "granary",
        "date": now.isoformat(),
        "version": _PROTOCOL_VERSION,
    }
    content = {"execution_state": state}
    if subprotocol == V1:
        return _v1_frame("iopub", [header, {}, {}, content])
    message = {"channel": "iopub", "header": header, "parent_header": {}, "metadata": {}, "content": content}
    message |= {"msg_id": header["msg_id"], "msg_type": "status", "buffers": []}
    return json.dumps(message)


def session_of(subprotocol: str | None, message: Message) -> str | None:
    """The kernel session in a message's header; None if it cannot be read."""
    try:
        header = _v1_header(message) if subprotocol == V1 else _default_header(message)
        session = header["session"]
    except (ValueError, KeyError, TypeError, struct.error):
        return None
    return session if isinstance(session, str) else None


def _v1_frame(channel: str, parts: list[dict[str, Any]]) -> bytes:
    blobs = [channel.encode(), *(json.dumps(part).encode() for part in parts)]
    offset = _V1_WORD * (1 + len(blobs) + 1)
    offsets = [offset]
    for blob in blobs:
        offset += len(blob)
        offsets.append(offset)
    head = struct.pack(f"<{1 + len(offsets)}Q", len(offsets), *offsets)
    return head + b"".join(blobs)


def _v1_header(message: Message) -> Any:
    if not isinstance(message, bytes):
        raise TypeError("v1 messages are binary")
    (count,) = struct.unpack_from("<Q", message)
    if not 3 <= count <= _MAX_V1_PARTS:
        raise ValueError("no v1 message")
    _, start, end = struct.unpack_from("<3Q", message, _V1_WORD)
    return json.loads(message[start:end])


def _default_header(message: Message) -> Any:
    if isinstance(message, bytes):
        count, start = struct.unpack_from("!2I", message)
        end = struct.unpack_from("!I", message, 8)[0] if count > 1 else len(message)
        message = message[start:end].decode()
    return json.loads(message)["header"]
