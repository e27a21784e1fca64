"""Messages a browser has sent while the far end is away."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

Message = str | bytes

MAX_MESSAGES = 1_000
MAX_BYTES = 16 * 1024 * 1024


@dataclass
class Outbox:
    """A queue that is bounded in messages and bytes and says when it is full."""

    max_messages: int = MAX_MESSAGES
    max_bytes: int = MAX_BYTES
    size_bytes: int = 0
    _messages: deque[Message] = field(default_factory=deque)

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: Message) -> bool:
        """Append a message; False if it does not fit, and then it was not taken."""
        if len(self._messages) >= self.max_messages or self.size_bytes + _size(message) > self.max_bytes:
            return False
        self._messages.append(message)
        self.size_bytes += _size(message)
        return True

    def first(self) -> Message | None:
        """The oldest message, which stays until ``drop_first``."""
        return self._messages[0] if self._messages else None

    def drop_first(self) -> None:
        self.size_bytes -= _size(self._messages.popleft())


def _size(message: Message) -> int:
    # A character is at least one byte and JSON is nearly all ASCII; encoding it to count would copy it.
    return len(message)
