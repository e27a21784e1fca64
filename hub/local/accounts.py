"""The people of the bundled OpenID Connect provider."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from hub.errors import InvalidConfiguration
from hub.local.layout import write_private

_SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprst" for vowel in "aeiou"]
_WORDS, _SYLLABLES_A_WORD = 5, 3
"""Fifteen syllables out of sixty: 88 bits."""


@dataclass(frozen=True)
class Account:
    """Somebody who can sign in."""

    name: str
    full_name: str
    teams: tuple[str, ...]
    roles: tuple[str, ...]
    """For people to read; rights come from ``groups``."""
    groups: tuple[str, ...]
    password: str = ""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    def __repr__(self) -> str:
        return f"Account({self.name!r})"


def platform_admin(group: str) -> Account:
    return Account("admin", "Platform Admin", (), ("platform admin",), (group,))


def demo_people(platform_admin_group: str) -> tuple[Account, ...]:
    """One person of every kind, for the teams ``atlas`` and ``borealis``."""
    member = ("member",)
    return (
        platform_admin(platform_admin_group),
        Account("atlas-admin", "Ada Atlas", ("atlas",), ("team admin", "member"), ("atlas", "atlas-admins")),
        Account("atlas-1", "Alan Atlas", ("atlas",), member, ("atlas",)),
        Account("atlas-2", "Amy Atlas", ("atlas",), member, ("atlas",)),
        Account(
            "borealis-admin",
            "Bea Borealis",
            ("borealis",),
            ("team admin", "member"),
            ("borealis", "borealis-admins"),
        ),
        Account("both-1", "Bo Both", ("atlas", "borealis"), member, ("atlas", "borealis")),
        Account("outsider", "Olga Outside", (), (), ()),
    )


def new_password() -> str:
    """Easy to read and type, hard to guess."""
    return "-".join(
        "".join(secrets.choice(_SYLLABLES) for _ in range(_SYLLABLES_A_WORD)) for _ in range(_WORDS)
    )


def keep_accounts(
    path: Path, people: Sequence[Account], make_password: Callable[[], str] = new_password
) -> tuple[Account, ...]:
    """The accounts of ``path``; people who are not in it yet are added with a new password.

    Whoever is in the file stays as the file says, so that it can be edited.

    Raises
    ------
    InvalidConfiguration
    """
    kept = {account.name: account for account in read_accounts(path)} if path.exists() else {}
    missing = [replace(person, password=make_password()) for person in people if person.name not in kept]
    accounts = (*kept.values(), *missing)
    if missing:
        write_private(path, json.dumps([asdict(account) for account in accounts], indent=2) + "\n")
    return accounts


def read_accounts(path: Path) -> tuple[Account, ...]:
    """Raises ``InvalidConfiguration``."""
    try:
        accounts = _ACCOUNTS.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        # Not chained: what is wrong with a value would repeat the value, and it may be a password.
        raise InvalidConfiguration(
            f"{path} does not hold accounts any more. Mend it, or remove it to have new ones made."
        ) from None
    twice = [name for name, count in Counter(account.name for account in accounts).items() if count > 1]
    if twice:
        raise InvalidConfiguration(
            f"{path} holds two accounts named {twice[0]!r}. Mend it, or remove it to have new ones made."
        )
    return accounts


_ACCOUNTS = TypeAdapter(tuple[Account, ...])
