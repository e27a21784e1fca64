"""Keep modules out of the process that it never uses, for a start within a second and small memory.

Stock ``jupyterhub-singleuser`` loads the hub's database layer to recognise one health
check handler, a grammar compiler for a JSON format nobody writes, an extension
installer that is switched off, and runs Node.js to learn where that would download
from: more than half of its start.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

BLOCKED = ("isoduration", "rfc3987_syntax")
"""Optional for those who import them: formats in JSON schemas that no schema here uses."""


class _Idle:
    """Can be compared with, called and offered by name, and does nothing."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass


class _NeverRaised(Exception):
    pass


STAND_INS: dict[str, dict[str, type]] = {
    "jupyterhub.handlers": {},
    "jupyterhub.handlers.pages": {"HealthCheckHandler": _Idle},  # the hub's, to keep it out of the log
    "jupyterhub.metrics": {"prometheus_log_method": _Idle},  # of the hub's requests
    "jupyterhub.orm": {},  # the hub's database; a server compares scopes without one
    "jupyterhub.roles": {},
    "jupyterlab.extensions.pypi": {"PyPIExtensionManager": _Idle},  # offered, not chosen
    "requests": {},  # for lists of extensions from the internet
    "sqlalchemy": {},
    "sqlalchemy.exc": {"SQLAlchemyError": _NeverRaised},
}
"""Modules of which the user server needs no more than a name."""


class _StandIn(ModuleType):
    """In place of a module while others import it; what it lacks comes from the module, once allowed."""

    allowed = False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or not self.allowed:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(import_module(self.__name__), name)


def block_unused() -> None:
    """Make optional imports fail as if their packages were not installed."""
    for name in BLOCKED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type] # the documented way to block an import


@contextmanager
def stand_ins() -> Iterator[None]:
    """Within, modules in ``STAND_INS`` are not loaded; afterwards they load once they are used."""
    placed = []
    for name in STAND_INS.keys() - sys.modules.keys():
        module = _StandIn(name)
        module.__path__ = []
        vars(module).update(STAND_INS[name])
        sys.modules[name] = module
        placed.append(module)
    try:
        yield
    finally:
        for module in placed:
            sys.modules.pop(module.__name__, None)
            module.allowed = True


def keep_node_out() -> None:
    """JupyterLab asks Node.js for its package registry while it is imported; only building it needs that."""
    from jupyterlab import commands  # noqa: PLC0415 # after what is to be kept out

    def no_registry(_logger: Any) -> dict[str, dict[str, str]]:
        return {"yarn config": {}, "npm config": {}}

    commands._yarn_config = no_registry  # noqa: SLF001 # a test says when it moves
