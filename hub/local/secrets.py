"""Secrets of an installation: made once, in files of their own, each process seeing only its own."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

from hub.errors import InvalidConfiguration
from hub.local.layout import PRIVATE_DIRECTORY, Layout, write_private

_BYTES = 32

INTERNAL = "granary_internal_secret"
KERNEL_HOST = "granary_kernel_host_secret"
OIDC_CLIENT = "granary_oidc_client_secret"
OIDC_SESSION = "granary_oidc_session_secret"
HUB_CRYPT = "granary_hub_crypt_key"
HUB_COOKIE = "granary_hub_cookie_secret"
PROXY = "granary_proxy_token"
CLI = "granary_cli_token"

ALL = (INTERNAL, KERNEL_HOST, OIDC_CLIENT, OIDC_SESSION, HUB_CRYPT, HUB_COOKIE, PROXY, CLI)

KNOWN_BY: Mapping[str, tuple[str, ...]] = {
    "kernelhost": (KERNEL_HOST,),
    "control": (INTERNAL, KERNEL_HOST),
    "bridge": (INTERNAL,),
    "proxy": (PROXY,),
    "oidc": (OIDC_CLIENT, OIDC_SESSION),
    "hub": (INTERNAL, OIDC_CLIENT, HUB_CRYPT, HUB_COOKIE, PROXY, CLI),
}
"""Secrets by process. Nobody else gets a copy."""


def make_secrets(layout: Layout, given: Mapping[str, Path]) -> None:
    """Make the secrets that are missing and hand every process its copies.

    ``given`` names files that hold a secret of somebody else's making.

    Raises
    ------
    InvalidConfiguration
        Such a file holds none.
    """
    values = {name: _keep(layout.secrets_dir / name) for name in ALL}
    values |= {name: _given(path) for name, path in given.items()}
    for process, names in KNOWN_BY.items():
        directory = layout.secrets_of(process)
        directory.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
        for name in names:
            write_private(directory / name, values[name])
        for path in directory.iterdir():
            if path.name not in names:  # an older version let it know more
                path.unlink()


def _keep(path: Path) -> str:
    if not path.exists() or not path.read_text().strip():
        write_private(path, secrets.token_hex(_BYTES))
    return path.read_text().strip()


def _given(path: Path) -> str:
    try:
        value = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidConfiguration(f"{path} cannot be read as a secret.") from error
    if not value:
        raise InvalidConfiguration(f"{path} is empty; it should hold a secret.")
    return value
