"""``granary kernel``: publish kernels and say who may use which release."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hub.cli.connection import with_client
from hub.cli.output import plain, print_fields, print_json, print_table, short_digest

if TYPE_CHECKING:
    from hub.api.bodies import KernelBody, ReleaseBody
    from hub.rest import RestClient

_reason_option: Callable[[Any], Any] = click.option(
    "--reason", default="", metavar="TEXT", help="Why; kept in the audit log."
)


@click.group()
def kernel() -> None:
    """Publish kernels, see them, say who may use which release."""


@kernel.command()
@click.argument("manifest", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--channel",
    "channels",
    multiple=True,
    metavar="NAME",
    help="Point this channel at the release, besides those the manifest names; may be repeated.",
)
@with_client
def publish(client: RestClient, *, manifest: Path, channels: tuple[str, ...], as_json: bool) -> None:
    """Publish the release that the file MANIFEST describes, and wait until it is done.

    The environment is built, a kernel in it is started and has to answer; then the
    release is there for good. The same content again changes nothing; other content
    under a version that is taken is refused.
    """
    from hub.cli.publishing import publish_and_follow  # noqa: PLC0415 # a help text needs no YAML

    publish_and_follow(client, manifest, channels, as_json=as_json)


@kernel.command("list")
@with_client
def list_kernels(client: RestClient, *, as_json: bool) -> None:
    """List the kernels you may see."""
    body = client.kernels()
    if as_json:
        print_json(body)
        return
    print_table(
        ("KERNEL", "TEAM", "CHANNELS", "RELEASES", "ENTITLED", "TITLE"),
        (
            (
                found.name,
                found.owner_team,
                ", ".join(f"{channel} → {version}" for channel, version in found.channels.items()) or "-",
                str(len(found.releases)),
                ", ".join(found.entitlements) or "-",
                found.display_name,
            )
            for found in body.kernels
        ),
        empty="There are no kernels that you may see.",
    )


@kernel.command()
@click.argument("name", metavar="KERNEL")
@click.option("--release", "version", metavar="VERSION", help="Show this release with its packages instead.")
@with_client
def show(client: RestClient, *, name: str, version: str | None, as_json: bool) -> None:
    """Show KERNEL with its releases, channels and entitlements."""
    if version is None:
        found = client.kernel(name)
        print_json(found) if as_json else _print_kernel(found)
    else:
        release = client.release(name, version)
        print_json(release) if as_json else _print_release(release)


@kernel.command()
@click.argument("name", metavar="KERNEL")
@click.argument("team")
@click.option(
    "--channel",
    "channels",
    multiple=True,
    required=True,
    metavar="NAME",
    help="A channel the team may use; may be repeated, and replaces those it could use before.",
)
@_reason_option
@with_client
def entitle(
    client: RestClient, *, name: str, team: str, channels: tuple[str, ...], reason: str, as_json: bool
) -> None:
    """Let TEAM use exactly these channels of KERNEL."""
    body = client.entitle(name, team, channels, reason=reason)
    if as_json:
        print_json(body)
    else:
        click.echo(f"Team {body.team} may use {body.kernel} on {', '.join(body.channels)}.")


@kernel.command()
@click.argument("name", metavar="KERNEL")
@click.argument("team")
@_reason_option
@with_client
def disentitle(client: RestClient, *, name: str, team: str, reason: str, as_json: bool) -> None:
    """Take KERNEL away from TEAM; what already runs goes on."""
    client.disentitle(name, team, reason=reason)
    if not as_json:
        click.echo(f"Team {team} may no longer start {name}.")


@kernel.group()
def channel() -> None:
    """Point channels at releases."""


@channel.command("set")
@click.argument("name", metavar="KERNEL")
@click.argument("channel_name", metavar="CHANNEL")
@click.argument("version")
@_reason_option
@with_client
def set_channel(
    client: RestClient, *, name: str, channel_name: str, version: str, reason: str, as_json: bool
) -> None:
    """Point CHANNEL of KERNEL at the release VERSION; back to an older one works the same."""
    body = client.set_channel(name, channel_name, version, reason=reason)
    if as_json:
        print_json(body)
    else:
        click.echo(
            f"{body.kernel} on {body.channel} is now {body.version}. Running kernels stay as they are."
        )


@channel.command("list")
@click.argument("name", metavar="KERNEL")
@with_client
def list_channels(client: RestClient, *, name: str, as_json: bool) -> None:
    """List the channels of KERNEL and the teams that may use them."""
    found = client.kernel(name)
    if as_json:
        click.echo(json.dumps({"channels": found.channels}, indent=2))
        return
    print_table(
        ("CHANNEL", "RELEASE", "TEAMS"),
        (
            (channel_name, version, ", ".join(_teams_on(found, channel_name)) or "-")
            for channel_name, version in found.channels.items()
        ),
        empty=f"{found.name} has no channels.",
    )


@channel.command("remove")
@click.argument("name", metavar="KERNEL")
@click.argument("channel_name", metavar="CHANNEL")
@_reason_option
@with_client
def remove_channel(client: RestClient, *, name: str, channel_name: str, reason: str, as_json: bool) -> None:
    """Remove CHANNEL of KERNEL; the release it points to stays."""
    client.remove_channel(name, channel_name, reason=reason)
    if not as_json:
        click.echo(f"{name} has no channel {channel_name} any more.")


def _print_kernel(found: KernelBody) -> None:
    print_fields([
        ("kernel", found.name),
        ("title", found.display_name),
        ("team", found.owner_team),
        ("language", found.language),
        ("description", found.description),
    ])  # fmt: skip
    click.echo()
    print_table(
        ("RELEASE", "STAGE", "CHANNELS", "PYTHON", "PUBLISHED (UTC)", "BY", "DIGEST"),
        (
            (
                release.version,
                release.stage.value,
                ", ".join(name for name, version in found.channels.items() if version == release.version)
                or "-",
                release.language_version,
                f"{release.published_at:%Y-%m-%d %H:%M}",
                release.published_by,
                short_digest(release.artifact_digest),
            )
            for release in found.releases
        ),
        empty="No release is published yet.",
    )
    click.echo()
    print_table(
        ("TEAM", "MAY USE"),
        ((team, ", ".join(channels)) for team, channels in found.entitlements.items()),
        empty="No team is entitled to it.",
    )


def _print_release(release: ReleaseBody) -> None:
    print_fields([
        ("kernel", release.kernel),
        ("release", release.version),
        ("stage", release.stage.value),
        ("python", release.language_version),
        ("published", f"{release.published_at:%Y-%m-%d %H:%M} UTC by {release.published_by}"),
        ("digest", release.artifact_digest),
        ("variables", ", ".join(f"{name}={value}" for name, value in release.environment.items())),
    ])  # fmt: skip
    click.echo()
    for package in release.packages:
        click.echo(plain(f"{package.name}=={package.version}"))


def _teams_on(found: KernelBody, channel_name: str) -> list[str]:
    return [team for team, channels in found.entitlements.items() if channel_name in channels]
