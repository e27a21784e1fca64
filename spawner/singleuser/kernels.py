"""The person's running kernels, none of which run here.

The bridge knows which kernels a person has; this process only remembers its last
answer. A kernel outlives the server: nothing here stops one but its owner's wish.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from traitlets import Instance, default
from traitlets.config import LoggingConfigurable

from hub.errors import NotFound, RunningKernelNotFound, Unavailable
from spawner.singleuser.backoff import Backoff
from spawner.singleuser.bridge import BridgeClient
from spawner.singleuser.clock import utc_now
from spawner.singleuser.connection import BridgeConnection
from spawner.singleuser.refusals import Refusal
from spawner.singleuser.settings import UserServerSettings

WORKING_DIRECTORY = "KERNEL_WORKING_DIR"
"""Tells the bridge in which folder a notebook lies; the name other gateways know."""

_CONVEYED = frozenset({"JPY_SESSION_NAME"})
_CONVEYED_PREFIX = "KERNEL_"
_BUSY = "busy"


class RemoteKernel(LoggingConfigurable):
    """One running kernel, as the bridge last described it. Parent is its manager."""

    def __init__(self, model: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kernel_id: str = model["id"]
        self.update(model)

    def update(self, model: Mapping[str, Any]) -> None:
        self.model = {"name": "", "connections": 0, "execution_state": "unknown", **model}
        self.last_activity = _instant(model.get("last_activity")) or utc_now()

    @property
    def kernel_name(self) -> str:
        return str(self.model["name"])

    @property
    def execution_state(self) -> str:
        return str(self.model["execution_state"])


class RemoteKernelManager(AsyncMappingKernelManager):
    """Answers Jupyter's kernel handlers from the bridge.

    A kernel in the map is the person's. One that is missing from it may still be:
    started by a laptop, or by the server before this one while the bridge was away.
    ``find`` asks before anybody is told that it does not exist.
    """

    bridge = Instance(BridgeClient)

    @default("bridge")
    def _bridge_from_environment(self) -> BridgeClient:
        settings = UserServerSettings.from_environment()
        return BridgeClient(settings.gateway_url, settings.token)

    @default("shared_context")
    def _no_zmq_context(self) -> bool:
        return False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call] # upstream
        self.adopted = False
        """Whether the bridge has listed the kernels at least once since this server started."""
        self.default_kernel_name = ""

    # -- what the person has ------------------------------------------------------------

    async def refresh(self) -> None:
        """Ask the bridge for all kernels: adopt unknown ones, forget ended ones.

        Raises
        ------
        Refusal
            Nothing was changed; a bridge that is down says nothing about kernels.
        """
        known_before = set(self._kernels)
        models = await self.bridge.kernels()
        for model in models:
            self._remember(model)
        # A kernel started while the list was under way is not in it, and not in known_before.
        for kernel_id in known_before.difference(model["id"] for model in models):
            await self._forget_if_gone(kernel_id)
        if not self.adopted:
            self.adopted = True
            self.log.info("Found %d running kernels at the bridge", len(models))

    async def adopt(self) -> None:
        """Refresh until it works once, with growing pauses; ends with the server."""
        pauses = Backoff()
        while not self.adopted:
            try:
                await self.refresh()
            except Refusal as refusal:
                self.log.warning("Cannot list running kernels yet: %s", refusal.error.message)
                await asyncio.sleep(pauses.next_pause().total_seconds())

    async def find(self, kernel_id: str) -> RemoteKernel:
        """A kernel by its id, asked for at the bridge.

        If the bridge is not answering, the last model is good enough; an unknown
        kernel is then presumed to exist, for its session may come from the server
        before this one. Using it fails visibly if it does not.

        Raises
        ------
        Refusal
            404: it does not exist or is somebody else's.
        """
        try:
            return self._remember(await self.bridge.kernel(kernel_id))
        except Refusal as refusal:
            if isinstance(refusal.error, Unavailable):
                return self._kernels.get(kernel_id) or self._remember({"id": kernel_id})
            if refusal.status_code == 404:
                self.remove_kernel(kernel_id)
            raise

    def remove_kernel(self, kernel_id: str) -> None:  # type: ignore[override] # nobody uses the result
        if self._kernels.pop(kernel_id, None) is not None:
            BridgeConnection.close_kernel(kernel_id)

    def _folder(self, path: str | None) -> str:
        return self.root_dir if path is None else str(self.cwd_for_path(path))  # type: ignore[no-untyped-call] # upstream

    def _remember(self, model: Mapping[str, Any]) -> RemoteKernel:
        kernel = self._kernels.get(model["id"])
        if kernel is None:
            kernel = self._kernels[model["id"]] = RemoteKernel(model, parent=self, log=self.log)
        else:
            kernel.update(model)
        self._note_activity(kernel)
        return kernel

    async def _forget_if_gone(self, kernel_id: str) -> None:
        try:
            await self.find(kernel_id)
        except Refusal as refusal:
            if not isinstance(refusal.error, NotFound):
                return
            self.log.info("Kernel %s has ended", kernel_id)

    def _note_activity(self, kernel: RemoteKernel) -> None:
        """Advance what the server reports to the hub: remote kernels are activity of this server."""
        active = utc_now() if kernel.execution_state == _BUSY else kernel.last_activity
        self.last_kernel_activity = max(self.last_kernel_activity, active)
        web_app = getattr(self.parent, "web_app", None)
        if web_app is not None:
            web_app.settings["granary_last_activity"] = self.last_kernel_activity

    # -- the manager's interface, as Jupyter's handlers use it -----------------------------

    async def start_kernel(  # type: ignore[override] # as GatewayMappingKernelManager, minus what stays here
        self,
        *,
        kernel_id: str | None = None,
        path: str | None = None,
        kernel_name: str | None = None,
        env: Mapping[str, str] | None = None,
        **_local_only: Any,
    ) -> str:
        """Start a kernel, or adopt the person's kernel with this id. Returns its id.

        Parameters
        ----------
        path
            Folder of the notebook below the root of the files, as in Jupyter's contents API.
        env
            Of a session: this process's environment and the session's. Only ``KERNEL_*``
            and the session's name leave this process.
        """
        if kernel_id is not None:
            return (await self.find(kernel_id)).kernel_id
        environment = {
            name: value
            for name, value in (env or {}).items()
            if name.startswith(_CONVEYED_PREFIX) or name in _CONVEYED
        }
        environment[WORKING_DIRECTORY] = self._folder(path)
        model = await self.bridge.start(kernel_name, environment)
        self.log.info("Started kernel %s (%s)", model["id"], model.get("name"))
        return self._remember(model).kernel_id

    async def shutdown_kernel(self, kernel_id: str, now: bool = False, restart: bool = False) -> None:  # type: ignore[override] # noqa: ARG002
        """Stop a kernel on its owner's wish; one that has ended is no error."""
        try:
            await self.bridge.stop(kernel_id)
        except Refusal as refusal:
            if not isinstance(refusal.error, NotFound):
                raise
        self.remove_kernel(kernel_id)

    async def shutdown_all(self, now: bool = False) -> None:  # type: ignore[override] # noqa: ARG002 # awaited upstream
        """Called when the server stops. Kernels live on; the next server finds them."""
        self.log.info("Leaving %d kernels running", len(self._kernels))

    async def restart_kernel(self, kernel_id: str, now: bool = False) -> None:  # type: ignore[override] # noqa: ARG002
        await self.bridge.restart(kernel_id)
        await self.find(kernel_id)

    async def interrupt_kernel(self, kernel_id: str) -> None:  # type: ignore[override] # awaited upstream
        await self.bridge.interrupt(kernel_id)

    async def list_kernels(self) -> list[dict[str, Any]]:
        await self.refresh()
        return [kernel.model for kernel in self._kernels.values()]

    def kernel_model(self, kernel_id: str) -> dict[str, Any]:
        """The last known model; ``find`` asks for a fresh one."""
        self._check_kernel_id(kernel_id)
        return dict(self._kernels[kernel_id].model)

    def update_env(self, *, kernel_id: str, env: Mapping[str, str]) -> None:
        """A running kernel's environment is its release's business, not the notebook's."""

    def _check_kernel_id(self, kernel_id: str) -> None:
        if kernel_id not in self._kernels:
            raise Refusal(
                RunningKernelNotFound("You have no running kernel with this id. It may have been stopped.")
            )

    def initialize_culler(self) -> None:
        """Idle kernels are judged by the control plane, which knows the team's policy."""


def _instant(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
