"""Who may do what at the kernel host.

Two kinds of secrets, compared in constant time: the host's opens everything; a
kernel's is derived from it and opens that kernel and nothing else. A wrong secret
is answered alike whether the kernel exists or not.
"""

from __future__ import annotations

import hmac

from hub.domain.secrets import kernel_secret
from hub.errors import TokenMissing, TokenRejected

_SCHEMES = frozenset({"token", "bearer"})


class Gate:
    """Judges ``Authorization`` headers."""

    def __init__(self, host_secret: str) -> None:
        self._host_secret = host_secret

    def open_host(self, authorization: str | None) -> None:
        """Only for who holds the host's secret. Raises ``TokenMissing``, ``TokenRejected``."""
        if not _same(_sent(authorization), self._host_secret):
            raise TokenRejected("This secret does not open the kernel host.")

    def open_kernel(self, authorization: str | None, kernel_id: str) -> None:
        """For who holds the host's or this kernel's secret. Raises ``TokenMissing``, ``TokenRejected``."""
        sent = _sent(authorization)
        of_host = _same(sent, self._host_secret)
        of_kernel = _same(sent, kernel_secret(self._host_secret, kernel_id))
        if not (of_host or of_kernel):
            raise TokenRejected("This secret does not open this kernel.")


def _sent(authorization: str | None) -> bytes:
    scheme, _, secret = (authorization or "").strip().partition(" ")
    if scheme.lower() not in _SCHEMES or not secret.strip():
        raise TokenMissing("Send the secret in the header: Authorization: token <secret>.")
    return secret.strip().encode(errors="surrogateescape")


def _same(sent: bytes, expected: str) -> bool:
    return hmac.compare_digest(sent, expected.encode())
