"""The command line, from click's own description of it."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Collection, Iterator

import click

from granary_reference.text import code, table
from hub.cli import main

PROGRAM = "granary"

SHARED_BY = 3
"""An option that means the same in more commands than this is told once, for all of them."""


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with its full name, groups before their members."""
    yield from _below(PROGRAM, main)


def markdown() -> str:
    """What many commands share, then a section for each: what it does, its usage, its own options."""
    every = list(commands())
    counts = Counter(row for _, command in every for row in _rows(command))
    shared = [row for row, count in counts.items() if count > SHARED_BY]
    sections = [_section(name, command, shared) for name, command in every]
    return "\n".join([f"## {_SHARED_TITLE}", "", table(_HEADER, shared), *sections])


def _below(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=name)
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None and not found.hidden:
                yield from _below(f"{name} {child}", found)


_HEADER = ("option", "meaning", "default")
_SHARED_TITLE = "Options of many commands"
_SHARED_LINK = "#options-of-many-commands"

_Row = tuple[str, str, str]


def _section(name: str, command: click.Command, shared: Collection[_Row]) -> str:
    context = click.Context(command, info_name=name)
    parts = [f"## {code(name)}", "", _help(command), ""]
    if not isinstance(command, click.Group):
        usage = " ".join([name, *command.collect_usage_pieces(context)])
        parts += ["```bash", usage, "```", ""]
    rows = _rows(command)
    own = [row for row in rows if row not in shared]
    if own:
        parts.append(table(_HEADER, own))
    common = [row[0].split(" ")[0] for row in rows if row in shared]
    if common:
        parts.append(f"Also {', '.join(common)}: see [options of many commands]({_SHARED_LINK}).\n")
    return "\n".join(parts)


def _rows(command: click.Command) -> list[_Row]:
    context = click.Context(command)
    return [
        _row(parameter, context)
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.hidden
    ]


def _help(command: click.Command) -> str:
    """click's help text as Markdown."""
    text = inspect.cleandoc(command.help or "").split("\f")[0].strip()
    return "\n\n".join(_paragraph(paragraph) for paragraph in text.split("\n\n"))


def _paragraph(text: str) -> str:
    """One that begins with ``\\b`` is an example that must not be wrapped."""
    if text.startswith("\b"):
        return f"```text\n{text.removeprefix(chr(8)).strip()}\n```"
    return text.replace("``", "`")


def _row(option: click.Option, context: click.Context) -> _Row:
    names = ", ".join(code(name) for name in [*option.opts, *option.secondary_opts])
    value = "" if option.is_flag or option.count else f" {code(option.make_metavar(context))}"
    variable = f" Also {code(str(option.envvar))}." if option.envvar else ""
    return names + value, f"{option.help or ''}{variable}", _default(option, context)


def _default(option: click.Option, context: click.Context) -> str:
    if option.required:
        return "must be given"
    extra = option.get_help_extra(context)
    return code(extra["default"]) if "default" in extra else ""
