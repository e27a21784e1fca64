"""The kernel host as a process: everything is put together here."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import zmq
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from gateway_bridge.kernelhost import handlers
from gateway_bridge.kernelhost.auth import Gate
from gateway_bridge.kernelhost.channels import MAX_MESSAGE_BYTES, Channels
from gateway_bridge.kernelhost.incarnation import Surroundings
from gateway_bridge.kernelhost.leftovers import RuntimeDir, RuntimeDirError
from gateway_bridge.kernelhost.process import prepare_for_children, raise_descriptor_limit
from gateway_bridge.kernelhost.registry import Registry
from gateway_bridge.kernelhost.sessions import Limits
from gateway_bridge.kernelhost.settings import KernelHostSettings
from hub.process import EXIT_BAD_SETTINGS, load_settings, setup_logging

log = logging.getLogger(__name__)

MAX_SOCKETS = 60_000
"""Of ZMQ, in this process: five for a kernel, three for each of its sessions."""

MAX_HEADER_BYTES = 32 * 1024
HARD_BODY_BYTES = 4 * handlers.MAX_BODY_BYTES
"""What is read of a body before it can be refused in words."""

IDLE_CONNECTION_TIMEOUT = timedelta(minutes=5)
BODY_TIMEOUT = timedelta(seconds=10)

KERNELS_END_WITHIN = timedelta(seconds=6)
CONNECTIONS_END_WITHIN = timedelta(seconds=1)
"""At a stop; together below the eight seconds a supervisor allows."""


def application(registry: Registry, gate: Gate) -> Application:
    """All routes."""
    shared = {"registry": registry, "gate": gate}
    kernel = r"/api/kernels/([^/]+)"
    routes = [
        (r"/health", handlers.Health),
        (r"/api/?", handlers.Version),
        (r"/api/status", handlers.Status),
        (r"/api/kernels", handlers.Kernels),
        (kernel, handlers.OneKernel),
        (rf"{kernel}/interrupt", handlers.Interrupt),
        (rf"{kernel}/restart", handlers.Restart),
        (rf"{kernel}/ready", handlers.Ready),
        (rf"{kernel}/channels", Channels),
    ]
    return Application(
        [(pattern, handler, shared) for pattern, handler in routes],
        default_handler_class=handlers.Nowhere,
        default_handler_args=shared,
        log_function=_log_request,
    )


async def serve(
    settings: KernelHostSettings,
    stop: asyncio.Event,
    *,
    sockets: list[socket.socket],
    runtime_dir: RuntimeDir,
    descriptor_limit: tuple[int, int],
) -> None:
    """Run the host on listening sockets until ``stop`` is set, then end all kernels."""
    context = zmq.Context()
    context.max_sockets = MAX_SOCKETS
    registry = Registry(
        runtime_dir,
        Surroundings(context, lambda: datetime.now(UTC), descriptor_limit),  # noqa: TID251 # the composition root
        Limits(settings.kept_output_bytes, settings.connected_output_bytes, settings.kept_output_for),
        settings.kernel_ready_within,
    )
    server = HTTPServer(
        application(registry, Gate(settings.kernel_host_secret.get_secret_value())),
        max_header_size=MAX_HEADER_BYTES,
        max_body_size=HARD_BODY_BYTES,
        max_buffer_size=MAX_MESSAGE_BYTES + HARD_BODY_BYTES,
        body_timeout=BODY_TIMEOUT.total_seconds(),
        idle_connection_timeout=IDLE_CONNECTION_TIMEOUT.total_seconds(),
    )
    server.add_sockets(sockets)
    log.info("listening on %s:%d", *sockets[0].getsockname()[:2])
    tidying = asyncio.create_task(registry.keep_tidy())
    await stop.wait()
    log.info("stopping %d kernels", len(registry))
    tidying.cancel()
    server.stop()
    await _within(KERNELS_END_WITHIN, registry.stop_all())
    await _within(CONNECTIONS_END_WITHIN, server.close_all_connections())
    context.destroy(linger=0)
    log.info("stopped")


async def _within(bound: timedelta, doing: object) -> None:
    await asyncio.wait([asyncio.ensure_future(doing)], timeout=bound.total_seconds())  # type: ignore[call-overload]


async def _main(
    settings: KernelHostSettings,
    sockets: list[socket.socket],
    runtime_dir: RuntimeDir,
    limit: tuple[int, int],
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(settings, stop, sockets=sockets, runtime_dir=runtime_dir, descriptor_limit=limit)


def main() -> None:
    """Read the settings, take the runtime directory, run until SIGTERM or SIGINT."""
    settings = load_settings(KernelHostSettings)
    setup_logging("kernelhost")
    host, port = settings.bind
    try:
        sockets = bind_sockets(port, host)
    except OSError as error:
        _refuse(f"GRANARY_KERNEL_HOST_BIND: cannot listen on {settings.kernel_host_bind}: {error.strerror}.")
    try:
        runtime_dir = RuntimeDir(settings.runtime_dir)
    except RuntimeDirError as error:
        _refuse(f"GRANARY_RUNTIME_DIR: {error}")
    prepare_for_children()
    limit = raise_descriptor_limit()
    runtime_dir.clean()
    asyncio.run(_main(settings, sockets, runtime_dir, limit))
    runtime_dir.close()


def _refuse(sentence: str) -> NoReturn:
    print(sentence, file=sys.stderr)  # noqa: T201 # a sentence, not a record
    sys.exit(EXIT_BAD_SETTINGS)


def _log_request(handler: handlers.Handler) -> None:
    """Requests at debug level, without the query: it names sessions."""
    request = handler.request
    log.debug("%s %s %d", request.method, request.path, handler.get_status())


if __name__ == "__main__":
    main()
