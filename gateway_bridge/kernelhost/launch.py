"""What a kernel is started with: checked, and its environment built from nothing.

Nothing of the host's own environment reaches a kernel, so no secret of ours does.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from hub.wire import HostLaunch

CONNECTION_FILE = "{connection_file}"
"""Stands in ``argv`` for the path of the connection file."""

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
"""Searched after the programs of the kernel's own environment."""

MAX_ENV_ENTRIES = 1024
MAX_TEXT_LENGTH = 128 * 1024
"""Of one argument or variable: what Linux accepts (MAX_ARG_STRLEN)."""

KERNEL_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
"""UUIDs in canonical form only, so that no two texts mean one kernel."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_Text = Annotated[str, Field(max_length=MAX_TEXT_LENGTH, pattern=r"^[^\x00]*$")]


class CheckedLaunch(HostLaunch):
    """A launch this host accepts: known fields only, of exactly the right types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1, max_length=200)]
    argv: Annotated[list[_Text], Field(min_length=1, max_length=1024)]
    env: Annotated[dict[str, _Text], Field(max_length=MAX_ENV_ENTRIES)]
    cwd: _Text
    home: _Text
    interrupt_mode: Literal["signal", "message"] = "signal"
    language: Annotated[str, Field(max_length=100)] = "python"

    @field_validator("kernel_id")
    @classmethod
    def _canonical(cls, value: str) -> str:
        if not KERNEL_ID.fullmatch(value):
            raise ValueError("must be a UUID in canonical form: 8-4-4-4-12 lower-case hexadecimal digits")
        return value

    @field_validator("argv")
    @classmethod
    def _absolute_program(cls, value: list[str]) -> list[str]:
        if not value[0].startswith("/"):
            raise ValueError("must begin with the absolute path of a program")
        if not any(CONNECTION_FILE in argument for argument in value):
            raise ValueError(f"must hand the kernel its connection file as {CONNECTION_FILE}")
        return value

    @field_validator("env")
    @classmethod
    def _variable_names(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if not _VARIABLE.fullmatch(name):
                raise ValueError(f"{name[:80]!r} cannot name a variable")
        return value

    @model_validator(mode="after")
    def _cwd_in_home(self) -> CheckedLaunch:
        home, cwd = PurePosixPath(self.home), PurePosixPath(self.cwd)
        if not home.is_absolute() or ".." in home.parts or ".." in cwd.parts:
            raise ValueError("home and cwd must be absolute paths without '..'")
        if not cwd.is_relative_to(home):
            raise ValueError("cwd must lie in home")
        return self

    def command(self, connection_file: Path) -> list[str]:
        """The arguments with the connection file in its place."""
        return [argument.replace(CONNECTION_FILE, str(connection_file)) for argument in self.argv]

    def environment(self) -> dict[str, str]:
        """All a kernel's process is given.

        ``JPY_PARENT_PID`` lets a kernel end by itself when this host is killed.
        """
        programs = str(PurePosixPath(self.argv[0]).parent)
        return {
            "PATH": f"{programs}:{SYSTEM_PATH}",
            "LANG": "C.UTF-8",
            **self.env,
            "HOME": self.home,
            "JPY_PARENT_PID": str(os.getpid()),
        }


def make_directories(launch: CheckedLaunch) -> None:
    """Create home and working directory with mode 0700 where they are missing. Raises ``OSError``.

    Blocks: homes may lie on a file server.
    """
    home, cwd = Path(launch.home), Path(launch.cwd)
    missing = [cwd, *(parent for parent in cwd.parents if parent.is_relative_to(home))]
    home.parent.mkdir(parents=True, exist_ok=True)
    for directory in reversed(missing):
        directory.mkdir(mode=0o700, exist_ok=True)
