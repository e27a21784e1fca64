"""The people of the bundled provider: made once, kept, theirs to edit."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from hub.errors import InvalidConfiguration
from hub.local.accounts import (
    Account,
    demo_people,
    keep_accounts,
    new_password,
    platform_admin,
    read_accounts,
)

ADMINS = "granary-admins"


def test_one_person_of_every_kind():
    people = {person.name: person for person in demo_people(ADMINS)}
    assert people["admin"].groups == (ADMINS,)
    assert people["atlas-admin"].groups == ("atlas", "atlas-admins")
    assert people["both-1"].teams == ("atlas", "borealis")
    assert people["outsider"].groups == ()


def test_passwords_are_new_each_time_and_easy_to_type():
    made = {new_password() for _ in range(100)}
    assert len(made) == 100
    assert all(len(password) == 34 and password.replace("-", "").isalpha() for password in made)


def test_everybody_gets_a_password_once(tmp_path: Path):
    path = tmp_path / "accounts.json"
    first = keep_accounts(path, demo_people(ADMINS))
    assert len({person.password for person in first}) == len(first)
    assert all(person.password for person in first)
    assert keep_accounts(path, demo_people(ADMINS)) == first == read_accounts(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_who_is_in_the_file_stays_as_the_file_says(tmp_path: Path):
    path = tmp_path / "accounts.json"
    keep_accounts(path, [platform_admin(ADMINS)])
    entries = json.loads(path.read_text())
    entries[0]["groups"] = ["atlas"]
    entries[0]["password"] = "mine"
    path.write_text(json.dumps(entries))
    kept = {person.name: person for person in keep_accounts(path, demo_people(ADMINS))}
    assert kept["admin"].groups == ("atlas",)
    assert kept["admin"].password == "mine"
    assert kept["atlas-1"].password


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "7",
        "[7]",
        '["admin"]',
        '{"name": "a"}',
        '[{"name": "a"}]',
        '[{"name": "a", "full_name": "A", "teams": [], "roles": [], "groups": [], "uid": 0}]',
        '[{"name": "a", "full_name": "A", "teams": [], "roles": [], "groups": null}]',
        '[{"name": 7, "full_name": "A", "teams": [], "roles": [], "groups": []}]',
        '[{"name": "a", "full_name": "A", "teams": [], "roles": [], "groups": "granary-admins"}]',
        '[{"name": "a", "full_name": "A", "teams": [], "roles": [], "groups": [["granary-admins"]]}]',
    ],
)
def test_a_file_that_holds_no_accounts_is_refused_and_kept(tmp_path: Path, content: str):
    path = tmp_path / "accounts.json"
    path.write_text(content)
    with pytest.raises(InvalidConfiguration, match="Mend it, or remove it"):
        keep_accounts(path, [platform_admin(ADMINS)])
    assert path.read_text() == content


def test_bytes_that_are_no_text_are_refused(tmp_path: Path):
    path = tmp_path / "accounts.json"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidConfiguration):
        read_accounts(path)


def test_two_people_of_one_name_are_refused(tmp_path: Path):
    path = tmp_path / "accounts.json"
    keep_accounts(path, [platform_admin(ADMINS)])
    path.write_text(json.dumps(json.loads(path.read_text()) * 2))
    with pytest.raises(InvalidConfiguration):
        read_accounts(path)


def test_a_person_shows_no_password():
    assert "swordfish" not in repr(Account("a", "A", (), (), (), "swordfish"))
