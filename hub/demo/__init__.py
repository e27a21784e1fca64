"""The kernels a new local installation comes with: small, pinned, as any team would publish them."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent

_ORDER = ("python-base-2026.11.1", "python-data-2026.10.1", "python-data-2026.11.1")
"""The smallest first, so that there is a kernel to start after seconds."""


def demo_manifests() -> list[Path]:
    """Manifest files in the order to publish them.

    ``python-data`` of team ``atlas`` has an older release on ``prod`` and a newer one
    on ``dev``; ``python-base`` is for the teams ``atlas`` and ``borealis``.
    """
    return [_FOLDER / f"{name}.yaml" for name in _ORDER]
