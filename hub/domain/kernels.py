"""The catalogue: kernels, their releases, channels and entitlements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from hub.domain.resources import Resources


class Stage(StrEnum):
    """Where a release is in its life."""

    CANDIDATE = "candidate"
    ACTIVE = "active"
    DEPRECATED = "deprecated"
    RETIRED = "retired"
    WITHDRAWN = "withdrawn"

    @property
    def startable(self) -> bool:
        """Whether new kernels may start on a release of this stage."""
        return self in (Stage.CANDIDATE, Stage.ACTIVE, Stage.DEPRECATED)


class ArtifactKind(StrEnum):
    ENVIRONMENT = "environment"
    IMAGE = "image"


@dataclass(frozen=True)
class Artifact:
    """What a release runs, addressed by what is in it.

    ``digest`` is ``sha256:<64 hex>``. For an image, ``reference`` is
    ``registry/name@sha256:…``; for an environment it is empty, the store finds it
    by digest.
    """

    kind: ArtifactKind
    digest: str
    reference: str = ""


@dataclass(frozen=True, order=True)
class Package:
    name: str
    version: str


@dataclass(frozen=True)
class Kernel:
    """A named product line such as ``python-data``, owned by one team."""

    name: str
    owner_team: str
    display_name: str
    description: str = ""
    language: str = "python"


@dataclass(frozen=True)
class Release:
    """One immutable version of a kernel. Only ``stage`` ever changes."""

    kernel: str
    version: str
    stage: Stage
    artifact: Artifact
    language_version: str
    """For example ``3.11.7``."""
    packages: tuple[Package, ...]
    """Bill of materials, sorted by name."""
    published_by: str
    published_at: datetime
    resources: Resources = field(default_factory=Resources)
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables the release sets in its kernels."""


@dataclass(frozen=True)
class Channel:
    """A named pointer of a kernel to one of its releases."""

    kernel: str
    name: str
    version: str


@dataclass(frozen=True)
class Entitlement:
    """A team may use a kernel on these channels, and the releases they point to."""

    kernel: str
    team: str
    channels: frozenset[str]


@dataclass(frozen=True)
class CatalogueEntry:
    """One kernel with everything a decision about it needs."""

    kernel: Kernel
    releases: Mapping[str, Release]
    """By version."""
    channels: Mapping[str, Channel]
    """By channel name."""
    entitlements: Mapping[str, Entitlement]
    """By team."""


@dataclass(frozen=True)
class LaunchChoice:
    """One thing a team may start: what a kernelspec stands for."""

    spec_name: str
    kernel: Kernel
    release: Release
    channel: str | None
    """None when the choice names a release by its exact version."""
