"""A websocket to one kernel in either protocol, with buffers, and able to count what it received."""

from __future__ import annotations

import contextlib
import json
import socket
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from jupyter_server.services.kernels.connection.base import (
    deserialize_binary_message,
    deserialize_msg_from_ws_v1,
    serialize_binary_message,
    serialize_msg_to_ws_v1,
)
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

V1 = "v1.kernel.websocket.jupyter.org"
SECONDS = 30.0


@dataclass(frozen=True)
class Received:
    channel: str
    header: dict[str, Any]
    parent: dict[str, Any]
    content: dict[str, Any]
    buffers: list[bytes]

    @property
    def kind(self) -> str:
        return str(self.header["msg_type"])


@dataclass
class Cell:
    """All that came of one execution."""

    messages: list[Received] = field(default_factory=list)
    reply: Received | None = None
    idle: bool = False

    def add(self, message: Received) -> None:
        self.messages.append(message)
        if message.kind == "execute_reply":
            self.reply = message
        elif message.kind == "status" and message.content["execution_state"] == "idle":
            self.idle = True

    @property
    def done(self) -> bool:
        return self.reply is not None and self.idle

    def text(self, name: str = "stdout") -> str:
        streams = [m for m in self.messages if m.kind == "stream" and m.content["name"] == name]
        return "".join(message.content["text"] for message in streams)

    def results(self) -> list[str]:
        return [m.content["data"]["text/plain"] for m in self.messages if m.kind == "execute_result"]


class KernelWebsocket:
    """One connection; ``received`` counts the messages of its session so far."""

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        session_id: str | None = None,
        received: int | None = None,
        v1: bool = True,
    ) -> None:
        self.session_id = session_id or uuid.uuid4().hex
        self.received = received or 0
        self.v1 = v1
        query = f"session_id={self.session_id}"
        if received is not None:
            query += f"&received={received}"
        connection = connect(
            f"{url.replace('http', 'ws', 1)}/channels?{query}",
            additional_headers={"Authorization": f"token {secret}"},
            subprotocols=[Subprotocol(V1)] if v1 else None,
            max_size=None,
            compression=None,
            open_timeout=SECONDS,
            close_timeout=2,
            ping_interval=None,
            proxy=None,
        )
        self.socket = contextlib.ExitStack().enter_context(connection)

    def __enter__(self) -> KernelWebsocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def drop(self) -> list[Received]:
        """Lose the connection as a network does, without a word; returns what had arrived unread."""
        self.socket.socket.shutdown(socket.SHUT_RDWR)
        unread = []
        with contextlib.suppress(ConnectionClosed):
            while True:
                unread.append(self.receive())
        return unread

    def send(
        self,
        msg_type: str,
        content: dict[str, Any],
        *,
        channel: str = "shell",
        parent: dict[str, Any] | None = None,
        buffers: Sequence[bytes] = (),
        header: dict[str, Any] | None = None,
    ) -> str:
        """Send one message and return its id."""
        msg_id = uuid.uuid4().hex
        message: dict[str, Any] = {
            "header": {
                "msg_id": msg_id,
                "msg_type": msg_type,
                "session": self.session_id,
                "username": "someone",
                "version": "5.3",
                "date": "2026-11-21T10:00:00Z",
                **(header or {}),
            },
            "parent_header": parent or {},
            "metadata": {},
            "content": content,
        }
        self.send_frame(self._frame(message, channel, list(buffers)))
        return str(message["header"]["msg_id"])

    def _frame(self, message: dict[str, Any], channel: str, buffers: list[bytes]) -> str | bytes:
        if self.v1:
            parts = [json.dumps(message[part]).encode() for part in message]
            frame: bytes = serialize_msg_to_ws_v1([*parts, *buffers], channel)
            return frame
        if buffers:
            binary: bytes = serialize_binary_message({**message, "channel": channel, "buffers": buffers})
            return binary
        return json.dumps({**message, "channel": channel})

    def send_frame(self, frame: str | bytes) -> None:
        self.socket.send(frame)

    def receive(self, seconds: float = SECONDS) -> Received:
        frame = self.socket.recv(timeout=seconds)
        self.received += 1
        if self.v1:
            channel, parts = deserialize_msg_from_ws_v1(frame)
            header, parent, _, content = map(json.loads, parts[:4])
            return Received(channel, header, parent, content, parts[4:])
        message = deserialize_binary_message(frame) if isinstance(frame, bytes) else json.loads(frame)
        buffers = [bytes(buffer) for buffer in message["buffers"]]
        return Received(
            message["channel"], message["header"], message["parent_header"], message["content"], buffers
        )

    def until(self, wanted: Callable[[Received], bool], seconds: float = SECONDS) -> list[Received]:
        """Receive up to and including the first message that is wanted."""
        deadline = time.monotonic() + seconds
        got: list[Received] = []
        while not (got and wanted(got[-1])):
            got.append(self.receive(max(0.0, deadline - time.monotonic())))
        return got

    def start_cell(self, code: str, *, allow_stdin: bool = False) -> str:
        content = {
            "code": code,
            "silent": False,
            "store_history": False,
            "user_expressions": {},
            "allow_stdin": allow_stdin,
            "stop_on_error": True,
        }
        return self.send("execute_request", content)

    def finish_cell(self, msg_id: str, seconds: float = SECONDS) -> Cell:
        """Receive until the reply and the idle state of a cell have both come."""
        cell = Cell()
        deadline = time.monotonic() + seconds
        while not cell.done:
            message = self.receive(max(0.0, deadline - time.monotonic()))
            if message.parent.get("msg_id") == msg_id:
                cell.add(message)
        return cell

    def run(self, code: str, seconds: float = SECONDS) -> Cell:
        return self.finish_cell(self.start_cell(code), seconds)
