"""A plain Jupyter client of ours for tests and benchmarks: REST by httpx, channels by websockets.

Speaks the default (JSON) websocket protocol, as the simplest clients do.
"""

from __future__ import annotations

import json
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

REPLY_TIMEOUT_SECONDS = 60.0
"""For one execution on a busy two-core machine."""


@dataclass
class Execution:
    """What one cell did."""

    status: str
    stdout: str
    results: list[dict[str, Any]]
    error: str | None


@dataclass
class KernelSocket:
    """The channels of one kernel as one client session sees them.

    Parameters
    ----------
    url
        ``http(s)://…/api/kernels/<id>/channels``.
    token
        Sent in the Authorization header.
    """

    url: str
    token: str
    session_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    _connection: ClientConnection | None = None
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> KernelSocket:
        self._connection = self._stack.enter_context(
            connect(
                f"{self.url.replace('http', 'ws', 1)}?session_id={self.session_id}",
                additional_headers={"Authorization": f"token {self.token}"},
                max_size=None,
                compression=None,
                open_timeout=REPLY_TIMEOUT_SECONDS,
                close_timeout=2,
                proxy=None,
            )
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def send(self, channel: str, msg_type: str, content: dict[str, Any]) -> str:
        """Send one message and return its id."""
        assert self._connection is not None
        msg_id = uuid.uuid4().hex
        header = {
            "msg_id": msg_id,
            "msg_type": msg_type,
            "session": self.session_id,
            "username": "",
            "version": "5.3",
            "date": "2026-01-01T00:00:00Z",
        }
        message = {
            "channel": channel,
            "header": header,
            "parent_header": {},
            "metadata": {},
            "content": content,
        }
        self._connection.send(json.dumps(message))
        return msg_id

    def receive(self, *, timeout: float = REPLY_TIMEOUT_SECONDS) -> dict[str, Any]:
        """The next message; binary ones (with buffers) come without their buffers."""
        assert self._connection is not None
        frame = self._connection.recv(timeout=timeout)
        if isinstance(frame, bytes):
            offsets_end = 4 * (1 + int.from_bytes(frame[:4], "big"))
            first = int.from_bytes(frame[4:8], "big")
            second = int.from_bytes(frame[8:12], "big") if offsets_end > 8 else len(frame)
            frame = frame[first:second].decode()
        message: dict[str, Any] = json.loads(frame)
        return message

    def execute(self, code: str, *, timeout: float = REPLY_TIMEOUT_SECONDS) -> Execution:
        """Run ``code``; returns when its reply and its idle status have both arrived."""
        content = {
            "code": code,
            "silent": False,
            "store_history": False,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        msg_id = self.send("shell", "execute_request", content)
        deadline = time.monotonic() + timeout
        done = Execution("", "", [], None)
        idle = False
        while not (idle and done.status):
            message = self.receive(timeout=max(0.0, deadline - time.monotonic()))
            if message.get("parent_header", {}).get("msg_id") != msg_id:
                continue
            body, kind = message["content"], message["header"]["msg_type"]
            if kind == "stream" and body["name"] == "stdout":
                done.stdout += body["text"]
            elif kind in {"execute_result", "display_data"}:
                done.results.append(body["data"])
            elif kind == "error":
                done.error = f"{body['ename']}: {body['evalue']}"
            elif kind == "status":
                idle = body["execution_state"] == "idle"
            elif kind == "execute_reply":
                done.status = body["status"]
        return done


class ClosingClient(httpx.Client):
    """Closes with its last user: tests make them in passing, and open sockets warn in later tests."""

    def __del__(self) -> None:
        self.close()


class JupyterApi:
    """The kernels REST API below ``base_url`` with one token."""

    def __init__(self, base_url: str, token: str) -> None:
        self.base_url = base_url.rstrip("/")
        self.token = token
        self.http = ClosingClient(
            base_url=self.base_url,
            headers={"Authorization": f"token {token}"},
            timeout=REPLY_TIMEOUT_SECONDS,
            trust_env=False,
        )

    def start_kernel(self, name: str | None = None, **body: Any) -> str:
        """Start a kernel and return its id."""
        response = self.http.post("/api/kernels", json=body if name is None else {"name": name, **body})
        response.raise_for_status()
        kernel_id: str = response.json()["id"]
        return kernel_id

    def stop_kernel(self, kernel_id: str) -> None:
        self.http.delete(f"/api/kernels/{kernel_id}").raise_for_status()

    def kernel_ids(self) -> list[str]:
        response = self.http.get("/api/kernels")
        response.raise_for_status()
        return [kernel["id"] for kernel in response.json()]

    def socket(self, kernel_id: str, session_id: str | None = None) -> KernelSocket:
        socket = KernelSocket(f"{self.base_url}/api/kernels/{kernel_id}/channels", self.token)
        if session_id is not None:
            socket.session_id = session_id
        return socket
