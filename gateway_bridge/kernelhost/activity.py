"""What a kernel is doing, read off its iopub messages as jupyter_server reads it. Pure.

The state follows requests of people, not the small talk of clients (kernel_info and
the like), so a tab that merely connects makes no kernel look busy.
"""

from __future__ import annotations

import json
from datetime import datetime

from gateway_bridge.kernelhost.messages import header_field

_SMALL_TALK = frozenset(
    f"{name}_{kind}"
    for name in ("comm_info", "kernel_info", "shutdown", "interrupt", "debug")
    for kind in ("request", "reply")
) | {
    "stream",
    "display_data",
    "update_display_data",
    "execute_input",
    "execute_result",
    "error",
    "status",
    "clear_output",
    "debug_event",
    "input_request",
    "input_reply",
}
"""Message types that are no activity of a person, the default of jupyter_server."""

STARTING = "starting"
IDLE = "idle"
BUSY = "busy"
DEAD = "dead"


class Activity:
    """State and last activity of one kernel.

    Attributes
    ----------
    state
        ``starting``, ``idle``, ``busy``, ``dead`` or ``restarting``-like words of the kernel's own.
    last
        Aware UTC.
    parent
        Packed header of the request under way, ``{}`` when there is none.
    """

    def __init__(self, now: datetime) -> None:
        self.state = STARTING
        self.last = now
        self.parent = b"{}"
        self._seen_parent = b""
        self._seen_parent_counts = False

    def begin(self, now: datetime) -> None:
        """A new process starts."""
        self.state, self.last, self.parent = STARTING, now, b"{}"

    def ready(self) -> None:
        """The kernel answers; it need not have told its state yet."""
        if self.state == STARTING:
            self.state = IDLE

    def end(self, now: datetime) -> None:
        """No process is left, and none will be started."""
        self.state, self.last, self.parent = DEAD, now, b"{}"

    def observe(self, header: bytes, parent: bytes, content: bytes, now: datetime) -> bool:
        """Take one iopub message into account; returns whether it is a status message."""
        caused = self._counts(parent)
        # A substring saves reading every header; a false hit only costs the reading.
        kind = header_field(header, "msg_type") if b'"status"' in header or not caused else None
        if caused or self.state == BUSY or (kind is not None and kind not in _SMALL_TALK):
            self.last = now
        if kind != "status":
            return False
        state = _execution_state(content)
        if state is None:
            return True
        if caused:
            self.state = state
            self.parent = parent if state == BUSY else b"{}"
        elif self.state == STARTING and state != STARTING:
            self.state = IDLE
        return True

    def _counts(self, parent: bytes) -> bool:
        if parent != self._seen_parent:  # a cell's messages all have the same one
            kind = header_field(parent, "msg_type")
            self._seen_parent = parent
            # No parent at all counts in jupyter_server as well: a kernel that speaks by itself is active.
            self._seen_parent_counts = kind not in _SMALL_TALK
        return self._seen_parent_counts


def _execution_state(content: bytes) -> str | None:
    try:
        state = json.loads(content).get("execution_state")
    except (ValueError, AttributeError):
        return None
    return state if isinstance(state, str) else None
