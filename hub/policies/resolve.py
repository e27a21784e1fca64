"""Which release does a kernelspec name mean for a team? Pure, explained, never substituted."""

from __future__ import annotations

from collections.abc import Iterable

from hub.domain.kernels import CatalogueEntry, LaunchChoice, Release
from hub.domain.names import DEFAULT_CHANNEL, SpecName
from hub.errors import ChannelNotFound, NotEntitled, ReleaseNotFound, ReleaseNotStartable


def resolve(wanted: SpecName, entry: CatalogueEntry, team: str) -> LaunchChoice:
    """Decide what ``wanted`` starts for a member of ``team``.

    A channel resolves to the release it points to now; an exact version resolves
    to that release, which has to be on one of the team's channels or be the
    owner's own. A release is never replaced by another.

    Raises
    ------
    NotEntitled, ChannelNotFound, ReleaseNotFound, ReleaseNotStartable
    """
    kernel = entry.kernel
    allowed = _channels_of(entry, team)
    if not allowed and kernel.owner_team != team:
        raise NotEntitled(
            f"Team {team} is not entitled to the kernel {kernel.name}. "
            f"Ask an admin of team {kernel.owner_team}, which owns it.",
            kernel=kernel.name,
            team=team,
            owner_team=kernel.owner_team,
        )
    if wanted.channel is not None:
        release = _release_on(wanted.channel, entry, team, allowed)
    else:
        release = _exact_release(wanted.version or "", entry, team, allowed)
    _require_startable(release)
    return LaunchChoice(str(wanted), kernel, release, wanted.channel)


def choices(entries: Iterable[CatalogueEntry], team: str) -> list[LaunchChoice]:
    """What a launcher offers ``team``: every entitled channel that points to a startable release."""
    offered: list[LaunchChoice] = []
    for entry in entries:
        for channel_name in sorted(_channels_of(entry, team) & entry.channels.keys()):
            release = entry.releases[entry.channels[channel_name].version]
            if release.stage.startable:
                spec = SpecName(entry.kernel.name, channel_name, None)
                offered.append(LaunchChoice(str(spec), entry.kernel, release, channel_name))
    return sorted(offered, key=lambda choice: choice.spec_name)


def default_choice(offered: Iterable[LaunchChoice]) -> str | None:
    """The spec name a client gets when it names none: the first default-channel one."""
    names = [choice.spec_name for choice in offered if choice.channel == DEFAULT_CHANNEL]
    return min(names, default=None)


def _channels_of(entry: CatalogueEntry, team: str) -> frozenset[str]:
    entitlement = entry.entitlements.get(team)
    return entitlement.channels if entitlement else frozenset()


def _release_on(channel: str, entry: CatalogueEntry, team: str, allowed: frozenset[str]) -> Release:
    kernel = entry.kernel
    if channel not in allowed:
        offer = ", ".join(sorted(allowed)) or "none"
        raise NotEntitled(
            f"Team {team} may not use the channel {channel} of {kernel.name} (it may use: {offer}). "
            f"Ask an admin of team {kernel.owner_team}.",
            kernel=kernel.name,
            team=team,
            channel=channel,
            owner_team=kernel.owner_team,
        )
    if channel not in entry.channels:
        raise ChannelNotFound(
            f"The channel {channel} of {kernel.name} points to no release yet. "
            f"An admin of team {kernel.owner_team} can set it.",
            kernel=kernel.name,
            channel=channel,
        )
    return entry.releases[entry.channels[channel].version]


def _exact_release(version: str, entry: CatalogueEntry, team: str, allowed: frozenset[str]) -> Release:
    kernel = entry.kernel
    release = entry.releases.get(version)
    reachable = {entry.channels[name].version for name in allowed & entry.channels.keys()}
    if release is None or (team != kernel.owner_team and version not in reachable):
        raise ReleaseNotFound(
            f"{kernel.name} has no release {version} that team {team} may use.",
            kernel=kernel.name,
            version=version,
            usable=sorted(reachable),
        )
    return release


def _require_startable(release: Release) -> None:
    if not release.stage.startable:
        raise ReleaseNotStartable(
            f"{release.kernel} {release.version} is {release.stage.value}: no new kernel starts on it. "
            "Choose another release or channel.",
            kernel=release.kernel,
            version=release.version,
            stage=release.stage.value,
        )
