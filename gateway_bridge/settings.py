"""Settings of the bridge."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from hub.process import ProcessSettings

MAX_PORT = 2**16 - 1


def _address(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not (host and colon and port.isdigit() and int(port) <= MAX_PORT):
        raise ValueError("write host:port, for example 127.0.0.1:8082")
    return value


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("write an address that begins with http:// or https://, without ? and #")
    return value.rstrip("/")


class BridgeSettings(ProcessSettings):
    """Settings of the bridge, ``python -m gateway_bridge.app``."""

    bridge_bind: Annotated[str, AfterValidator(_address)] = Field(
        default="127.0.0.1:8082", description="host:port the bridge listens on; the public proxy leads here."
    )
    control_url: Annotated[str, AfterValidator(_url)] = Field(
        default="http://127.0.0.1:8081", description="Address of the control plane, for this process."
    )
    hub_api_url: Annotated[str, AfterValidator(_url)] = Field(
        description="Address of the hub's REST API, for example http://127.0.0.1:8010/hub/api."
    )
    internal_secret: SecretStr = Field(
        min_length=16, description="Secret shared by our own processes; at least 16 characters."
    )

    @property
    def bind(self) -> tuple[str, int]:
        host, _, port = self.bridge_bind.rpartition(":")
        return host.strip("[]"), int(port)
