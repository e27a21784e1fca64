"""Only ipykernel is given our configuration, and only where there is none yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway_bridge.kernelhost.ipykernel_config import with_our_config


@pytest.mark.parametrize("module", ["ipykernel_launcher", "ipykernel"])
def test_ipykernel_reads_it(module: str, tmp_path: Path) -> None:
    path = tmp_path / "config.py"
    command = ["/env/bin/python", "-m", module, "-f", "/run/1.json"]
    assert with_our_config(command, path) == [*command, f"--config={path}"]
    compile(path.read_text(), str(path), "exec")


@pytest.mark.parametrize(
    "command",
    [
        ["/usr/bin/R", "--slave", "-e", "IRkernel::main()", "--args", "/run/1.json"],
        ["/env/bin/python", "-m", "ipykernel_launcher", "--config=/their/own.py"],
    ],
)
def test_others_are_left_alone(command: list[str], tmp_path: Path) -> None:
    path = tmp_path / "config.py"
    assert with_our_config(command, path) == command
    assert not path.exists()
