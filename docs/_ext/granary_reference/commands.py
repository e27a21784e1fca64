"""The command line, from click's own description of it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from granary_reference.text import code, table
from hub.cli import main

PROGRAM = "granary"


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with its full name, groups before their members."""
    yield from _below(PROGRAM, main)


def markdown() -> str:
    """One section for each command: what it does, its usage, its arguments and options."""
    return "\n".join(_section(name, command) for name, command in commands())


def _below(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=name)
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None and not found.hidden:
                yield from _below(f"{name} {child}", found)


def _section(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name)
    parts = [f"## {code(name)}", "", _help(command), ""]
    if not isinstance(command, click.Group):
        usage = " ".join([name, *command.collect_usage_pieces(context)])
        parts += ["```bash", usage, "```", ""]
    rows = [row for parameter in command.params if (row := _row(parameter, context))]
    if rows:
        parts.append(table(["argument or option", "meaning", "default"], rows))
    return "\n".join(parts)


def _help(command: click.Command) -> str:
    """click's help text as Markdown."""
    text = inspect.cleandoc(command.help or "").split("\f")[0].strip()
    return "\n\n".join(_paragraph(paragraph) for paragraph in text.split("\n\n"))


def _paragraph(text: str) -> str:
    """One that begins with ``\\b`` is an example that must not be wrapped."""
    if text.startswith("\b"):
        return f"```text\n{text.removeprefix(chr(8)).strip()}\n```"
    return text.replace("``", "`")


def _row(parameter: click.Parameter, context: click.Context) -> list[str]:
    if isinstance(parameter, click.Argument):
        return [code(parameter.make_metavar(context)), "", ""]
    if not isinstance(parameter, click.Option) or parameter.hidden:
        return []
    names = ", ".join(code(name) for name in [*parameter.opts, *parameter.secondary_opts])
    value = "" if parameter.is_flag or parameter.count else f" {code(parameter.make_metavar(context))}"
    variable = f" Also {code(str(parameter.envvar))}." if parameter.envvar else ""
    return [names + value, f"{parameter.help or ''}{variable}", _default(parameter, context)]


def _default(option: click.Option, context: click.Context) -> str:
    if option.required:
        return "must be given"
    extra = option.get_help_extra(context)
    return code(extra["default"]) if "default" in extra else ""
