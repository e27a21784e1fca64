"""The bridge as a user server sees it: the Jupyter kernels API over HTTP.

Every call is bounded and ends in a value or in a ``Refusal``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from hub.errors import BridgeUnavailable
from spawner.singleuser.refusals import Refusal, refusal_from_answer

CONNECT_TIMEOUT = timedelta(seconds=2)
READ_TIMEOUT = timedelta(seconds=5)
"""For lists, models and kernelspecs."""

START_TIMEOUT = timedelta(seconds=20)
"""For the answer to a start or stop; a start is answered before the kernel is ready."""

RESTART_TIMEOUT = timedelta(seconds=90)
"""A restart is answered when the kernel is ready again."""

ASK_AGAIN_AFTER = timedelta(milliseconds=300)
"""When a start was not answered; a proxy knows of another bridge by then."""

MAX_REQUESTS = 50
"""At once; more wait their turn within their own bound."""

_NO_HEADERS: Mapping[str, str] = {}


class NoAnswer(Refusal):
    """The bridge could not be reached, or not within the bound."""


@dataclass(frozen=True)
class BridgeClient:
    """Calls one team's kernels API at the bridge with the server's own hub token.

    Parameters
    ----------
    base_url
        For example ``http://127.0.0.1:8082/teams/atlas``.
    token
        Sent in the ``Authorization`` header, never in an address.
    """

    base_url: str
    token: str = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"token {self.token}"}

    def channels_url(self, kernel_id: str, session_id: str) -> str:
        """Address of the websocket to a kernel's channels."""
        scheme, rest = self.base_url.split(":", 1)
        path = f"/api/kernels/{quote(kernel_id, safe='')}/channels"
        return f"{scheme.replace('http', 'ws', 1)}:{rest}{path}?session_id={quote(session_id, safe='')}"

    async def kernels(self) -> list[dict[str, Any]]:
        """Models of all the person's running kernels in this team."""
        models = await self._json("GET", "/api/kernels")
        if not isinstance(models, list):
            raise _not_understood()
        return [_model(item) for item in models]

    async def kernel(self, kernel_id: str) -> dict[str, Any]:
        return _model(await self._json("GET", _kernel_path(kernel_id)))

    async def start(self, name: str | None, environment: Mapping[str, str]) -> dict[str, Any]:
        """Start a kernel; answers with its model as soon as the start is accepted.

        Asked once more under the same key if no answer came: a bridge that died while it was
        asked may have started the kernel, and the key leads to that one.
        """
        body: dict[str, Any] = {"env": dict(environment)}
        if name:
            body["name"] = name
        key = {"Idempotency-Key": uuid4().hex}
        try:
            answer = await self._json("POST", "/api/kernels", body, timeout=START_TIMEOUT, headers=key)
        except NoAnswer:
            await asyncio.sleep(ASK_AGAIN_AFTER.total_seconds())
            answer = await self._json("POST", "/api/kernels", body, timeout=START_TIMEOUT, headers=key)
        return _model(answer)

    async def stop(self, kernel_id: str) -> None:
        await self._send("DELETE", _kernel_path(kernel_id), timeout=START_TIMEOUT)

    async def interrupt(self, kernel_id: str) -> None:
        await self._send("POST", _kernel_path(kernel_id) + "/interrupt", {}, timeout=START_TIMEOUT)

    async def restart(self, kernel_id: str) -> None:
        """Restart a kernel; returns when it is ready again."""
        await self._send("POST", _kernel_path(kernel_id) + "/restart", {}, timeout=RESTART_TIMEOUT)

    async def kernelspecs(self) -> dict[str, Any]:
        """``{"default": name, "kernelspecs": {name: …}}`` of the team."""
        body = await self._json("GET", "/api/kernelspecs")
        if not isinstance(body, dict) or not isinstance(body.get("kernelspecs"), dict):
            raise _not_understood()
        return body

    async def kernelspec_resource(self, name: str, path: str) -> bytes:
        """A file of a kernelspec, such as its logo."""
        return await self._send("GET", f"/kernelspecs/{quote(name, safe='')}/{quote(path)}")

    async def _json(self, method: str, path: str, body: object = None, **kwargs: Any) -> Any:
        content = await self._send(method, path, body, **kwargs)
        try:
            return json.loads(content)
        except ValueError as error:
            raise _not_understood() from error

    async def _send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        timeout: timedelta = READ_TIMEOUT,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> bytes:
        request = HTTPRequest(
            self.base_url + path,
            method=method,
            headers={**self.headers, **headers}
            | ({} if body is None else {"Content-Type": "application/json"}),
            body=None if body is None else json.dumps(body),
            connect_timeout=min(CONNECT_TIMEOUT, timeout).total_seconds(),
            request_timeout=timeout.total_seconds(),
            follow_redirects=False,
        )
        try:
            response = await _http().fetch(request, raise_error=False)
        except (OSError, HTTPClientError) as error:
            raise NoAnswer(unavailable("is not answering")) from error
        if response.code >= 300:  # a redirect is no answer of a bridge either
            raise refusal_from_answer(response.code, response.body or b"")
        return response.body or b""


def unavailable(what: str) -> BridgeUnavailable:
    """The bridge ``what``; says what that means for the person."""
    return BridgeUnavailable(
        f"The kernel bridge {what}. Running kernels are not affected; try again in a moment."
    )


def _http() -> SimpleAsyncHTTPClient:
    # One per event loop; named, because AsyncHTTPClient.configure may choose another for everybody else.
    return SimpleAsyncHTTPClient(max_clients=MAX_REQUESTS)


def _kernel_path(kernel_id: str) -> str:
    return f"/api/kernels/{quote(kernel_id, safe='')}"


def _model(value: object) -> dict[str, Any]:
    if not isinstance(value, dict) or not isinstance(value.get("id"), str):
        raise _not_understood()
    return value


def _not_understood() -> Refusal:
    return Refusal(unavailable("answered in a form that is not understood"))
