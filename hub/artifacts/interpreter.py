"""Pythons that environments are made of."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import timedelta

from hub.artifacts.manifest import invalid
from hub.artifacts.uv import Uv
from hub.errors import BuildFailed

PROBE_TIMEOUT = timedelta(seconds=30)

_PROBE = """
import json, platform, sys, sysconfig
print(json.dumps({
    "executable": sys.executable,
    "version": platform.python_version(),
    "minor": "%d.%d" % sys.version_info[:2],
    "platform": "-".join([sys.implementation.cache_tag, sysconfig.get_platform(), *platform.libc_ver()]),
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python that environments can be made of."""

    executable: str
    version: str
    """In full, for example ``3.11.7``."""
    minor: str
    platform: str
    """Implementation, machine and C library: environments of one do not run on another."""


def find_interpreter(uv: Uv, minor: str | None) -> Interpreter:
    """The Python this process runs on, or the one of another minor version that is installed here.

    Nothing is downloaded.

    Raises
    ------
    InvalidManifest
        There is no such Python.
    BuildFailed
    """
    own = _probed(uv, sys.executable)
    if minor is None or minor == own.minor:
        return own
    try:
        search = ["python", "find", minor, "--no-project", "--system"]
        found = uv.run(search, what=f"find Python {minor}", timeout=PROBE_TIMEOUT)
    except BuildFailed as error:
        problem = (
            f"release.environment.python: Python {minor} is not installed where environments are built; "
            f"leave the field out for {own.minor}."
        )
        raise invalid([problem]) from error
    return _probed(uv, found.strip())


def _probed(uv: Uv, executable: str) -> Interpreter:
    what = f"use the Python at {executable}"
    answer = uv.call([executable, "-I", "-c", _PROBE], what=what, timeout=PROBE_TIMEOUT)
    return Interpreter(**json.loads(answer))
