"""Changing what is allowed: teams, channels, entitlements. Each change leaves an audit record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict

from sqlalchemy.orm import Session

from hub.domain.audit import Cause, Change
from hub.domain.instants import Clock
from hub.domain.kernels import CatalogueEntry, Channel, Entitlement
from hub.domain.names import checked_name, checked_version
from hub.domain.people import Person, Team
from hub.errors import ChannelNotFound, EntitlementNotFound, InvalidRequest
from hub.policies.access import require_managed
from hub.services.catalogue import release_not_found, team_not_found
from hub.services.database import Database
from hub.services.recording import Recorder
from hub.storage import catalogue, teams


class GovernanceService:
    """Use cases of those who govern kernels, for people with the right to."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def adopt_teams(self, configured: Sequence[Team], cause: Cause) -> None:
        """Make the governed teams those of the configuration; others keep their history."""
        await self._database.write(lambda session: _adopt_teams(self._record(session, cause), configured))

    async def set_channel(
        self, person: Person, cause: Cause, *, kernel: str, channel: str, version: str, reason: str
    ) -> Channel:
        """Point a channel at a release; pointing it where it points already changes nothing.

        A new channel is at once open to the owner team.

        Raises
        ------
        InvalidName, InvalidVersion, KernelNotFound, NotTeamAdmin, ReleaseNotFound
        """
        target = Channel(kernel, checked_name(channel, "channel"), checked_version(version))

        def work(session: Session) -> Channel:
            entry = require_managed(person, kernel, catalogue.entry(session, kernel))
            point_channel(self._record(session, cause), entry, target, reason)
            return target

        return await self._database.write(work)

    async def delete_channel(
        self, person: Person, cause: Cause, *, kernel: str, channel: str, reason: str
    ) -> None:
        """Remove a channel; its release stays.

        Raises
        ------
        KernelNotFound, NotTeamAdmin, ChannelNotFound
        """

        def work(session: Session) -> None:
            entry = require_managed(person, kernel, catalogue.entry(session, kernel))
            if channel not in entry.channels:
                raise ChannelNotFound(
                    f"{kernel} has no channel {channel[:80]!r}.", kernel=kernel, channel=channel[:80]
                )
            catalogue.delete_channel(session, kernel, channel)
            self._record(session, cause).catalogue_change(
                Change(
                    "channel.delete",
                    _channel_subject(kernel, channel),
                    entry.kernel.owner_team,
                    reason,
                    before={"version": entry.channels[channel].version},
                )
            )

        await self._database.write(work)

    async def entitle(
        self, person: Person, cause: Cause, *, kernel: str, team: str, channels: Iterable[str], reason: str
    ) -> Entitlement:
        """Let a team use exactly these channels of a kernel.

        Raises
        ------
        InvalidName, InvalidRequest, KernelNotFound, NotTeamAdmin, TeamNotFound
        """
        named = frozenset(checked_name(channel, "channel") for channel in channels)
        if not named:
            raise InvalidRequest("Name at least one channel; to take all away, delete the entitlement.")

        def work(session: Session) -> Entitlement:
            entry = require_managed(person, kernel, catalogue.entry(session, kernel))
            return grant(self._record(session, cause), entry, Entitlement(kernel, team, named), reason)

        return await self._database.write(work)

    async def revoke(self, person: Person, cause: Cause, *, kernel: str, team: str, reason: str) -> None:
        """Take a kernel away from a team; what already runs goes on.

        Raises
        ------
        KernelNotFound, NotTeamAdmin, EntitlementNotFound
        """

        def work(session: Session) -> None:
            entry = require_managed(person, kernel, catalogue.entry(session, kernel))
            if team not in entry.entitlements:
                raise EntitlementNotFound(
                    f"Team {team[:80]!r} has no entitlement to {kernel}.", kernel=kernel, team=team[:80]
                )
            catalogue.revoke(session, kernel, team)
            self._record(session, cause).catalogue_change(
                Change(
                    "entitlement.revoke",
                    _entitlement_subject(kernel, team),
                    entry.kernel.owner_team,
                    reason,
                    before={"channels": sorted(entry.entitlements[team].channels)},
                )
            )

        await self._database.write(work)

    def _record(self, session: Session, cause: Cause) -> Recorder:
        return Recorder(session, cause, self._clock())


def point_channel(record: Recorder, entry: CatalogueEntry, target: Channel, reason: str) -> None:
    """Within a writing transaction: set a channel, open a new one to the owner team."""
    kernel = entry.kernel
    if target.version not in entry.releases:
        raise release_not_found(kernel.name, target.version)
    before = entry.channels.get(target.name)
    if before == target:
        return
    catalogue.set_channel(record.session, target, record.cause.actor, record.now)
    record.catalogue_change(
        Change(
            "channel.set",
            _channel_subject(kernel.name, target.name),
            kernel.owner_team,
            reason,
            before={"version": before.version} if before else None,
            after={"version": target.version},
        )
    )
    own = entry.entitlements.get(kernel.owner_team)
    if before is None and (own is None or target.name not in own.channels):
        channels = (own.channels if own else frozenset()) | {target.name}
        grant(record, entry, Entitlement(kernel.name, kernel.owner_team, channels), "new channel of its own")


def grant(record: Recorder, entry: CatalogueEntry, wanted: Entitlement, reason: str) -> Entitlement:
    """Within a writing transaction: entitle a governed team."""
    if not teams.is_governed(record.session, wanted.team):
        raise team_not_found(wanted.team)
    before = entry.entitlements.get(wanted.team)
    if before == wanted:
        return wanted
    catalogue.entitle(record.session, wanted.kernel, wanted.team, wanted.channels, record.now)
    record.catalogue_change(
        Change(
            "entitlement.set",
            _entitlement_subject(wanted.kernel, wanted.team),
            entry.kernel.owner_team,
            reason,
            before={"channels": sorted(before.channels)} if before else None,
            after={"channels": sorted(wanted.channels)},
        )
    )
    return wanted


def _adopt_teams(record: Recorder, configured: Sequence[Team]) -> None:
    known = teams.governed(record.session)
    wanted = {team.name: team for team in configured}
    reason = "configuration"
    for name, team in wanted.items():
        before = known.get(name)
        if team == before:
            continue
        teams.save(record.session, team, record.now)
        record.catalogue_change(
            Change(
                "team.govern",
                f"team/{name}",
                name,
                reason,
                before=asdict(before) if before else None,
                after=asdict(team),
            )
        )
    for name in known.keys() - wanted.keys():
        teams.release_from_governance(record.session, name)
        record.catalogue_change(
            Change("team.leave", f"team/{name}", name, reason, before=asdict(known[name]))
        )


def _channel_subject(kernel: str, channel: str) -> str:
    return f"kernel/{kernel}/channel/{channel}"


def _entitlement_subject(kernel: str, team: str) -> str:
    return f"kernel/{kernel}/entitlement/{team}"
