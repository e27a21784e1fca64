"""One kernel's life: started, restarted, revived when it dies, stopped.

At most one transition (start, restart, revival) runs at a time, as a task that goes
on when whoever asked for it goes away. A stop cancels it and always gets through.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Coroutine
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from gateway_bridge.kernelhost.activity import Activity
from gateway_bridge.kernelhost.explain import end_in_words, restart_notice, start_failure
from gateway_bridge.kernelhost.incarnation import Incarnation, Surroundings
from gateway_bridge.kernelhost.launch import CheckedLaunch, make_directories
from gateway_bridge.kernelhost.leftovers import remove_kernel_dir
from gateway_bridge.kernelhost.messages import Author
from gateway_bridge.kernelhost.outbox import Gap, Message, gap_in_words
from gateway_bridge.kernelhost.sessions import CloseCode, Limits, Link, Session, Sessions
from hub.errors import GranaryError, InternalError, KernelStartFailed, RunningKernelNotFound

log = logging.getLogger(__name__)

MAX_DEATHS = 5
DEATHS_WITHIN = timedelta(minutes=1)
"""A kernel that dies more often than this is not started again by itself."""


class Kernel:
    """A kernel by its id, whichever process runs it at the moment.

    Parameters
    ----------
    ready_within
        Bound of every start, until the kernel answers.

    Attributes
    ----------
    dead_since
        None unless the kernel has no process and none is being started.
    """

    def __init__(
        self,
        launch: CheckedLaunch,
        kernel_dir: Path,
        surroundings: Surroundings,
        limits: Limits,
        ready_within: timedelta,
    ) -> None:
        self.launch = launch
        self.dead_since: datetime | None = None
        self._dir = kernel_dir
        self._surroundings = surroundings
        self._ready_within = ready_within
        self._author = Author.new()
        self._activity = Activity(surroundings.clock())
        self._sessions = Sessions(limits)
        self._incarnation: Incarnation | None = None
        self._number = 0
        self._is_ready = False
        self._failure: GranaryError | None = None
        self._transition: asyncio.Task[None] | None = None
        self._restart: asyncio.Task[None] | None = None
        self._stop: asyncio.Task[None] | None = None
        self._deaths: deque[float] = deque(maxlen=MAX_DEATHS)

    @property
    def id(self) -> str:
        return self.launch.kernel_id

    @property
    def connections(self) -> int:
        return self._sessions.connections

    @property
    def last_activity(self) -> datetime:
        """Aware UTC."""
        return self._activity.last

    def model(self) -> dict[str, object]:
        """The kernel as Jupyter's kernels API shows it."""
        model: dict[str, object] = {
            "id": self.id,
            "name": self.launch.name,
            "last_activity": self._activity.last.isoformat().replace("+00:00", "Z"),
            "execution_state": self._activity.state,
            "connections": self.connections,
        }
        return model if self._failure is None else {**model, "reason": self._failure.message}

    # -- transitions -----------------------------------------------------------------------

    async def start(self) -> None:
        """Start the process; returns once it exists. ``ready`` says how it goes on.

        Raises
        ------
        KernelStartFailed, RunningKernelNotFound
            The latter if it was stopped meanwhile.
        """
        try:
            await asyncio.to_thread(make_directories, self.launch)
        except OSError as error:
            raise KernelStartFailed(f"The kernel's home cannot be used: {error}.") from error
        if self._stop is not None:
            raise self._not_found()
        incarnation = self._new_incarnation()
        self._begin_transition(self._become_ready(incarnation))

    async def ready(self, bound: timedelta) -> None:
        """Wait until the kernel answers.

        Raises
        ------
        KernelStartFailed
            It is dead, or not ready within ``bound``.
        RunningKernelNotFound
            It was stopped.
        """
        deadline = asyncio.get_running_loop().time() + bound.total_seconds()
        while not self._is_ready:
            self._check_alive()
            remaining = deadline - asyncio.get_running_loop().time()
            if self._transition is None or remaining <= 0:
                tail = self._incarnation.tail() if self._incarnation is not None else ""
                why = f"it did not answer within {bound.total_seconds():g} seconds"
                raise KernelStartFailed(start_failure(why, tail))
            await asyncio.wait([self._transition], timeout=remaining)

    async def restart(self) -> None:
        """End the process and start another; returns when that is ready.

        Who asks while a restart is under way waits for that one.

        Raises
        ------
        KernelStartFailed, RunningKernelNotFound
        """
        if self._stop is not None:
            raise self._not_found()
        if self._restart is None or self._restart.done():
            self._restart = self._begin_transition(self._replace(self._transition))
        await asyncio.wait([self._restart])
        self._check_alive()

    async def stop(self) -> None:
        """End the kernel for good, whatever it is doing. Never fails; bounded by about 5 seconds."""
        if self._stop is None:
            self._stop = asyncio.create_task(self._finish())
        await asyncio.wait([self._stop])

    def interrupt(self) -> None:
        """Interrupt what the kernel is doing; one that is only starting does nothing yet.

        Raises
        ------
        KernelStartFailed, RunningKernelNotFound
        """
        self._check_alive()
        if self._is_ready and self._incarnation is not None:
            self._incarnation.interrupt(self.launch.interrupt_mode)

    def _begin_transition(self, steps: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self._is_ready = False
        self._failure = self.dead_since = None
        task = asyncio.create_task(self._guarded(steps), name=f"kernel {self.id}")
        task.add_done_callback(self._look_for_death)
        self._transition = task
        return task

    async def _guarded(self, steps: Coroutine[Any, Any, None]) -> None:
        """However a transition ends, it leaves the kernel ready, dead with a reason, or to a stop."""
        try:
            await steps
        except GranaryError as error:
            await self._end_incarnation(restart=False)
            self._die(error)
        except Exception:
            log.exception("kernel %s: a defect of the kernel host", self.id)
            self._die(InternalError("The kernel host failed; its log says why."))

    def _new_incarnation(self) -> Incarnation:
        self._number += 1
        self._activity.begin(self._surroundings.clock())
        incarnation = Incarnation(
            self.launch, self._dir, self._number, self._surroundings, self._iopub_arrived
        )
        self._incarnation = incarnation
        self._sessions.bind(incarnation)
        incarnation.process.ended.add_done_callback(self._look_for_death)
        return incarnation

    async def _become_ready(self, incarnation: Incarnation) -> None:
        await incarnation.ready(self._ready_within)
        self._activity.ready()
        self._is_ready = True

    async def _replace(self, previous: asyncio.Task[None] | None) -> None:
        if previous is not None and not previous.done():
            previous.cancel()
            await asyncio.wait([previous])
        await self._end_incarnation(restart=True)
        await self._become_ready(self._new_incarnation())

    async def _finish(self) -> None:
        if self._transition is not None:
            self._transition.cancel()
            await asyncio.wait([self._transition])
        self._is_ready = False
        await self._end_incarnation(restart=False)
        self._say(self._author.status("dead", now=self._surroundings.clock()))
        self._sessions.close(CloseCode.KERNEL_GONE, "The kernel was stopped.")
        remove_kernel_dir(self._dir)

    async def _end_incarnation(self, *, restart: bool) -> None:
        incarnation = self._incarnation
        if incarnation is None:
            return
        if not await incarnation.end(restart=restart):
            log.error("kernel %s: process %d cannot be killed", self.id, incarnation.process.pid)
        await self._bury(incarnation)

    async def _bury(self, incarnation: Incarnation) -> None:
        await incarnation.last_words()
        self._sessions.unbind()
        incarnation.close()
        self._incarnation = None

    # -- death -----------------------------------------------------------------------------

    def _look_for_death(self, _: object) -> None:
        """Called when a process has ended and when a transition has: whichever comes later acts."""
        busy = self._transition is not None and not self._transition.done()
        if self._stop is not None or busy or not self._is_ready or self._incarnation is None:
            return
        if self._incarnation.process.ended.done():
            self._begin_transition(self._revive(self._incarnation))

    async def _revive(self, dead: Incarnation) -> None:
        ended = dead.process.ended.result()
        await dead.last_words()
        again = self._may_start_again()
        log.warning("kernel %s: %s%s", self.id, end_in_words(ended), "; starting again" if again else "")
        now = self._surroundings.clock()
        text = restart_notice(ended, dead.tail(), again=again)
        self._say(self._author.notice(text, now=now, parent=self._activity.parent))
        await self._bury(dead)
        if not again:
            raise KernelStartFailed(f"The kernel died too often in a short time: {end_in_words(ended)}.")
        self._say(self._author.status("restarting", now=now))
        while True:
            try:
                await self._become_ready(self._new_incarnation())
            except KernelStartFailed:
                await self._end_incarnation(restart=False)
                if not self._may_start_again():
                    raise
            else:
                return

    def _may_start_again(self) -> bool:
        """Count a death; whether it is not one too many."""
        now = asyncio.get_running_loop().time()
        often = len(self._deaths) == MAX_DEATHS and now - self._deaths[0] < DEATHS_WITHIN.total_seconds()
        self._deaths.append(now)
        return not often

    def _die(self, reason: GranaryError) -> None:
        now = self._surroundings.clock()
        log.warning("kernel %s is dead: %s", self.id, reason.message.splitlines()[0])
        self._failure, self.dead_since = reason, now
        self._activity.end(now)
        self._say(self._author.status("dead", now=now))

    def _check_alive(self) -> None:
        if self._stop is not None:
            raise self._not_found()
        if self._failure is not None:
            raise type(self._failure)(self._failure.message, **self._failure.details)

    def _not_found(self) -> RunningKernelNotFound:
        return RunningKernelNotFound(f"Kernel does not exist: {self.id}")

    # -- clients ---------------------------------------------------------------------------

    def attach(self, session_id: str, link: Link, received: int | None) -> Session:
        """Connect a websocket; see ``Sessions.attach``. Raises ``RunningKernelNotFound``."""
        if self._stop is not None:
            raise self._not_found()
        now = asyncio.get_running_loop().time()
        return self._sessions.attach(session_id, link, received, self._incarnation, now)

    def detach(self, session: Session, link: Link) -> None:
        """A websocket is gone."""
        self._sessions.detach(session, link, asyncio.get_running_loop().time())

    def close_links(self, code: CloseCode, reason: str) -> None:
        """Close all websockets and forget their sessions: the host is stopping."""
        self._sessions.close(code, reason)

    def forget_old_sessions(self) -> None:
        self._sessions.forget_old(asyncio.get_running_loop().time())

    def send(self, session: Session, channel: str, parts: list[bytes]) -> Awaitable[None] | None:
        """Pass a client's message to the kernel; what is returned is to be awaited before the next.

        While the kernel is being started messages wait, so that none of their output is missed.
        """
        if self._is_ready:
            return session.send(channel, parts)
        return self._send_when_ready(session, channel, parts)

    def gap_message(self, gap: Gap) -> Message:
        """What a client is sent in the place of dropped output."""
        parts = self._author.notice(gap_in_words(gap), now=self._surroundings.clock(), parent=gap.parent)
        return Message("iopub", parts, output=False)

    async def _send_when_ready(self, session: Session, channel: str, parts: list[bytes]) -> None:
        try:
            await self.ready(self._ready_within)
        except GranaryError:
            return  # the client is told by the kernel's state
        if (wait := session.send(channel, parts)) is not None:
            await wait

    def _iopub_arrived(self, parts: list[bytes]) -> None:
        is_status = self._activity.observe(parts[0], parts[1], parts[3], self._surroundings.clock())
        self._sessions.broadcast(Message("iopub", parts, output=not is_status))

    def _say(self, parts: list[bytes]) -> None:
        self._sessions.broadcast(Message("iopub", parts, output=False))
