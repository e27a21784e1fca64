"""What a kernel starts with: environment and directory from policy, hardly anything from the client."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from hub.domain.kernels import Release

CLIENT_ENVIRONMENT = frozenset({"TZ", "LANG", "LC_ALL", "COLUMNS", "LINES"})
"""Variables a client may set in its own kernel. Nothing here names a person, image, path or address."""

MAX_CLIENT_VALUE_LENGTH = 128


def allowed_environment(asked: Mapping[str, str]) -> dict[str, str]:
    """The part of a client's environment that reaches its kernel; the rest is dropped without a word.

    Dropping, not refusing: stock clients always send ``KERNEL_USERNAME`` and friends.
    """
    return {
        name: value
        for name, value in asked.items()
        if name in CLIENT_ENVIRONMENT and len(value) <= MAX_CLIENT_VALUE_LENGTH and value.isprintable()
    }


def launch_environment(
    release: Release, asked: Mapping[str, str], *, person: str, team: str
) -> dict[str, str]:
    """The variables a kernel starts with, besides those its host gives every process.

    The release's own, over them the few a client may set, over both who and what
    the kernel is. Names only: a kernel gets no token.
    """
    return {
        **release.environment,
        **allowed_environment(asked),
        "GRANARY_PERSON": person,
        "GRANARY_TEAM": team,
        "GRANARY_KERNEL": release.kernel,
        "GRANARY_RELEASE": release.version,
    }


def working_directory(home: str, asked: str | None) -> str:
    """Where the kernel starts: ``asked`` if it lies in the person's home, else the home.

    Purely lexical; ``asked`` is absolute or relative to ``home``. A link inside the
    home leads no further than the person's own rights do.
    """
    root = PurePosixPath(home)
    if not asked or "\0" in asked or len(asked) > 4096:
        return home
    candidate = root / asked
    if ".." in candidate.parts or not candidate.is_relative_to(root):
        return home
    return str(candidate)
