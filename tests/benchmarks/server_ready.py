"""How long a person waits for their server: ours with JupyterLab wired to the bridge, and the stock one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.benchmarks.installation import PERSON, shared_installation
from tests.benchmarks.peers import HubApi, stock_hub
from tests.benchmarks.table import Table, interleaved

ROUNDS = 9
READY_SECONDS = 1.6


def run() -> Table:
    """From the request for a server until the hub says it is ready; both hubs watched the same way."""
    granary = shared_installation()
    with tempfile.TemporaryDirectory() as folder, stock_hub(Path(folder)) as stock:
        stock.add_user(PERSON)
        ours = HubApi(granary.url, granary.token(PERSON))
        contenders = {"stock jupyterhub-singleuser": _spawning(stock), "granary": _spawning(ours)}
        theirs, our = interleaved(contenders, unit="s", rounds=ROUNDS)
    return Table("Server ready, from the request", [theirs, replace(our, at_most=READY_SECONDS)])


def _spawning(hub: HubApi) -> Callable[[], float]:
    def spawn_and_stop() -> float:
        seconds = hub.spawn_seconds(PERSON)
        hub.stop(PERSON)
        return seconds

    return spawn_and_stop
