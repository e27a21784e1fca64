"""The bridge as a process: everything is put together here."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from gateway_bridge.bridge import Bridge
from gateway_bridge.grants import Grants
from gateway_bridge.hosts import Hosts
from gateway_bridge.identity import Identities
from gateway_bridge.server import Server
from gateway_bridge.settings import BridgeSettings
from gateway_bridge.sockets import OpenSockets
from gateway_bridge.specs import Specs
from hub.client import InternalClient
from hub.process import load_settings, setup_logging

log = logging.getLogger(__name__)

REQUESTS_END_WITHIN = timedelta(seconds=1.5)
"""At a stop, for requests under way; then they are cancelled, which gets the same once more."""

SOCKETS_END_WITHIN = timedelta(seconds=3.5)
"""At a stop, from the first close frame to the last closed websocket, its peer's good-bye included."""


async def serve(
    settings: BridgeSettings, stop: asyncio.Event, listening: asyncio.Future[tuple[str, int]] | None = None
) -> None:
    """Run the bridge until ``stop`` is set, then close everything within five seconds.

    ``listening`` is given the address and port once connections are accepted.
    """
    control = InternalClient(settings.control_url, settings.internal_secret.get_secret_value())
    identities = Identities(settings.hub_api_url)
    hosts = Hosts()
    sockets = OpenSockets(identities)
    bridge = Bridge(
        control=control,
        identities=identities,
        grants=Grants(control),
        specs=Specs(control),
        hosts=hosts,
        sockets=sockets,
        started_at=datetime.now(UTC),  # noqa: TID251 # this is the composition root
    )
    server = Server(bridge.handle)
    host, port = await server.start(*settings.listen)
    log.info("listening on %s:%d", host, port)
    if listening is not None:
        listening.set_result((host, port))
    checking = asyncio.create_task(sockets.keep_checking())
    try:
        await _first_of(stop, checking)
    finally:
        log.info("stopping: %d open websockets", len(sockets))
        bridge.stop()
        await asyncio.gather(
            server.stop(within=REQUESTS_END_WITHIN), sockets.all_gone(within=SOCKETS_END_WITHIN)
        )
        checking.cancel()
        for client in (hosts, identities, control):
            await client.aclose()
        log.info("stopped")


async def _first_of(stop: asyncio.Event, checking: asyncio.Task[None]) -> None:
    """Until it is time to stop. Revocation must not fail in silence: without its checks the bridge ends."""
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([stopped, checking], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if checking.done():
        checking.result()


async def _main(settings: BridgeSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(settings, stop)


def main() -> None:
    """Read the settings, set up the log, run until SIGTERM or SIGINT."""
    settings = load_settings(BridgeSettings)
    setup_logging("bridge")
    _allow_many_sockets()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_main(settings))


def _allow_many_sockets() -> None:
    """Raise the limit of open files to what the system permits; every websocket takes two."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The event loop of uvloop where it is installed: it halves the cost of a relayed message."""
    try:
        import uvloop  # noqa: PLC0415 # optional
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


if __name__ == "__main__":
    main()
