"""Servers come and go; kernels, sessions and the hub's view of activity stay."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import httpx

from tests.support.userserver import TEAM, OnePersonHub, StockFarEnd, UserServer, Wire, eventually, free_port

NewServer = Callable[[str], UserServer]

STOP_SECONDS = 5.0


def notebook(server: UserServer, path: str) -> dict[str, object]:
    body = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
    answer = server.api.http.post("/api/sessions", json=body)
    assert answer.status_code == 201, answer.text
    session: dict[str, object] = answer.json()
    return session


def test_the_next_server_finds_kernel_session_and_variables(
    new_server: NewServer, far_end: StockFarEnd
) -> None:
    first = new_server(far_end.url)
    first.start()
    session = notebook(first, "analysis.ipynb")
    kernel_id = session["kernel"]["id"]
    with first.api.socket(kernel_id) as kernel:
        kernel.execute("answer = 42")
    assert first.end(signal.SIGTERM) < STOP_SECONDS

    second = new_server(far_end.url)
    second.start()
    (found,) = second.api.http.get("/api/sessions").json()
    assert (found["id"], found["path"], found["kernel"]["id"]) == (session["id"], "analysis.ipynb", kernel_id)
    # What JupyterLab does when the notebook is opened: the session exists, so its kernel is used.
    assert notebook(second, "analysis.ipynb")["kernel"]["id"] == kernel_id
    with second.api.socket(kernel_id) as kernel:
        assert kernel.execute("print(answer)").stdout == "42\n"

    second.end(signal.SIGKILL)
    third = new_server(far_end.url)
    third.start()
    assert [item["kernel"]["id"] for item in third.api.http.get("/api/sessions").json()] == [kernel_id]
    third.api.stop_kernel(kernel_id)
    assert third.api.http.get("/api/sessions").json() == []


def test_a_bridge_that_is_away_at_the_start_costs_no_session(
    new_server: NewServer, far_end: StockFarEnd, wire: Wire
) -> None:
    address = f"http://127.0.0.1:{wire.port}/teams/{TEAM}"
    first = new_server(address)
    first.start()
    session = notebook(first, "kept.ipynb")
    kernel_id = session["kernel"]["id"]
    gone = notebook(first, "gone.ipynb")
    first.end()
    far_end.api.stop_kernel(gone["kernel"]["id"])
    wire.cut()

    second = new_server(address)
    second.start()
    found = second.api.http.get("/api/sessions").json()
    assert {item["id"] for item in found} == {session["id"], gone["id"]}, "away is not gone"
    with second.api.socket(kernel_id) as kernel:  # a tab that was open all the time comes back
        waiting = kernel.send("shell", "kernel_info_request", {})
        wire.mend()
        while kernel.receive(timeout=30)["parent_header"].get("msg_id") != waiting:
            pass
    eventually(
        lambda: [item["id"] for item in second.api.http.get("/api/sessions").json()] == [session["id"]],
        "the session of the ended kernel to go",
    )
    second.api.stop_kernel(kernel_id)


def test_sigterm_ends_it_with_the_bridge_down_and_a_socket_open(
    new_server: NewServer, far_end: StockFarEnd, wire: Wire
) -> None:
    server = new_server(f"http://127.0.0.1:{wire.port}/teams/{TEAM}")
    server.start()
    kernel_id = server.api.start_kernel("python3")
    assert server.api.http.post("/api/terminals").is_success
    with server.api.socket(kernel_id) as kernel:
        kernel.execute("1")
        wire.cut()
        assert server.end(signal.SIGTERM) < STOP_SECONDS
    assert kernel_id in far_end.api.kernel_ids()
    far_end.api.stop_kernel(kernel_id)


def test_sigterm_is_heard_in_the_middle_of_work(new_server: NewServer, far_end: StockFarEnd) -> None:
    server = new_server(far_end.url)
    server.start()
    stopped = Event()

    def hammer() -> None:
        with httpx.Client(headers=server.api.http.headers, trust_env=False) as client:
            while not stopped.is_set():
                with suppress(httpx.TransportError):
                    client.get(f"{server.api.base_url}/api/nothing-here")  # two lines in the log

    threads = [Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: server.log.count("nothing-here") > 50, "work")
        assert server.end(signal.SIGTERM) < STOP_SECONDS
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def test_it_starts_and_stops_with_nothing_behind_it(new_server: NewServer) -> None:
    server = new_server(f"http://127.0.0.1:{free_port()}/teams/{TEAM}")
    server.start()
    assert server.api.http.get("/api/contents").is_success, "files do not need the bridge"
    assert server.api.http.get("/api/sessions").json() == []
    assert server.end(signal.SIGTERM) < STOP_SECONDS


def test_the_hub_hears_of_a_kernel_that_is_busy(
    new_server: NewServer, far_end: StockFarEnd, hub: OnePersonHub
) -> None:
    server = new_server(far_end.url)
    server.variables["JUPYTERHUB_ACTIVITY_INTERVAL"] = "1"
    server.start()
    by_laptop = far_end.api.start_kernel("python3")
    hub.activity.clear()
    with far_end.api.socket(by_laptop) as kernel:
        kernel.execute("import time; time.sleep(4)")
    reported = sorted({report["last_activity"] for report in hub.activity})
    far_end.api.stop_kernel(by_laptop)
    assert len(reported) >= 2, "nobody used the server; only its kernel was busy"


def test_sessions_are_readable_by_the_person_alone(new_server: NewServer, far_end: StockFarEnd) -> None:
    server = new_server(far_end.url)
    server.start()
    assert server.api.http.get("/api/sessions").is_success
    path = server.home / ".local" / "share" / "granary" / f"sessions-{TEAM}.sqlite"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_damaged_session_file_does_not_keep_it_from_starting(
    new_server: NewServer, far_end: StockFarEnd
) -> None:
    server = new_server(far_end.url)
    path = server.home / ".local" / "share" / "granary" / f"sessions-{TEAM}.sqlite"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database, but long enough to have a header of one")
    server.start()
    assert server.api.http.get("/api/sessions").json() == []
    assert "Sessions will not outlive this server" in server.log


def test_a_bad_environment_is_one_sentence(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GRANARY_GATEWAY_URL": "here"}
    done = subprocess.run(
        [sys.executable, "-m", "spawner.singleuser.main"],
        env=environment | {"PYTHONPATH": str(Path(__file__).resolve().parents[3])},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "GRANARY_GATEWAY_URL: 'here' is no http:// or https:// address of a bridge.\n"
