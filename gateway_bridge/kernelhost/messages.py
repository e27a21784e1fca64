"""Kernel messages as ZMQ carries them: signed parts after a delimiter. Pure.

The same as ``jupyter_client.session.Session``, without its traits and its history:
the signature of a message covers its four JSON parts and no buffer.
"""

from __future__ import annotations

import hmac
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway_bridge.kernelhost.wireformat import JSON_PARTS, pack

DELIMITER = b"<IDS|MSG>"
SIGNATURE_SCHEME = "hmac-sha256"
PROTOCOL_VERSION = "5.3"
"""Of the messages the host itself makes."""

_SIGNED = len(JSON_PARTS)
_USERNAME = "granary"


class BadSignature(ValueError):
    """A message from a kernel's socket is not that kernel's."""


class Signer:
    """Signs and checks messages with one kernel's key."""

    def __init__(self, key: bytes) -> None:
        self._keyed = hmac.new(key, digestmod="sha256")

    def signature(self, parts: Sequence[bytes]) -> bytes:
        """Of the JSON parts of a message, in hexadecimal digits."""
        digest = self._keyed.copy()
        for part in parts[:_SIGNED]:
            digest.update(part)
        return digest.hexdigest().encode()

    def wrap(self, parts: Sequence[bytes]) -> list[bytes]:
        """What is sent to the kernel."""
        return [DELIMITER, self.signature(parts), *parts]

    def unwrap(self, frames: Sequence[bytes]) -> list[bytes]:
        """The parts of what came from the kernel, routing identities taken off.

        Raises
        ------
        BadSignature
            Also for what is no message at all.
        """
        try:
            at = frames.index(DELIMITER)
        except ValueError:
            raise BadSignature("no message") from None
        parts = list(frames[at + 2 :])
        if len(parts) < _SIGNED or not hmac.compare_digest(frames[at + 1], self.signature(parts)):
            raise BadSignature("wrong signature")
        return parts


@dataclass(frozen=True)
class Author:
    """Who signs the messages that the host makes up itself, in their headers."""

    session: str = ""

    @staticmethod
    def new() -> Author:
        return Author(uuid.uuid4().hex)

    def message(
        self, msg_type: str, content: Mapping[str, object], *, now: datetime, parent: bytes = b"{}"
    ) -> list[bytes]:
        """The parts of a new message; ``parent`` is a packed header or ``{}``."""
        header = {
            "msg_id": uuid.uuid4().hex,
            "msg_type": msg_type,
            "username": _USERNAME,
            "session": self.session,
            "date": now.isoformat().replace("+00:00", "Z"),
            "version": PROTOCOL_VERSION,
        }
        return [pack(header), parent, b"{}", pack(content)]

    def notice(self, text: str, *, now: datetime, parent: bytes = b"{}") -> list[bytes]:
        """Words to people, shown where the output of ``parent`` is shown."""
        return self.message("stream", {"name": "stderr", "text": text}, now=now, parent=parent)

    def status(self, state: str, *, now: datetime) -> list[bytes]:
        """A kernel's state, as jupyter_server announces restarts."""
        return self.message("status", {"execution_state": state}, now=now)


def header_field(header: bytes, field: str) -> str | None:
    """One text field of a packed header; None if it has none."""
    try:
        value = json.loads(header).get(field)
    except (ValueError, AttributeError):
        return None
    return value if isinstance(value, str) else None
