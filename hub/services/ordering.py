"""What somebody asks to be started, and what that is: decided within the transaction that books it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from hub.domain.kernels import LaunchChoice
from hub.domain.names import parse_spec_name
from hub.errors import KernelNotFound, NotEntitled, RequestIdReused
from hub.policies.resolve import choices, default_choice, resolve
from hub.services.catalogue import team_not_found
from hub.storage import catalogue, teams


@dataclass(frozen=True)
class StartOrder:
    """A kernel wanted by a person whose identity and membership the bridge has checked."""

    person: str
    team: str
    spec_name: str | None
    """None asks for the team's default kernel."""
    request_id: str
    """Unique per person; repeating an order finds the kernel of the first time."""
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str | None = None


def choose(session: Session, order: StartOrder) -> LaunchChoice:
    """What the order starts, judged on what is true in this transaction.

    Raises
    ------
    TeamNotFound, InvalidName, InvalidVersion, KernelNotFound, NotEntitled,
    ChannelNotFound, ReleaseNotFound, ReleaseNotStartable
    """
    if not teams.is_governed(session, order.team):
        raise team_not_found(order.team)
    wanted = parse_spec_name(order.spec_name or _default(session, order.team))
    entry = catalogue.entry(session, wanted.kernel)
    if entry is None:
        raise _no_such_kernel(session, order.team, wanted.kernel)
    return resolve(wanted, entry, order.team)


def _no_such_kernel(session: Session, team: str, kernel: str) -> KernelNotFound:
    """A notebook from elsewhere asks for a kernel by a name of its own; say which ones there are."""
    offered = [choice.spec_name for choice in choices(catalogue.all_entries(session).values(), team)]
    return KernelNotFound(
        f"There is no kernel {kernel!r}. Team {team} can start: {', '.join(offered) or 'none yet'}.",
        kernel=kernel,
        offered=offered,
    )


def _default(session: Session, team: str) -> str:
    name = default_choice(choices(catalogue.all_entries(session).values(), team))
    if name is None:
        raise NotEntitled(
            f"Team {team} has no default kernel: it is entitled to none with a prod channel. "
            "Name a kernel, or ask your team's admin.",
            team=team,
        )
    return name


def request_id_reused(order: StartOrder) -> RequestIdReused:
    return RequestIdReused(
        "This request id came before, with another request. Use a new id for each kernel.",
        request_id=order.request_id,
    )
