"""Which ports an installation uses: the public one as asked, the internal ones as they are free."""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection, Mapping

from hub.errors import InvalidConfiguration, PortInUse
from hub.local.plan import INTERNAL_PORTS, LOOPBACK


def is_free(host: str, port: int) -> bool:
    """Whether one could listen there now.

    Raises
    ------
    InvalidConfiguration
        ``host`` is no address of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise _no_address(host) from error
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except PermissionError as error:
            raise InvalidConfiguration(
                f"Port {port} may not be used by this account. Choose one above 1023 with --port."
            ) from error
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise _no_address(host) from error
            return False
    return True


def require_free(host: str, port: int) -> None:
    """Raises ``PortInUse``."""
    if not is_free(host, port):
        raise PortInUse(
            f"Port {port} on {host} is used by another program. "
            "Choose another one with --port, or stop that program.",
            port=port,
        )


def choose_internal(remembered: Mapping[str, int], in_use_by_us: Collection[str]) -> dict[str, int]:
    """Internal ports by name: the remembered ones where they are free or still ours, else new ones."""
    chosen: dict[str, int] = {}
    for name in INTERNAL_PORTS:
        port = remembered.get(name)
        keep = port is not None and port not in chosen.values()
        if port is None or not keep or not (name in in_use_by_us or is_free(LOOPBACK, port)):
            port = _any_free(chosen.values())
        chosen[name] = port
    return chosen


def _any_free(taken: Collection[int]) -> int:
    while True:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port: int = probe.getsockname()[1]
        if port not in taken:
            return port


def _no_address(host: str) -> InvalidConfiguration:
    return InvalidConfiguration(
        f"{host} is no address of this machine. "
        "Use --host 127.0.0.1 for this machine only, or one of its addresses."
    )
