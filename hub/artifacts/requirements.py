"""Pinned requirements: the only form of dependency a release may name. Pure."""

from __future__ import annotations

import re

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

MAX_REQUIREMENT_LENGTH = 300

_PLAIN = re.compile(r"""[A-Za-z0-9._\-+\[\],=<>!~;()"'* ]*""")
"""No ``$`` (installers expand variables), ``#``, ``\\``, ``@``, ``/``, no line break, ASCII only."""


def pinned_requirement(text: str) -> str:
    """The one way to write a requirement: normalised name, sorted extras, ``==`` version, marker.

    Raises
    ------
    ValueError
        Saying what is wrong and what to write instead.
    """
    text = text.strip()
    shown = f"'{_printable(text)}'"
    _refuse_other_kinds(text, shown)
    try:
        requirement = Requirement(text)
    except (InvalidRequirement, RecursionError):
        raise ValueError(f"{shown} is no requirement; write it like pandas==2.3.3") from None
    clauses = list(requirement.specifier)
    if len(clauses) != 1 or clauses[0].operator != "==" or clauses[0].version.endswith("*"):
        raise ValueError(f"{shown} is not pinned; write one exact version, {requirement.name}==<version>")
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    marker = f" ; {requirement.marker}" if requirement.marker else ""
    return f"{canonicalize_name(requirement.name)}{extras}=={clauses[0].version}{marker}"


def requirement_name(pinned: str) -> str:
    """Name of a requirement that ``pinned_requirement`` returned."""
    return re.split(r"[\[=]", pinned, maxsplit=1)[0]


def _refuse_other_kinds(text: str, shown: str) -> None:
    """Name the mistakes people make most, in words of their own."""
    if not text:
        raise ValueError("it is empty; remove it")
    if len(text) > MAX_REQUIREMENT_LENGTH:
        raise ValueError(f"it has more than {MAX_REQUIREMENT_LENGTH} characters; write name==version")
    if text.startswith("-"):
        raise ValueError(
            f"{shown} is an option; write name==version; the index is set where environments are built"
        )
    if "@" in text or "://" in text:
        raise ValueError(f"{shown} is an address; publish the package to your index and write name==version")
    if text.startswith((".", "/", "~")) or "/" in text or text.endswith((".whl", ".tar.gz", ".zip")):
        raise ValueError(f"{shown} is a path; publish the package to your index and write name==version")
    if "#" in text:
        raise ValueError(f"{shown} holds a comment; write name==version only")
    if not _PLAIN.fullmatch(text):
        raise ValueError(f"{shown} has characters that no requirement has; write it like pandas==2.3.3")


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:80])
