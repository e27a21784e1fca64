"""Secrets: made once, kept, and each process sees only its own."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from hub.errors import InvalidConfiguration
from hub.local.layout import Layout, write_private
from hub.local.secrets import ALL, KNOWN_BY, OIDC_CLIENT, make_secrets


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "granary")
    layout.secrets_dir.mkdir(parents=True, mode=0o700)
    return layout


def held(layout: Layout, process: str) -> dict[str, str]:
    return {path.name: path.read_text() for path in layout.secrets_of(process).iterdir()}


def test_each_is_made_of_32_random_bytes(layout: Layout):
    make_secrets(layout, {})
    values = [(layout.secrets_dir / name).read_text() for name in ALL]
    assert len(set(values)) == len(ALL)
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in values)


def test_they_are_kept(layout: Layout):
    make_secrets(layout, {})
    before = {process: held(layout, process) for process in KNOWN_BY}
    make_secrets(layout, {})
    assert {process: held(layout, process) for process in KNOWN_BY} == before


def test_each_process_has_its_own_and_no_other(layout: Layout):
    make_secrets(layout, {})
    for process, names in KNOWN_BY.items():
        assert held(layout, process) == {name: (layout.secrets_dir / name).read_text() for name in names}


def test_a_secret_a_process_may_no_longer_know_is_taken_away(layout: Layout):
    make_secrets(layout, {})
    write_private(layout.secrets_of("bridge") / "granary_hub_crypt_key", "from an older version")
    make_secrets(layout, {})
    assert set(held(layout, "bridge")) == set(KNOWN_BY["bridge"])


def test_all_files_are_private(layout: Layout):
    make_secrets(layout, {})
    for path in layout.secrets_dir.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_a_given_secret_is_handed_on_and_ours_kept(layout: Layout, tmp_path: Path):
    given = tmp_path / "client-secret"
    given.write_text("theirs\n")
    make_secrets(layout, {OIDC_CLIENT: given})
    assert held(layout, "hub")[OIDC_CLIENT] == "theirs"
    assert (layout.secrets_dir / OIDC_CLIENT).read_text() != "theirs"


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff"])
def test_a_given_file_without_a_secret_is_refused(layout: Layout, tmp_path: Path, content: bytes):
    given = tmp_path / "client-secret"
    given.write_bytes(content)
    with pytest.raises(InvalidConfiguration, match=str(given)):
        make_secrets(layout, {OIDC_CLIENT: given})


def test_an_emptied_file_is_made_anew(layout: Layout):
    make_secrets(layout, {})
    write_private(layout.secrets_dir / ALL[0], "")
    make_secrets(layout, {})
    assert len((layout.secrets_dir / ALL[0]).read_text()) == 64
