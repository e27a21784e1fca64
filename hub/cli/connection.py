"""Which Granary a command talks to, and as whom."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from hub.cli.frame import tell
from hub.errors import GranaryError

STATE_FILE = "state.json"
"""In a local installation's directory; its key ``public_url`` says where the hub is."""

TOKEN_FILE = Path("secrets", "granary_cli_token")
"""In a local installation's directory; a token of its platform admins."""

MAX_TOKEN_FILE_BYTES = 4096
MAX_STATE_FILE_BYTES = 2**20

F = TypeVar("F", bound=Callable[..., Any])

directory_option = click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="GRANARY_DIR",
    show_envvar=True,
    help="Directory of an installation on this machine; without it ~/.local/share/granary.",
)
"""Shared with the commands that run the local installation."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, refusals included.")

_OPTIONS = (
    click.option(
        "--url",
        envvar="GRANARY_URL",
        show_envvar=True,
        metavar="URL",
        help="Address of the hub; without it the installation on this machine.",
    ),
    click.option(
        "--token-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        envvar="GRANARY_TOKEN_FILE",
        show_envvar=True,
        help="File that holds a JupyterHub token; the token itself may be in GRANARY_TOKEN instead.",
    ),
    directory_option,
    json_option,
)


def default_directory() -> Path:
    """Where ``granary up`` keeps an installation when nobody says where."""
    given = os.environ.get("GRANARY_DIR")
    if given:
        return Path(given)
    data = os.environ.get("XDG_DATA_HOME") or ""
    # The specification says to ignore a relative path there.
    base = Path(data) if Path(data).is_absolute() else Path.home() / ".local" / "share"
    return base / "granary"


def with_client(command: F) -> F:
    """Give a command the options above and a client as its first argument.

    The command is called as ``command(client, …, as_json=…)``; an error of ours that
    leaves it is told and becomes the exit code.
    """

    @functools.wraps(command)
    def wrapper(url: str | None, token_file: Path | None, directory: Path | None, **rest: Any) -> None:
        from hub.rest import RestClient  # noqa: PLC0415 # a help text needs no HTTP

        address, token = _target(url, token_file, directory)
        try:
            with RestClient(address, token) as client:
                command(client, **rest)
        except GranaryError as error:
            sys.exit(tell(error, as_json=rest["as_json"]))

    decorated: Any = wrapper
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return] # click's decorators return what they are given


def _target(url: str | None, token_file: Path | None, directory: Path | None) -> tuple[str, str]:
    """Address and token. The token of the local installation goes to no other address.

    Raises
    ------
    click.UsageError
    """
    if url is not None and not (_was_typed("directory") and not _was_typed("url")):
        if not url.startswith(("http://", "https://")):
            raise click.UsageError("--url must begin with http:// or https://.")
        token = _given_token(token_file)
        if token is None:
            raise click.UsageError(f"A token is needed for {url}: give --token-file, or set GRANARY_TOKEN.")
        return url, token
    directory = directory or default_directory()
    return _local_url(directory), _given_token(token_file) or _read_token(directory / TOKEN_FILE)


def _given_token(token_file: Path | None) -> str | None:
    if token_file is not None:
        return _read_token(token_file)
    token = os.environ.get("GRANARY_TOKEN")
    return None if not token else _checked_token(token, "GRANARY_TOKEN")


def _read_token(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_TOKEN_FILE_BYTES + 1)
    except OSError as error:
        raise click.UsageError(f"The token file {path} cannot be read: {error.strerror}.") from error
    return _checked_token(content.decode("ascii", "replace"), str(path))


def _checked_token(text: str, source: str) -> str:
    """A token is one word; anything else would end up in a header, or be another file's content."""
    token = text.strip()
    if not token or len(token) > MAX_TOKEN_FILE_BYTES or not all("!" <= char <= "~" for char in token):
        raise click.UsageError(f"{source} does not hold a token: one word and nothing else.")
    return token


def _local_url(directory: Path) -> str:
    path = directory / STATE_FILE
    try:
        with path.open("rb") as file:
            state = json.loads(file.read(MAX_STATE_FILE_BYTES))
        url = state["public_url"]
    except (OSError, ValueError, LookupError, TypeError):
        url = None
    if not isinstance(url, str):
        raise click.UsageError(
            f"No installation is known in {directory}. Start one with `granary up`, "
            "name its directory with --dir, or name a hub with --url."
        )
    return url


def _was_typed(parameter: str) -> bool:
    """Whether an option stood on the command line, which outweighs the environment."""
    source = click.get_current_context().get_parameter_source(parameter)
    return source is ParameterSource.COMMANDLINE
