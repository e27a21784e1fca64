"""One process of a kernel together with the sockets the host itself keeps to it.

A restart makes a new incarnation with new sockets, so nothing of the old process
can reach clients of the new one, and nothing meant for the old one the new one.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import zmq

from gateway_bridge.kernelhost.explain import end_in_words, start_failure
from gateway_bridge.kernelhost.ipykernel_config import with_our_config
from gateway_bridge.kernelhost.launch import CheckedLaunch
from gateway_bridge.kernelhost.leftovers import record_process
from gateway_bridge.kernelhost.messages import SIGNATURE_SCHEME, Author, BadSignature, Signer, header_field
from gateway_bridge.kernelhost.process import KernelProcess
from gateway_bridge.kernelhost.zmqchannel import Frames, ZmqChannel
from hub.errors import KernelStartFailed

PORTS = {"shell": 1, "iopub": 2, "stdin": 3, "control": 4, "hb": 5}
"""Sockets are files; Jupyter numbers them like ports."""

KEY_BYTES = 32

ASK_AGAIN_AFTER = timedelta(milliseconds=100)
"""A kernel that answered, but on iopub was not heard yet, is asked again."""

SHUTDOWN_PATIENCE = timedelta(seconds=2)
"""For a kernel that was asked to shut down; then it is told by SIGTERM."""
TERMINATE_PATIENCE = timedelta(seconds=1)
"""Then it is killed."""
KILL_PATIENCE = timedelta(seconds=2)
"""A killed process ends unless the system holds it (a dead file server)."""

LAST_WORDS_PATIENCE = timedelta(milliseconds=500)
"""For the end of the iopub stream of a process that is gone; its socket closes at once."""

_SOCKETS = {"shell": zmq.DEALER, "control": zmq.DEALER, "stdin": zmq.DEALER, "iopub": zmq.SUB}


@dataclass(frozen=True)
class Surroundings:
    """What all kernels of a host share."""

    context: zmq.Context[zmq.Socket[bytes]]
    clock: Callable[[], datetime]
    descriptor_limit: tuple[int, int]


class Incarnation:
    """Starts on construction.

    Parameters
    ----------
    on_iopub
        Given the parts of every iopub message with a right signature.

    Raises
    ------
    KernelStartFailed
    """

    def __init__(
        self,
        launch: CheckedLaunch,
        kernel_dir: Path,
        number: int,
        surroundings: Surroundings,
        on_iopub: Callable[[list[bytes]], None],
    ) -> None:
        self._surroundings = surroundings
        self._stem = kernel_dir / str(number)
        self._on_iopub = on_iopub
        self._author = Author.new()
        key = secrets.token_hex(KEY_BYTES)
        self.signer = Signer(key.encode())
        self._answered = asyncio.Event()
        self._heard = asyncio.Event()
        self._iopub_ended = asyncio.Event()
        try:
            connection_file = self._write_connection_file(key, launch.name)
            config_file = self._stem.with_name(f"{self._stem.name}.config.py")
            command = with_our_config(launch.command(connection_file), config_file)
        except OSError as error:
            raise KernelStartFailed(f"The kernel host cannot write its files: {error}.") from error
        self.process = KernelProcess.start(
            command,
            launch.environment(),
            launch.cwd,
            descriptor_limit=surroundings.descriptor_limit,
        )
        try:
            record_process(kernel_dir, self.process.pid)
            self._iopub = self.connect("iopub", self._iopub_arrived)
            monitor = f"inproc://{self._stem}"
            self._iopub.watch_disconnects(monitor)
            self._monitor = ZmqChannel(surroundings.context, zmq.PAIR, monitor, self._iopub_lost)
            self._shell = self.connect("shell", self._shell_arrived)
            self._control = self.connect("control", lambda _: None)
        except (zmq.ZMQError, OSError) as error:
            self.process.signal(signal.SIGKILL)
            raise KernelStartFailed(f"The kernel host has no room for another kernel: {error}.") from error

    def connect(
        self, channel: str, on_message: Callable[[Frames], None], *, identity: bytes | None = None
    ) -> ZmqChannel:
        """A socket of ``channel`` to this process; messages sent before it listens wait."""
        endpoint = f"ipc://{self._stem}-{PORTS[channel]}"
        return ZmqChannel(
            self._surroundings.context, _SOCKETS[channel], endpoint, on_message, identity=identity
        )

    def tail(self) -> str:
        return self.process.tail()

    # -- readiness ---------------------------------------------------------------------

    async def ready(self, bound: timedelta) -> None:
        """Wait until the kernel answers and is heard on iopub.

        From then on no output of what it is asked can be missed.

        Raises
        ------
        KernelStartFailed
            It ended, or took longer than ``bound``.
        """
        asking = asyncio.create_task(self._ask_until_heard())
        watched: list[asyncio.Future[Any]] = [asking, self.process.ended]
        try:
            await asyncio.wait(
                watched,
                timeout=bound.total_seconds(),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            asking.cancel()
        if self.process.ended.done():
            why = end_in_words(self.process.ended.result())
            raise KernelStartFailed(start_failure(why, self.tail()))
        if not (self._answered.is_set() and self._heard.is_set()):
            why = f"it did not answer within {bound.total_seconds():g} seconds"
            raise KernelStartFailed(start_failure(why, self.tail()))

    async def _ask_until_heard(self) -> None:
        self._ask()
        await self._answered.wait()
        while not self._heard.is_set():
            self._ask()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._heard.wait(), ASK_AGAIN_AFTER.total_seconds())

    def _ask(self) -> None:
        self._send(self._shell, "kernel_info_request", {})

    # -- acting on the process -----------------------------------------------------------

    def interrupt(self, mode: str) -> None:
        """Interrupt what the kernel is doing, by a signal or by a message."""
        if mode == "message":
            self._send(self._control, "interrupt_request", {})
        else:
            self.process.signal(signal.SIGINT)

    async def end(self, *, restart: bool) -> bool:
        """Ask the kernel to shut down, then tell it to end, then kill it; bounded by 5 seconds.

        Returns False in the rare case that the system does not let the process go.
        """
        if not self.process.ended.done():
            self._send(self._control, "shutdown_request", {"restart": restart})
        if await self.process.ends_within(SHUTDOWN_PATIENCE):
            return True
        self.process.signal(signal.SIGTERM)
        if await self.process.ends_within(TERMINATE_PATIENCE):
            return True
        self.process.signal(signal.SIGKILL)
        return await self.process.ends_within(KILL_PATIENCE)

    async def last_words(self) -> None:
        """After the end of the process: hand over what it still said on iopub."""
        if self._heard.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._iopub_ended.wait(), LAST_WORDS_PATIENCE.total_seconds())
        self._iopub.drain()

    def close(self) -> None:
        """Close the host's sockets and remove the files; the process has ended or is given up."""
        for channel in (self._iopub, self._monitor, self._shell, self._control):
            channel.close()
        for file in self._stem.parent.glob(f"{self._stem.name}[.-]*"):
            file.unlink(missing_ok=True)

    # -- messages --------------------------------------------------------------------------

    def _send(self, channel: ZmqChannel, msg_type: str, content: dict[str, object]) -> None:
        parts = self._author.message(msg_type, content, now=self._surroundings.clock())
        channel.send_now(self.signer.wrap(parts))

    def _shell_arrived(self, frames: Frames) -> None:
        with suppress(BadSignature):
            self.signer.unwrap(frames)
            self._answered.set()

    def _iopub_arrived(self, frames: Frames) -> None:
        with suppress(BadSignature):
            parts = self.signer.unwrap(frames)
            self._heard.set()
            # A welcome is for whoever subscribed, which is the host.
            if b"iopub_welcome" in parts[0] and header_field(parts[0], "msg_type") == "iopub_welcome":
                return
            self._on_iopub(parts)

    def _iopub_lost(self, _: Frames) -> None:
        self._iopub_ended.set()

    def _write_connection_file(self, key: str, kernel_name: str) -> Path:
        path = self._stem.with_name(f"{self._stem.name}.json")
        info = {
            "transport": "ipc",
            "ip": str(self._stem),
            "key": key,
            "signature_scheme": SIGNATURE_SCHEME,
            "kernel_name": kernel_name,
            **{f"{channel}_port": port for channel, port in PORTS.items()},
        }
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(info, file)
        return path
