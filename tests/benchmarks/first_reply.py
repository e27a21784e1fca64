"""How long a new notebook waits for its first answer: from asking for a kernel to its first cell's reply."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.installation import KERNEL, PERSON, TEAM, kernel_python, shared_installation
from tests.benchmarks.peers import LOCAL_KERNEL, stock_jupyter_server
from tests.benchmarks.table import Table, interleaved
from tests.support.jupyter import JupyterApi

ROUNDS = 9


def run() -> Table:
    """All start the same Python with the same packages: a release's, here and as a local kernel."""
    granary = shared_installation()
    python = kernel_python(granary)
    browser = granary.start_server(PERSON)
    try:
        with tempfile.TemporaryDirectory() as folder, stock_jupyter_server(Path(folder), python) as stock:
            contenders = {
                "stock jupyter_server, local kernel": _starting(stock, LOCAL_KERNEL),
                "granary, whole chain": _starting(browser, KERNEL),
                "granary, at the gateway": _starting(granary.bridge(PERSON, TEAM), KERNEL),
            }
            rows = interleaved(contenders, unit="s", rounds=ROUNDS)
    finally:
        granary.stop_server(PERSON)
    return Table("First reply, from the request for a kernel", rows)


def _starting(api: JupyterApi, kernel: str) -> Callable[[], float]:
    def start_execute_stop() -> float:
        began = time.perf_counter()
        kernel_id = api.start_kernel(kernel)
        with api.socket(kernel_id) as channels:
            channels.execute("1")
            seconds = time.perf_counter() - began
        api.stop_kernel(kernel_id)
        return seconds

    return start_execute_stop
