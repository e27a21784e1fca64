"""The directory of an installation: one owner, nobody else, and short paths for sockets."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hub.errors import DirectoryUnusable
from hub.local.layout import MAX_RUNTIME_PATH_BYTES, Layout, write_private


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An XDG_RUNTIME_DIR, where the runtime directory goes if it cannot be in the layout."""
    base = tmp_path / "x"
    base.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    return base


def test_every_directory_is_its_owners_alone(tmp_path: Path, short: Path):
    previous = os.umask(0)
    try:
        layout = Layout(tmp_path / "granary")
        layout.prepare()
    finally:
        os.umask(previous)
    made = [layout.root, *(path for path in layout.root.iterdir() if path.is_dir()), layout.runtime_dir]
    assert len(made) >= 7
    assert {mode(path) for path in made} == {0o700}
    assert not [path for path in layout.root.iterdir() if path.is_file()]


def test_what_was_open_is_closed(tmp_path: Path, short: Path):
    layout = Layout(tmp_path / "granary")
    layout.root.mkdir(mode=0o755)
    layout.secrets_dir.mkdir(mode=0o777)
    layout.prepare()
    assert mode(layout.root) == mode(layout.secrets_dir) == 0o700


def test_preparing_again_keeps_what_is_there(tmp_path: Path, short: Path):
    layout = Layout(tmp_path / "granary")
    layout.prepare()
    write_private(layout.homes_dir / "notes", "mine")
    layout.prepare()
    assert (layout.homes_dir / "notes").read_text() == "mine"


def test_a_directory_of_somebody_else_is_refused(
    tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch
):
    layout = Layout(tmp_path / "granary")
    monkeypatch.setattr(os, "getuid", lambda: layout.root.stat().st_uid + 1)
    with pytest.raises(DirectoryUnusable, match="belongs to somebody else"):
        layout.prepare()


def test_a_link_in_place_of_a_directory_is_refused(tmp_path: Path, short: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    layout = Layout(tmp_path / "granary")
    layout.root.mkdir()
    layout.secrets_dir.symlink_to(elsewhere)
    with pytest.raises(DirectoryUnusable):
        layout.prepare()
    assert mode(elsewhere) == 0o755


def test_a_file_in_its_place_is_refused(tmp_path: Path, short: Path):
    (tmp_path / "granary").write_text("")
    with pytest.raises(DirectoryUnusable, match="Choose a directory you may write to with --dir"):
        Layout(tmp_path / "granary").prepare()


def test_an_impossible_place_is_refused(short: Path):
    with pytest.raises(DirectoryUnusable):
        Layout(Path("/proc/granary")).prepare()


def test_sockets_live_in_the_directory_where_its_path_is_short():
    root = Path("/" + "g" * (MAX_RUNTIME_PATH_BYTES - len("//run")))
    assert Layout(root).runtime_dir == root / "run"


def test_sockets_live_elsewhere_where_it_is_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    roots = [tmp_path / ("é" * MAX_RUNTIME_PATH_BYTES), tmp_path / ("b" * MAX_RUNTIME_PATH_BYTES)]
    for root in roots:
        root.mkdir()
    found = [Layout(root).runtime_dir for root in roots]
    assert found[0] != found[1]
    assert [Layout(root).runtime_dir for root in roots] == found
    assert all(path.parent == Path("/run/user/1000") for path in found)
    assert all(len(os.fsencode(path)) <= MAX_RUNTIME_PATH_BYTES for path in found)


def test_a_long_place_for_sockets_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/" + "x" * 100)
    root = tmp_path / ("a" * MAX_RUNTIME_PATH_BYTES)
    root.mkdir()
    assert Layout(root).runtime_dir.parent == Path("/tmp")


def test_a_foreign_directory_for_sockets_is_refused(tmp_path: Path, short: Path):
    root = tmp_path / ("a" * MAX_RUNTIME_PATH_BYTES)
    root.mkdir()
    layout = Layout(root)
    layout.runtime_dir.parent.mkdir(exist_ok=True)
    layout.runtime_dir.symlink_to(tmp_path)
    with pytest.raises(DirectoryUnusable, match="belongs to somebody else"):
        layout.prepare()


def test_a_private_file_is_replaced_whole(tmp_path: Path):
    path = tmp_path / "file"
    path.write_text("old and longer")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert mode(path) == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["file"]
