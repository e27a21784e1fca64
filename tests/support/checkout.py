"""What belongs to the repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def tracked_files(*folders: str) -> list[Path]:
    """Files that git tracks, below ``folders`` if given; skips the test where git cannot say."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", *folders],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("needs git, and a checkout: what belongs to the repository is what git tracks")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]
