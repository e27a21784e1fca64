"""``granary up`` and its companions as a newcomer and an operator use them."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.support.installation import Installation, free_port, wait_until
from tests.support.installation import granary as command

pytestmark = pytest.mark.e2e

STOP_BOUND_SECONDS = 10
READY_AGAIN_SECONDS = 10


def test_status_shows_every_process_healthy(granary: Installation):
    status = granary.status()
    assert {view["name"] for view in status["processes"]} == {
        "bridge", "control", "hub", "kernelhost", "oidc", "proxy"
    }  # fmt: skip
    assert status["healthy"]
    assert status["public_url"] == granary.url


def test_everything_in_the_directory_is_private(granary: Installation):
    """Released environments need no secrecy of their own; the directory above them has it."""
    # What people's own programs write in their homes has the mode those choose; the homes are closed.
    checked, open_to_others = 0, []
    for path in [granary.directory, *granary.directory.rglob("*")]:
        found = path.lstat()
        below = path.relative_to(granary.directory).parts
        if below[:1] == ("store",) or (below[:1] == ("homes",) and len(below) > 2):
            continue
        if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode):
            checked += 1
            if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                open_to_others.append(str(path))
    assert checked > 30
    assert open_to_others == []


def test_accounts_are_told_by_name_and_passwords_only_in_their_file(granary: Installation):
    printed = granary.output.read_text()
    for account in granary.accounts.values():
        assert account["name"] in printed
        assert len(account["password"]) >= 16
        assert account["password"] not in printed


def test_no_secret_is_in_a_log_an_argument_or_an_environment(granary: Installation):
    granary.start_server("atlas-1")
    secrets = {
        path.name: path.read_text()
        for path in (granary.directory / "secrets").glob("*")
        if path.is_file()
    }  # fmt: skip
    secrets |= {name: account["password"] for name, account in granary.accounts.items()}
    secrets |= {f"token of {name}": granary.token(name) for name in ("atlas-1", "both-1")}
    logs = {path: path.read_text(errors="replace") for path in granary.directory.rglob("*.log")}
    lines = {
        pid: " ".join([*psutil.Process(pid).cmdline(), *psutil.Process(pid).environ().values()])
        for pid in granary.pids()
    }
    assert len(logs) >= 6
    assert len(lines) >= 7
    found = [
        (name, str(place))
        for name, secret in secrets.items()
        for place, text in [*logs.items(), *lines.items()]
        if secret in text
    ]
    assert found == []


def test_the_database_holds_no_secret_in_clear(granary: Installation):
    token = granary.token("atlas-1").encode()
    secrets = [path.read_bytes() for path in (granary.directory / "secrets").glob("*") if path.is_file()]
    passwords = [account["password"].encode() for account in granary.accounts.values()]
    for database in granary.directory.rglob("*.sqlite*"):
        content = database.read_bytes()
        assert not [secret for secret in [token, *secrets, *passwords] if secret in content], database


def test_a_second_up_in_the_directory_is_refused(granary: Installation):
    refused = _up("--dir", str(granary.directory), "--port", str(free_port()))
    _says(refused, "already_running", "granary down")
    assert granary.status()["healthy"]


def test_a_port_in_use_is_refused_and_nothing_is_left(granary: Installation, tmp_path: Path):
    refused = _up("--dir", str(tmp_path / "other"), "--port", str(granary.port))
    _says(refused, "port_in_use", "--port")
    assert Installation(tmp_path / "other", 0).pids() == set()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("teems: []", "Did you mean 'teams'?"),
        ("teams: [{name: Bad Name}]", "Bad Name"),
        ("teams: [", "line 1"),
        ("oidc: {issuer: nonsense, client_id: x, client_secret_file: y}", "http"),
    ],
)
def test_a_broken_configuration_is_refused_in_one_sentence(tmp_path: Path, content: str, words: str):
    config = tmp_path / "granary.yaml"
    config.write_text(content)
    refused = _up("--dir", str(tmp_path / "dir"), "--config", str(config))
    _says(refused, "invalid_configuration", words)
    assert not (tmp_path / "dir").exists()


def test_an_unusable_directory_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    refused = _up("--dir", str(tmp_path / "file" / "dir"), "--port", str(free_port()))
    _says(refused, "directory_unusable", "--dir")


def test_any_address_needs_a_public_url(tmp_path: Path):
    refused = _up("--dir", str(tmp_path / "dir"), "--host", "0.0.0.0")
    _says(refused, "invalid_configuration", "public_url")


def test_nothing_running_is_said_so(tmp_path: Path):
    assert command("status", "--dir", str(tmp_path)).returncode == 3
    assert "not_running" in command("down", "--dir", str(tmp_path)).stderr


def test_logs_show_one_process_or_all(granary: Installation):
    everything = command("logs", "--dir", str(granary.directory))
    assert "hub: " in everything.stdout
    assert "bridge: " in everything.stdout
    only = command("logs", "--dir", str(granary.directory), "control")
    assert "control" in only.stdout
    assert "bridge: " not in only.stdout
    unknown = command("logs", "--dir", str(granary.directory), "nothing")
    assert "There are: " in unknown.stderr


def test_ctrl_c_ends_everything_soon_and_a_second_start_keeps_it_all(granary: Installation):
    server = granary.start_server("atlas-1")
    server.start_kernel("python-base")
    passwords = (granary.directory / "demo-accounts.json").read_bytes()
    kernels = granary.cli("kernel", "list")
    note = granary.directory / "homes" / "atlas-1" / "note.txt"
    note.write_text("kept")

    assert granary.down() < STOP_BOUND_SECONDS
    wait_until("every process to have ended", lambda: not granary.pids())

    seconds = granary.up()
    assert (granary.directory / "demo-accounts.json").read_bytes() == passwords
    assert granary.cli("kernel", "list") == kernels
    assert note.read_text() == "kept"
    # The bound is for an idle machine; a busy one gets twice the time.
    assert seconds < 2 * READY_AGAIN_SECONDS


def _up(*options: str) -> subprocess.CompletedProcess[str]:
    return command("up", *options, seconds=60)


def _says(refused: subprocess.CompletedProcess[str], code: str, words: str) -> None:
    assert refused.returncode not in {0, None}
    lines = [line for line in refused.stderr.splitlines() if line.startswith("granary: ")]
    assert len(lines) == 1, refused.stderr
    assert f"[{code}]" in lines[0]
    assert words in lines[0]
    assert "Traceback" not in refused.stderr
