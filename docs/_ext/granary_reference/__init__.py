"""Writes the reference while Sphinx reads it.

Where a page says ``<!-- generated: errors -->``, the Markdown that the generator of
that name makes from the code takes its place. Generators are plain functions, so
tests can call them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from granary_reference import commands, errors, installation, rights, routes, settings

GENERATORS: dict[str, Callable[[], str]] = {
    "bridge-routes": routes.bridge,
    "commands": commands.markdown,
    "configuration": installation.configuration,
    "control-plane-routes": routes.control_plane,
    "errors": errors.markdown,
    "internal-routes": routes.internal_routes,
    "kernel-host-routes": routes.kernel_host,
    "processes": installation.processes,
    "rights": rights.markdown,
    "settings": settings.markdown,
}

_MARKER = re.compile(r"^<!-- generated: ([a-z-]+) -->$", re.MULTILINE)


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", _fill_in)
    app.connect("env-get-outdated", _pages_with_markers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _fill_in(_app: Any, _docname: str, source: list[str]) -> None:
    source[0] = _MARKER.sub(lambda match: GENERATORS[match[1]](), source[0])


def _pages_with_markers(_app: Any, env: Any, *_changes: object) -> list[str]:
    """The code may have changed though the page has not."""
    return [name for name in env.found_docs if _MARKER.search(env.doc2path(name).read_text())]
