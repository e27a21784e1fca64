"""Kernels at a Jupyter kernels API: the Granary kernel host."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from hub.domain.secrets import kernel_secret
from hub.errors import GranaryError, KernelHostUnavailable, KernelStartFailed
from hub.launchers.base import Launch
from hub.wire import HostKernel, HostLaunch, error_from_body

CONNECT_TIMEOUT = timedelta(seconds=1)

CALL_TIMEOUT = timedelta(seconds=5)
"""For anything but waiting for a kernel; a host answers a start once the process exists."""

STOP_TIMEOUT = timedelta(seconds=8)
"""A host asks a kernel to end before it kills it."""

READY_MARGIN = timedelta(seconds=3)
"""What an answer may take beyond the bound that the host itself was given."""

_GONE = 404
_ListedKernels = TypeAdapter(list[HostKernel])


class JupyterEndpointLauncher:
    """Drives one Granary kernel host, which lets us choose ids and derive secrets.

    A foreign Jupyter gateway speaks the same routes but chooses ids itself: such a
    launcher answers None in ``host_kernel_id`` and returns the id from ``start``.
    """

    def __init__(self, name: str, url: str, secret: str) -> None:
        self.name = name
        self._url = url.rstrip("/")
        self._secret = secret
        self._http = httpx.AsyncClient(
            base_url=f"{self._url}/api",
            headers={"Authorization": f"token {secret}"},
            trust_env=False,
            timeout=_bounds(CALL_TIMEOUT),
            limits=httpx.Limits(max_connections=50, max_keepalive_connections=10),
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    def host_kernel_id(self, kernel_id: str) -> str | None:
        return kernel_id

    def address(self, host_kernel_id: str) -> tuple[str, str]:
        return self._url, kernel_secret(self._secret, host_kernel_id)

    async def start(self, launch: Launch) -> str:
        body = HostLaunch(
            name=launch.name,
            kernel_id=launch.kernel_id,
            argv=list(launch.argv),
            env=dict(launch.environment),
            cwd=launch.working_directory,
            home=launch.home,
            language=launch.language,
        )
        response = await self._send("POST", "/kernels", json=body.model_dump())
        if response.is_error:
            raise _start_failed(response)
        try:
            return HostKernel.model_validate_json(response.content).id
        except ValidationError as error:
            raise self._misunderstood() from error

    async def ready(self, host_kernel_id: str, bound: timedelta) -> None:
        response = await self._send(
            "GET",
            f"/kernels/{quote(host_kernel_id, safe='')}/ready",
            params={"timeout": str(bound.total_seconds())},
            timeout=_bounds(bound + READY_MARGIN),
        )
        if response.is_error:
            raise _start_failed(response)

    async def stop(self, host_kernel_id: str) -> None:
        response = await self._send(
            "DELETE", f"/kernels/{quote(host_kernel_id, safe='')}", timeout=_bounds(STOP_TIMEOUT)
        )
        if response.is_error and response.status_code != _GONE:
            raise self._unavailable(f"could not stop the kernel (it answered {response.status_code})")

    async def list(self) -> frozenset[str]:
        response = await self._send("GET", "/kernels")
        if response.is_error:
            raise self._unavailable(f"answered {response.status_code}")
        try:
            return frozenset(kernel.id for kernel in _ListedKernels.validate_json(response.content))
        except ValidationError as error:
            raise self._misunderstood() from error

    async def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            return await self._http.request(method, path, **arguments)
        except httpx.TimeoutException as error:
            raise self._unavailable("is not answering in time") from error
        except httpx.TransportError as error:
            raise self._unavailable("is not reachable") from error

    def _misunderstood(self) -> KernelHostUnavailable:
        return self._unavailable("answered in a form that is not understood")

    def _unavailable(self, what: str) -> KernelHostUnavailable:
        return KernelHostUnavailable(
            f"The kernel host {self.name} {what}. Running kernels are left as they are; "
            "try again in a moment.",
            host=self.name,
        )


def _start_failed(response: httpx.Response) -> GranaryError:
    """What a host's refusal means for whoever wanted the kernel."""
    fallback = KernelStartFailed(f"The kernel host refused to start the kernel ({response.status_code}).")
    try:
        error = error_from_body(response.json(), fallback)
    except ValueError:
        return fallback
    if isinstance(error, (KernelStartFailed, KernelHostUnavailable)):
        return error
    return KernelStartFailed(
        f"The kernel host refused to start the kernel: {error.message}", cause=error.code
    )


def _bounds(total: timedelta) -> httpx.Timeout:
    return httpx.Timeout(total.total_seconds(), connect=CONNECT_TIMEOUT.total_seconds())
