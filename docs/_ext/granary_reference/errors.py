"""Error codes, from the tree in ``hub.errors``."""

from __future__ import annotations

from granary_reference.text import code, docstring, import_everything, table
from hub.api.errors import status_of
from hub.errors import GranaryError, Unavailable


def markdown() -> str:
    """One section for each family, one row for each code."""
    import_everything()
    families = [cls for cls in GranaryError.__subclasses__() if cls.__module__ == "hub.errors"]
    return "\n".join(_family(family) for family in families)


def _family(family: type[GranaryError]) -> str:
    members = [family, *_descendants(family)]
    header = ["code", "status", "meaning"]
    rows = [[code(member.code), str(status_of(member(""))), docstring(member)] for member in members]
    if issubclass(family, Unavailable):
        header.append("try again after")
        for row, member in zip(rows, members, strict=True):
            row.append(f"{member.retry_after.total_seconds():g} s")  # type: ignore[attr-defined] # of this family
    return f"## {_words(family.__name__)}\n\n{table(header, rows)}"


def _descendants(family: type[GranaryError]) -> list[type[GranaryError]]:
    return [cls for child in family.__subclasses__() for cls in (child, *_descendants(child))]


def _words(name: str) -> str:
    spaced = "".join(f" {char.lower()}" if char.isupper() else char for char in name)
    return spaced.strip().capitalize()
