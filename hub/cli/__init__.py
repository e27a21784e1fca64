"""The command line ``granary``: a table of commands, each imported when it is used."""

from __future__ import annotations

import click

from hub.cli.frame import LazyGroup

COMMANDS = {
    "up": "hub.cli.local:up",
    "status": "hub.cli.local:status",
    "down": "hub.cli.local:down",
    "logs": "hub.cli.local:logs",
    "kernel": "hub.cli.kernel:kernel",
    "running": "hub.cli.running:running",
    "whoami": "hub.cli.whoami:whoami",
}
"""Name of each command -> ``module:attribute`` of its click command, in the order of the help text."""

main = LazyGroup(
    name="granary",
    commands_table=COMMANDS,
    help="Governed kernels for JupyterHub: run the product, publish kernels, see what runs.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
"""Entry point of the console script."""

click.version_option(
    package_name="jupyterhub-granary", prog_name="granary", help="Show the version and end."
)(main)
