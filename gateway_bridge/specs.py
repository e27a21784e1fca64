"""Kernelspecs of a team, in the shape Jupyter clients know."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from gateway_bridge.caching import Answer, Remembered
from hub.client import InternalClient
from hub.errors import KernelNotFound
from hub.wire import KernelChoiceBody, KernelChoicesBody

FRESH_FOR = timedelta(seconds=2)
KEPT_FOR = timedelta(minutes=10)
"""The last list is shown for this long while the control plane is down."""

MAX_TEAMS = 2_000


class Specs:
    """What each team may start, as the control plane said last."""

    def __init__(self, control: InternalClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._control = control
        self._known: Remembered[KernelChoicesBody] = Remembered(
            fresh_for=FRESH_FOR, kept_for=KEPT_FOR, size=MAX_TEAMS, clock=clock
        )

    async def of(self, team: str) -> Answer[KernelChoicesBody]:
        """The team's choices. Raises ``TeamNotFound`` or ``ControlPlaneUnavailable``."""
        return await self._known.get(team, lambda: self._control.choices(team), stale_ok=True)


def spec_models(choices: KernelChoicesBody) -> dict[str, Any]:
    """The body of ``GET /api/kernelspecs``.

    ``default`` is a text even for a team without kernels: jupyter_server as a
    gateway client accepts nothing else.
    """
    return {
        "default": choices.default or "",
        "kernelspecs": {choice.spec_name: spec_model(choice) for choice in choices.choices},
    }


def find_spec(choices: KernelChoicesBody, spec_name: str) -> dict[str, Any]:
    """One spec by its name. Raises ``KernelNotFound``."""
    for choice in choices.choices:
        if choice.spec_name == spec_name:
            return spec_model(choice)
    raise KernelNotFound("Your team has no kernel of this name; GET /api/kernelspecs lists those it has.")


def spec_model(choice: KernelChoiceBody) -> dict[str, Any]:
    """The body of ``GET /api/kernelspecs/<name>``; clients never learn how the kernel is started."""
    metadata: dict[str, Any] = {
        "granary": {
            "kernel": choice.kernel,
            "channel": choice.channel,
            "version": choice.version,
            "stage": choice.stage.value,
            "owner_team": choice.owner_team,
            "digest": choice.artifact_digest,
        }
    }
    if choice.language == "python":
        metadata["debugger"] = True  # JupyterLab offers its debugger only where the spec says so
    return {
        "name": choice.spec_name,
        "spec": {
            "argv": [],
            "env": {},
            "display_name": choice.display_name,
            "language": choice.language,
            "interrupt_mode": "signal",
            "metadata": metadata,
        },
        "resources": {},
    }
