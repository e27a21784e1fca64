"""Tiny wheels in a folder that serves as an index: builds take a fraction of a second and need no network."""

from __future__ import annotations

import base64
import hashlib
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

TINY_KERNEL = "ipykernel==0.0.1"
"""A package of that name that starts no kernel."""


def make_wheel(
    folder: Path, name: str, version: str, files: Mapping[str, str], requires: Sequence[str] = ()
) -> Path:
    """Write a wheel; ``files`` are texts by path."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    content = {
        **files,
        f"{info}/METADATA": metadata + "".join(f"Requires-Dist: {requirement}\n" for requirement in requires),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_hash(text)},{len(text.encode())}\n" for path, text in content.items())
    path = folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for member, text in {**content, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            wheel.writestr(member, text)
    return path


def make_index(folder: Path) -> dict[str, str]:
    """A folder of tiny packages; returns the environment in which uv uses it and nothing else."""
    packages = folder / "packages"
    packages.mkdir(parents=True)
    launcher = "import sys\nprint('would start', sys.argv)\n"
    tiny = {"ipykernel/__init__.py": "__version__ = '0.0.1'\n", "ipykernel_launcher.py": launcher}
    make_wheel(packages, "ipykernel", "0.0.1", tiny, requires=["tiny-part"])
    make_wheel(
        packages, "tiny-part", "1.0", {"tiny_part.py": "def fail():\n    raise RuntimeError('tiny')\n"}
    )
    make_wheel(packages, "tiny-extra", "1.0", {"tiny_extra/__init__.py": "", "tiny_extra/data.txt": "one\n"})
    make_wheel(packages, "tiny-extra", "2.0", {"tiny_extra/__init__.py": "", "tiny_extra/data.txt": "two\n"})
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "UV_CACHE_DIR": str(folder / "cache"),
        "UV_FIND_LINKS": str(packages),
        "UV_OFFLINE": "1",
        "UV_NO_CONFIG": "1",
    }


def _hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
