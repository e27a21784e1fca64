"""Secrets that are derived, so that nobody has to store or hand them around."""

from __future__ import annotations

import hashlib
import hmac

_KERNEL_LABEL = "granary-kernel:"
"""Keeps this use of a host's secret apart from any other."""


def kernel_secret(host_secret: str, host_kernel_id: str) -> str:
    """The secret that opens exactly one kernel at its host: 64 hexadecimal digits.

    The host derives the same value from its own secret, so neither side stores it,
    and who holds it learns nothing about the host's secret or another kernel's.
    """
    message = f"{_KERNEL_LABEL}{host_kernel_id}".encode()
    return hmac.new(host_secret.encode(), message, hashlib.sha256).hexdigest()
