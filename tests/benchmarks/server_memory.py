"""What an idle user server costs in memory: ours, and the stock one with its JupyterLab."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from tests.benchmarks.installation import PERSON, shared_installation
from tests.benchmarks.peers import HubApi, stock_hub
from tests.benchmarks.table import Table, interleaved

ROUNDS = 3
MIB = 2**20
SETTLE_SECONDS = 3.0
"""Loading goes on for a moment after the last page; both get the same time."""

FIRST_PAGES = (
    "lab",
    "lab/api/settings",
    "api/kernelspecs",
    "api/kernels",
    "api/sessions",
    "api/contents",
    "api/me",
)
"""What a browser that opens JupyterLab asks for, and what makes a server load most of its code."""


@dataclass(frozen=True)
class Site:
    """A hub and the token that opens a person's server there."""

    hub: HubApi
    token: str
    server_pid: Callable[[str], int]

    def idle_mebibytes(self) -> float:
        """Proportional set size of a fresh server and its children, opened by a browser and left alone."""
        self.hub.spawn_seconds(PERSON)
        headers = {"Authorization": f"token {self.token}"}
        with httpx.Client(headers=headers, timeout=30, trust_env=False, follow_redirects=True) as browser:
            for page in FIRST_PAGES:
                browser.get(f"{self.hub.public_url}/user/{PERSON}/{page}").raise_for_status()
        time.sleep(SETTLE_SECONDS)
        server = psutil.Process(self.server_pid(PERSON))
        processes = [server, *server.children(recursive=True)]
        total: int = sum(process.memory_full_info().pss for process in processes)
        self.hub.stop(PERSON)
        return total / MIB


def run() -> Table:
    """Shared pages count in parts, so both sites' hubs and servers run at the same time."""
    granary = shared_installation()
    with tempfile.TemporaryDirectory() as folder, stock_hub(Path(folder)) as stock:
        stock.add_user(PERSON)
        token = granary.token(PERSON)
        sites = {
            "stock jupyterhub-singleuser": Site(stock, stock.token, stock.server_pid),
            "granary": Site(HubApi(granary.url, token), token, granary.server_pid),
        }
        contenders = {name: site.idle_mebibytes for name, site in sites.items()}
        rows = interleaved(contenders, unit="MiB", rounds=ROUNDS)
    return Table("Memory of an idle user server, opened in a browser before (PSS)", rows)
