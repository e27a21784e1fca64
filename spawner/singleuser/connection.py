"""A browser's websocket to a kernel, passed on to the bridge unread.

The browser's socket stays open while the far end is replaced: a bridge that stops,
a restarted kernel host, a laptop that slept. What the browser sends meanwhile waits
in a bounded outbox; what the kernel says meanwhile waits at the kernel host, which
knows the browser by the same session id. If the way is not back at once, the
browser is told that the kernel is busy, which is what it is for the person, and its
state once that is known.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable
from contextlib import suppress
from datetime import timedelta
from typing import Any, ClassVar
from weakref import WeakSet

from jupyter_server.services.kernels.connection.base import BaseKernelWebsocketConnection
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import (
    WebSocketClientConnection,
    WebSocketClosedError,
    WebSocketError,
    websocket_connect,
)

from hub.errors import BridgeUnavailable, Denied, NotFound, Unauthenticated
from spawner.singleuser.backoff import Backoff
from spawner.singleuser.bridge import BridgeClient
from spawner.singleuser.clock import utc_now
from spawner.singleuser.outbox import Message, Outbox
from spawner.singleuser.protocol import AWAY, STATES, session_of, status_message
from spawner.singleuser.refusals import Refusal, refusal_from_answer

MAX_MESSAGE_BYTES = 1024**3
"""Of one message, either way. Memory is bounded by reading one message at a time."""

CONNECT_TIMEOUT = timedelta(seconds=5)
READY_TIMEOUT = timedelta(seconds=90)
"""For the far end's answer to the upgrade: it waits until the kernel is ready."""

PING_INTERVAL = timedelta(seconds=30)
"""Keeps idle sockets alive through proxies between here and the bridge."""

STEADY_AFTER = timedelta(seconds=5)
"""A link that lived this long was good: its loss starts the pauses anew."""

DENIED_ATTEMPTS = 4
"""In a row before the browser is disconnected: a hub that is restarting denies, too."""

CLOSE_STOPPED_RETRYING = 1000
"""JupyterLab shows “disconnected” and leaves the next try to the person."""

CLOSE_SERVER_RESTARTS = 1012
CLOSE_OVERFLOW = 4413
CLOSE_KERNEL_GONE = 4404
"""Any code but 1000 and 1001 makes JupyterLab ask for the kernel: 404 shows it as dead."""
KERNEL_GONE = "This kernel is no longer running."

_RECENT_BYTES = 64 * 1024
"""Of the last message worth keeping to read the kernel's session from."""

_VANISHED = 1006
"""What the protocol calls a connection that ended without a word."""

_MAX_REASON_BYTES = 123
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""Seconds, seconds, probes: notices a peer that vanished without a word within a minute."""


class GivenUp(Exception):
    """The far end will not come back; carries what to close the browser's socket with."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class BridgeConnection(BaseKernelWebsocketConnection):
    """One browser socket and its link to the bridge, reconnected for as long as the browser stays."""

    _open: ClassVar[WeakSet[BridgeConnection]] = WeakSet()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._link: WebSocketClientConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._outbox = Outbox()
        self._recent: Message | None = None
        self._told_away = False

    # -- the interface of Jupyter's websocket handler --------------------------------------

    async def connect(self) -> None:
        """Called when the browser's socket is open; returns at once."""
        self.websocket_handler.set_nodelay(True)
        self._open.add(self)
        self._task = asyncio.create_task(self._run(), name=f"kernel {self.kernel_id}")

    def disconnect(self) -> None:  # type: ignore[override] # the handler calls it and awaits nothing
        """Called when the browser's socket has closed."""
        self._open.discard(self)
        if self._task is not None:
            self._task.cancel()
        self._close_link()

    def handle_incoming_message(self, incoming_msg: Message) -> Awaitable[None] | None:  # type: ignore[override]
        """Pass a browser's message on. What is returned is awaited before the next one is read."""
        if self._link is None or self._outbox:
            self._keep(incoming_msg)
            return None
        return self._send(self._link, incoming_msg)

    def handle_outgoing_message(self, stream: str, outgoing_msg: list[Any]) -> None:
        """Part of Jupyter's interface for ZMQ streams, which this server has none of."""

    @classmethod
    async def close_all(cls) -> None:
        """Called when the server stops: let browsers know that it is worth coming back."""
        for connection in list(cls._open):
            connection._close_browser(CLOSE_SERVER_RESTARTS, "The server is stopping.")  # noqa: SLF001 # its own class
            connection.disconnect()

    @classmethod
    def close_kernel(cls, kernel_id: str) -> None:
        """Called when a kernel is known to have ended, whatever its far end does about its sockets."""
        for connection in [item for item in cls._open if item.kernel_id == kernel_id]:
            connection._close_browser(CLOSE_KERNEL_GONE, KERNEL_GONE)  # noqa: SLF001 # its own class

    # -- towards the bridge ------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._keep_linked()
        except GivenUp as end:
            self.log.warning("Closing the socket to kernel %s: %s", self.kernel_id, end.reason)
            self._close_browser(end.code, end.reason)
        except Exception:  # a defect must not leave a socket open that leads nowhere
            self.log.exception("Lost the socket to kernel %s", self.kernel_id)
            self._close_browser(1011, "The server failed; its log says why.")

    async def _keep_linked(self) -> None:
        loop = asyncio.get_running_loop()
        pauses, denials, first = Backoff(), 0, True
        while True:
            try:
                state = None if first else await self._state()
                link = await self._dial()
            except Refusal as refusal:
                denials = denials + 1 if isinstance(refusal.error, (Denied, Unauthenticated)) else 0
                self._give_up_if_final(refusal, denials)
                reason = refusal.error.message
            else:
                since, first, denials = loop.time(), False, 0
                reason = await self._serve(link, state)
                if loop.time() - since >= STEADY_AFTER.total_seconds():
                    pauses.reset()
            pause = pauses.next_pause()
            self.log.info(
                "Kernel %s: %s Trying again in %.1f s.", self.kernel_id, reason, pause.total_seconds()
            )
            if pauses.attempts > 1:
                self._tell_away()
            await asyncio.sleep(pause.total_seconds())

    async def _state(self) -> str:
        """The kernel's state, asked for before the link is open: later changes come through the link."""
        kernel = await self._bridge.kernel(self.kernel_id)
        return str(kernel.get("execution_state", "unknown"))

    async def _dial(self) -> WebSocketClientConnection:
        """Open the link. Raises ``Refusal``."""
        request = HTTPRequest(
            self._bridge.channels_url(self.kernel_id, self.session_id),
            headers=self._bridge.headers,
            connect_timeout=CONNECT_TIMEOUT.total_seconds(),
            request_timeout=READY_TIMEOUT.total_seconds(),
        )
        chosen = self.websocket_handler.selected_subprotocol
        connecting = asyncio.ensure_future(
            websocket_connect(
                request,
                subprotocols=[chosen] if chosen else None,
                ping_interval=PING_INTERVAL.total_seconds(),
                ping_timeout=0,  # its pongs wait behind a slow browser; keepalive watches the peer instead
                max_message_size=MAX_MESSAGE_BYTES,
            )
        )
        try:
            # Shielded: a cancelled attempt still completes, and then its socket has to be closed.
            link = await asyncio.shield(connecting)
        except asyncio.CancelledError:
            connecting.add_done_callback(_close_late)
            raise
        except HTTPClientError as error:
            raise _dial_refusal(error) from error
        except (OSError, WebSocketError) as error:
            raise Refusal(BridgeUnavailable("The kernel bridge is not answering.")) from error
        _tune(link)
        if link.selected_subprotocol != chosen:
            link.close()
            raise GivenUp(CLOSE_STOPPED_RETRYING, "The far end speaks another version of the protocol.")
        return link

    async def _serve(self, link: WebSocketClientConnection, state: str | None) -> str:
        """Relay until the link or the browser closes; returns why, in words."""
        try:
            if state is not None and self._told_away:
                self._tell(state if state in STATES else "idle")
                self._told_away = False
            await self._flush(link)
            self._link = link
            while (message := await link.read_message()) is not None:
                if len(message) <= _RECENT_BYTES:
                    self._recent = message
                await self.websocket_handler.write_message(message, binary=isinstance(message, bytes))
        except WebSocketClosedError:
            pass
        finally:
            self._link = None
            link.close()
        words = f": {link.close_reason}" if link.close_reason else ""
        return f"the link to the bridge closed ({link.close_code or _VANISHED}{words})."

    async def _flush(self, link: WebSocketClientConnection) -> None:
        while (message := self._outbox.first()) is not None:
            await link.write_message(message, binary=isinstance(message, bytes))
            self._outbox.drop_first()

    async def _send(self, link: WebSocketClientConnection, message: Message) -> None:
        try:
            await link.write_message(message, binary=isinstance(message, bytes))
        except WebSocketClosedError:
            # It was not written whole, so the far end cannot have seen it: the next link carries it.
            self._keep(message)

    def _keep(self, message: Message) -> None:
        if not self._outbox.put(message):
            # JupyterLab then shows that it is reconnecting and keeps what people type.
            self._close_browser(
                CLOSE_OVERFLOW, "Too much is waiting for the kernel, which cannot be reached."
            )

    def _give_up_if_final(self, refusal: Refusal, denials: int) -> None:
        if isinstance(refusal.error, NotFound):
            self.multi_kernel_manager.remove_kernel(self.kernel_id)
            raise GivenUp(CLOSE_KERNEL_GONE, KERNEL_GONE)
        if denials >= DENIED_ATTEMPTS:
            raise GivenUp(CLOSE_STOPPED_RETRYING, refusal.error.message)

    def _close_link(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    @property
    def _bridge(self) -> BridgeClient:
        bridge: BridgeClient = self.multi_kernel_manager.bridge
        return bridge

    # -- towards the browser -------------------------------------------------------------------

    def _tell_away(self) -> None:
        if not self._told_away:
            self._told_away = True
            self._tell(AWAY)

    def _tell(self, state: str) -> None:
        chosen = self.websocket_handler.selected_subprotocol
        session = session_of(chosen, self._recent) if self._recent is not None else None
        message = status_message(chosen, session or self.kernel_id, state, now=utc_now())
        with suppress(WebSocketClosedError):
            self.websocket_handler.write_message(message, binary=isinstance(message, bytes))

    def _close_browser(self, code: int, reason: str) -> None:
        short = reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
        self.websocket_handler.close(code, short)


def _dial_refusal(error: HTTPClientError) -> Refusal:
    if error.response is None or not 400 <= error.code < 599:  # 599 is tornado's own
        return Refusal(BridgeUnavailable("The kernel bridge is not answering."))
    return refusal_from_answer(error.code, error.response.body or b"")


def _tune(link: WebSocketClientConnection) -> None:
    """No waiting for full packets, no limit of 100 MiB, and notice a peer that is gone."""
    if link.protocol is None:  # closed in the same instant; the first read says so
        return
    link.protocol.set_nodelay(True)
    stream = link.protocol.stream
    if stream is None:
        return
    stream.max_buffer_size = MAX_MESSAGE_BYTES + _RECENT_BYTES
    if stream.socket is not None:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            stream.socket.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _close_late(connecting: asyncio.Future[WebSocketClientConnection]) -> None:
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result().close()
