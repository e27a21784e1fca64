"""Kernel hosts as the bridge calls them: one kernel at a time, with that kernel's secret.

Only addresses of grants are dialled; redirects are not followed and no proxy from
the environment is used.
"""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from gateway_bridge.handshake import Upgrade, answer_to_client, host_address, request_to_host
from gateway_bridge.http1 import AnswerHead, parse_answer
from gateway_bridge.rules import no_such_kernel
from gateway_bridge.stream import HttpStream
from hub.domain.running import Grant
from hub.errors import Failed, GranaryError, Invalid, KernelHostUnavailable, TooLarge, Unavailable
from hub.wire import HostKernel, error_from_body

CONNECT_TIMEOUT = timedelta(seconds=2)
READ_TIMEOUT = timedelta(seconds=5)
"""For a kernel's model."""
INTERRUPT_TIMEOUT = timedelta(seconds=10)
RESTART_TIMEOUT = timedelta(seconds=60)
"""The host answers once the kernel is ready again."""
READY_TIMEOUT = timedelta(seconds=65)
"""For the channels: the host itself gives a starting kernel 60 seconds, and says so when they are over."""

MAX_ANSWER_BYTES = 1024 * 1024


class Hosts:
    """A small client of kernel hosts: bounded in time and size, errors of our own tree."""

    def __init__(self) -> None:
        self._http = httpx.AsyncClient(
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=500, max_keepalive_connections=100),
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    async def model(self, grant: Grant) -> HostKernel:
        """How the kernel is doing. Raises ``RunningKernelNotFound`` or ``KernelHostUnavailable``."""
        content = await self._call(grant, "GET", "", READ_TIMEOUT)
        try:
            return HostKernel.model_validate_json(content)
        except ValidationError as error:
            raise _unavailable("answered in a form that is not understood") from error

    async def interrupt(self, grant: Grant) -> None:
        """Interrupt what the kernel is doing."""
        await self._call(grant, "POST", "/interrupt", INTERRUPT_TIMEOUT)

    async def restart(self, grant: Grant) -> None:
        """Restart the kernel; returns once it is ready. Raises ``KernelStartFailed``."""
        await self._call(grant, "POST", "/restart", RESTART_TIMEOUT)

    async def dial(self, grant: Grant, upgrade: Upgrade) -> tuple[HttpStream, bytes]:
        """Open the kernel's channels; waits until the kernel is ready.

        Returns
        -------
        tuple
            The connection, its handshake done, and our answer to the client.

        Raises
        ------
        RunningKernelNotFound, KernelStartFailed, KernelHostUnavailable
        """
        address = host_address(grant)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT.total_seconds()):
                _, stream = await loop.create_connection(HttpStream, address.host, address.port)
        except (OSError, TimeoutError) as error:
            raise _unavailable("is not answering") from error
        try:
            return stream, await _shake_hands(stream, grant, upgrade)
        except BaseException:
            stream.transport.abort()
            raise

    async def _call(self, grant: Grant, method: str, path: str, timeout: timedelta) -> bytes:
        address = host_address(grant)
        kernel = quote(grant.host_kernel_id, safe="")
        url = f"http://{address.authority}{address.path}/api/kernels/{kernel}{path}"
        headers = {"Authorization": f"token {grant.secret}"}
        limits = httpx.Timeout(timeout.total_seconds(), connect=CONNECT_TIMEOUT.total_seconds())
        try:
            async with (
                asyncio.timeout(timeout.total_seconds()),
                self._http.stream(method, url, headers=headers, timeout=limits) as response,
            ):
                content = await _bounded(response)
        except (httpx.HTTPError, TimeoutError) as error:
            raise _unavailable("is not answering") from error
        if not response.is_success:
            raise _refusal(response.status_code, _json(content))
        return content


async def _shake_hands(stream: HttpStream, grant: Grant, upgrade: Upgrade) -> bytes:
    stream.transport.write(request_to_host(upgrade, grant))
    answer = await _answer_head(stream)
    if answer.status != httpx.codes.SWITCHING_PROTOCOLS:
        raise _refusal(answer.status, await _error_body(stream, answer))
    return answer_to_client(upgrade, answer)


async def _answer_head(stream: HttpStream) -> AnswerHead:
    try:
        block = await stream.head(first_byte_within=READY_TIMEOUT, rest_within=READ_TIMEOUT)
        if block is None:
            raise _unavailable("closed the connection, or the kernel did not become ready in time")
        return parse_answer(block)
    except Invalid as error:
        raise _unavailable("does not speak HTTP as expected") from error


async def _error_body(stream: HttpStream, answer: AnswerHead) -> Any:
    length = answer.headers.get("content-length")
    if length is None or int(length) > MAX_ANSWER_BYTES:
        return None
    try:
        return _json(await stream.body(int(length), within=READ_TIMEOUT))
    except Invalid:
        return None


async def _bounded(response: httpx.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise _unavailable("answered with more than it should")
    return bytes(content)


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _refusal(status: int, body: Any) -> GranaryError:
    """What a host's error means to the person: only failures and waits are passed on as they are.

    A host that refuses our secret is broken, not the person's token.
    """
    if status == httpx.codes.NOT_FOUND:
        return no_such_kernel()
    fallback = _unavailable(f"answered {status}")
    try:
        error = error_from_body(body, fallback)
    except ValidationError:
        return fallback
    return error if isinstance(error, Failed | Unavailable | TooLarge) else fallback


def _unavailable(what: str) -> KernelHostUnavailable:
    return KernelHostUnavailable(f"The kernel's host {what}. Try again in a moment.")
