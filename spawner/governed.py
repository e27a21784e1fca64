"""The mixin that makes any JupyterHub spawner start servers by Granary's policy.

It goes before the spawner class: ``class MySpawner(GovernedSpawnerMixin, KubeSpawner)``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from jupyterhub.spawner import SpawnException
from traitlets import Unicode, default

from hub.client import InternalClient
from hub.errors import Failed, GranaryError, Invalid, NotTeamAdmin, Unavailable
from hub.policies.reach import START, TEAM_IN_STATE, reaches_server
from hub.wire import SpawnPolicyBody
from spawner.form import team_question
from spawner.plan import TEAM_OPTION, LaunchPlan, needs_question, plan_launch, preselected

if TYPE_CHECKING:
    from jupyterhub.spawner import Spawner as _SpawnerBelow
else:
    # JupyterHub refuses subclasses of Spawner that cannot start anything by themselves.
    from traitlets.config import LoggingConfigurable as _SpawnerBelow

STATUS_OF_FAMILY = {Invalid: 400, Unavailable: 503, Failed: 500}
STATUS_REFUSED = 403
"""Of every other family: whatever policy says no to."""


class SpawnRefused(SpawnException):  # type: ignore[misc] # jupyterhub has no types
    """A start that policy forbids or that failed, in the form in which the hub shows its text everywhere.

    The hub reads ``jupyterhub_message`` for its pages and its REST API alike; the
    error's code is the status line's reason phrase and a header.
    """

    def __init__(self, error: GranaryError) -> None:
        super().__init__(error.message, reason=error.code, status_code=_status(error))
        self.jupyterhub_message = error.message
        self.headers = {"Granary-Error": error.code}
        if isinstance(error, Unavailable):
            self.headers["Retry-After"] = str(int(error.retry_after.total_seconds()))


def _status(error: GranaryError) -> int:
    return next(
        (status for family, status in STATUS_OF_FAMILY.items() if isinstance(error, family)), STATUS_REFUSED
    )


@lru_cache(maxsize=4)
def _client(control_url: str, secret: str) -> InternalClient:
    """One per hub process, so that starts share its connections."""
    return InternalClient(control_url, secret)


class GovernedSpawnerMixin(_SpawnerBelow):  # type: ignore[misc] # jupyterhub has no types
    """Asks the control plane before each start, offers what it allows, enforces it.

    The policy is asked anew for every start: a server is never started on what was
    true the last time. Nothing a client sends reaches the server but the choice of
    one of the person's own teams.
    """

    control_url = Unicode(help="Address of the Granary control plane.").tag(config=True)
    internal_secret = Unicode(help="Secret shared by Granary's processes.").tag(config=True)
    bridge_url = Unicode(help="Address of the Granary bridge, as user servers reach it.").tag(config=True)

    @default("apply_user_options")
    def _default_apply_user_options(self) -> Callable[[Any, dict[str, Any]], None]:
        """Nothing: ``load_user_options`` judges options, after all that could override them."""
        return lambda _spawner, _options: None

    other_options: ClassVar[frozenset[str]] = frozenset()
    """Options of the spawner underneath; any that is neither here nor ``team`` is refused."""

    user_options: dict[str, Any]

    plan: LaunchPlan | None = None
    """What the server is being started for; unknown after a restart of the hub."""

    team: str | None = None
    """The team the running server works for; None while there is none."""

    def __init__(self, **kwargs: Any) -> None:
        self._steps: list[dict[str, Any]] = []
        self._told = asyncio.Event()
        super().__init__(**kwargs)

    # -- the question --------------------------------------------------------------

    async def get_options_form(self) -> str:
        """The team question, if there is one, followed by what the spawner underneath asks."""
        policy = await self._policy()
        remembered = self.orm_spawner.user_options or {}
        try:
            ask = needs_question(policy, remembered, other_options=self.other_options)
        except GranaryError as error:
            raise SpawnRefused(error) from error
        question = team_question(policy, preselected(policy, remembered)) if ask else ""
        return question + (await super().get_options_form() or "")

    def run_options_from_form(self, form_data: Mapping[str, list[Any]]) -> dict[str, Any]:
        rest = {name: values for name, values in form_data.items() if name not in {TEAM_OPTION, "_xsrf"}}
        options = dict(super().run_options_from_form(rest)) if self.other_options else {}
        return options | _single(form_data)

    def options_from_query(self, query_data: Mapping[str, list[Any]]) -> dict[str, Any]:
        """As from the form. What it does not know it leaves in, so that the start is refused, not changed."""
        rest = {name: values for name, values in query_data.items() if name != TEAM_OPTION}
        options = dict(super().options_from_query(rest)) if rest else {}
        return options | _single(query_data)

    # -- the decision --------------------------------------------------------------

    async def load_user_options(self) -> None:
        """Settle what this start is for. Runs after everything else that reads options.

        KubeSpawner applies a chosen profile in its own ``load_user_options``, later
        than group overrides; enforcing after it leaves nothing that could undo it.

        Raises
        ------
        SpawnRefused
        """
        base = getattr(super(), "load_user_options", None)
        if base is not None:
            await base()
        self._tell(10, "Asking what your teams allow")
        policy = await self._policy()
        try:
            self.plan = plan_launch(
                policy, self.user_options, bridge_url=self.bridge_url, other_options=self.other_options
            )
        except GranaryError as error:
            raise SpawnRefused(error) from error
        self._require_reach(self.plan)
        self.team = self.plan.team
        # A new dict: the hub's row shares the old one, and a team that nobody chose is not remembered.
        self.user_options = {**self.user_options, TEAM_OPTION: self.plan.team}
        self._tell(30, f"Starting JupyterLab for team {self.plan.team_display_name}")

    def _require_reach(self, plan: LaunchPlan) -> None:
        """Let others than the owner start a server only for a team that they administer."""
        scopes = getattr(self.handler, "expanded_scopes", None)
        if scopes is None:
            return
        if not reaches_server(scopes, START, owner=self.user.name, server=self.name, team=plan.team):
            raise SpawnRefused(
                NotTeamAdmin(
                    f"You are not an admin of team {plan.team_display_name}, so you cannot start "
                    f"a server of {self.user.name} for it.",
                    team=plan.team,
                )
            )

    async def _policy(self) -> SpawnPolicyBody:
        groups = sorted(group.name for group in self.user.groups)
        try:
            return await _client(self.control_url, self.internal_secret).spawn_policy(self.user.name, groups)
        except GranaryError as error:
            self.log.warning("No spawn policy for %s: %s: %s", self.user.name, error.code, error.message)
            raise SpawnRefused(error) from error

    # -- what the server is given ----------------------------------------------------

    def get_env(self) -> dict[str, str]:
        env: dict[str, str] = super().get_env()
        return env | (self.plan.environment() if self.plan else {})

    # -- what outlives a restart of the hub ------------------------------------------

    def get_state(self) -> dict[str, Any]:
        state: dict[str, Any] = super().get_state()
        if self.team:
            state[TEAM_IN_STATE] = self.team
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.team = state.get(TEAM_IN_STATE)
        if self.team:
            self.user_options = {**self.user_options, TEAM_OPTION: self.team}

    def clear_state(self) -> None:
        super().clear_state()
        self.plan = self.team = None
        self._steps = []

    # -- progress ----------------------------------------------------------------------

    def _tell(self, percent: int, message: str) -> None:
        self._steps.append({"progress": percent, "message": message})
        self._told.set()

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """What is happening, as it happens; the hub ends the iteration when the start is over."""
        shown = 0
        while True:
            self._told.clear()
            while shown < len(self._steps):
                yield self._steps[shown]
                shown += 1
            await self._told.wait()


def _single(values: Mapping[str, list[Any]]) -> dict[str, Any]:
    """The team of a form or query. Naming several is left as it is, and refused later."""
    teams = values.get(TEAM_OPTION) or []
    return {TEAM_OPTION: teams[0] if len(teams) == 1 else teams} if teams else {}
