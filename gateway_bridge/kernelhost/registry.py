"""All kernels of one host."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta

from gateway_bridge.kernelhost.incarnation import Surroundings
from gateway_bridge.kernelhost.kernel import Kernel
from gateway_bridge.kernelhost.launch import CheckedLaunch
from gateway_bridge.kernelhost.leftovers import RuntimeDir, remove_kernel_dir
from gateway_bridge.kernelhost.sessions import CloseCode, Limits
from hub.errors import KernelHostUnavailable, KernelStartFailed, RunningKernelExists, RunningKernelNotFound

TIDY_EVERY = timedelta(minutes=1)

DEAD_KEPT_FOR = timedelta(minutes=10)
"""A dead kernel can be asked why it died, and be restarted, for this long."""


class Registry:
    """Kernels by id.

    Parameters
    ----------
    started_at
        Of the host; what the last activity is before there was any.
    """

    def __init__(
        self,
        runtime_dir: RuntimeDir,
        surroundings: Surroundings,
        limits: Limits,
        ready_within: timedelta,
    ) -> None:
        self.started_at = surroundings.clock()
        self._runtime_dir = runtime_dir
        self._surroundings = surroundings
        self._limits = limits
        self._ready_within = ready_within
        self._kernels: dict[str, Kernel] = {}
        self._last_activity = self.started_at
        self._stopping = False

    def __iter__(self) -> Iterator[Kernel]:
        return iter(list(self._kernels.values()))

    def __len__(self) -> int:
        return len(self._kernels)

    @property
    def last_activity(self) -> datetime:
        """Of any kernel, ended ones included."""
        return max([self._last_activity, *(kernel.last_activity for kernel in self._kernels.values())])

    def get(self, kernel_id: str) -> Kernel:
        """Raises ``RunningKernelNotFound``."""
        kernel = self._kernels.get(kernel_id)
        if kernel is None:
            raise RunningKernelNotFound(f"Kernel does not exist: {kernel_id}")
        return kernel

    async def start(self, launch: CheckedLaunch) -> Kernel:
        """Start a kernel; returns once its process exists.

        Raises
        ------
        RunningKernelExists, KernelStartFailed, KernelHostUnavailable
        """
        if self._stopping:
            raise KernelHostUnavailable("The kernel host is stopping.")
        if launch.kernel_id in self._kernels:
            raise RunningKernelExists("A kernel with this id exists already.")
        try:
            kernel_dir = self._runtime_dir.new_kernel_dir()
        except OSError as error:
            raise KernelStartFailed(f"The kernel host cannot write its files: {error}.") from error
        kernel = Kernel(launch, kernel_dir, self._surroundings, self._limits, self._ready_within)
        self._kernels[kernel.id] = kernel
        try:
            await kernel.start()
        except BaseException:
            self._forget(kernel)
            remove_kernel_dir(kernel_dir)
            raise
        return kernel

    async def stop(self, kernel_id: str) -> None:
        """Stop a kernel. Raises ``RunningKernelNotFound``."""
        kernel = self.get(kernel_id)
        await kernel.stop()
        self._forget(kernel)

    async def stop_all(self) -> None:
        """Stop everything at once and accept nothing new."""
        self._stopping = True
        for kernel in self._kernels.values():
            kernel.close_links(CloseCode.GOING_AWAY, "The kernel host is stopping.")
        await asyncio.gather(*(kernel.stop() for kernel in self._kernels.values()))
        self._kernels.clear()

    async def keep_tidy(self) -> None:
        """Forget old sessions and kernels that have been dead for long, for ever."""
        while True:
            await asyncio.sleep(TIDY_EVERY.total_seconds())
            oldest = self._surroundings.clock() - DEAD_KEPT_FOR
            for kernel in list(self._kernels.values()):
                kernel.forget_old_sessions()
                if kernel.dead_since is not None and kernel.dead_since < oldest:
                    await self.stop(kernel.id)

    def _forget(self, kernel: Kernel) -> None:
        self._last_activity = max(self._last_activity, kernel.last_activity)
        if self._kernels.get(kernel.id) is kernel:
            del self._kernels[kernel.id]
