"""Running kernel to its owner, address and secret: from the control plane, remembered."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from gateway_bridge.caching import Remembered
from gateway_bridge.rules import is_kernel_id, no_such_kernel, owned
from hub.client import InternalClient
from hub.domain.people import Person
from hub.domain.running import Grant
from hub.errors import RunningKernelNotFound

FRESH_FOR = timedelta(seconds=10)
"""A kernel that was stopped elsewhere is noticed within this; its host refuses it at once anyway."""

KEPT_FOR = timedelta(minutes=10)
"""People keep working with their kernels for this long while the control plane is down."""

MAX_GRANTS = 20_000


class Grants:
    """Grants of kernels, handed out to their owners only.

    What is remembered serves the owner alone. Anybody else's question goes to the
    control plane each time, as a question about a kernel that does not exist does,
    so that neither the answer nor the time it takes tells the two apart.
    """

    def __init__(self, control: InternalClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._control = control
        self._known: Remembered[Grant] = Remembered(
            fresh_for=FRESH_FOR, kept_for=KEPT_FOR, size=MAX_GRANTS, clock=clock
        )

    async def own(self, kernel_id: str, person: Person, team: str) -> Grant:
        """The grant of the person's own kernel in this team.

        Raises
        ------
        RunningKernelNotFound
            Unknown, ended, another person's or another team's: all alike.
        ControlPlaneUnavailable
        """
        if not is_kernel_id(kernel_id):
            raise no_such_kernel()
        known = self._known.last(kernel_id)
        mine = known is not None and known.owner == person.name and known.team == team
        try:
            answer = await self._known.get(
                kernel_id, lambda: self._control.grant(kernel_id), stale_ok=mine, fresh_ok=mine
            )
        except RunningKernelNotFound:
            raise no_such_kernel() from None
        return owned(answer.value, person, team)

    def remember(self, grant: Grant) -> None:
        """Note a grant the control plane has just given with something else."""
        self._known.put(grant.kernel_id, grant)

    def forget(self, kernel_id: str) -> None:
        """The kernel was stopped."""
        self._known.drop(kernel_id)
