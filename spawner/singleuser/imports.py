"""Keep modules out of the process that it never uses, for a start in a second and small memory.

Stock ``jupyterhub-singleuser`` loads the hub's database layer to recognise one health
check handler, a grammar compiler for a JSON format nobody writes, and an extension
installer that is switched off: more than half of its start.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

BLOCKED = ("rfc3987_syntax",)
"""Optional for those who import them: they do without."""

STAND_INS = {
    "jupyterhub.handlers": (),
    "jupyterhub.handlers.pages": ("HealthCheckHandler",),
    "jupyterlab.extensions.pypi": ("PyPIExtensionManager",),
}
"""Modules of which others only want a class to compare with or to offer by name."""


def block_unused() -> None:
    """Make optional imports fail as if the package were not installed."""
    for name in BLOCKED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type] # the documented way to block an import


@contextmanager
def stand_ins() -> Iterator[None]:
    """Within, modules in ``STAND_INS`` are empty classes; afterwards they import as ever."""
    absent = [name for name in STAND_INS if name not in sys.modules]
    for name in absent:
        module = ModuleType(name)
        module.__path__ = []
        for attribute in STAND_INS[name]:
            setattr(module, attribute, type(attribute, (), {}))
        sys.modules[name] = module
    try:
        yield
    finally:
        for name in absent:
            sys.modules.pop(name, None)
