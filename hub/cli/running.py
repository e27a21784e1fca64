"""``granary running``: started kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hub.cli.connection import with_client
from hub.cli.output import print_json, print_table

if TYPE_CHECKING:
    from hub.rest import RestClient


@click.group()
def running() -> None:
    """See and stop running kernels."""


@running.command("list")
@click.option("--team", metavar="TEAM", help="All of this team's instead of your own; for its admins.")
@with_client
def list_running(client: RestClient, *, team: str | None, as_json: bool) -> None:
    """List your running kernels, or a team's."""
    from hub.api.bodies import RunningKernelsBody  # noqa: PLC0415 # a help text needs no bodies

    kernels = client.running(team)
    if as_json:
        print_json(RunningKernelsBody(kernels=kernels))
        return
    print_table(
        ("ID", "OWNER", "TEAM", "KERNEL", "RELEASE", "STATE", "STARTED (UTC)"),
        (
            (
                kernel.id,
                kernel.owner,
                kernel.team,
                kernel.spec_name,
                kernel.version,
                kernel.state.value,
                f"{kernel.started_at:%Y-%m-%d %H:%M}",
            )
            for kernel in kernels
        ),
        empty="No kernels are running.",
    )


@running.command("stop")
@click.argument("kernel_id", metavar="ID")
@with_client
def stop_running(client: RestClient, *, kernel_id: str, as_json: bool) -> None:
    """Stop the running kernel ID; its memory is lost, files stay."""
    client.stop(kernel_id)
    if not as_json:
        click.echo(f"Stopped {kernel_id}.")
