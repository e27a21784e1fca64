"""Where an installation keeps what: one directory, readable by its owner alone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hub.errors import DirectoryUnusable

PRIVATE_DIRECTORY = 0o700
PRIVATE_FILE = 0o600

MAX_RUNTIME_PATH_BYTES = 60
"""Of the directory of kernels' sockets; a socket's whole path may have 107."""


@dataclass(frozen=True)
class Layout:
    """Paths below an installation's directory."""

    root: Path

    @property
    def state_file(self) -> Path:
        return self.root / "state.json"

    @property
    def lock_file(self) -> Path:
        return self.root / "lock"

    @property
    def secrets_dir(self) -> Path:
        return self.root / "secrets"

    def secrets_of(self, process: str) -> Path:
        """Copies of the secrets that one process may know."""
        return self.secrets_dir / process

    @property
    def logs_dir(self) -> Path:
        return self.root / "logs"

    def log_of(self, process: str) -> Path:
        return self.logs_dir / f"{process}.log"

    @property
    def hub_dir(self) -> Path:
        return self.root / "hub"

    @property
    def server_pids(self) -> Path:
        """Where the spawner notes the process of each user server."""
        return self.hub_dir / "servers"

    @property
    def oidc_dir(self) -> Path:
        return self.root / "oidc"

    @property
    def database(self) -> Path:
        return self.root / "granary.sqlite"

    @property
    def store_dir(self) -> Path:
        return self.root / "store"

    @property
    def homes_dir(self) -> Path:
        return self.root / "homes"

    @property
    def accounts_file(self) -> Path:
        return self.root / "demo-accounts.json"

    @property
    def runtime_dir(self) -> Path:
        """Connection files and sockets of kernels; elsewhere when the path here is too long for sockets."""
        here = self.root / "run"
        if len(os.fsencode(here)) <= MAX_RUNTIME_PATH_BYTES:
            return here
        stat = self.root.stat()
        name = f"granary-{os.getuid()}-{stat.st_dev:x}-{stat.st_ino:x}"
        offered = Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp") / name  # noqa: S108 # 0700, see prepare
        return offered if len(os.fsencode(offered)) <= MAX_RUNTIME_PATH_BYTES else Path("/tmp") / name  # noqa: S108

    def prepare(self) -> None:
        """Make the directories.

        Raises
        ------
        DirectoryUnusable
        """
        try:
            _make_private(self.root)
            for directory in (
                self.secrets_dir,
                self.logs_dir,
                self.hub_dir,
                self.oidc_dir,
                self.store_dir,
                self.homes_dir,
                self.runtime_dir,
            ):
                _make_private(directory)
            write_private(self.root / ".writable", "")
            (self.root / ".writable").unlink()
        except OSError as error:
            raise DirectoryUnusable(
                f"{self.root} cannot be used: {error.strerror or error} ({error.filename}). "
                "Choose a directory you may write to with --dir.",
                directory=str(self.root),
            ) from error


def _make_private(directory: Path) -> None:
    directory.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    if directory.is_symlink() or directory.stat().st_uid != os.getuid():
        raise PermissionError(1, "belongs to somebody else", str(directory))
    directory.chmod(PRIVATE_DIRECTORY)


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; nobody else can read it, and no reader sees half of it."""
    fresh = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE), "w") as file:
        file.write(text)
    fresh.replace(path)
