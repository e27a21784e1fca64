"""Kernel hosts in memory, named after what goes wrong with them, and a builder that builds nothing."""

from __future__ import annotations

import asyncio
import hashlib
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from hub.artifacts.manifest import EnvironmentSource
from hub.domain.kernels import Package
from hub.errors import BuildFailed, KernelHostUnavailable, KernelStartFailed
from hub.launchers.base import Launch


class HostInMemory:
    """Keeps what it is given. ``kernels`` can be changed behind everybody's back."""

    name = "local"

    def __init__(self) -> None:
        self.kernels: dict[str, Launch] = {}
        self.stopped: list[str] = []
        self.down = False

    def host_kernel_id(self, kernel_id: str) -> str | None:
        return kernel_id

    def address(self, host_kernel_id: str) -> tuple[str, str]:
        return "http://127.0.0.1:1", f"secret-of-{host_kernel_id}"

    async def start(self, launch: Launch) -> str:
        self._check()
        self.kernels[launch.kernel_id] = launch
        return launch.kernel_id

    async def ready(self, host_kernel_id: str, bound: timedelta) -> None:
        self._check()

    async def stop(self, host_kernel_id: str) -> None:
        self._check()
        self.stopped.append(host_kernel_id)
        self.kernels.pop(host_kernel_id, None)

    async def list(self) -> frozenset[str]:
        self._check()
        return frozenset(self.kernels)

    async def aclose(self) -> None: ...

    def _check(self) -> None:
        if self.down:
            raise KernelHostUnavailable("The kernel host local is not reachable.")


class HostThatRefuses(HostInMemory):
    """Answers every start with a reason."""

    async def start(self, launch: Launch) -> str:
        raise KernelStartFailed("The interpreter is missing.")


class HostWhoseAnswerIsLost(HostInMemory):
    """Starts the kernel, but the caller never hears of it."""

    async def start(self, launch: Launch) -> str:
        await super().start(launch)
        raise KernelHostUnavailable("The kernel host local is not answering in time.")


class HostWhereKernelsNeverAnswer(HostInMemory):
    async def ready(self, host_kernel_id: str, bound: timedelta) -> None:
        raise KernelStartFailed("The kernel ended: no module named ipykernel.")


class HostThatTakesItsTime(HostInMemory):
    """Starts only when ``go`` is set; ``asked`` says that somebody waits."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()
        self.asked = asyncio.Event()

    async def start(self, launch: Launch) -> str:
        self.asked.set()
        await self.go.wait()
        return await super().start(launch)


class Resolved:
    """As a builder's answer: the digest is that of the requirements."""

    def __init__(self, environment: EnvironmentSource) -> None:
        text = "\n".join(environment.requirements)
        self.digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
        self.python_version = "3.11.7"
        names = [requirement.partition("==") for requirement in environment.requirements]
        self.packages = tuple(Package(name, version) for name, _, version in names)


class OwnInterpreter:
    """Builds nothing: every release runs the interpreter of the tests. Counts what it was asked."""

    def __init__(self) -> None:
        self.built: list[str] = []

    def resolve(self, environment: EnvironmentSource, progress: Callable[[str], None]) -> Resolved:
        progress("Chose versions")
        return Resolved(environment)

    def build(self, resolved: Resolved, progress: Callable[[str], None]) -> Path:
        self.built.append(resolved.digest)
        return Path(sys.prefix)

    def launch_argv(self, digest: str) -> list[str]:
        return [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]

    def close(self) -> None: ...


class BuilderThatFails(OwnInterpreter):
    def build(self, resolved: Resolved, progress: Callable[[str], None]) -> Path:
        raise BuildFailed("Could not install the packages: no space left.", output=["no space left"])


class BuilderWithADefect(OwnInterpreter):
    def resolve(self, environment: EnvironmentSource, progress: Callable[[str], None]) -> Resolved:
        raise ZeroDivisionError


class BuilderThatTakesItsTime(OwnInterpreter):
    """Builds only when ``go`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def build(self, resolved: Resolved, progress: Callable[[str], None]) -> Path:
        progress("Downloading pandas")
        assert self.go.wait(30)
        return super().build(resolved, progress)
