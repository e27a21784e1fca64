"""What a kernel said to one client session and the client may still need. Pure.

Messages pass through three places, oldest first:

``_sent``
    written to a websocket, but not known to have arrived. A client that comes back
    and says how many messages it has received is sent the rest of these again.
``_spared``
    what overflow left of old output: replies and states, which clients wait for,
    and gaps where output was dropped.
``_waiting``
    everything else that is to be sent.

Together they stay within a bound. What is over it goes: first what was sent, then
the oldest output, each run of it leaving one visible gap in its place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

MESSAGE_OVERHEAD_BYTES = 600
"""What a message costs beyond its content, so that a flood of tiny ones is bounded too."""

SPARED_SHARE = 4
"""Replies and states of dropped output may take a quarter of the bound, then they go as well."""


@dataclass(eq=False, slots=True)
class Message:
    """One message for a client. Shared by the outboxes of all sessions it is for.

    Parameters
    ----------
    channel
        ``iopub``, ``shell``, ``control`` or ``stdin``.
    parts
        As in ``wireformat``.
    output
        May be dropped for lack of room: output of cells, not replies or states.
    """

    channel: str
    parts: Sequence[bytes]
    output: bool
    size_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.size_bytes = MESSAGE_OVERHEAD_BYTES + sum(map(len, self.parts))


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages that were dropped; ``parent`` is the packed header of what they belonged to."""

    messages: int
    dropped_bytes: int
    parent: bytes

    @property
    def size_bytes(self) -> int:
        return MESSAGE_OVERHEAD_BYTES + len(self.parent)


Entry = Message | Gap


class Outbox:
    """The messages of one session, in order, each delivered once.

    Parameters
    ----------
    limit_bytes
        Bound while nobody is connected, and of what is kept of sent messages.
    delivered
        How many messages the client says it has received already, from a host that
        has forgotten it.
    """

    def __init__(self, limit_bytes: int, delivered: int = 0) -> None:
        self._kept_limit_bytes = limit_bytes
        self._limit_bytes = limit_bytes
        self._sent: deque[Message] = deque()
        self._sent_bytes = 0
        self._spared: deque[Entry] = deque()
        self._spared_bytes = 0
        self._waiting: deque[Entry] = deque()
        self._waiting_bytes = 0
        self._waiting_outputs = 0
        self._arrived = delivered
        self._forgotten_parent = b"{}"

    @property
    def size_bytes(self) -> int:
        return self._sent_bytes + self._spared_bytes + self._waiting_bytes

    @property
    def sent(self) -> int:
        """Number of the last message sent, counted from the session's first."""
        return self._arrived + len(self._sent)

    def __bool__(self) -> bool:
        """Whether something can be sent now: not too much is on its way already, to be kept for a return."""
        return bool(self._waiting or self._spared) and self._sent_bytes < self._kept_limit_bytes // 2

    def set_limit(self, limit_bytes: int) -> None:
        """Change the bound of what waits; at once what is over it is dropped."""
        self._limit_bytes = limit_bytes
        self._shrink(keep_last_output=False)

    def put(self, message: Message) -> None:
        """Add a message; old output goes if there is no room, but one output of any size may wait."""
        self._waiting.append(message)
        self._waiting_bytes += message.size_bytes
        self._waiting_outputs += message.output
        if self.size_bytes > self._limit_bytes:
            self._shrink(keep_last_output=True)

    # -- delivery ----------------------------------------------------------------------

    def take(self, max_bytes: int) -> list[Entry]:
        """Remove what is to be sent next: whole entries, the first over ``max_bytes`` being the last.

        The caller reports each with ``was_sent``, in this order, gaps turned into messages.
        """
        taken: list[Entry] = []
        size = 0
        while size < max_bytes:
            if self._spared:
                entry = self._spared.popleft()
                self._spared_bytes -= entry.size_bytes
            elif self._waiting:
                entry = self._pop_waiting()
            else:
                break
            size += entry.size_bytes
            taken.append(entry)
        return taken

    def was_sent(self, message: Message) -> None:
        """A message has been handed to the websocket."""
        self._sent.append(message)
        self._sent_bytes += message.size_bytes

    def has_arrived(self, number: int) -> None:
        """The client has received everything up to the ``number``-th message."""
        while self._sent and self._arrived < number:
            self._sent_bytes -= self._sent.popleft().size_bytes
            self._arrived += 1

    def take_back_last(self) -> None:
        """The message sent last was not written whole, so it has not arrived: send it again."""
        if self._sent:
            message = self._sent.pop()
            self._sent_bytes -= message.size_bytes
            self._put_back([message])

    def resume(self, received: int | None) -> None:
        """The client is back.

        Parameters
        ----------
        received
            How many messages it has got since the session began: everything after
            them is sent (again). None if it does not count: what was sent before is
            taken as received.
        """
        if received is None:
            received = self.sent
        self.has_arrived(received)
        again: list[Entry] = list(self._sent)
        if received < self._arrived:
            again.insert(0, Gap(self._arrived - received, 0, self._forgotten_parent))
        self._arrived = received
        self._sent.clear()
        self._sent_bytes = 0
        self._put_back(again)

    def _put_back(self, entries: Iterable[Entry]) -> None:
        """Entries older than all others wait again."""
        older = [*entries, *self._spared]
        self._spared.clear()
        self._spared_bytes = 0
        self._waiting.extendleft(reversed(older))
        self._waiting_bytes += sum(entry.size_bytes for entry in older)
        self._waiting_outputs += sum(map(_is_output, older))

    def _pop_waiting(self) -> Entry:
        entry = self._waiting.popleft()
        self._waiting_bytes -= entry.size_bytes
        self._waiting_outputs -= _is_output(entry)
        return entry

    # -- overflow ----------------------------------------------------------------------

    def _shrink(self, *, keep_last_output: bool) -> None:
        self._forget_sent(max(0, self._limit_bytes - self._spared_bytes - self._waiting_bytes))
        while self._waiting and self.size_bytes > self._limit_bytes:
            if keep_last_output and self._waiting_outputs == 1 and _is_output(self._waiting[0]):
                break
            self._spare(self._pop_waiting())
        while len(self._spared) > 1 and self._spared_bytes > self._limit_bytes // SPARED_SHARE:
            self._merge_oldest_spared()

    def _forget_sent(self, limit_bytes: int) -> None:
        while self._sent and self._sent_bytes > limit_bytes:
            message = self._sent.popleft()
            self._sent_bytes -= message.size_bytes
            self._arrived += 1
            self._forgotten_parent = message.parts[1]

    def _spare(self, entry: Entry) -> None:
        """Keep what is left of an entry there is no room for."""
        if isinstance(entry, Message) and not entry.output:
            self._push_spared(entry)
            return
        dropped = _gap_of(entry)
        last = self._spared[-1] if self._spared else None
        if isinstance(last, Gap) and last.parent == dropped.parent:
            self._spared[-1] = _joined(last, dropped)
        else:
            self._push_spared(dropped)

    def _push_spared(self, entry: Entry) -> None:
        self._spared.append(entry)
        self._spared_bytes += entry.size_bytes

    def _merge_oldest_spared(self) -> None:
        first, second = (self._spared.popleft(), self._spared.popleft())
        merged = _joined(_gap_of(first), _gap_of(second))
        self._spared.appendleft(merged)
        self._spared_bytes += merged.size_bytes - first.size_bytes - second.size_bytes


def _is_output(entry: Entry) -> bool:
    return isinstance(entry, Message) and entry.output


def _gap_of(entry: Entry) -> Gap:
    """An entry as if it had been dropped."""
    if isinstance(entry, Gap):
        return entry
    return Gap(1, sum(map(len, entry.parts)), entry.parts[1])


def _joined(one: Gap, two: Gap) -> Gap:
    return Gap(one.messages + two.messages, one.dropped_bytes + two.dropped_bytes, two.parent)


def gap_in_words(gap: Gap) -> str:
    """What people read where output is missing."""
    messages = "1 message" if gap.messages == 1 else f"{gap.messages:,} messages"
    size = f" ({_size(gap.dropped_bytes)})" if gap.dropped_bytes else ""
    return (
        f"\n[Granary: {messages} of output{size} missing here: produced while nobody was connected, "
        "and more than the kernel host keeps.]\n"
    )


def _size(count: int) -> str:
    for unit, factor in (("MiB", 2**20), ("KiB", 2**10)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"
