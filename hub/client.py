"""The control plane as the bridge and the spawner see it.

Every call has a total bound and ends in a value or in one of ``hub.errors``; an
``httpx`` exception never leaves this module.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from hub.domain.running import Grant
from hub.errors import ControlPlaneUnavailable, GranaryError, Unauthenticated
from hub.wire import (
    Body,
    GrantBody,
    GrantedKernelBody,
    GrantedKernelsBody,
    KernelChoicesBody,
    SpawnPolicyBody,
    SpawnPolicyRequest,
    StartRequest,
    error_from_body,
)

START_TIMEOUT = timedelta(seconds=10)
"""For the answer to a start: the host forks a process before it accepts."""

READ_TIMEOUT = timedelta(seconds=1)
"""For everything else the bridge waits on (ARCHITECTURE: one second, then fail visibly)."""

CONNECT_TIMEOUT = timedelta(seconds=1)
"""A control plane that is down refuses a start within this."""

T = TypeVar("T", bound=Body)


class InternalClient:
    """Calls ``/internal/v1`` of the control plane with the secret our processes share.

    Parameters
    ----------
    base_url
        For example ``http://127.0.0.1:8081``; not routed by the public proxy.
    secret
        Sent as a bearer token.
    """

    def __init__(self, base_url: str, secret: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=f"{base_url.rstrip('/')}/internal/v1",
            headers={"Authorization": f"Bearer {secret}"},
            trust_env=False,
            limits=httpx.Limits(max_connections=100, max_keepalive_connections=20),
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    async def choices(self, team: str) -> KernelChoicesBody:
        """What ``team`` may start. Raises ``TeamNotFound`` or ``ControlPlaneUnavailable``."""
        return await self._call(KernelChoicesBody, "GET", f"/teams/{quote(team, safe='')}/kernel-choices")

    async def start(self, team: str, request: StartRequest) -> GrantedKernelBody:
        """Start a kernel; returns as soon as its host accepted it.

        Raises
        ------
        NotEntitled, KernelNotFound, ReleaseNotStartable, KernelStartFailed,
        KernelHostUnavailable, ControlPlaneUnavailable
        """
        path = f"/teams/{quote(team, safe='')}/running-kernels"
        return await self._call(GrantedKernelBody, "POST", path, json=request, timeout=START_TIMEOUT)

    async def running(self, team: str, person: str) -> list[GrantedKernelBody]:
        """The person's kernels in ``team`` that have not ended."""
        path = f"/teams/{quote(team, safe='')}/running-kernels"
        body = await self._call(GrantedKernelsBody, "GET", path, params={"person": person})
        return body.kernels

    async def grant(self, kernel_id: str) -> Grant:
        """The way to reach a kernel, whoever owns it. Raises ``RunningKernelNotFound``."""
        path = f"/running-kernels/{quote(kernel_id, safe='')}/grant"
        return (await self._call(GrantBody, "GET", path)).to_domain()

    async def stop(self, kernel_id: str, person: str) -> None:
        """Stop a kernel on its owner's wish; an ended one is no error."""
        path = f"/running-kernels/{quote(kernel_id, safe='')}"
        await self._send("DELETE", path, params={"person": person}, timeout=START_TIMEOUT)

    async def spawn_policy(self, person: str, groups: list[str]) -> SpawnPolicyBody:
        """What a member of these hub groups may spawn."""
        path = f"/people/{quote(person, safe='')}/spawn-policy"
        return await self._call(SpawnPolicyBody, "POST", path, json=SpawnPolicyRequest(groups=groups))

    async def _call(self, model: type[T], method: str, path: str, **kwargs: Any) -> T:
        response = await self._send(method, path, **kwargs)
        try:
            return model.model_validate_json(response.content)
        except ValidationError as error:
            raise _unavailable(
                "answered in a form that is not understood; are both of the same version?"
            ) from error

    async def _send(
        self,
        method: str,
        path: str,
        *,
        json: Body | None = None,
        params: dict[str, str] | None = None,
        timeout: timedelta = READ_TIMEOUT,
    ) -> httpx.Response:
        limits = httpx.Timeout(timeout.total_seconds(), connect=CONNECT_TIMEOUT.total_seconds())
        content = None if json is None else json.model_dump_json()
        headers = {} if content is None else {"Content-Type": "application/json"}
        try:
            response = await self._http.request(
                method, path, content=content, params=params, headers=headers, timeout=limits
            )
        except httpx.TransportError as error:
            raise _unavailable("is not answering") from error
        if response.is_error:
            raise _refusal(response)
        return response


def _refusal(response: httpx.Response) -> GranaryError:
    fallback = _unavailable(f"answered {response.status_code}")
    try:
        error = error_from_body(response.json(), fallback)
    except ValueError:
        return fallback
    # It is our secret that was refused; the person whose request this is must not be told to log in.
    return fallback if isinstance(error, Unauthenticated) else error


def _unavailable(what: str) -> ControlPlaneUnavailable:
    return ControlPlaneUnavailable(
        f"The Granary control plane {what}. Running kernels are not affected; try again in a moment."
    )
