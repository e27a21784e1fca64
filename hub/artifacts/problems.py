"""A validator's findings as sentences people can act on. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import ValidationError

_TEXTS = {
    "missing": "{place} is missing.",
    "string_type": "{place} must be text; put it in quotes.",
    "list_type": "{place} must be a list, one entry to a line beginning with a hyphen.",
    "dict_type": "{place} must be a mapping of names to values.",
    "model_type": "{place} must be a mapping with fields of its own.",
    "model_attributes_type": "{place} must be a mapping with fields of its own.",
}
"""By pydantic's type of error; what is not here is told in pydantic's own words."""

_SIZES = {
    "string_too_short": "{place} is empty; write something or leave it out.",
    "string_too_long": "{place} is longer than {max_length} characters.",
    "too_short": "{place} is empty; it needs at least {min_length} entry.",
    "too_long": "{place} has more than {max_length} entries.",
}

_KEY_MARK = "[key]"
"""What pydantic appends to the place of a mapping's key."""


def told(error: ValidationError, fields_at: Callable[[str], Sequence[str]]) -> list[str]:
    """A sentence for each mistake, each naming its field, none repeating a value at length.

    ``fields_at`` lists the known fields of a section (``""`` is the whole document),
    for telling what a misspelt one may have been meant to be.
    """
    problems = error.errors(include_url=False, include_input=False)
    return [_sentence(problem, fields_at) for problem in problems]


def _sentence(problem: Any, fields_at: Callable[[str], Sequence[str]]) -> str:
    kind, context = problem["type"], problem.get("ctx", {})
    place = _place(problem["loc"])
    if kind == "extra_forbidden":
        return _unknown(problem["loc"], fields_at)
    if kind == "invalid_key":
        return f"{_place(problem['loc'][:-1])} has a field whose name is no text; put it in quotes."
    if kind in _TEXTS:
        return _TEXTS[kind].format(place=place)
    if kind in _SIZES:
        return _SIZES[kind].format(place=place, **context)
    text = str(context["error"]) if kind == "value_error" else str(problem["msg"])
    return f"{place}: {text.rstrip('.')}."


def _unknown(loc: tuple[int | str, ...], fields_at: Callable[[str], Sequence[str]]) -> str:
    *parents, last = loc
    section = ".".join(str(part) for part in parents)
    known = fields_at(section)
    meant = difflib.get_close_matches(str(last)[:80], known, n=1)
    advice = f"did you mean {meant[0]}?" if meant else f"known are {', '.join(known) or 'none'}."
    return f"{_place(loc)} is unknown; {advice}"


def _place(loc: tuple[int | str, ...]) -> str:
    """``release.environment.requirements line 4``: counted from 1, as editors do."""
    place = ""
    for part in loc:
        if isinstance(part, int):
            place += f" line {part + 1}"
        elif part != _KEY_MARK:
            shown = "".join(char if char.isprintable() else "?" for char in str(part)[:80])
            place += f".{shown}" if place else shown
    return place or "The manifest"
