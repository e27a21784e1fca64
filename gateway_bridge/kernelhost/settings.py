"""Settings of the kernel host."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from hub.process import ProcessSettings

MAX_PORT = 2**16 - 1
MEBIBYTE = 2**20


def _address(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not (host and colon and port.isdigit() and int(port) <= MAX_PORT):
        raise ValueError("write host:port, for example 127.0.0.1:8083")
    return value


def _seconds(value: object) -> object:
    """A plain number of seconds, as people write it in a variable."""
    try:
        return timedelta(seconds=float(value)) if isinstance(value, str) else value
    except (ValueError, OverflowError):
        raise ValueError("write a number of seconds, for example 60") from None


Seconds = Annotated[timedelta, BeforeValidator(_seconds), Field(gt=timedelta(0))]


class KernelHostSettings(ProcessSettings):
    """Settings of the kernel host, ``python -m gateway_bridge.kernelhost.app``."""

    kernel_host_bind: Annotated[str, AfterValidator(_address)] = Field(
        default="127.0.0.1:8083", description="host:port the kernel host listens on; keep it off the network."
    )
    runtime_dir: Path = Field(
        description="Directory of connection files and sockets, this host's own: a short path, mode 0700."
    )
    kernel_host_secret: SecretStr = Field(
        min_length=16, description="Opens the kernel host; the secret of each kernel is derived from it."
    )
    kernel_ready_within: Seconds = Field(
        default=timedelta(seconds=60),
        description="Seconds a kernel may take from its start to its first answer.",
    )
    kept_output_bytes: int = Field(
        default=16 * MEBIBYTE,
        ge=MEBIBYTE,
        description="Bytes of output kept for a session that is not connected; older output is dropped.",
    )
    connected_output_bytes: int = Field(
        default=128 * MEBIBYTE,
        ge=MEBIBYTE,
        description="Bytes of output kept for a session that reads too slowly; older output is dropped.",
    )
    kept_output_for: Seconds = Field(
        default=timedelta(hours=12),
        description="Seconds a session that is not connected is remembered with its output.",
    )

    @property
    def bind(self) -> tuple[str, int]:
        """Address and port to listen on."""
        host, _, port = self.kernel_host_bind.rpartition(":")
        return host.strip("[]"), int(port)
