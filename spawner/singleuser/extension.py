"""JupyterHub's single-user server, configured in code to be a light front of remote kernels.

Configured here and not by files: what makes the server governed cannot be forgotten
in an image or changed by a file in a home. (A person may run anything in their own
process; what they are allowed is decided at the bridge.)
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from datetime import timedelta
from typing import Any, cast

from jupyter_server.serverapp import ServerApp
from jupyterhub.singleuser.extension import JupyterHubSingleUser
from traitlets.config import Config

from spawner.singleuser.connection import BridgeConnection
from spawner.singleuser.kernels import RemoteKernelManager
from spawner.singleuser.refusals import Refusal
from spawner.singleuser.sessions import PersistentSessionManager
from spawner.singleuser.settings import UserServerSettings
from spawner.singleuser.specs import RemoteKernelSpecManager

STOP_WITHIN = timedelta(seconds=4)
"""From SIGTERM to the end, whatever an extension waits for."""

_LAB = "jupyterlab"
_TERMINALS = "jupyter_server_terminals"
_UNUSED_IN_LAB = (
    "@jupyterlab/apputils-extension:announcements",
    "@jupyterlab/extensionmanager-extension",
    "@jupyterlab/lsp-extension",
    "@jupyterlab/fileeditor-extension:language-server",
    "@jupyterlab/notebook-extension:language-server",
)
"""JupyterLab plugins whose far end is not loaded here: news, installer, language servers."""


def server_config(settings: UserServerSettings) -> Config:
    """Everything that makes a stock Jupyter server with JupyterLab a front of remote kernels."""
    config = Config()
    server = config.ServerApp
    server.kernel_manager_class = RemoteKernelManager
    server.kernel_spec_manager_class = RemoteKernelSpecManager
    server.session_manager_class = PersistentSessionManager
    server.kernel_websocket_connection_class = BridgeConnection
    server.extra_services = ["spawner.singleuser.handlers"]
    server.terminals_enabled = settings.terminals
    server.allow_root = True  # under which account servers run is the spawner's business
    lab = config.LabApp
    lab.news_url = None
    lab.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
    lab.extension_manager = "readonly"
    return config


class GranaryServerApp(ServerApp):
    """A server that owns no kernels and writes its token nowhere."""

    def write_server_info_file(self) -> None:
        """Stock writes the token to a file, for a command line that lists servers; the hub does that here."""

    def write_browser_open_files(self) -> None:
        """Stock writes an address with the token to a file, for a browser on this machine."""

    def init_signal(self) -> None:
        """Hear signals between two steps of the loop.

        Stock hears them anywhere and writes to the log at once; in the middle of another
        line of the log that fails, and the signal is lost.
        """
        super().init_signal()
        loop = self.io_loop.asyncio_loop  # type: ignore[attr-defined] # tornado's only kind of loop
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signal_stop, number, None)

    async def cleanup_kernels(self) -> None:
        """Leave kernels running; stock waits for the gateway to stop each of them."""
        if isinstance(getattr(self, "kernel_manager", None), RemoteKernelManager):
            self.log.info("Leaving kernels running")

    def stop(self, from_signal: bool = False) -> None:
        self.io_loop.add_callback(self._stop_at_the_latest)
        super().stop(from_signal=from_signal)

    def _stop_at_the_latest(self) -> None:
        self.io_loop.call_later(STOP_WITHIN.total_seconds(), self.io_loop.stop)


class GranarySingleUser(JupyterHubSingleUser):  # type: ignore[misc] # jupyterhub carries no types
    """The extension that starts the server. It needs the hub's and Granary's environment."""

    name = app_namespace = "granary-singleuser"
    serverapp_class = GranaryServerApp
    load_other_extensions = False
    """Extensions installed in the environment start with the person's code, not with ours."""

    @classmethod
    def get_extension_package(cls) -> str:
        return "spawner.singleuser"

    @classmethod
    def make_serverapp(cls, **kwargs: Any) -> ServerApp:
        """Give the server our configuration first: it then outranks files, as the command line does."""
        settings = UserServerSettings.from_environment()
        wanted = [_LAB, *([_TERMINALS] if settings.terminals else []), *settings.extensions]
        kwargs["jpserver_extensions"] = {
            **kwargs.get("jpserver_extensions", {}),
            **dict.fromkeys(wanted, True),
        }
        app: ServerApp = super().make_serverapp(config=server_config(settings), **kwargs)
        return app

    async def check_hub_version(self) -> None:
        """Not before the port answers: hub and server are one distribution, and a hub that
        is restarting must not keep a server from starting."""

    def initialize(self, args: Any = None) -> None:
        super().initialize(args)
        settings = self.serverapp.web_app.settings
        hub_hook = settings["page_config_hook"]

        def without_unused(handler: Any, page_config: dict[str, Any]) -> dict[str, Any]:
            disabled = page_config.setdefault("disabledExtensions", [])
            disabled.extend(name for name in _UNUSED_IN_LAB if name not in disabled)
            return dict(hub_hook(handler, page_config))

        settings["page_config_hook"] = without_unused

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        kernels = cast("RemoteKernelManager", serverapp.kernel_manager)
        self._adoption = asyncio.create_task(kernels.adopt(), name="adopt running kernels")

    async def stop_extension(self) -> None:
        self._adoption.cancel()
        await super().stop_extension()

    async def notify_activity(self) -> None:
        """Report remote kernels' activity, too: asked for when the report is due, not in between."""
        with suppress(Refusal):  # without an answer, what was known last is reported
            await self.serverapp.kernel_manager.refresh()
        await super().notify_activity()
