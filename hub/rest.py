"""The public REST API for programs that wait: the command line, scripts, the local deployment.

Every call is bounded in time and size and ends in a value or in one of
``hub.errors``; an ``httpx`` exception never leaves this module.
"""

from __future__ import annotations

import json as jsonlib
import time
from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlsplit

import httpx
from pydantic import ValidationError

from hub.api.bodies import (
    ChannelBody,
    ChannelRequest,
    EntitlementBody,
    EntitlementRequest,
    KernelBody,
    KernelsBody,
    MeBody,
    PublicationBody,
    ReleaseBody,
    RunningKernelsBody,
)
from hub.errors import ControlPlaneUnavailable, GranaryError, PublicationTimedOut, Unavailable
from hub.wire import Body, RunningKernelBody, error_from_body

API_PATH = "/services/granary/api/v1"

CONNECT_TIMEOUT = timedelta(seconds=5)
CALL_TIMEOUT = timedelta(seconds=30)
"""For a whole call. Stopping a kernel takes longest."""

PUBLICATION_TIMEOUT = timedelta(minutes=65)
"""For following a publication: the control plane's own bounds end it earlier."""

FOLLOW_INTERVAL = timedelta(milliseconds=500)
"""Between two looks at a publication under way."""

PATIENCE = timedelta(seconds=60)
"""For a control plane that stops answering while a publication is followed."""

MAX_ANSWER_BYTES = 32 * 2**20

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

T = TypeVar("T", bound=Body)


class RestClient:
    """Calls the public REST API with somebody's hub token. Use as a context manager.

    Parameters
    ----------
    url
        Where people find the hub, for example ``http://127.0.0.1:8000``.
    token
        A token of JupyterHub; what it may do is what these calls may do.
    """

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=f"{self.url}{API_PATH}",
            headers={"Authorization": f"token {token}"},
            timeout=httpx.Timeout(CALL_TIMEOUT.total_seconds(), connect=CONNECT_TIMEOUT.total_seconds()),
            # A proxy for the way out has no business between two processes of one machine.
            trust_env=urlsplit(self.url).hostname not in _LOOPBACK,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    # -- who and what ------------------------------------------------------------------

    def me(self) -> MeBody:
        """Whose token this is and what it may do."""
        return self._call(MeBody, "GET", "/me")

    def kernels(self) -> KernelsBody:
        """The kernels one may see."""
        return self._call(KernelsBody, "GET", "/kernels")

    def kernel(self, kernel: str) -> KernelBody:
        """Raises ``KernelNotFound``."""
        return self._call(KernelBody, "GET", _path("kernels", kernel))

    def release(self, kernel: str, version: str) -> ReleaseBody:
        """A release with its packages. Raises ``KernelNotFound``, ``ReleaseNotFound``."""
        return self._call(ReleaseBody, "GET", _path("kernels", kernel, "releases", version))

    # -- publishing ----------------------------------------------------------------------

    def publish(self, manifest: Mapping[str, Any]) -> PublicationBody:
        """Begin to publish a release; content that is published already is answered at once.

        Raises
        ------
        InvalidManifest, NotTeamAdmin, ReleaseExists, PublicationUnderWay, PublishingBusy
        """
        path = _path("kernels", str(manifest.get("kernel") or "-"), "releases")
        return self._call(PublicationBody, "POST", path, json=jsonlib.dumps(manifest))

    def publication(self, publication_id: str) -> PublicationBody:
        """Raises ``PublicationNotFound``."""
        return self._call(PublicationBody, "GET", _path("publications", publication_id))

    def follow(self, begun: PublicationBody) -> Iterator[PublicationBody]:
        """A publication as it goes on, until it is finished; the last one yielded is.

        A control plane that is away for less than ``PATIENCE`` is waited for.

        Raises
        ------
        PublicationTimedOut, Unavailable
        """
        deadline = time.monotonic() + PUBLICATION_TIMEOUT.total_seconds()
        last_answer = time.monotonic()
        seen = begun
        yield seen
        while not seen.state.finished:
            if time.monotonic() > deadline:
                raise PublicationTimedOut(
                    f"The publication {begun.id} has not ended within {PUBLICATION_TIMEOUT}. "
                    "It may still; publish the same manifest again to see.",
                    publication=begun.id,
                )
            time.sleep(FOLLOW_INTERVAL.total_seconds())
            try:
                seen = self.publication(begun.id)
            except Unavailable:
                if time.monotonic() - last_answer > PATIENCE.total_seconds():
                    raise
                continue
            last_answer = time.monotonic()
            yield seen

    # -- governing -----------------------------------------------------------------------

    def set_channel(self, kernel: str, channel: str, version: str, *, reason: str = "") -> ChannelBody:
        """Point a channel at a release. Raises ``KernelNotFound``, ``ReleaseNotFound``, ``NotTeamAdmin``."""
        wanted = ChannelRequest(version=version, reason=reason)
        path = _path("kernels", kernel, "channels", channel)
        return self._call(ChannelBody, "PUT", path, json=wanted.model_dump_json())

    def remove_channel(self, kernel: str, channel: str, *, reason: str = "") -> None:
        """Remove a channel; its release stays. Raises ``ChannelNotFound``, ``NotTeamAdmin``."""
        self._send("DELETE", _path("kernels", kernel, "channels", channel), params={"reason": reason})

    def entitle(
        self, kernel: str, team: str, channels: Collection[str], *, reason: str = ""
    ) -> EntitlementBody:
        """Let a team use exactly these channels of a kernel. Raises ``TeamNotFound``, ``NotTeamAdmin``."""
        wanted = EntitlementRequest(channels=list(channels), reason=reason)
        path = _path("kernels", kernel, "entitlements", team)
        return self._call(EntitlementBody, "PUT", path, json=wanted.model_dump_json())

    def disentitle(self, kernel: str, team: str, *, reason: str = "") -> None:
        """Take a kernel away from a team. Raises ``EntitlementNotFound``, ``NotTeamAdmin``."""
        self._send("DELETE", _path("kernels", kernel, "entitlements", team), params={"reason": reason})

    # -- running kernels -------------------------------------------------------------------

    def running(self, team: str | None = None) -> list[RunningKernelBody]:
        """One's own running kernels, or all of a team for its admins."""
        params = {} if team is None else {"team": team}
        return self._call(RunningKernelsBody, "GET", "/running-kernels", params=params).kernels

    def stop(self, kernel_id: str) -> None:
        """Stop a running kernel. Raises ``RunningKernelNotFound``."""
        self._send("DELETE", _path("running-kernels", kernel_id))

    # -- the wire --------------------------------------------------------------------------

    def _call(self, model: type[T], method: str, path: str, **kwargs: Any) -> T:
        content = self._send(method, path, **kwargs)
        try:
            return model.model_validate_json(content)
        except ValidationError as error:
            raise ControlPlaneUnavailable(
                f"What answers at {self.url} is not understood. Is it Granary, and of the same version?"
            ) from error

    def _send(
        self, method: str, path: str, *, json: str | None = None, params: Mapping[str, str] | None = None
    ) -> bytes:
        headers = {} if json is None else {"Content-Type": "application/json"}
        deadline = time.monotonic() + CALL_TIMEOUT.total_seconds()
        try:
            with self._http.stream(method, path, content=json, params=params, headers=headers) as response:
                content = _read(response, deadline)
        except (httpx.TransportError, httpx.DecodingError, httpx.InvalidURL) as error:
            raise ControlPlaneUnavailable(
                f"Granary does not answer at {self.url}. If it runs on this machine, see `granary status`."
            ) from error
        if not response.is_success:
            raise self._refusal(response.status_code, content)
        return content

    def _refusal(self, status: int, content: bytes) -> GranaryError:
        fallback = ControlPlaneUnavailable(
            f"The Granary control plane is not answering behind {self.url} (status {status}). "
            "If the address is right, try again in a moment."
        )
        try:
            return error_from_body(jsonlib.loads(content), fallback)
        except (ValueError, RecursionError):
            return fallback


def _read(response: httpx.Response, deadline: float) -> bytes:
    """The whole answer, unless it is too large or trickles in too slowly."""
    content = bytearray()
    for part in response.iter_bytes():
        content += part
        if len(content) > MAX_ANSWER_BYTES:
            raise httpx.ReadError(f"more than {MAX_ANSWER_BYTES} bytes")
        if time.monotonic() > deadline:
            raise httpx.ReadTimeout("the answer trickles in")
    return bytes(content)


def _path(*parts: str) -> str:
    """Each part is one segment, whatever is in it."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)
