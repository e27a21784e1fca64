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

EXIT_REFUSED = 1
EXIT_UNAVAILABLE = 3

_JSON_OPTION = "as_json"
"""Parameter name of ``--json`` in every command that has it."""


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
        # Imported here: an unused help text needs no errors, and every start counts.
        from hub.errors import GranaryError  # noqa: PLC0415

        try:
            return super().invoke(ctx)
        except GranaryError as error:
            if ctx.parent is not None:
                raise
            sys.exit(_tell(error))


def _tell(error: Any) -> int:
    from hub.errors import Unavailable  # noqa: PLC0415

    click.echo(f"granary: {error.message} [{error.code}]", err=True)
    return EXIT_UNAVAILABLE if isinstance(error, Unavailable) else EXIT_REFUSED
