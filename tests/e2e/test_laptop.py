"""What "Work from a laptop, or from CI" tells people to do, done as it is written there."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import nbformat
import pytest

from tests.support.browser import chromium, person_at, sign_in
from tests.support.installation import Installation, clean_environment, free_port, wait_until
from tests.support.jupyter import JupyterApi

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "work-from-a-laptop.md"
WRITTEN_ADDRESS = "http://127.0.0.1:8000"
TOKEN_VARIABLE = "GRANARY_TOKEN"  # the variable's name
RUN_SECONDS = 120.0


def blocks(language: str) -> list[str]:
    """The page's blocks of code in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def token(granary: Installation) -> str:
    """Requested by ``atlas-1`` as the page says: with the one scope it needs, and an expiry."""
    assert "`custom:kernels:use`" in PAGE.read_text()
    with chromium() as browser, person_at(browser) as page:
        sign_in(page, granary.url, "atlas-1", granary.password("atlas-1"))
        page.wait_for_url("**/user/**")
        page.goto(f"{granary.url}/hub/token")
        page.locator("#token-note").fill("laptop")
        page.locator("#token-expiration-seconds").select_option(label="1 Hour")
        page.locator("#token-scopes").fill("custom:kernels:use")
        page.get_by_role("button", name="Request new API token").click()
        made = page.locator("#token-result")
        made.wait_for(state="visible")
        return made.inner_text().strip()


@pytest.fixture
def laptop(granary: Installation, token: str, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A folder and an environment with nothing of Granary in them but the token."""
    places = {"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return tmp_path, {**clean_environment(), **places, TOKEN_VARIABLE: token}


def test_the_script_runs_a_notebook_on_a_governed_kernel(
    granary: Installation, laptop: tuple[Path, dict[str, str]]
) -> None:
    folder, environment = laptop
    (script,) = blocks("python")
    assert WRITTEN_ADDRESS in script
    (folder / "run.py").write_text(script.replace(WRITTEN_ADDRESS, granary.url))
    cell = nbformat.v4.new_code_cell(
        "import os; print(os.environ['GRANARY_KERNEL'], os.environ['GRANARY_PERSON'])"
    )
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), folder / "report.ipynb")

    done = subprocess.run(
        [sys.executable, "run.py", "report.ipynb"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    (output,) = nbformat.read(folder / "report.ipynb", as_version=4).cells[0].outputs
    assert output.text == "python-data atlas-1\n"


@contextmanager
def laptops_jupyterlab(
    granary: Installation, folder: Path, environment: dict[str, str]
) -> Iterator[JupyterApi]:
    """JupyterLab started by the page's own command, with a port, a token and no browser."""
    (command,) = (block for block in blocks("bash") if "jupyter lab" in block)
    port, lab_token = free_port(), secrets.token_hex(16)
    options = f"--no-browser --allow-root --port={port} --ServerApp.port_retries=0"
    process = subprocess.Popen(
        ["bash", "-c", f"{command.strip().replace(WRITTEN_ADDRESS, granary.url)} {options}"],
        cwd=folder,
        env=environment | {"JUPYTER_TOKEN": lab_token},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        lab = JupyterApi(f"http://127.0.0.1:{port}", lab_token)
        wait_until("JupyterLab to answer", lambda: answers(lab, process))
        yield lab
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)


def answers(lab: JupyterApi, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "JupyterLab ended"
    with suppress(httpx.TransportError):
        return lab.http.get("/api/status").is_success
    return False


def test_jupyterlab_on_a_laptop_uses_the_teams_kernels(
    granary: Installation, laptop: tuple[Path, dict[str, str]]
) -> None:
    with laptops_jupyterlab(granary, *laptop) as lab:
        offered = lab.http.get("/api/kernelspecs").json()["kernelspecs"]
        assert {"python-base", "python-data", "python-data.dev"} <= set(offered)
        kernel_id = lab.start_kernel("python-data.dev")
        with lab.socket(kernel_id) as kernel:
            assert kernel.execute("import os; print(os.environ['GRANARY_KERNEL'])").stdout == "python-data\n"
        lab.stop_kernel(kernel_id)
