"""``granary up``: from a directory to a running installation, and back."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import httpx

from hub.errors import AlreadyRunning, InvalidConfiguration, ProcessFailed
from hub.local import telling
from hub.local.accounts import Account, demo_people, keep_accounts, platform_admin
from hub.local.config import LocalConfig
from hub.local.demo import publish_demo_kernels
from hub.local.layout import Layout, write_private
from hub.local.plan import LOOPBACK, Place, ProcessPlan, hub_config_text, make_plans
from hub.local.ports import choose_internal, is_free, require_free
from hub.local.secrets import CLI, OIDC_CLIENT, make_secrets
from hub.local.servers import stop_user_servers
from hub.local.state import ProcessId, ProcessRecord, State, read_state, write_state
from hub.local.supervised import end_processes, strays
from hub.local.supervisor import STOP_PATIENCE, Supervisor
from hub.rest import RestClient

ROUTES_BOUND = timedelta(seconds=30)
"""For the hub to tell the proxy where everything is."""

_HTTP_PORT = 80

_ANY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104 # compared with, not bound


@dataclass(frozen=True)
class Wish:
    """What was asked of ``granary up``."""

    host: str
    port: int
    demo: bool
    config: LocalConfig

    @property
    def public_url(self) -> str:
        """Raises ``InvalidConfiguration``."""
        if self.config.public_url is not None:
            return self.config.public_url
        if self.host in _ANY_ADDRESS:
            raise InvalidConfiguration(
                f"With --host {self.host} people come by several addresses, and sign-in needs to know one: "
                "set public_url in the file you give with --config."
            )
        shown = f"[{self.host}]" if ":" in self.host else self.host
        # Browsers and servers leave the usual port out, and sign-in compares addresses letter by letter.
        return f"http://{shown}" if self.port == _HTTP_PORT else f"http://{shown}:{self.port}"


class Installation:
    """One installation, held by this process.

    Parameters
    ----------
    inherited
        The environment ``granary up`` was started in.
    version
        Of the installed distribution.
    """

    def __init__(self, layout: Layout, wish: Wish, inherited: Mapping[str, str], version: str) -> None:
        self._layout = layout
        self._wish = wish
        self._demo = wish.demo and wish.config.oidc is None
        earlier = read_state(layout.state_file)
        self._earlier = earlier.processes
        living = {
            name
            for name, record in earlier.processes.items()
            if record.id and record.id.process() is not None
        }
        same_address = earlier.ports.get("public") == wish.port and "proxy" in living
        if not same_address:
            require_free(wish.host, wish.port)
        adopted_ports = {"proxy_api"} if "proxy" in living else set()
        ports = choose_internal(earlier.ports, living | adopted_ports)
        place = Place(wish.host, wish.port, wish.public_url, ports)
        self._plans = make_plans(layout, wish.config, place, inherited, demo=self._demo, version=version)
        self._place = place
        self._state = State(
            public_url=place.public_url,
            ports={**ports, "public": wish.port},
            supervisor=ProcessId.of(os.getpid()),
            processes=earlier.processes,
        )
        self._supervisor = Supervisor(self._plans, log_of=layout.log_of, cwd=layout.root, note=self._remember)

    async def run(self) -> None:
        """Start everything, tell how to use it, keep it running until SIGINT or SIGTERM, end it.

        Raises
        ------
        GranaryError
            It did not come up; nothing of it is left running.
        """
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in _stop_signals():
            loop.add_signal_handler(number, stop.set)
        starting = asyncio.create_task(self._start())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await stopping
        finally:
            starting.cancel()
            stopping.cancel()
            telling.say("\nStopping …")
            await self._stop()
        telling.say("Stopped.")

    async def _start(self) -> None:
        began = time.monotonic()
        accounts = self._prepare_files()
        self._end_misfits()
        telling.say(f"Starting Granary in {self._layout.root}:")
        await self._supervisor.start(self._earlier, _tell_healthy)
        await self._until_routed()
        if self._demo:
            await in_daemon_thread(self._publish_demo)
        telling.step("everything", time.monotonic() - began)
        telling.welcome(self._place.public_url, self._layout, accounts)

    def _prepare_files(self) -> tuple[Account, ...]:
        config, layout = self._wish.config, self._layout
        given = {} if config.oidc is None else {OIDC_CLIENT: config.oidc.client_secret_file}
        make_secrets(layout, given)
        write_private(layout.hub_dir / "jupyterhub_config.py", hub_config_text(config))
        self._save()
        if config.oidc is not None:
            return ()
        group = config.platform_admin_group
        people = demo_people(group) if self._demo else (platform_admin(group),)
        return keep_accounts(layout.accounts_file, people)

    def _end_misfits(self) -> None:
        """End what an earlier supervisor left and today's plan would start otherwise, or not at all."""
        wanted = {plan.name: plan.fingerprint() for plan in self._plans}
        misfits = [
            record.id
            for name, record in self._earlier.items()
            if record.id is not None and wanted.get(name) != record.fingerprint
        ]
        end_processes(misfits, STOP_PATIENCE)
        if not is_free(self._wish.host, self._wish.port) and not self._keeps("proxy", wanted):
            require_free(self._wish.host, self._wish.port)

    def _keeps(self, name: str, wanted: Mapping[str, str]) -> bool:
        record = self._earlier.get(name)
        return record is not None and record.fingerprint == wanted.get(name)

    async def _until_routed(self) -> None:
        """Wait until the public address leads to the hub, the control plane and the bridge."""
        began = time.monotonic()
        pages = ["/hub/health", "/services/granary/api/v1/openapi.json", "/services/gateway/health"]
        base = f"http://{LOOPBACK if self._wish.host in _ANY_ADDRESS else self._wish.host}:{self._wish.port}"
        async with httpx.AsyncClient(trust_env=False, timeout=2) as http:
            while pages:
                try:
                    answer = await http.get(base + pages[0])
                except httpx.TransportError:
                    answer = None
                if answer is not None and answer.status_code == httpx.codes.OK:
                    pages.pop(0)
                elif time.monotonic() - began > ROUTES_BOUND.total_seconds():
                    raise ProcessFailed(
                        f"{base}{pages[0]} does not answer. The logs of the hub and the proxy in "
                        f"{self._layout.logs_dir} say why."
                    )
                else:
                    await asyncio.sleep(0.05)
        telling.step("routes", time.monotonic() - began)

    def _publish_demo(self) -> None:
        token = (self._layout.secrets_dir / CLI).read_text()
        with RestClient(f"http://{LOOPBACK}:{self._wish.port}", token) as client:
            publish_demo_kernels(client, telling.step, telling.say)

    async def _stop(self) -> None:
        servers = asyncio.to_thread(stop_user_servers, self._layout.server_pids, STOP_PATIENCE)
        await asyncio.gather(servers, self._supervisor.stop())
        self._state = replace(self._state, supervisor=None)
        self._save()

    def _remember(self, name: str, record: ProcessRecord) -> None:
        self._state = self._state.with_process(name, record)
        self._save()

    def _save(self) -> None:
        write_state(self._layout.state_file, self._state)


@contextmanager
def sole_use(layout: Layout) -> Iterator[None]:
    """Hold the directory; the hold ends with this process, however it ends.

    Raises
    ------
    AlreadyRunning
    """
    descriptor = os.open(layout.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunning(
                f"Granary is running in {layout.root} already. See it with `granary status`, stop it with "
                "`granary down`, or start another one with another --dir and --port.",
                directory=str(layout.root),
            ) from error
        yield
    finally:
        os.close(descriptor)


def run_installation(directory: Path, wish: Wish, inherited: Mapping[str, str], version: str) -> None:
    """Run an installation in the foreground until it is told to stop.

    Raises
    ------
    GranaryError
    """
    layout = Layout(directory.expanduser().absolute())
    wish.public_url  # noqa: B018 # refuses before anything is touched
    layout.prepare()
    with sole_use(layout):
        os.umask(0o077)
        known = [record.id for record in read_state(layout.state_file).processes.values() if record.id]
        end_processes(strays(layout.secrets_dir, known), STOP_PATIENCE)
        asyncio.run(Installation(layout, wish, inherited, version).run())


async def in_daemon_thread(work: Callable[[], None]) -> None:
    """Run ``work`` in a thread that nobody waits for once this is cancelled.

    Following a publication goes on for a minute without the control plane; the
    executor of ``asyncio.to_thread`` would hold up the end of everything for as long.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def tell(error: Exception | None) -> None:
        if not done.done():
            done.set_result(None) if error is None else done.set_exception(error)

    def run() -> None:
        error = None
        try:
            work()
        except Exception as raised:  # noqa: BLE001 # raised again where it is awaited
            error = raised
        with suppress(RuntimeError):  # the loop has ended meanwhile, so nobody wants to know
            loop.call_soon_threadsafe(tell, error)

    threading.Thread(target=run, daemon=True).start()
    await done


def _stop_signals() -> list[signal.Signals]:
    """Ctrl-C, ``kill``, and a terminal that is closed, unless ``nohup`` was asked to survive that."""
    ignores_hangup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([] if ignores_hangup else [signal.SIGHUP])]


def _tell_healthy(plan: ProcessPlan, seconds: float, adopted: bool) -> None:
    telling.step(plan.title, seconds, "was running already" if adopted else "")
