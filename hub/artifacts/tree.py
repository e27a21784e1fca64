"""Directory trees that never change again: sealed against writing, digested, discarded."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

_POLL = timedelta(milliseconds=100)
_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
_READABLE = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
_EXECUTABLE = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH


def seal(root: Path) -> None:
    """Make everything below ``root``, and ``root`` itself, readable for all and writable for nobody.

    Whatever the umask of the builder was. Root may still write, as always.
    """
    for directory, _, files in os.walk(root, topdown=False):
        for name in files:
            path = Path(directory, name)
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                path.chmod(_READABLE | (_EXECUTABLE if mode & stat.S_IXUSR else 0))
        Path(directory).chmod(_READABLE | _EXECUTABLE)


def discard(root: Path) -> None:
    """Remove a tree, sealed or half built; one that is not there is no error."""
    if not root.exists():
        return
    for directory, _, _ in os.walk(root):
        Path(directory).chmod(stat.S_IRWXU)
    shutil.rmtree(root)


def tree_digest(root: Path, *, without: str) -> str:
    """``sha256:<hex>`` over names, kinds, contents and targets of links below ``root``.

    Times and owners do not count: a copy has the same digest. ``without`` names an
    entry of ``root`` that is left out: where the digest is recorded.
    """
    total = hashlib.sha256()
    for path in sorted(_entries(root), key=os.fsencode):
        name = os.fsencode(path.relative_to(root))
        if name == os.fsencode(without):
            continue
        kind, content = _content(path)
        total.update(b"%s %d %s %s\n" % (kind, len(name), name, content))
    return f"sha256:{total.hexdigest()}"


@contextmanager
def exclusive(
    lock_file: Path, *, timeout: timedelta, waiting: Callable[[], None] | None = None
) -> Iterator[int | None]:
    """Hold a lock that ends with the processes holding it; yields its descriptor.

    A process that inherits the descriptor holds the lock too, so that a build that
    outlives whoever began it is not taken for an abandoned one. Yields None if
    another holds the lock until ``timeout``. The file stays: removing it would let
    two processes lock two files of one name.

    ``waiting`` is called once if there is somebody to wait for.
    """
    deadline = time.monotonic() + timeout.total_seconds()
    descriptor = os.open(lock_file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        held = _try_lock(descriptor)
        if not held and waiting is not None:
            waiting()
        while not held and time.monotonic() < deadline:
            time.sleep(_POLL.total_seconds())
            held = _try_lock(descriptor)
        yield descriptor if held else None
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _entries(root: Path) -> Iterator[Path]:
    for directory, directories, files in os.walk(root):
        yield from (Path(directory, name) for name in (*directories, *files))


def _content(path: Path) -> tuple[bytes, bytes]:
    """Kind and what stands for the content of an entry."""
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return b"link", hashlib.sha256(os.fsencode(path.readlink())).hexdigest().encode()
    if stat.S_ISDIR(mode):
        return b"directory", b"-"
    kind = b"program" if mode & stat.S_IXUSR else b"file"
    with path.open("rb") as file:
        return kind, hashlib.file_digest(file, "sha256").hexdigest().encode()
