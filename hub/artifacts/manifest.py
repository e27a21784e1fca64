"""The manifest: what a team writes to publish a release.

A document (JSON on the wire, YAML in files) becomes a ``Manifest`` or an
``InvalidManifest`` that says in one sentence per mistake which field is wrong and
what to write there. Nothing else is ever raised, whatever the document is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictStr, ValidationError

from hub.artifacts.problems import told
from hub.artifacts.requirements import pinned_requirement, requirement_name
from hub.domain.names import checked_name, checked_version
from hub.domain.resources import Resources, parse_cpu, parse_memory
from hub.errors import Invalid, InvalidManifest

MAX_REQUIREMENTS = 500
MAX_VARIABLES = 64
MAX_VALUE_LENGTH = 4096
"""Of one variable, in characters."""
MAX_DISPLAY_NAME_LENGTH = 80
MAX_DESCRIPTION_LENGTH = 2000
MAX_CHANNELS = 20
MAX_ENTITLED_TEAMS = 200
MAX_PROBLEMS_TOLD = 10
"""Mistakes named in one message; the number of further ones is given."""

LANGUAGES = ("python",)
"""What environments are built for."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_PYTHON = re.compile(r"3\.[0-9]{1,2}")
_GOVERNED_PREFIXES = ("LD_", "DYLD_", "PYTHON", "IPYTHON", "JUPYTER", "JPY_", "KERNEL_", "GRANARY", "BASH_",
                      "GLIBC_", "XDG_", "PIP_", "UV_")  # fmt: skip
_GOVERNED = frozenset({"PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "IFS", "ENV", "TMPDIR",
                       "VIRTUAL_ENV", "GCONV_PATH", "LOCPATH", "HOSTALIASES", "MALLOC_TRACE"})  # fmt: skip
"""Variables that decide what code is loaded, whose process it is or where its files are."""


@dataclass(frozen=True)
class EnvironmentSource:
    """What an environment is built from: pinned requirements, normalised and sorted.

    ``python`` is a minor version such as ``3.12``; None means the builder's own.
    """

    requirements: tuple[str, ...]
    python: str | None = None


@dataclass(frozen=True)
class Manifest:
    """A valid manifest. Amounts are parsed, names checked, requirements normalised."""

    kernel: str
    team: str
    display_name: str
    description: str
    language: str
    version: str
    environment: EnvironmentSource
    resources: Resources = field(default_factory=Resources)
    variables: Mapping[str, str] = field(default_factory=dict)
    channels: tuple[str, ...] = ()
    entitlements: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Channels by team."""


def parse_manifest(document: Mapping[str, Any]) -> Manifest:
    """Check a manifest as it came over the wire or from a file.

    Raises
    ------
    InvalidManifest
        Its message has a sentence for each mistake, ``details["problems"]`` the same as a list.
    """
    if not isinstance(document, Mapping):
        raise invalid(["A manifest is a mapping that begins with `kernel:`."])
    try:
        parsed = _Document.model_validate(dict(document))
    except ValidationError as error:
        raise invalid(told(error, _fields_at)) from None
    return parsed.to_manifest()


def invalid(problems: list[str]) -> InvalidManifest:
    """One error out of a sentence per mistake."""
    shown = problems[:MAX_PROBLEMS_TOLD]
    hidden = len(problems) - len(shown)
    more = [f"There are {hidden} more mistakes."] if hidden else []
    return InvalidManifest(" ".join([*shown, *more]), problems=shown)


# -- kinds of values: each raises ValueError with the rest of a sentence --------------


def _checked(check: Callable[[str], str]) -> AfterValidator:
    """A check of ``hub.domain`` as a validator: its message becomes the field's."""

    def validate(value: str) -> str:
        try:
            return check(value)
        except Invalid as error:
            raise ValueError(error.message) from None

    return AfterValidator(validate)


def _amount(value: Any) -> Any:
    """YAML reads ``cpu: 1`` as a number; that is meant as it looks."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)[:40] if abs(value) < 2**63 else "too large"
    return value


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("write it on one line, without control characters")
    return value


def _readable(value: str) -> str:
    if not all(char.isprintable() or char in "\n\t" for char in value):
        raise ValueError("control characters are not allowed")
    return value


def _variable_name(value: str) -> str:
    if not _VARIABLE.fullmatch(value):
        raise ValueError(
            "a variable's name has letters, digits and _ only, at most 64, and begins with no digit"
        )
    upper = value.upper()
    if upper in _GOVERNED or upper.startswith(_GOVERNED_PREFIXES):
        raise ValueError("this variable is not a release's to set; remove it")
    return value


def _python(value: str) -> str:
    if not _PYTHON.fullmatch(value):
        raise ValueError('write a minor version in quotes, such as "3.12"')
    return value


def _language(value: str) -> str:
    if value not in LANGUAGES:
        raise ValueError("environments are built for python only")
    return value


def _no_image(_value: Any) -> Any:
    raise ValueError(
        "releases made of an image need a cluster; here write release.environment with requirements"
    )


def _no_file(_value: Any) -> Any:
    raise ValueError("files are read by `granary kernel publish`; send their lines as requirements")


def _distinct(requirements: list[str]) -> list[str]:
    """Several versions of a package need markers that tell them apart."""
    plain: set[str] = set()
    for requirement in dict.fromkeys(requirements):
        name = requirement_name(requirement)
        if name in plain:
            raise ValueError(f"{name} is required twice; keep one version")
        if ";" not in requirement:
            plain.add(name)
    return sorted(set(requirements))


_Channel = Annotated[StrictStr, _checked(lambda value: checked_name(value, "channel"))]
_Team = Annotated[StrictStr, _checked(lambda value: checked_name(value, "team"))]
_Channels = Annotated[list[_Channel], Field(max_length=MAX_CHANNELS)]
_Requirement = Annotated[StrictStr, AfterValidator(pinned_requirement)]
_Requirements = Annotated[
    list[_Requirement], Field(min_length=1, max_length=MAX_REQUIREMENTS), AfterValidator(_distinct)
]
_Value = Annotated[StrictStr, Field(max_length=MAX_VALUE_LENGTH), AfterValidator(_readable)]
_Refused = Annotated[Any, BeforeValidator(_no_image)]


# -- the document's shape ----------------------------------------------------------------


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Environment(_Section):
    requirements: _Requirements
    python: Annotated[StrictStr, AfterValidator(_python)] | None = None
    requirements_file: Annotated[Any, BeforeValidator(_no_file)] = None


class _Resources(_Section):
    cpu: Annotated[StrictStr, BeforeValidator(_amount)] = "0"
    memory: Annotated[StrictStr, BeforeValidator(_amount)] = "0"

    def to_domain(self) -> Resources:
        return Resources(cpu_millicores=parse_cpu(self.cpu), memory_bytes=parse_memory(self.memory))


def _parsable(value: _Resources) -> _Resources:
    try:
        value.to_domain()
    except Invalid as error:
        raise ValueError(error.message) from None
    return value


class _Release(_Section):
    version: Annotated[StrictStr, _checked(checked_version)]
    environment: _Environment
    image: _Refused = None
    variables: Annotated[
        dict[Annotated[StrictStr, AfterValidator(_variable_name)], _Value], Field(max_length=MAX_VARIABLES)
    ] = Field(default_factory=dict)
    resources: Annotated[_Resources, AfterValidator(_parsable)] = Field(default_factory=_Resources)


class _Document(_Section):
    kernel: Annotated[StrictStr, _checked(lambda value: checked_name(value, "kernel"))]
    team: _Team
    display_name: (
        Annotated[
            StrictStr, Field(min_length=1, max_length=MAX_DISPLAY_NAME_LENGTH), AfterValidator(_one_line)
        ]
        | None
    ) = None
    description: Annotated[StrictStr, Field(max_length=MAX_DESCRIPTION_LENGTH), AfterValidator(_readable)] = (
        ""
    )
    language: Annotated[StrictStr, AfterValidator(_language)] = "python"
    release: _Release
    channels: _Channels = Field(default_factory=list)
    entitlements: Annotated[dict[_Team, _Channels], Field(max_length=MAX_ENTITLED_TEAMS)] = Field(
        default_factory=dict
    )

    def to_manifest(self) -> Manifest:
        release = self.release
        return Manifest(
            kernel=self.kernel,
            team=self.team,
            display_name=self.display_name or self.kernel,
            description=self.description.strip(),
            language=self.language,
            version=release.version,
            environment=EnvironmentSource(
                tuple(release.environment.requirements), release.environment.python
            ),
            resources=release.resources.to_domain(),
            variables=dict(release.variables),
            channels=tuple(dict.fromkeys(self.channels)),
            entitlements={team: tuple(dict.fromkeys(names)) for team, names in self.entitlements.items()},
        )


_SECTIONS: dict[str, type[_Section]] = {
    "": _Document,
    "release": _Release,
    "release.environment": _Environment,
    "release.resources": _Resources,
}


def _fields_at(section: str) -> list[str]:
    """Names a section knows, for "did you mean"."""
    model = _SECTIONS.get(section)
    return [] if model is None else list(model.model_fields)
