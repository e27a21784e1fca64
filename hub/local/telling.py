"""What ``granary up`` says while it works: a line for each step, with its time."""

from __future__ import annotations

from collections.abc import Sequence

import click

from hub.local.accounts import Account
from hub.local.layout import Layout

_WIDTH = 18


def step(title: str, seconds: float, note: str = "") -> None:
    """A finished step."""
    mark = click.style("ok", fg="green")
    click.echo(f"  {mark}  {title:<{_WIDTH}}{seconds:5.1f} s{f'  {note}' if note else ''}")


def say(text: str) -> None:
    click.echo(text)


def welcome(public_url: str, layout: Layout, accounts: Sequence[Account]) -> None:
    """Where to go and who can sign in; no password, which could end up in a log."""
    click.echo(f"\nGranary is ready: {click.style(public_url, bold=True)}\n")
    if accounts:
        click.echo("Who can sign in:")
        for account in accounts:
            what = ", ".join(account.roles) or "in no team, will be refused"
            where = f" of {' and '.join(account.teams)}" if account.teams else ""
            click.echo(f"  {account.name:<16}{what}{where}")
        click.echo(f"Their passwords are in {layout.accounts_file}\n")
    click.echo("Everybody's servers and kernels run under the account that started this, and could read")
    click.echo("each other's files: fine for trying out and for people who trust each other.")
    click.echo("\nCtrl-C stops everything; files, accounts and kernels' releases are kept.")
