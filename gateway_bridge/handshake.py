"""The websocket handshake, on both sides of the bridge. Pure.

Only what is listed here passes from a client to a kernel host: the key, the
subprotocols, the session id. Extensions are left out, so neither side compresses
and the relay need not look into frames.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit

from gateway_bridge.http1 import AnswerHead, RequestHead, render_answer, render_request
from hub.domain.running import Grant
from hub.errors import InvalidRequest, KernelHostUnavailable

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455, section 1.3."""

_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")
_SESSION_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_PROTOCOL = re.compile(r"[-!#$%&'*+.^_`|~0-9a-zA-Z]{1,128}")
MAX_PROTOCOLS = 8

_DEFAULT_PORT = 80


@dataclass(frozen=True)
class Upgrade:
    """What a client asks for when it opens a kernel's channels."""

    key: str
    protocols: tuple[str, ...]
    session_id: str | None


@dataclass(frozen=True)
class HostAddress:
    """Where a grant leads: the only address the bridge may dial for it."""

    host: str
    port: int
    path: str
    """Without a slash at its end."""

    @property
    def authority(self) -> str:
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"{shown}:{self.port}"


def read_upgrade(head: RequestHead, query: tuple[tuple[str, str], ...]) -> Upgrade:
    """Read a request for the channels of a kernel.

    Raises
    ------
    InvalidRequest
        It is not exactly a websocket handshake of version 13.
    """
    headers = head.headers
    upgrade = (headers.get("upgrade") or "").lower()
    if upgrade != "websocket" or "upgrade" not in [word.lower() for word in headers.tokens("connection")]:
        raise InvalidRequest("This address speaks websocket: ask for it with an Upgrade header.")
    if head.body_bytes or headers.get("sec-websocket-version") != "13":
        raise InvalidRequest("Open the websocket with version 13 and without a body.")
    key = headers.get("sec-websocket-key") or ""
    if not _KEY.fullmatch(key):
        raise InvalidRequest("The websocket key must be 16 bytes in base64.")
    protocols = tuple(headers.tokens("sec-websocket-protocol"))
    if len(protocols) > MAX_PROTOCOLS or not all(map(_PROTOCOL.fullmatch, protocols)):
        raise InvalidRequest(f"Offer at most {MAX_PROTOCOLS} websocket protocols, each a plain word.")
    sessions = [value for name, value in query if name == "session_id"]
    if len(sessions) > 1 or not all(map(_SESSION_ID.fullmatch, sessions)):
        raise InvalidRequest("session_id must be one word of letters, digits, dots, hyphens and underscores.")
    return Upgrade(key, protocols, sessions[0] if sessions else None)


def host_address(grant: Grant) -> HostAddress:
    """Take a grant's address apart.

    Raises
    ------
    KernelHostUnavailable
        The control plane granted something that is no plain HTTP address.
    """
    try:
        parts = urlsplit(grant.host_url)
        host, port = parts.hostname, parts.port or _DEFAULT_PORT
    except ValueError:
        host, port = None, 0
    if host is None or parts.scheme != "http" or parts.username or parts.query or parts.fragment:
        raise KernelHostUnavailable("The address of the kernel's host is not understood; tell your admin.")
    return HostAddress(host, port, parts.path.rstrip("/"))


def request_to_host(upgrade: Upgrade, grant: Grant) -> bytes:
    """The handshake the bridge sends to the kernel's host, with the secret of this one kernel."""
    address = host_address(grant)
    target = f"{address.path}/api/kernels/{quote(grant.host_kernel_id, safe='')}/channels"
    if upgrade.session_id is not None:
        target = f"{target}?{urlencode({'session_id': upgrade.session_id})}"
    headers = [
        ("Host", address.authority),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", upgrade.key),
        ("Authorization", f"token {grant.secret}"),
    ]
    if upgrade.protocols:
        headers.append(("Sec-WebSocket-Protocol", ", ".join(upgrade.protocols)))
    return render_request("GET", target, headers)


def answer_to_client(upgrade: Upgrade, answer: AnswerHead) -> bytes:
    """Turn the host's 101 into ours, which says the same and nothing more.

    Raises
    ------
    KernelHostUnavailable
        The host's answer does not fit what was asked.
    """
    accept = accept_for(upgrade.key)
    headers = answer.headers
    chosen = headers.get("sec-websocket-protocol")
    fits = (
        (headers.get("upgrade") or "").lower() == "websocket"
        and headers.get("sec-websocket-accept") == accept
        and headers.get("sec-websocket-extensions") is None
        and (chosen is None or chosen in upgrade.protocols)
    )
    if not fits:
        raise KernelHostUnavailable("The kernel's host answered the websocket handshake wrongly.")
    said = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept}
    if chosen is not None:
        said["Sec-WebSocket-Protocol"] = chosen
    return render_answer(101, said)


def accept_for(key: str) -> str:
    """What a server proves with that it read the handshake (RFC 6455, section 4.2.2)."""
    digest = hashlib.sha1(key.encode("ascii") + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode("ascii")
