"""What every command shares: lazy loading, and how a refusal reaches the person.

Exit codes: 0 done, 1 refused or failed, 2 the command line is wrong, 3 something does
not answer. A refusal is one line on standard error, ``granary: <message> [code]``;
with ``--json`` it is an ``ErrorBody`` on standard output.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any

import click

from hub.errors import GranaryError, Unavailable

EXIT_REFUSED = 1
EXIT_UNAVAILABLE = 3


class LazyGroup(click.Group):
    """A group whose commands are imported when they are run, so that starting stays fast.

    ``commands_table`` maps a command's name to ``module:attribute``.
    """

    def __init__(self, *, commands_table: Mapping[str, str], **options: Any) -> None:
        super().__init__(**options)
        self._table = commands_table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self._table, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = self._table.get(cmd_name)
        if target is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{target} is no click command")
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of ours becomes its line and its exit code."""
        try:
            return super().invoke(ctx)
        except GranaryError as error:
            sys.exit(tell(error, as_json=False))


def tell(error: GranaryError, *, as_json: bool) -> int:
    """Print a refusal the way the person asked for; returns the exit code."""
    if as_json:
        from hub.wire import ErrorBody  # noqa: PLC0415 # takes as long to import as all the rest

        click.echo(ErrorBody.of(error).model_dump_json(indent=2))
    else:
        click.echo(f"granary: {error.message} [{error.code}]", err=True)
        for line in _output_of(error):
            click.echo(f"  {line}", err=True)
    return EXIT_UNAVAILABLE if isinstance(error, Unavailable) else EXIT_REFUSED


def _output_of(error: GranaryError) -> list[str]:
    """The end of a failed program's output, if the error brought it along."""
    output = error.details.get("output")
    if not isinstance(output, list):
        return []
    return ["".join(char if char.isprintable() else "?" for char in str(line)) for line in output]
