"""What the control plane expects of any host of kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol


@dataclass(frozen=True)
class Launch:
    """Everything a host needs to start one kernel, all of it decided by policy."""

    kernel_id: str
    """Ours. A host that insists on its own ids answers with another."""
    name: str
    """What the kernel is called, for people who look at the host."""
    argv: Sequence[str]
    """With ``{connection_file}`` where the kernel expects it."""
    environment: Mapping[str, str] = field(repr=False)
    working_directory: str
    home: str
    language: str


class Launcher(Protocol):
    """Starts, watches and stops kernels at one host. Every call is bounded."""

    @property
    def name(self) -> str:
        """The host's name in our books."""

    def host_kernel_id(self, kernel_id: str) -> str | None:
        """The id the host will use, if that is known before it is asked."""

    def address(self, host_kernel_id: str) -> tuple[str, str]:
        """Base URL of the host's API and the secret that opens just this kernel there."""

    async def start(self, launch: Launch) -> str:
        """Ask for a kernel; returns the host's id for it once the host has accepted.

        Raises
        ------
        KernelStartFailed, KernelHostUnavailable
        """

    async def ready(self, host_kernel_id: str, bound: timedelta) -> None:
        """Wait until the kernel answers.

        Raises
        ------
        KernelStartFailed, KernelHostUnavailable
        """

    async def stop(self, host_kernel_id: str) -> None:
        """Stop it; one that is gone already is no error.

        Raises
        ------
        KernelHostUnavailable
        """

    async def list(self) -> frozenset[str]:
        """Ids of all kernels at the host.

        Raises
        ------
        KernelHostUnavailable
        """

    async def aclose(self) -> None: ...
