"""Kernelspecs: what the person's team may start, as the bridge lists it."""

from __future__ import annotations

from typing import Any

from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from traitlets import Instance, default

from spawner.singleuser.bridge import BridgeClient
from spawner.singleuser.refusals import Refusal
from spawner.singleuser.settings import UserServerSettings

_RESOURCES = "/kernelspecs/"


class RemoteKernelSpecManager(KernelSpecManager):
    """Offers the team's kernels and none that is installed here."""

    bridge = Instance(BridgeClient)

    @default("bridge")
    def _bridge_from_environment(self) -> BridgeClient:
        settings = UserServerSettings.from_environment()
        return BridgeClient(settings.gateway_url, settings.token)

    async def list_kernel_specs(self) -> dict[str, Any]:
        """The body of ``GET /api/kernelspecs``, with resources under this server's address."""
        body = await self.bridge.kernelspecs()
        base_url = getattr(self.parent, "base_url", "/").rstrip("/")
        for spec in body["kernelspecs"].values():
            resources = spec.get("resources") or {}
            spec["resources"] = {name: _moved(base_url, path) for name, path in resources.items()}
        return body

    async def get_all_specs(self) -> dict[str, Any]:  # type: ignore[override] # awaited by Jupyter's handlers
        specs: dict[str, Any] = (await self.list_kernel_specs())["kernelspecs"]
        return specs

    async def get_kernel_spec(self, kernel_name: str) -> dict[str, Any]:  # type: ignore[override]
        """One kernelspec's model. Raises ``NoSuchKernel`` (a KeyError), as its handlers expect."""
        specs = await self.get_all_specs()
        if kernel_name not in specs:
            raise NoSuchKernel(kernel_name)
        spec: dict[str, Any] = specs[kernel_name]
        return spec

    async def get_kernel_spec_resource(self, kernel_name: str, path: str) -> bytes | None:
        """A kernelspec's file, or None if there is none."""
        try:
            return await self.bridge.kernelspec_resource(kernel_name, path)
        except Refusal as refusal:
            if refusal.status_code == 404:
                return None
            raise


def _moved(base_url: str, path: str) -> str:
    prefix, found, rest = path.rpartition(_RESOURCES)
    return f"{base_url}{_RESOURCES}{rest}" if found else prefix + path
