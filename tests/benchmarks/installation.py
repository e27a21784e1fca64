"""The installation that the benchmarks of one run share: a first start takes a minute, they need it once."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

import psutil

from tests.support.installation import Installation, free_port

PERSON = "atlas-1"
TEAM = "atlas"
KERNEL = "python-base"


@cache
def shared_installation() -> Installation:
    """A running ``granary up`` with the demo's people and kernels; it ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix="granary-bench-"))
    installation = Installation(folder / "granary", free_port())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(installation.end_for_good)
    installation.up()
    return installation


def port_of(installation: Installation, process: str) -> int:
    """The loopback port of one of its processes."""
    ports: dict[str, int] = json.loads((installation.directory / "state.json").read_text())["ports"]
    return ports[process]


def server_port(installation: Installation, person: str) -> int:
    """The loopback port of a person's running server."""
    process = psutil.Process(installation.server_pid(person))
    (port,) = {
        each.laddr.port for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN
    }
    return int(port)


def kernel_python(installation: Installation) -> Path:
    """The Python of ``KERNEL``, for peers that shall run the very same kernel."""
    kernel = installation.cli("kernel", "show", KERNEL)
    digest: str = kernel["releases"][0]["artifact_digest"]
    return installation.directory / "store" / "environments" / digest.rpartition(":")[2] / "bin" / "python"
