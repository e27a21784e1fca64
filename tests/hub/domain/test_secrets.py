"""Derived secrets: bridge, control plane and kernel host have to agree on them for ever."""

from __future__ import annotations

import hashlib
import hmac

from hub.domain.secrets import kernel_secret


def test_the_derivation_is_the_one_hosts_know():
    expected = hmac.new(b"host-secret", b"granary-kernel:k1", hashlib.sha256).hexdigest()
    assert kernel_secret("host-secret", "k1") == expected


def test_each_kernel_and_each_host_has_its_own():
    secrets = {kernel_secret(host, kernel) for host in ("a" * 16, "b" * 16) for kernel in ("k1", "k2")}
    assert len(secrets) == 4
