"""User servers as processes on this machine, without an account of the system for each person."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import psutil
from jupyterhub.spawner import LocalProcessSpawner
from jupyterhub.utils import random_port
from traitlets import Float, Unicode, default

from hub.domain.names import slug
from hub.errors import ServerStartFailed
from spawner.governed import GovernedSpawnerMixin, SpawnRefused

POLL_EVERY = timedelta(milliseconds=20)
"""Between two looks at a server that is starting or stopping. The hub's own back-off costs 1.6 s."""

MAX_LOG_BYTES = 5 * 2**20
"""A server's log is put aside at the next start once it is larger; one old log is kept."""

_PRIVATE_DIRECTORY = 0o700
_PRIVATE_FILE = 0o600
_PRIVATE_UMASK = 0o077
_SAME_START_SECONDS = 1.0
"""Two readings of a process's start differ by less; a reused process id differs by far more."""


class GranaryLocalSpawner(GovernedSpawnerMixin, LocalProcessSpawner):  # type: ignore[misc] # no types upstream
    """Starts JupyterLab as a child of the hub's account, in a directory of the person's own.

    All servers run under one account of the system, so they are separated by
    convention, not by the kernel of the machine (see the page on security).
    """

    homes_dir = Unicode(help="Directory that holds people's home directories.").tag(config=True)
    state_dir = Unicode(help="Directory for logs and process ids of servers.").tag(config=True)
    stop_timeout = Float(
        4.0, help="Seconds between SIGTERM and SIGKILL; a server needs well under one to stop."
    ).tag(config=True)

    proc: subprocess.Popen[bytes] | None
    """The process, if this hub started it; after a restart of the hub there is only its id."""

    created = 0.0
    """When the process started, seconds since the epoch: tells it from a later one with its id."""

    # -- what runs, and where --------------------------------------------------------

    @default("cmd")
    def _default_cmd(self) -> list[str]:
        return [str(Path(sys.executable).parent / "granary-singleuser")]

    @default("args")
    def _default_args(self) -> list[str]:
        """Jupyter servers refuse to run as root unless told; then the hub runs as root already."""
        return ["--allow-root"] if os.geteuid() == 0 else []

    @default("env_keep")
    def _default_env_keep(self) -> list[str]:
        """All that a server needs of the hub's environment: where programs are, language, time zone."""
        return ["PATH", "LANG", "LC_ALL", "TZ"]

    @property
    def home(self) -> Path:
        return Path(self.homes_dir) / slug(self.user.name)

    @property
    def _own_name(self) -> str:
        """Distinct for each server of each person, and safe as a file name."""
        return slug(f"{self.user.name}/{self.name}") if self.name else slug(self.user.name)

    @property
    def log_file(self) -> Path:
        return Path(self.state_dir) / "servers" / f"{self._own_name}.log"

    @property
    def pid_file(self) -> Path:
        """Holds the process id and start, for whoever has to stop servers while the hub is down."""
        return self.log_file.with_suffix(".pid")

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        bin_dir = str(Path(sys.executable).parent)
        path = env.get("PATH", os.defpath)
        return env | {
            "USER": self.user.name,
            "HOME": str(self.home),
            "SHELL": "/bin/bash" if Path("/bin/bash").exists() else "/bin/sh",
            "PATH": path if bin_dir in path.split(os.pathsep) else f"{bin_dir}{os.pathsep}{path}",
        }

    def get_env(self) -> dict[str, str]:
        env: dict[str, str] = super().get_env()
        env.setdefault("JUPYTERHUB_ROOT_DIR", str(self.home))
        return env

    # -- start -------------------------------------------------------------------------

    async def start(self) -> tuple[str, int]:
        """Start the server and return once it listens, so that the hub's first look finds it.

        Raises
        ------
        SpawnRefused
            Policy forbids it, or the process ended before it listened.
        """
        await self.load_user_options()
        self.port = random_port()
        self._make_directories()
        command = [*self.cmd, *self.get_args()]
        with self._open_log() as log:
            # A session of its own: signals meant for the hub never reach it, and it outlives the hub.
            self.proc = subprocess.Popen(  # noqa: ASYNC220, S603 # forks in ms; no part is from a client
                command,
                env=self.get_env(),
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                umask=_PRIVATE_UMASK,
            )
        self.pid = self.proc.pid
        self.created = psutil.Process(self.pid).create_time()
        with _open_private(self.pid_file, os.O_TRUNC) as file:
            file.write(f"{self.pid} {self.created}\n".encode())
        self._tell(60, "Waiting for JupyterLab to answer")
        await self._until_listening()
        return self.ip, self.port

    async def _until_listening(self) -> None:
        while not (await _connects(self.ip, self.port) and self._listens()):
            status = await self.poll()
            if status is not None:
                self.log.error("Server of %s ended with %s; see %s", self.user.name, status, self.log_file)
                raise SpawnRefused(
                    ServerStartFailed(
                        "JupyterLab ended while it was starting. Try once more; if it happens again, tell "
                        "the people who run this site: the reason is in the log of your server."
                    )
                )
            await asyncio.sleep(POLL_EVERY.total_seconds())

    def _listens(self) -> bool:
        """Whether it is really this server that answers the port, and not a stranger who took it first."""
        try:
            sockets = psutil.Process(self.pid).net_connections(kind="tcp")
        except psutil.Error:
            return False
        return any(sock.status == psutil.CONN_LISTEN and sock.laddr.port == self.port for sock in sockets)

    def _make_directories(self) -> None:
        for directory in (Path(self.homes_dir), self.home, self.log_file.parent):
            directory.mkdir(mode=_PRIVATE_DIRECTORY, parents=True, exist_ok=True)

    def _open_log(self) -> BinaryIO:
        if self.log_file.exists() and self.log_file.stat().st_size > MAX_LOG_BYTES:
            self.log_file.rename(self.log_file.with_suffix(".log.old"))
        return _open_private(self.log_file, os.O_APPEND)

    # -- stop, poll, survive -------------------------------------------------------------

    async def poll(self) -> int | None:
        """None while the server runs, else its exit status (0 if it is not our child and gone)."""
        if self.proc is not None:
            status: int | None = self.proc.poll()
            return status
        return None if self.pid and self._is_still_it() else 0

    async def stop(self, now: bool = False) -> None:
        """End the server: SIGTERM, then after ``stop_timeout`` SIGKILL to all it left behind."""
        if await self.poll() is None and not now:
            self._signal_server(signal.SIGTERM, group=False)
            await self._until_gone(self.stop_timeout)
        if await self.poll() is None:
            self._signal_server(signal.SIGKILL, group=True)
            if not await self._until_gone(self.kill_timeout):
                self.log.error("Process %s of %s does not end", self.pid, self.user.name)
                return
        self.pid_file.unlink(missing_ok=True)

    async def _until_gone(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                while await self.poll() is None:  # noqa: ASYNC110 # nobody tells us of a process that ends
                    await asyncio.sleep(POLL_EVERY.total_seconds())
        except TimeoutError:
            return False
        return True

    def _signal_server(self, number: int, *, group: bool) -> None:
        try:
            if group:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)
        except ProcessLookupError:
            return

    def _is_still_it(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < _SAME_START_SECONDS
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    def get_state(self) -> dict[str, Any]:
        state: dict[str, Any] = super().get_state()
        if self.pid:
            state["created"] = self.created
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.created = state.get("created", 0.0)

    def clear_state(self) -> None:
        super().clear_state()
        self.created = 0.0
        self.proc = None


def _open_private(path: Path, flags: int) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | flags, _PRIVATE_FILE), "wb")


async def _connects(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True
