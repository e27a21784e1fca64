"""Clients that nobody here wrote, used as the documentation says."""

from __future__ import annotations

import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import nbformat
import pytest

from tests.support.installation import Installation, clean_environment, free_port, wait_until
from tests.support.jupyter import JupyterApi

pytestmark = pytest.mark.e2e

LAPTOP = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "work-from-a-laptop.md"
DOCUMENTED_HUB = "http://127.0.0.1:8000"


def test_the_documented_nbclient_script_runs_a_notebook(granary: Installation, tmp_path: Path):
    (script,) = re.findall(r"```python\n(.*?)```", LAPTOP.read_text(), re.DOTALL)
    assert DOCUMENTED_HUB in script
    program, path = tmp_path / "run.py", tmp_path / "report.ipynb"
    program.write_text(script.replace(DOCUMENTED_HUB, granary.url))
    cell = nbformat.v4.new_code_cell("import os, pandas; print(os.environ['GRANARY_KERNEL'], 6 * 7)")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    done = subprocess.run(
        [sys.executable, program, path],
        env={**clean_environment(), "GRANARY_TOKEN": granary.token("atlas-1")},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (executed,) = nbformat.read(path, as_version=4).cells
    assert executed.outputs[0].text == "python-data 42\n"


def test_jupyter_lab_on_a_laptop_uses_the_gateway(granary: Installation, tmp_path: Path):
    with jupyter_lab(granary, tmp_path) as lab:
        specs = lab.http.get("/api/kernelspecs").json()
        assert set(specs["kernelspecs"]) == {"python-base", "python-data", "python-data.dev"}
        kernel = lab.start_kernel("python-base")
        with lab.socket(kernel) as socket:
            done = socket.execute("import os; print(os.environ['GRANARY_PERSON'], 6 * 7)")
        assert done.stdout == "atlas-1 42\n"
        lab.stop_kernel(kernel)


@contextmanager
def jupyter_lab(granary: Installation, root: Path) -> Iterator[JupyterApi]:
    """A stock ``jupyter lab --gateway-url`` with nothing of ours but the address and a token."""
    port, token = free_port(), secrets.token_hex(16)
    gateway = f"{granary.url}/services/gateway/teams/atlas"
    environment = {
        **clean_environment(),
        "HOME": str(root),
        "JUPYTER_GATEWAY_AUTH_TOKEN": granary.token("atlas-1"),
        "JUPYTER_TOKEN": token,
    }
    argv = [
        Path(sys.executable).parent / "jupyter-lab",
        "--gateway-url",
        gateway,
        "--no-browser",
        "--allow-root",
    ]
    argv += [f"--port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={root}"]
    with (root / "lab.log").open("wb") as log:
        process = subprocess.Popen(argv, env=environment, stdout=log, stderr=log, cwd=root)
    try:
        api = JupyterApi(f"http://127.0.0.1:{port}", token)
        wait_until("jupyter lab to answer", lambda: _answers(api))
        yield api
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _answers(api: JupyterApi) -> bool:
    try:
        return api.http.get("/api/kernelspecs").is_success
    except httpx.TransportError:
        return False
