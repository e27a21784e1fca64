"""How long a cell's ``1`` takes there and back, one at a time, and what each process on the way adds."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from jupyter_client.blocking.client import BlockingKernelClient

from tests.benchmarks.installation import (
    KERNEL,
    PERSON,
    TEAM,
    kernel_python,
    port_of,
    server_port,
    shared_installation,
)
from tests.benchmarks.peers import LOCAL_KERNEL, raw_zmq_kernel, stock_jupyter_server
from tests.benchmarks.table import Samples, Table, interleaved
from tests.support.installation import Installation
from tests.support.jupyter import JupyterApi, KernelSocket

ROUNDS = 30
EXECUTIONS = 20
"""In one round of one contender, which counts as their median: short, so that a busy moment hits all."""
WHOLE_CHAIN = "granary, whole chain"
CHAIN_RATIO = 1.6
"""Of the whole chain to the kernel's own sockets."""
REPLY_SECONDS = 30.0
MILLISECONDS = 1e3


def run() -> Table:
    """Same Python and packages for every kernel; an answer has come when reply and idle are both there."""
    granary = shared_installation()
    python = kernel_python(granary)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        tcp = stack.enter_context(raw_zmq_kernel(folder, python, "tcp"))
        ipc = stack.enter_context(raw_zmq_kernel(folder, python, "ipc"))
        stock = stack.enter_context(stock_jupyter_server(folder, python))
        contenders = {
            "raw ZMQ, tcp": _timed(lambda: execute_raw(tcp)),
            "raw ZMQ, ipc": _timed(lambda: execute_raw(ipc)),
            "stock jupyter_server": _timed(_executing(_kernel(stack, stock, LOCAL_KERNEL))),
        }
        for name, socket in _granary_sockets(stack, granary).items():
            contenders[name] = _timed(_executing(socket))
        rows = interleaved(contenders, unit="ms", rounds=ROUNDS)
    return Table("Round trip of `execute 1`, one after the other", [_gated(row) for row in rows])


def execute_raw(client: BlockingKernelClient) -> None:
    """Run ``1`` and wait for its reply and its idle status, as the other clients do."""
    msg_id = client.execute("1", store_history=False, allow_stdin=False)
    while client.get_shell_msg(timeout=REPLY_SECONDS)["parent_header"].get("msg_id") != msg_id:
        pass
    idle = False
    while not idle:
        message = client.get_iopub_msg(timeout=REPLY_SECONDS)
        idle = (
            message["parent_header"].get("msg_id") == msg_id
            and message["header"]["msg_type"] == "status"
            and message["content"]["execution_state"] == "idle"
        )


def _granary_sockets(stack: ExitStack, granary: Installation) -> dict[str, KernelSocket]:
    """A kernel's sockets on the way from the browser to its host, one process less from each to the next."""
    browser = granary.start_server(PERSON)
    stack.callback(granary.stop_server, PERSON)
    token = granary.token(PERSON)
    user_server = f"http://127.0.0.1:{server_port(granary, PERSON)}/user/{PERSON}"
    bridge = f"http://127.0.0.1:{port_of(granary, 'bridge')}/teams/{TEAM}"
    return {
        WHOLE_CHAIN: _kernel(stack, browser, KERNEL),
        "granary, without proxy": _kernel(stack, JupyterApi(user_server, token), KERNEL),
        "granary, at the bridge": _kernel(stack, JupyterApi(bridge, token), KERNEL),
    }


def _kernel(stack: ExitStack, api: JupyterApi, name: str) -> KernelSocket:
    kernel_id = api.start_kernel(name)
    stack.callback(api.stop_kernel, kernel_id)
    return stack.enter_context(api.socket(kernel_id))


def _executing(socket: KernelSocket) -> Callable[[], object]:
    return lambda: socket.execute("1")


def _timed(execute: Callable[[], object]) -> Callable[[], float]:
    def median_milliseconds() -> float:
        seconds = []
        for _ in range(EXECUTIONS):
            began = time.perf_counter()
            execute()
            seconds.append(time.perf_counter() - began)
        return statistics.median(seconds) * MILLISECONDS

    return median_milliseconds


def _gated(row: Samples) -> Samples:
    return replace(row, ratio_at_most=CHAIN_RATIO) if row.name == WHOLE_CHAIN else row
