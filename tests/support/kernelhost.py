"""A kernel host as a real process, for tests and benchmarks of whatever stands in front of it."""

from __future__ import annotations

import os
import queue
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

IPYKERNEL_ARGV = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]

START_SECONDS = 30.0
STOP_SECONDS = 10.0
"""The host promises less than eight."""

_LISTENING = re.compile(r"listening on \S+:(\d+)$")


class KernelHostProcess:
    """``python -m gateway_bridge.kernelhost.app`` on a free port, in directories of its own.

    Parameters
    ----------
    base
        A short path for the runtime directory; one is made if none is given.
    wrapper
        A command that runs the one appended to it.
    settings
        Further variables without their prefix, for example ``KEPT_OUTPUT_BYTES``.
    """

    def __init__(self, base: Path | None = None, wrapper: Sequence[str] = (), **settings: str) -> None:
        self._own_base = base is None
        self.base = base or Path(tempfile.mkdtemp(prefix="kh-", dir="/tmp"))
        self.secret = secrets.token_hex(32)
        self.homes = self.base / "homes"
        self.runtime_dir = self.base / "run"
        self._wrapper = wrapper
        self._settings = settings
        self.log: list[str] = []
        self.start()

    def start(self) -> None:
        """Start (again) and wait until it listens."""
        secrets_dir = self.base / "secrets"
        secrets_dir.mkdir(exist_ok=True)
        (secrets_dir / "granary_kernel_host_secret").write_text(self.secret)
        variables = {
            "GRANARY_SECRETS_DIR": str(secrets_dir),
            "GRANARY_RUNTIME_DIR": str(self.runtime_dir),
            "GRANARY_KERNEL_HOST_BIND": "127.0.0.1:0",
            "HOST_ONLY": "must not reach a kernel",
            **{f"GRANARY_{name}": value for name, value in self._settings.items()},
        }
        inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        self.process = subprocess.Popen(
            [*self._wrapper, sys.executable, "-m", "gateway_bridge.kernelhost.app"],
            env={**inherited, **variables},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        ports: queue.Queue[int | None] = queue.Queue()
        threading.Thread(target=self._read_log, args=(ports,), daemon=True).start()
        port = ports.get(timeout=START_SECONDS)
        if port is None:
            raise RuntimeError(f"the kernel host did not start: {''.join(self.log)}")
        self.url = f"http://127.0.0.1:{port}"

    def _read_log(self, ports: queue.Queue[int | None]) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if match := _LISTENING.search(line.rstrip()):
                ports.put(int(match[1]))
        ports.put(None)

    def stop(self) -> None:
        """End it gracefully and remove its directories."""
        self.terminate()
        if self._own_base:
            shutil.rmtree(self.base, ignore_errors=True)

    def terminate(self) -> float:
        """SIGTERM; returns the seconds it took to end."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(STOP_SECONDS)
        return time.monotonic() - begin

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    def client(self, secret: str | None = None, timeout: float = 60.0) -> httpx.Client:
        headers = {"Authorization": f"token {secret or self.secret}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=timeout, trust_env=False)

    def launch_body(self, kernel_id: str | None = None, **changes: Any) -> dict[str, Any]:
        """What the control plane would send for an ipykernel of this environment."""
        kernel_id = kernel_id or str(uuid.uuid4())
        home = str(self.homes / "someone")
        body = {
            "name": "python-test",
            "kernel_id": kernel_id,
            "argv": IPYKERNEL_ARGV,
            "env": {"IPYTHONDIR": f"{home}/.ipython"},
            "cwd": home,
            "home": home,
        }
        return {**body, **changes}
