"""``granary up``, ``status``, ``down`` and ``logs``: the installation on this machine."""

from __future__ import annotations

import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

import click

from hub.cli.connection import default_directory, directory_option, json_option

EXIT_DEGRADED = 1
EXIT_NOT_RUNNING = 3

_TAIL_LINES = 40
_FOLLOW_SECONDS = 0.2
_DISTRIBUTION = "jupyterhub-granary"


@click.command()
@directory_option
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(1, 65535), help="Port for browsers."
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; this machine only by default.",
)
@click.option("--demo/--no-demo", default=True, help="With demo people, teams and kernels, or without.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="YAML file with teams, contact, your own OpenID Connect provider and more.",
)
def up(directory: Path | None, port: int, host: str, demo: bool, config_file: Path | None) -> None:
    """Start everything on this machine and keep it running until Ctrl-C."""
    from hub.local.config import read_config  # noqa: PLC0415 # a help text needs none of it
    from hub.local.startup import Wish, run_installation  # noqa: PLC0415

    wish = Wish(host, port, demo, read_config(config_file))
    run_installation(directory or default_directory(), wish, os.environ, version(_DISTRIBUTION))


@click.command()
@directory_option
@json_option
def status(directory: Path | None, as_json: bool) -> None:
    """Show how the installation is: exit code 0 all well, 1 not all, 3 not running."""
    from hub.cli.output import print_table  # noqa: PLC0415 # a help text needs none of it
    from hub.local.layout import Layout  # noqa: PLC0415
    from hub.local.overview import look  # noqa: PLC0415

    seen = look(Layout((directory or default_directory()).absolute()), time.time())  # noqa: TID251 # the shell's edge
    if as_json:
        click.echo(json.dumps(seen.to_json(), indent=2))
    elif not seen.running:
        click.echo(f"Not running in {seen.directory}.")
    else:
        click.echo(
            f"{seen.public_url}  in {seen.directory}"
            + ("" if seen.supervised else "  (nobody supervises it)")
        )
        print_table(
            ("PROCESS", "STATE", "HEALTHY", "PID", "UP", "RESTARTS", "LAST EXIT"),
            [
                (
                    view.name,
                    f"{view.state} {view.retry_seconds:.1f} s" if view.state == "waiting" else view.state,
                    "yes" if view.healthy else "no",
                    str(view.pid or "-"),
                    "-" if view.uptime_seconds is None else f"{view.uptime_seconds:.0f} s",
                    str(view.restarts),
                    view.last_exit or "-",
                )
                for view in seen.processes
            ],
            empty="No processes.",
        )
        click.echo(f"User servers: {', '.join(seen.user_servers) or 'none'}")
    if not seen.running:
        sys.exit(EXIT_NOT_RUNNING)
    if not seen.healthy:
        sys.exit(EXIT_DEGRADED)


@click.command()
@directory_option
def down(directory: Path | None) -> None:
    """Stop the installation, with its user servers and kernels; files are kept."""
    from hub.local.layout import Layout  # noqa: PLC0415 # a help text needs none of it
    from hub.local.overview import end  # noqa: PLC0415

    end(Layout((directory or default_directory()).absolute()))
    click.echo("Stopped.")


@click.command()
@directory_option
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now, until Ctrl-C.")
@click.argument("process", required=False)
def logs(directory: Path | None, follow: bool, process: str | None) -> None:
    """Show the end of the logs, of all processes or of PROCESS."""
    folder = (directory or default_directory()) / "logs"
    known = sorted(path.stem for path in folder.glob("*.log"))
    if process is not None and process not in known:
        raise click.UsageError(
            f"No process {process!r} has a log in {folder}. There are: {', '.join(known) or 'none'}."
        )
    chosen = [process] if process else known
    positions = {name: _show_tail(folder / f"{name}.log", name, len(chosen) > 1) for name in chosen}
    while follow:
        time.sleep(_FOLLOW_SECONDS)
        for name in chosen:
            positions[name] = _show_new(folder / f"{name}.log", positions[name], name, len(chosen) > 1)


def _show_tail(path: Path, name: str, named: bool) -> int:
    content = path.read_bytes()
    for line in content.decode(errors="replace").splitlines()[-_TAIL_LINES:]:
        click.echo(f"{name}: {line}" if named else line)
    return len(content)


def _show_new(path: Path, position: int, name: str, named: bool) -> int:
    """Show whole lines written since; a log put aside for a new one is followed from its start."""
    if not path.exists():
        return 0
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(position if position <= size else 0)
        fresh, newline, _ = file.read().rpartition(b"\n")
        if not newline:
            return min(position, size)
        for line in fresh.decode(errors="replace").split("\n"):
            click.echo(f"{name}: {line}" if named else line)
        return (position if position <= size else 0) + len(fresh) + 1
