"""``granary whoami``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from hub.cli.connection import with_client
from hub.cli.output import print_fields, print_json

if TYPE_CHECKING:
    from hub.api.bodies import MyTeamBody
    from hub.rest import RestClient


@click.command()
@with_client
def whoami(client: RestClient, *, as_json: bool) -> None:
    """Show whose token is used and what it may do."""
    me = client.me()
    if as_json:
        print_json(me)
        return
    print_fields([
        ("name", me.name),
        ("kind", me.kind),
        ("may start kernels", "yes" if me.may_use_kernels else "no"),
        ("governs", "everything" if me.platform_admin else _names(team for team in me.teams if team.admin)),
        ("member of", _names(team for team in me.teams if team.member)),
        ("hub", client.url),
    ])  # fmt: skip


def _names(teams: Iterable[MyTeamBody]) -> str:
    return ", ".join(team.name for team in teams)
