"""Jupyter's kernel and session routes, with refusals in our words and with their own status.

Loaded through ``ServerApp.extra_services``, so these answer before Jupyter's own.
"""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any, cast

from jupyter_core.utils import ensure_async
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.services.kernels import handlers as kernels
from jupyter_server.services.kernels.websocket import KernelWebsocketHandler
from jupyter_server.services.kernelspecs import handlers as kernelspecs
from jupyter_server.services.sessions import handlers as sessions
from tornado import web

from hub.errors import Unavailable
from spawner.singleuser.connection import MAX_MESSAGE_BYTES
from spawner.singleuser.kernels import RemoteKernelManager
from spawner.singleuser.outbox import Message
from spawner.singleuser.refusals import Refusal
from spawner.singleuser.specs import RemoteKernelSpecManager

KEEP_RESOURCES = timedelta(days=1)
"""How long a browser may keep a kernel's logo."""


class Plain(APIHandler):
    """Writes a refusal as the error body that REST and the command line show too."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        if not isinstance(error, Refusal):
            super().write_error(status_code, **kwargs)
            return
        if isinstance(error.error, Unavailable):
            self.set_header("Retry-After", str(int(error.error.retry_after.total_seconds())))
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(error.body()))


def _unwrapped(error: web.HTTPError) -> web.HTTPError:
    """The refusal in a handler's own error: Jupyter turns every cause into a 500."""
    return error.__cause__ if isinstance(error.__cause__, Refusal) else error


def _manager(handler: JupyterHandler) -> RemoteKernelManager:
    return cast("RemoteKernelManager", handler.kernel_manager)


class Kernels(Plain, kernels.MainKernelHandler):
    pass


class Kernel(Plain, kernels.KernelHandler):
    @web.authenticated
    @authorized
    async def get(self, kernel_id: str) -> None:
        """A fresh model: JupyterLab asks when its socket closed, to learn whether the kernel died."""
        await _manager(self).find(kernel_id)
        await ensure_async(super().get(kernel_id))


class KernelAction(Plain, kernels.KernelActionHandler):
    @web.authenticated
    @authorized
    async def post(self, kernel_id: str, action: str) -> None:
        try:
            await ensure_async(super().post(kernel_id, action))
        except web.HTTPError as error:
            raise _unwrapped(error) from None


class KernelChannels(KernelWebsocketHandler):
    @property
    def max_message_size(self) -> int:
        """Bytes; tornado's default of 10 MiB is less than a notebook may send to a widget."""
        return MAX_MESSAGE_BYTES

    async def pre_get(self) -> None:
        """Ask for a kernel that is not known here yet before denying it."""
        if self.current_user is not None and self.kernel_id not in self.kernel_manager:
            await _manager(self).find(self.kernel_id)
        await super().pre_get()  # type: ignore[no-untyped-call] # upstream

    def on_message(self, ws_message: Message) -> Awaitable[None] | None:
        """Returns what to wait for before reading on, which Jupyter's own handler does not."""
        waiting: Awaitable[None] | None = self.connection.handle_incoming_message(ws_message)
        return waiting


class Kernelspecs(Plain, kernelspecs.MainKernelSpecHandler):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Kernelspecs and their default from the same answer of the bridge."""
        specs = cast("RemoteKernelSpecManager", self.kernel_spec_manager)
        self.finish(json.dumps(await specs.list_kernel_specs()))


class Kernelspec(Plain, kernelspecs.KernelSpecHandler):
    pass


class KernelspecResource(Plain):
    """A kernel's logo. Jupyter's own handler looks for the file here, too, and logs that it is missing."""

    auth_resource = kernelspecs.AUTH_RESOURCE

    @web.authenticated
    @authorized
    async def get(self, kernel_name: str, path: str) -> None:
        content = await cast("RemoteKernelSpecManager", self.kernel_spec_manager).get_kernel_spec_resource(
            kernel_name, path
        )
        if content is None:
            raise web.HTTPError(404)
        self.set_header("Cache-Control", f"private, max-age={int(KEEP_RESOURCES.total_seconds())}")
        self.finish(content, set_content_type=mimetypes.guess_type(path)[0] or "application/octet-stream")


class Sessions(Plain, sessions.SessionRootHandler):
    @web.authenticated
    @authorized
    async def post(self) -> None:
        try:
            await ensure_async(super().post())
        except web.HTTPError as error:
            raise _unwrapped(error) from None


class Session(Plain, sessions.SessionHandler):
    @web.authenticated
    @authorized
    async def patch(self, session_id: str) -> None:
        """Start another kernel here, where a refusal keeps its status and words, and attach it by id."""
        model = self.get_json_body() or {}
        asked = model.get("kernel") or {}
        if asked.get("name") is not None and asked.get("id") is None:
            before = await self.session_manager.get_session(session_id=session_id)  # type: ignore[no-untyped-call]
            kernel_id = await self.session_manager.start_kernel_for_session(
                session_id,
                path=before["path"],
                name=before["name"],
                type=before["type"],
                kernel_name=asked["name"],
            )
            self.request.body = json.dumps({**model, "kernel": {"id": kernel_id}}).encode()
        await ensure_async(super().patch(session_id))


_kernel = rf"/api/kernels/{kernels._kernel_id_regex}"  # noqa: SLF001 # a test says when it moves
_session = rf"/api/sessions/{sessions._session_id_regex}"  # noqa: SLF001 # likewise

default_handlers = [
    (r"/api/kernels", Kernels),
    (_kernel, Kernel),
    (rf"{_kernel}/{kernels._kernel_action_regex}", KernelAction),  # noqa: SLF001 # likewise
    (rf"{_kernel}/channels", KernelChannels),
    (r"/api/kernelspecs", Kernelspecs),
    (rf"/api/kernelspecs/{kernelspecs.kernel_name_regex}", Kernelspec),
    (rf"/kernelspecs/{kernelspecs.kernel_name_regex}/(?P<path>.*)", KernelspecResource),
    (r"/api/sessions", Sessions),
    (_session, Session),
]
