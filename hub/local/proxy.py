"""``python -m hub.local.proxy``: everything behind one port.

The routing table and its REST API, by which the hub says what is where, are those of
the package configurable-http-proxy; requests and websockets are forwarded by
``hub.local.forwarding``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import sys
from urllib.parse import urlsplit

from configurable_http_proxy.configproxy import PythonProxy
from tornado.httpserver import HTTPServer

from hub.local.forwarding import Forwarder, Target
from hub.process import ProcessSettings, load_settings, setup_logging
from hub.setting_types import Address, Secret, Url

EXIT_CANNOT_START = 1

_log = logging.getLogger(__name__)


class ProxySettings(ProcessSettings):
    """Settings of the proxy."""

    proxy_bind: Address = "127.0.0.1:8000"
    """Where people's requests arrive."""
    proxy_api_bind: Address = "127.0.0.1:8001"
    """Where the hub changes routes; never a public address."""
    proxy_hub_url: Url = "http://127.0.0.1:8080"
    """The hub, which also answers for whatever has no route."""
    public_url: Url = "http://127.0.0.1:8000"
    """The address people type; servers are told whether it is https."""
    proxy_token: Secret
    """Opens the API."""


class Routes:
    """The table as the forwarder reads it."""

    def __init__(self, table: PythonProxy) -> None:
        self._table = table

    def target(self, path: str) -> Target | None:
        """Where requests for ``path`` go; the longest prefix wins."""
        found = self._table.target_for_req(None, path)
        if found is None:
            return None
        parts = urlsplit(found["target"])
        return Target(str(found["prefix"]), str(parts.hostname), parts.port or 80)

    def used(self, prefix: str) -> None:
        """Somebody uses this route: the hub reads it as activity."""
        self._table.update_last_activity(prefix)


async def serve(settings: ProxySettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    table = PythonProxy(
        {
            "auth_token": settings.proxy_token.get_secret_value(),
            "default_target": settings.proxy_hub_url,
            "log": _log,
        }
    )
    api_host, api_port = _split(settings.proxy_api_bind)
    HTTPServer(table.api_app).listen(api_port, api_host)
    forwarder = Forwarder(Routes(table), urlsplit(settings.public_url).scheme)
    await forwarder.start(*_split(settings.proxy_bind))
    _log.info("Proxy on %s", settings.proxy_bind)
    await stopping.wait()
    await forwarder.stop()


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _allow_many_connections() -> None:
    """The usual soft limit of 1024 open files is some five hundred tabs."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> None:
    setup_logging("proxy")
    # Tornado's access log, of the API only, has nothing to say that the hub's does not.
    logging.getLogger("tornado.access").setLevel(logging.WARNING)
    settings = load_settings(ProxySettings)
    os.umask(0o077)
    _allow_many_connections()
    try:
        asyncio.run(serve(settings))
    except OSError as error:
        _log.critical("The proxy cannot start: %s", error)
        sys.exit(EXIT_CANNOT_START)


if __name__ == "__main__":
    main()
