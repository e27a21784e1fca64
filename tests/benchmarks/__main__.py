"""``python -m tests.benchmarks [NAME …]``: run benchmarks one after the other and print their tables.

A benchmark is a module of this folder with ``run() -> Table``.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.benchmarks.table import Table


def benchmarks() -> dict[str, Callable[[], Table]]:
    """Every benchmark by the name of its module."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("__"))
    modules = {name: importlib.import_module(f"tests.benchmarks.{name}") for name in names}
    return {name: module.run for name, module in modules.items() if hasattr(module, "run")}


def main(chosen: Sequence[str]) -> int:
    """Run the chosen benchmarks, or all; 2 if one of the names is none."""
    known = benchmarks()
    unknown = sorted(set(chosen) - set(known))
    if unknown:
        print(f"No benchmark is called {', '.join(unknown)}. There are: {', '.join(known)}", file=sys.stderr)  # noqa: T201 # a command's answer
        return 2
    for name in chosen or known:
        print(f"\n{known[name]()}", flush=True)  # noqa: T201 # a command's answer
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
