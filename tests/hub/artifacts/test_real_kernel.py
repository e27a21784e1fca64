"""One environment as people have it: resolved from the index, with a kernel that answers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

from hub.artifacts.environment import EnvironmentStore
from hub.artifacts.manifest import parse_manifest
from hub.cli.manifests import load_manifest
from hub.demo import demo_manifests

PATIENCE_SECONDS = 60


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[KernelManager]:
    manager = KernelManager(transport="ipc", connection_file=str(tmp_path / "kernel.json"))
    yield manager
    if manager.has_kernel:
        manager.shutdown_kernel(now=True)
    manager.cleanup_resources()


def test_a_kernel_in_a_built_environment_answers_and_changes_nothing(
    tmp_path: Path, manager: KernelManager
) -> None:
    store = EnvironmentStore(tmp_path / "store")
    base = parse_manifest(load_manifest(demo_manifests()[0]))
    resolved = store.resolve(base.environment, lambda _text: None)
    store.build(resolved, lambda _text: None)

    manager._kernel_spec = KernelSpec(argv=store.launch_argv(resolved.digest), language="python")
    manager.start_kernel(env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, cwd=str(tmp_path))
    client = manager.client()
    assert isinstance(client, BlockingKernelClient)
    client.start_channels()
    try:
        client.wait_for_ready(timeout=PATIENCE_SECONDS)
        printed: list[str] = []
        client.execute_interactive(
            "import sys; print(sys.prefix)",
            timeout=PATIENCE_SECONDS,
            output_hook=lambda message: printed.append(message["content"].get("text", "")),
        )
    finally:
        client.stop_channels()
    assert "".join(printed).strip() == str(store.path(resolved.digest))
    store.verify(resolved.digest)
