"""One ZMQ socket on the event loop.

libzmq signals on an edge-triggered descriptor that *something* may have happened,
so after every signal and after every send the socket is read until it is empty.
This costs a few microseconds a message; futures for each would cost forty.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import zmq

MESSAGES_AT_A_TIME = 200
"""Then other sockets get their turn."""

RECONNECT_MILLISECONDS = 10
"""Between attempts to reach a kernel that has not bound its sockets yet; the default of 100 is felt."""

Frames = list[bytes]


class ZmqChannel:
    """A connected socket that hands every message to ``on_message``.

    Incoming messages are never left in the socket, so its queue has no limit of its
    own: the limit is where they go. Outgoing ones wait for the peer (``send``).
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        kind: int,
        endpoint: str,
        on_message: Callable[[Frames], None],
        *,
        identity: bytes | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._writable: asyncio.Future[None] | None = None
        self._scheduled = False
        self._socket = context.socket(kind)
        self._socket.linger = 0
        self._socket.rcvhwm = 0
        self._socket.reconnect_ivl = RECONNECT_MILLISECONDS
        if identity is not None:
            self._socket.identity = identity
        if kind == zmq.SUB:
            self._socket.subscribe(b"")
        self._socket.connect(endpoint)
        self._descriptor = self._socket.fileno()
        self._loop.add_reader(self._descriptor, self._read)
        self._schedule()

    @property
    def closed(self) -> bool:
        return self._socket.closed

    def watch_disconnects(self, endpoint: str) -> None:
        """Announce lost connections at an in-process endpoint."""
        self._socket.monitor(endpoint, zmq.EVENT_DISCONNECTED)

    def send_now(self, frames: Sequence[bytes]) -> bool:
        """Send if the queue to the peer has room; False if not, and for a closed socket."""
        if self._socket.closed:
            return False
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            return False
        if self._events() & zmq.POLLIN:  # the send may have swallowed the edge
            self._schedule()
        return True

    async def send(self, frames: Sequence[bytes]) -> None:
        """Send, waiting for room as long as the socket is open."""
        while not self.send_now(frames) and not self.closed:
            if self._writable is None:
                self._writable = self._loop.create_future()
            if not self._events() & zmq.POLLOUT:
                await asyncio.shield(self._writable)

    def drain(self) -> None:
        """Hand over everything that has arrived by now."""
        while not self._socket.closed and self._read_some():
            pass

    def close(self) -> None:
        """Close; whatever is still in it is lost. Closing twice is no error."""
        if self._socket.closed:
            return
        self._loop.remove_reader(self._descriptor)
        self._socket.disable_monitor()
        self._socket.close()
        self._wake_senders()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._read_scheduled)

    def _read_scheduled(self) -> None:
        self._scheduled = False
        self._read()

    def _read(self) -> None:
        if self._read_some():
            self._schedule()

    def _read_some(self) -> bool:
        """Read a batch; returns whether there may be more."""
        for _ in range(MESSAGES_AT_A_TIME):
            if self._socket.closed:
                return False
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                if self._writable is not None and self._events() & zmq.POLLOUT:
                    self._wake_senders()
                return bool(self._events() & zmq.POLLIN)
            self._on_message(frames)
        return True

    def _events(self) -> int:
        return int(self._socket.get(zmq.EVENTS))

    def _wake_senders(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None
