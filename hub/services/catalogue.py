"""Reading the catalogue, and keeping it in memory while it does not change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from hub.domain.kernels import CatalogueEntry, LaunchChoice, Release
from hub.domain.people import Person, Team
from hub.errors import ReleaseNotFound, TeamNotFound
from hub.policies.access import require_member, require_reader, require_visible, teams_of, visible_entries
from hub.policies.resolve import choices, default_choice
from hub.services.database import Database
from hub.storage import catalogue, revisions, teams


@dataclass(frozen=True, eq=False)
class Offer:
    """What a team may start. One object for as long as the answer stays the same."""

    default: str | None
    choices: Sequence[LaunchChoice]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Teams and catalogue as they were at one revision; releases without their packages."""

    revision: int
    teams: Mapping[str, Team]
    """Those governed."""
    entries: Mapping[str, CatalogueEntry]
    _offers: dict[str, Offer] = field(default_factory=dict)

    def team(self, name: str) -> Team:
        """Raises ``TeamNotFound`` for one that is not governed."""
        if name not in self.teams:
            raise team_not_found(name)
        return self.teams[name]

    def offer(self, team: str) -> Offer:
        """What members of a governed team may start."""
        if team not in self._offers:
            offered = choices(self.entries.values(), self.team(team).name)
            self._offers[team] = Offer(default_choice(offered), offered)
        return self._offers[team]


class CatalogueService:
    """Answers about teams and kernels.

    The whole catalogue is a few hundred kernels, so it is held in memory and
    checked against a revision counter on each use: one tiny query instead of
    thousands of rows, and never an answer older than the database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._latest: Snapshot | None = None

    async def snapshot(self) -> Snapshot:
        self._latest = await self._database.read(self._read)
        return self._latest

    async def offer(self, team: str) -> Offer:
        """What ``team`` may start. Raises ``TeamNotFound``."""
        return (await self.snapshot()).offer(team)

    async def offer_for(self, person: Person, team: str) -> Offer:
        """The same for somebody who asks in person. Raises ``NotAMember``, ``TeamNotFound``."""
        snapshot = await self.snapshot()
        snapshot.team(team)
        require_member(person, team)
        return snapshot.offer(team)

    async def teams(self, person: Person) -> list[Team]:
        """The governed teams the person belongs to or governs."""
        require_reader(person)
        return teams_of(person, (await self.snapshot()).teams)

    async def governed_among(self, groups: Sequence[str]) -> list[Team]:
        """The governed teams among hub groups, sorted by name."""
        snapshot = await self.snapshot()
        return [team for name, team in sorted(snapshot.teams.items()) if name in groups]

    async def kernels(self, person: Person) -> list[CatalogueEntry]:
        """The kernels the person may see, sorted by name."""
        require_reader(person)
        return visible_entries(person, (await self.snapshot()).entries.values())

    async def kernel(self, person: Person, name: str) -> CatalogueEntry:
        """One of them. Raises ``KernelNotFound``."""
        return require_visible(person, name, (await self.snapshot()).entries.get(name))

    async def release(self, person: Person, kernel: str, version: str) -> Release:
        """A release with its packages. Raises ``KernelNotFound``, ``ReleaseNotFound``."""
        entry = await self.kernel(person, kernel)
        if version not in entry.releases:
            raise release_not_found(kernel, version)
        found = await self._database.read(lambda session: catalogue.release(session, kernel, version))
        if found is None:
            raise release_not_found(kernel, version)
        return found

    def _read(self, session: Session) -> Snapshot:
        revision = revisions.current(session, revisions.CATALOGUE)
        known = self._latest
        if known is not None and known.revision == revision:
            return known
        return Snapshot(revision, teams.governed(session), catalogue.all_entries(session))


def team_not_found(name: str) -> TeamNotFound:
    return TeamNotFound(f"Granary governs no team {name[:80]!r}.", team=name[:80])


def release_not_found(kernel: str, version: str) -> ReleaseNotFound:
    return ReleaseNotFound(f"{kernel} has no release {version[:80]!r}.", kernel=kernel, version=version[:80])
