"""One installation for all end-to-end tests: starting it and building its kernels takes longest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.installation import Installation, free_port


@pytest.fixture(scope="session")
def granary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    installation = Installation(tmp_path_factory.mktemp("granary") / "dir", free_port())
    try:
        installation.up()
        yield installation
    finally:
        installation.end_for_good()
