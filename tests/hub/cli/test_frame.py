"""What all commands share: options, help, exit codes, whose token goes where."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from hub.api.bodies import PublicationBody
from hub.cli import COMMANDS, connection, main
from hub.cli.output import plain
from hub.cli.publishing import Lines, Live

SLOW_TO_IMPORT = ("httpx", "pydantic", "yaml", "rich", "sqlalchemy", "fastapi", "jupyterhub")


def commands(group: click.Group, path: str = "granary") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


@pytest.fixture(autouse=True)
def _nothing_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("GRANARY_URL", "GRANARY_TOKEN", "GRANARY_TOKEN_FILE", "GRANARY_DIR", "XDG_DATA_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def installation(folder: Path, url: str = "http://127.0.0.1:9") -> Path:
    (folder / "secrets").mkdir(parents=True)
    (folder / "state.json").write_text(json.dumps({"public_url": url}))
    (folder / "secrets" / "granary_cli_token").write_text("local-admin-token\n")
    return folder


@pytest.fixture
def targets(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Every address and token a client is made for; nothing is sent."""
    made: list[tuple[str, str]] = []

    class Recorded:
        def __init__(self, url: str, token: str) -> None:
            made.append((url, token))
            sys.exit(0)

    monkeypatch.setattr("hub.rest.RestClient", Recorded)
    return made


# -- help --------------------------------------------------------------------------------


def test_every_option_and_command_has_help() -> None:
    silent = [
        f"{path} {parameter.name}"
        for path, command in commands(main)
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.help
    ]
    assert not silent
    assert not [path for path, command in commands(main) if not command.help]


def test_the_help_of_a_command_imports_nothing_slow() -> None:
    code = (
        "import sys\nfrom hub.cli import main\nmain(['kernel', 'publish', '--help'], standalone_mode=False)\n"
        f"print([name for name in {SLOW_TO_IMPORT!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr.strip() == "[]"


def test_the_table_names_commands_that_exist() -> None:
    assert {path.split()[1] for path, _ in commands(main)} == set(COMMANDS)


def test_version() -> None:
    assert run("--version").stdout.startswith("granary, version ")


def test_completion_for_bash_knows_the_commands() -> None:
    words = {"COMP_WORDS": "granary kernel cha", "COMP_CWORD": "2", "_GRANARY_COMPLETE": "bash_complete"}
    completed = CliRunner().invoke(main, env=words, prog_name="granary")
    assert "plain,channel" in completed.output


# -- where and as whom -----------------------------------------------------------------------


def test_without_anything_it_is_the_installation_on_this_machine(
    tmp_path: Path, targets: list[tuple[str, str]]
) -> None:
    installation(tmp_path / ".local" / "share" / "granary")
    run("whoami")
    assert targets == [("http://127.0.0.1:9", "local-admin-token")]


def test_a_relative_data_home_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "somewhere")
    assert connection.default_directory() == tmp_path / ".local" / "share" / "granary"
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert connection.default_directory() == Path("/data/granary")


def test_the_token_of_the_installation_goes_nowhere_else(
    tmp_path: Path, targets: list[tuple[str, str]]
) -> None:
    installation(tmp_path / ".local" / "share" / "granary")
    refused = run("whoami", "--url", "https://elsewhere.example")
    assert refused.exit_code == 2
    assert "A token is needed for https://elsewhere.example" in refused.stderr
    assert not targets


def test_a_typed_directory_outweighs_an_address_from_the_environment(
    tmp_path: Path, targets: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRANARY_URL", "https://elsewhere.example")
    run("whoami", "--dir", str(installation(tmp_path / "here")))
    assert targets == [("http://127.0.0.1:9", "local-admin-token")]


def test_a_token_comes_from_a_file_or_the_environment(
    tmp_path: Path, targets: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("from-file\n")
    monkeypatch.setenv("GRANARY_TOKEN", "from-environment")
    run("whoami", "--url", "https://hub.example")
    run("whoami", "--url", "https://hub.example", "--token-file", str(tmp_path / "token"))
    assert targets == [("https://hub.example", "from-environment"), ("https://hub.example", "from-file")]


@pytest.mark.parametrize("content", ["", "two words", "-----BEGIN KEY-----\nx\n", "x" * 5000, "tök"])
def test_a_file_that_holds_no_token_is_not_sent(
    tmp_path: Path, targets: list[tuple[str, str]], content: str
) -> None:
    (tmp_path / "token").write_text(content)
    refused = run("whoami", "--url", "https://hub.example", "--token-file", str(tmp_path / "token"))
    assert refused.exit_code == 2
    assert "does not hold a token" in refused.stderr
    assert not content or content not in refused.stderr
    assert not targets


@pytest.mark.parametrize("state", [None, "", "[]", "{}", '{"public_url": 7}', "{"])
def test_no_installation_is_told(tmp_path: Path, state: str | None) -> None:
    if state is not None:
        (tmp_path / "state.json").write_text(state)
    refused = run("whoami", "--dir", str(tmp_path))
    assert refused.exit_code == 2
    assert f"No installation is known in {tmp_path}" in refused.stderr


def test_an_address_without_a_scheme_is_a_mistake() -> None:
    assert run("whoami", "--url", "hub.example").exit_code == 2


# -- refusals ------------------------------------------------------------------------------------


def test_nobody_there_is_told_and_has_its_own_exit_code(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        here = str(installation(tmp_path / "here", f"http://127.0.0.1:{unused.getsockname()[1]}"))
        told = run("kernel", "list", "--dir", here)
        as_json = run("kernel", "list", "--dir", here, "--json")
    assert told.exit_code == as_json.exit_code == 3
    assert told.stderr.startswith("granary: Granary does not answer at http://127.0.0.1:")
    assert told.stderr.rstrip().endswith("[control_plane_unavailable]")
    assert json.loads(as_json.stdout)["code"] == "control_plane_unavailable"


def test_a_wrong_command_line_is_exit_code_2() -> None:
    assert run("kernel", "publish", "missing.yaml").exit_code == 2
    assert run("kernel", "entitle", "a", "b").exit_code == 2
    assert run("nonsense").exit_code == 2


# -- output ----------------------------------------------------------------------------------------


def test_others_texts_do_not_steer_the_terminal() -> None:
    assert plain("a\x1b[31mb\nc\u202ed") == "a [31mb c d"


def publication(*steps: tuple[str, str, float | None]) -> PublicationBody:
    return PublicationBody.model_validate({
        "id": "1", "kernel": "a", "version": "1.0", "team": "atlas", "state": "building", "requested_by": "x",
        "requested_at": "2026-11-21T10:00:00Z", "finished_at": None, "artifact_digest": None, "error": None,
        "release": None,
        "steps": [{"name": name, "text": text, "seconds": seconds} for name, text, seconds in steps],
    })  # fmt: skip


LOOKS = (
    publication(("resolving", "Choosing", None)),
    publication(("resolving", "Chose 3 packages", 1.5), ("building", "Installing [bold]x", None)),
    publication(
        ("resolving", "Chose 3 packages", 1.5), ("building", "Installed", 2.0), ("later", "New", 0.1)
    ),
)


def test_lines_tell_each_thing_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    for look in (*LOOKS, LOOKS[-1]):
        lines.show(look)
    told = [line.partition(" s  ")[2] for line in capsys.readouterr().out.splitlines()]
    assert told == [
        "Resolving: Choosing",
        "Resolving: Chose 3 packages",
        "Building: Installing [bold]x",
        "Building: Installed",
        "Later: New",
    ]


def test_on_a_terminal_a_line_stays_for_each_step_that_is_done() -> None:
    console = Console(force_terminal=True, width=100, record=True, file=io.StringIO())
    live = Live(console)
    for look in LOOKS:
        live.show(look)
    live.stop()
    told = console.export_text()
    for line in ("1.5 s  Resolving: Chose 3 packages", "2.0 s  Building: Installed", "0.1 s  Later: New"):
        assert told.count(line) == 1
