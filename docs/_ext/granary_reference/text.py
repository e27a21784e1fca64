"""Markdown from pieces of code."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable, Sequence

PACKAGES = ("hub", "spawner", "gateway_bridge")

_NOT_FOR_IMPORT = ("hub.migrations.", ".__main__")
"""Scripts: alembic runs the first, ``python -m`` the second."""


def import_everything() -> None:
    """Import every module of ours, so that every class of a tree is known."""
    for package in PACKAGES:
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if not any(part in module.name for part in _NOT_FOR_IMPORT):
                importlib.import_module(module.name)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; cells are one line and may hold markup."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"


def code(text: str) -> str:
    """``text`` as code, or nothing if there is none."""
    return f"`{text}`" if text else ""


def docstring(thing: object) -> str:
    """The docstring of ``thing`` itself, as Markdown; empty if it has none of its own.

    Only the prose: sections such as "Parameters" are for developers.
    """
    own = thing.__dict__.get("__doc__") if isinstance(thing, type) else getattr(thing, "__doc__", None)
    prose = re.split(r"\n[A-Z][a-z]+\n-{3,}", inspect.cleandoc(own or ""))[0]
    return prose.replace("``", "`").strip()


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
