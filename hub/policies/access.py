"""Who may see and do what in the catalogue and with running kernels. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hub.domain.kernels import CatalogueEntry
from hub.domain.people import Person, Team
from hub.domain.running import EndReason, RunningKernel
from hub.errors import KernelNotFound, NotAMember, NotTeamAdmin, RunningKernelNotFound, ScopeMissing


def require_reader(person: Person) -> None:
    """Reading needs a token that may use kernels or govern some.

    Raises
    ------
    ScopeMissing
    """
    if not (person.may_use_kernels or person.manages_all or person.manages):
        raise ScopeMissing(
            "This token has neither custom:kernels:use nor custom:kernels:manage. "
            "Ask for a new token with one of these scopes."
        )


def require_member(person: Person, team: str) -> None:
    """For what members of a team share; its admins may see it too.

    Raises
    ------
    ScopeMissing, NotAMember
    """
    require_reader(person)
    if not _belongs(person, team):
        raise NotAMember(f"You are not a member of team {team}. Ask its admins to add you.", team=team)


def require_manager(person: Person, team: str) -> None:
    """For governing what ``team`` owns.

    Raises
    ------
    NotTeamAdmin
    """
    if not person.may_manage(team):
        raise NotTeamAdmin(
            f"Only admins of team {team} may do this, with a token that has the scope "
            f"custom:kernels:manage!group={team}.",
            team=team,
        )


def teams_of(person: Person, governed: Mapping[str, Team]) -> list[Team]:
    """The governed teams a person belongs to or governs, in order of name."""
    return [team for name, team in sorted(governed.items()) if _belongs(person, name)]


def visible(person: Person, entry: CatalogueEntry) -> bool:
    """A kernel exists for its owner team, the teams entitled to it and platform admins."""
    concerned = {entry.kernel.owner_team, *entry.entitlements}
    return person.manages_all or any(_belongs(person, team) for team in concerned)


def visible_entries(person: Person, entries: Iterable[CatalogueEntry]) -> list[CatalogueEntry]:
    return [entry for entry in entries if visible(person, entry)]


def require_visible(person: Person, kernel: str, entry: CatalogueEntry | None) -> CatalogueEntry:
    """The entry, or the same answer for a kernel that is hidden as for one that does not exist.

    Raises
    ------
    ScopeMissing, KernelNotFound
    """
    require_reader(person)
    if entry is None or not visible(person, entry):
        raise KernelNotFound(f"There is no kernel {kernel[:80]!r} that you may see.", kernel=kernel[:80])
    return entry


def require_managed(person: Person, kernel: str, entry: CatalogueEntry | None) -> CatalogueEntry:
    """The entry, for somebody who governs its owner team.

    Raises
    ------
    ScopeMissing, KernelNotFound, NotTeamAdmin
    """
    found = require_visible(person, kernel, entry)
    require_manager(person, found.kernel.owner_team)
    return found


def may_stop(person: Person, running: RunningKernel) -> EndReason:
    """How the end is recorded when ``person`` stops a running kernel.

    Raises
    ------
    RunningKernelNotFound
        For everybody but the owner and the admins of its team.
    """
    if not person.is_service and person.name == running.owner and person.may_use_kernels:
        return EndReason.STOPPED_BY_OWNER
    if person.may_manage(running.team):
        return EndReason.STOPPED_BY_ADMIN
    raise no_running_kernel(running.id)


def no_running_kernel(kernel_id: str) -> RunningKernelNotFound:
    """One wording for unknown and foreign kernels, so that an id cannot be probed."""
    return RunningKernelNotFound(
        "This kernel is not running, or it is not yours. Start a new one.", kernel_id=kernel_id[:80]
    )


def _belongs(person: Person, team: str) -> bool:
    return team in person.teams or person.may_manage(team)
