"""Names people and machines give to things, and the only places they are checked.

Every pattern is matched with ``fullmatch``; an unanchored name check has been an
exploitable defect elsewhere (CVE-2026-40110).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from hub.errors import InvalidName, InvalidVersion

MAX_NAME_LENGTH = 40
"""Leaves room for prefixes within the 63 characters of a DNS label."""

DEFAULT_CHANNEL = "prod"
"""The channel the plain kernel name stands for."""

_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_VERSION = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9}){1,3}(?:-[a-z0-9]+(?:\.[a-z0-9]+)*)?")
_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_RESERVED = frozenset({"default", "python3", "all", "none", "new", "admin"})


def checked_name(value: str, what: str) -> str:
    """Return ``value`` if it can name a kernel, channel or team.

    ``what`` is the noun for the message, for example ``"kernel"``.

    Raises
    ------
    InvalidName
    """
    _well_formed(value, what)
    if value in _RESERVED:
        raise InvalidName(f"{value!r} is reserved; choose another name for the {what}.", value=value)
    return value


def _well_formed(value: str, what: str) -> str:
    if len(value) > MAX_NAME_LENGTH or not _NAME.fullmatch(value):
        raise InvalidName(
            f"{value[:80]!r} cannot name a {what}: use lower-case letters, digits and single "
            f"hyphens, starting with a letter, at most {MAX_NAME_LENGTH} characters.",
            value=value[:80],
        )
    return value


def checked_version(value: str) -> str:
    """Return ``value`` if it is a release version: CalVer (``2026.11.1``) or SemVer.

    Raises
    ------
    InvalidVersion
    """
    if len(value) > MAX_NAME_LENGTH or not _VERSION.fullmatch(value):
        raise InvalidVersion(
            f"{value[:80]!r} is no release version: write numbers with dots such as 2026.11.1, "
            "if need be with a suffix such as -rc.1.",
            value=value[:80],
        )
    return value


def version_key(version: str) -> tuple[tuple[int, ...], bool, str]:
    """Sort key: numbers as numbers, a suffixed version before the plain one."""
    numbers, _, suffix = version.partition("-")
    return tuple(int(part) for part in numbers.split(".")), not suffix, suffix


@dataclass(frozen=True)
class SpecName:
    """What a kernelspec name that people see asks for.

    ``python-data`` is a kernel on its default channel, ``python-data.dev`` on another,
    ``python-data.v2026.11.1`` exactly one release.
    Exactly one of ``channel`` and ``version`` is set.
    """

    kernel: str
    channel: str | None
    version: str | None

    def __str__(self) -> str:
        if self.version is not None:
            return f"{self.kernel}.v{self.version}"
        return self.kernel if self.channel == DEFAULT_CHANNEL else f"{self.kernel}.{self.channel}"


def parse_spec_name(value: str) -> SpecName:
    """Read a kernelspec name that somebody asks for.

    Notebooks from elsewhere ask for ``python3``; that is a name like any other here,
    of a kernel there is not.

    Raises
    ------
    InvalidName, InvalidVersion
    """
    kernel, dot, rest = value.partition(".")
    _well_formed(kernel, "kernel")
    if not dot:
        return SpecName(kernel, DEFAULT_CHANNEL, None)
    if len(rest) > 1 and rest[0] == "v" and rest[1].isdigit():
        return SpecName(kernel, None, checked_version(rest[1:]))
    return SpecName(kernel, _well_formed(rest, "channel"), None)


def slug(value: str) -> str:
    """A name safe as a DNS label, a directory and part of a file name.

    Distinct inputs give distinct slugs: whatever is not already a short slug, or
    could be mistaken for one of our own hashed slugs, gets a hash of the exact
    input. At most 63 characters, never empty, never starting or ending with ``-``.
    """
    hashed_look = re.search(r"-{2}", value) is not None
    if len(value) <= MAX_NAME_LENGTH and _SLUG.fullmatch(value) and not hashed_look:
        return value
    readable = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")[:30].strip("-") or "x"
    return f"{readable}--{hashlib.sha256(value.encode()).hexdigest()[:16]}"
