"""Kinds of values that settings of several processes have in common."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr


def _address(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not (host and colon and port.isdigit() and int(port) < 2**16):
        raise ValueError("write host:port, for example 127.0.0.1:8080")
    return value


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("write an address that begins with http:// or https://, without ? and #")
    return value.rstrip("/")


Address = Annotated[str, AfterValidator(_address)]
"""Where a process listens: ``host:port``."""

Url = Annotated[str, AfterValidator(_url)]
"""Where a process is reached, without a slash at the end."""

Secret = Annotated[SecretStr, Field(min_length=16)]
"""Shared by processes, never by people."""
