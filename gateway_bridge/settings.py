"""Settings of the bridge."""

from __future__ import annotations

from hub.process import ProcessSettings
from hub.setting_types import Address, Secret, Url


class BridgeSettings(ProcessSettings):
    """What the bridge needs to run."""

    bridge_bind: Address = "127.0.0.1:8082"
    """Where it listens; the public proxy forwards ``/services/gateway/`` here."""
    control_url: Url = "http://127.0.0.1:8081"
    """The control plane, as this process reaches it."""
    hub_api_url: Url = "http://127.0.0.1:8080/hub/api"
    """JupyterHub's REST API, as this process reaches it."""

    internal_secret: Secret
    """Shared by Granary's own processes."""

    @property
    def listen(self) -> tuple[str, int]:
        """Host and port of ``bridge_bind``."""
        host, _, port = self.bridge_bind.rpartition(":")
        return host.strip("[]"), int(port)
