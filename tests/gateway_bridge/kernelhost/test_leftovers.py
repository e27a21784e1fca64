"""The runtime directory: private, one host's, and swept of what a dead host left."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from gateway_bridge.kernelhost.leftovers import RuntimeDir, RuntimeDirError, record_process
from tests.support.kernelhost import KernelHostProcess


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def runtime_dir(tmp_path: Path) -> Iterator[RuntimeDir]:
    made = RuntimeDir(tmp_path / "r")
    yield made
    made.close()


def test_a_recorded_process_is_killed_and_its_files_removed(
    runtime_dir: RuntimeDir, sleeper: subprocess.Popen[bytes]
) -> None:
    record_process(runtime_dir.new_kernel_dir(), sleeper.pid)
    assert runtime_dir.clean() == 1
    assert sleeper.wait(5) == -9
    assert [entry.name for entry in runtime_dir.path.iterdir()] == ["host.lock"]


def test_what_a_kernel_started_is_killed_though_the_kernel_has_ended(runtime_dir: RuntimeDir) -> None:
    leader = subprocess.Popen(
        ["/bin/sh", "-c", "sleep 1000 >/dev/null & echo $!; read -r _"],
        start_new_session=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert leader.stdout is not None
    child = psutil.Process(int(leader.stdout.readline()))
    record_process(runtime_dir.new_kernel_dir(), leader.pid)
    leader.communicate(b"\n")
    assert child.is_running()
    assert runtime_dir.clean() == 1
    _, alive = psutil.wait_procs([child], timeout=5)
    assert all(process.status() == psutil.STATUS_ZOMBIE for process in alive)


@pytest.mark.parametrize("field", ["start_ticks", "boot_id"])
def test_a_process_that_got_the_number_later_is_left_alone(
    runtime_dir: RuntimeDir, sleeper: subprocess.Popen[bytes], field: str
) -> None:
    directory = runtime_dir.new_kernel_dir()
    record_process(directory, sleeper.pid)
    record = json.loads((directory / "process").read_text())
    record[field] = 1 if field == "start_ticks" else "another boot"
    (directory / "process").write_text(json.dumps(record))
    assert runtime_dir.clean() == 0
    assert sleeper.poll() is None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"pid": 1}', "nonsense"])
def test_records_that_cannot_be_read_are_removed(runtime_dir: RuntimeDir, text: str) -> None:
    (runtime_dir.new_kernel_dir() / "process").write_text(text)
    assert runtime_dir.clean() == 0
    assert [entry.name for entry in runtime_dir.path.iterdir()] == ["host.lock"]


def test_links_out_of_the_directory_are_not_followed(runtime_dir: RuntimeDir, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    (runtime_dir.path / "link").symlink_to(outside)
    runtime_dir.clean()
    assert (outside / "precious").exists()


def test_directories_are_private(runtime_dir: RuntimeDir) -> None:
    for directory in (runtime_dir.path, runtime_dir.new_kernel_dir()):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_directory_has_one_host(runtime_dir: RuntimeDir) -> None:
    with pytest.raises(RuntimeDirError, match="in use by another kernel host"):
        RuntimeDir(runtime_dir.path)


def test_a_path_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeDirError, match="too long for sockets"):
        RuntimeDir(tmp_path / ("x" * 100))


def test_the_longest_path_that_is_accepted_works() -> None:
    long = f"/tmp/kh-{os.getpid()}-{'y' * 200}"
    with pytest.raises(RuntimeDirError) as refused:
        RuntimeDir(Path(long))
    room = int(str(refused.value).split("at most ")[1].split()[0])
    base = Path(long[: room - len("/run")])
    base.mkdir()
    host = KernelHostProcess(base)
    try:
        assert len(str(host.runtime_dir)) == room
        with host.client() as api:
            body = host.launch_body()
            api.post("/api/kernels", json=body).raise_for_status()
            assert api.get(f"/api/kernels/{body['kernel_id']}/ready").status_code == 200
    finally:
        host.stop()
        shutil.rmtree(base)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"GRANARY_RUNTIME_DIR": "/tmp/" + "x" * 120}, "GRANARY_RUNTIME_DIR: /tmp/xxx"),
        ({"GRANARY_RUNTIME_DIR": "/proc/nowhere"}, "GRANARY_RUNTIME_DIR: /proc/nowhere cannot be used"),
        ({}, "GRANARY_RUNTIME_DIR: Field required"),
        (
            {"GRANARY_RUNTIME_DIR": "/tmp/x", "GRANARY_KERNEL_HOST_BIND": "192.0.2.1:80"},
            "cannot listen on 192.0.2.1:80",
        ),
        (
            {"GRANARY_RUNTIME_DIR": "/tmp/x", "GRANARY_KERNEL_HOST_BIND": "nowhere"},
            "GRANARY_KERNEL_HOST_BIND",
        ),
        (
            {"GRANARY_RUNTIME_DIR": "/tmp/x", "GRANARY_KERNEL_READY_WITHIN": "soon"},
            "write a number of seconds",
        ),
        (
            {"GRANARY_RUNTIME_DIR": "/tmp/x", "GRANARY_KERNEL_HOST_SECRET": "short"},
            "GRANARY_KERNEL_HOST_SECRET",
        ),
    ],
)
def test_settings_that_do_not_work_are_explained(variables: dict[str, str], words: str) -> None:
    environment = {"PATH": os.environ["PATH"], "GRANARY_KERNEL_HOST_SECRET": "x" * 32, **variables}
    done = subprocess.run(
        [sys.executable, "-m", "gateway_bridge.kernelhost.app"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
