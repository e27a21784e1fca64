"""JSON bodies exchanged between our processes, and of the public REST API.

Bodies are pydantic models that turn into domain values and back; nothing past the
edge sees them. Unknown fields are refused in what we receive from people and
ignored in what we receive from our own processes, so that either side of a
rolling upgrade understands the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from hub.domain.kernels import LaunchChoice, Stage
from hub.domain.people import Team
from hub.domain.running import EndReason, Grant, RunningKernel, RunState
from hub.errors import GranaryError, from_code

MAX_ENVIRONMENT_ENTRIES = 256
"""Of a start request, before the allow-list; stock clients send a dozen."""


class Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Request(BaseModel):
    """A body people write: a misspelt field is an error, not a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# -- errors ------------------------------------------------------------------------


class ErrorBody(Body):
    """The one shape of every refusal, on REST, CLI and in JupyterLab.

    ``message`` is where Jupyter clients look for text; ``code`` is for programs.
    """

    code: str
    message: str
    reason: str | None = None
    """Always null; Jupyter clients expect the field."""
    details: dict[str, Any] = Field(default_factory=dict)

    @staticmethod
    def of(error: GranaryError) -> ErrorBody:
        return ErrorBody(code=error.code, message=error.message, details=dict(error.details))

    def to_error(self) -> GranaryError:
        return from_code(self.code, self.message, self.details)


# -- what the bridge asks the control plane ------------------------------------------


class KernelChoiceBody(Body):
    """One kernelspec of a team."""

    spec_name: str
    kernel: str
    channel: str | None
    version: str
    stage: Stage
    display_name: str
    description: str
    language: str
    language_version: str
    owner_team: str
    artifact_digest: str

    @staticmethod
    def of(choice: LaunchChoice) -> KernelChoiceBody:
        kernel, release = choice.kernel, choice.release
        return KernelChoiceBody(
            spec_name=choice.spec_name,
            kernel=kernel.name,
            channel=choice.channel,
            version=release.version,
            stage=release.stage,
            display_name=_card_title(choice),
            description=kernel.description,
            language=kernel.language,
            language_version=release.language_version,
            owner_team=kernel.owner_team,
            artifact_digest=release.artifact.digest,
        )


class KernelChoicesBody(Body):
    default: str | None
    choices: list[KernelChoiceBody]


class StartRequest(Body):
    """The bridge asks for a kernel on behalf of a person it has authenticated."""

    person: str
    spec_name: str | None = None
    """None asks for the team's default kernel."""
    request_id: Annotated[str, Field(min_length=1, max_length=64)]
    """Unique per request; repeating it returns the kernel started the first time."""
    environment: Annotated[dict[str, str], Field(max_length=MAX_ENVIRONMENT_ENTRIES)] = Field(
        default_factory=dict
    )
    working_directory: str | None = None


class RunningKernelBody(Body):
    id: str
    owner: str
    team: str
    kernel: str
    version: str
    spec_name: str
    host: str
    state: RunState
    started_at: datetime
    ended_at: datetime | None = None
    end_reason: EndReason | None = None

    @staticmethod
    def of(kernel: RunningKernel) -> RunningKernelBody:
        return RunningKernelBody.model_validate(kernel, from_attributes=True)

    def to_domain(self) -> RunningKernel:
        return RunningKernel(**dict(self))


class GrantBody(Body):
    kernel_id: str
    owner: str
    team: str
    spec_name: str
    host_url: str
    host_kernel_id: str
    secret: Annotated[str, Field(repr=False)]

    @staticmethod
    def of(grant: Grant) -> GrantBody:
        return GrantBody.model_validate(grant, from_attributes=True)

    def to_domain(self) -> Grant:
        return Grant(**dict(self))


class GrantedKernelBody(Body):
    """A running kernel together with the way to reach it."""

    running_kernel: RunningKernelBody
    grant: GrantBody


class GrantedKernelsBody(Body):
    kernels: list[GrantedKernelBody]


# -- what the spawner asks the control plane -------------------------------------------


class TeamBody(Body):
    name: str
    display_name: str

    @staticmethod
    def of(team: Team) -> TeamBody:
        return TeamBody(name=team.name, display_name=team.display_name)


class SpawnPolicyRequest(Body):
    groups: list[str]


class SpawnPolicyBody(Body):
    """What a person may spawn: the governed teams among their groups, sorted by name."""

    teams: list[TeamBody]
    contact: str
    """Whom to ask for access, as configured: a name, an address, a sentence."""


# -- what the control plane tells a kernel host -----------------------------------------


class HostLaunch(Body):
    """``POST {host}/api/kernels`` at a Granary kernel host: a Jupyter body with our id and launch.

    A foreign Jupyter gateway gets only ``name`` and chooses the id itself.
    """

    name: str
    kernel_id: str
    argv: list[str]
    """With ``{connection_file}`` where the kernel expects it."""
    env: dict[str, str]
    cwd: str
    home: str
    """Created with mode 0700 if it is missing; ``cwd`` lies in it."""
    interrupt_mode: str = "signal"
    language: str = "python"


class HostKernel(Body):
    """A kernel as a Jupyter kernels API lists it."""

    id: str
    name: str
    last_activity: datetime
    execution_state: str
    connections: int = 0


def _card_title(choice: LaunchChoice) -> str:
    title = choice.kernel.display_name
    if str(choice.spec_name) != choice.kernel.name:
        title = f"{title} ({choice.channel or choice.release.version})"
    return title


def error_from_body(body: Mapping[str, Any] | None, fallback: GranaryError) -> GranaryError:
    """The error another of our servers answered with; ``fallback`` if the body is not ours."""
    if not isinstance(body, Mapping) or "code" not in body or "message" not in body:
        return fallback
    return ErrorBody.model_validate(body).to_error()
