"""How answers look: aligned columns for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pydantic import BaseModel

_GAP = "  "
_SHORT_DIGEST = len("sha256:") + 12


def print_json(body: BaseModel) -> None:
    """An answer as the REST API gave it."""
    click.echo(body.model_dump_json(indent=2))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Columns as wide as their widest cell; ``empty`` is said when there is no row."""
    cells = [[plain(cell) for cell in row] for row in rows]
    if not cells:
        click.echo(empty)
        return
    lines = [list(headings), *cells]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo(_GAP.join(padded).rstrip())


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """One ``name: value`` line each, values aligned; fields without a value are left out."""
    shown = [(name, plain(value)) for name, value in fields if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"{name + ':':<{width + 1}}{_GAP}{value}")


def plain(text: str) -> str:
    """One line without control characters: others' texts must not steer this terminal."""
    return "".join(char if char.isprintable() else " " for char in text)


def short_digest(digest: str) -> str:
    """Enough of a digest to tell releases apart by eye."""
    return digest[:_SHORT_DIGEST]
