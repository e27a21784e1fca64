"""Start, restart, interrupt, death and stop of real kernels."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.gateway_bridge.kernelhost.conftest import KernelUnderTest, Starter
from tests.support.kernelhost import KernelHostProcess
from tests.support.kernelsocket import KernelWebsocket, Received

DIE = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


def status(state: str) -> Callable[[Received], bool]:
    return lambda m: m.kind == "status" and m.content["execution_state"] == state


def words(messages: list[Received]) -> str:
    return "".join(
        m.content["text"] for m in messages if m.kind == "stream" and m.content["name"] == "stderr"
    )


def eventually(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


# -- start ---------------------------------------------------------------------------------


def test_a_start_answers_before_the_kernel_is_ready(start: Starter) -> None:
    kernel = start()
    assert kernel.model()["execution_state"] == "starting"
    assert kernel.ready()["execution_state"] == "idle"


def test_a_kernel_that_ends_at_once_is_explained(start: Starter, api: httpx.Client) -> None:
    code = "import sys; print('no such module: nonsense', file=sys.stderr); sys.exit(3)"
    kernel = start(argv=["/usr/bin/env", "python3", "-c", code, "{connection_file}"])
    response = api.get(f"{kernel.path}/ready")
    assert response.status_code == 500
    assert response.json()["code"] == "kernel_start_failed"
    assert "exit code 3" in response.json()["message"]
    assert "no such module: nonsense" in response.json()["message"]
    model = kernel.model()
    assert model["execution_state"] == "dead"
    assert "exit code 3" in model["reason"]
    with pytest.raises(InvalidStatus) as refused:
        kernel.websocket()
    assert refused.value.response.status_code == 500
    assert api.post(f"{kernel.path}/interrupt").status_code == 500
    assert api.delete(kernel.path).status_code == 204


def test_a_program_that_does_not_exist_is_explained(host: KernelHostProcess, api: httpx.Client) -> None:
    response = api.post("/api/kernels", json=host.launch_body(argv=["/nowhere/python", "{connection_file}"]))
    assert response.status_code == 500
    assert response.json()["code"] == "kernel_start_failed"
    assert "/nowhere/python" in response.json()["message"]
    assert api.get("/api/kernels").status_code == 200


def test_a_kernel_that_never_answers_is_given_up() -> None:
    host = KernelHostProcess(KERNEL_READY_WITHIN="1")
    try:
        with host.client() as api:
            silent = ["/bin/sh", "-c", "echo still thinking; exec sleep 1000", "sh", "{connection_file}"]
            kernel = KernelUnderTest(host, api, argv=silent)
            assert "did not answer within 0.3 seconds" in api.get(f"{kernel.path}/ready?timeout=0.3").text
            response = api.get(f"{kernel.path}/ready")
            assert "did not answer within 1 seconds" in response.json()["message"]
            assert "still thinking" in response.json()["message"]
            assert children_of(host) == []
    finally:
        host.stop()


def children_of(host: KernelHostProcess) -> list[psutil.Process]:
    return psutil.Process(host.process.pid).children(recursive=True)


# -- restart and interrupt --------------------------------------------------------------------


def test_an_execution_right_after_a_restart_has_all_its_output(start: Starter, api: httpx.Client) -> None:
    kernel = start()
    with kernel.websocket() as socket:
        for attempt in range(3):
            socket.run(f"x = {attempt}")
            response = api.post(f"{kernel.path}/restart")
            assert response.status_code == 200
            assert response.json()["id"] == kernel.id
            assert response.json()["execution_state"] == "idle"
            cell = socket.run("print('x' in globals())")
            assert cell.text() == "False\n"
            assert [m.kind for m in cell.messages if m.kind == "execute_input"] == ["execute_input"]


def test_an_execution_during_a_restart_waits_for_it(start: Starter, api: httpx.Client) -> None:
    kernel = start()
    with kernel.websocket() as socket:
        socket.run("x = 1")
        restarting = threading.Thread(target=api.post, args=(f"{kernel.path}/restart",))
        restarting.start()
        eventually(lambda: kernel.model()["execution_state"] == "starting")
        assert socket.run("print('x' in globals())").text() == "False\n"
        restarting.join()


def test_a_busy_kernel_is_restarted(start: Starter, api: httpx.Client) -> None:
    kernel = start()
    with kernel.websocket() as socket:
        socket.start_cell("import time; time.sleep(1000)")
        socket.until(lambda m: m.kind == "execute_input")
        assert api.post(f"{kernel.path}/restart").status_code == 200
        assert socket.run("1").results() == ["1"]


@pytest.mark.parametrize("mode", ["signal", "message"])
def test_an_interrupt_stops_the_cell_and_nothing_else(start: Starter, api: httpx.Client, mode: str) -> None:
    kernel = start(interrupt_mode=mode)
    with kernel.websocket() as socket:
        socket.run("x = 5")
        msg_id = socket.start_cell("import time; time.sleep(1000)")
        socket.until(lambda m: m.kind == "execute_input")
        assert api.post(f"{kernel.path}/interrupt").status_code == 204
        cell = socket.finish_cell(msg_id)
        assert cell.reply is not None
        assert cell.reply.content["ename"] == "KeyboardInterrupt"
        assert socket.run("x").results() == ["5"]


# -- death --------------------------------------------------------------------------------------


def test_a_killed_kernel_comes_back_and_says_why(start: Starter) -> None:
    kernel = start()
    with kernel.websocket() as socket:
        msg_id = socket.start_cell(f"print('last words', flush=True); import time; time.sleep(0.1); {DIE}")
        seen = socket.until(status("restarting"))
        told = [m for m in seen if m.kind == "stream" and m.content["name"] == "stderr"]
        assert "killed by SIGKILL" in words(told)
        assert told[-1].parent["msg_id"] == msg_id
        assert "last words\n" in [m.content["text"] for m in seen if m.kind == "stream"]
        cell = socket.run("print('msg_id' in globals())")
        assert cell.text() == "False\n"
    assert kernel.model()["execution_state"] == "idle"


def test_exit_codes_and_last_lines_are_told(start: Starter) -> None:
    kernel = start()
    with kernel.websocket() as socket:
        socket.start_cell("import os, sys; os.write(2, b'disk on fire\\n'); os._exit(42)")
        told = words(socket.until(status("restarting")))
        assert "exit code 42" in told


def test_a_kernel_that_keeps_dying_is_left_dead_and_can_be_restarted(
    start: Starter, api: httpx.Client
) -> None:
    kernel = start()
    with kernel.websocket() as socket:
        for _ in range(5):
            socket.start_cell(DIE)
            socket.until(status("restarting"))
        socket.start_cell(DIE)
        told = words(socket.until(status("dead")))
        assert "died too often" in told
        assert kernel.model()["execution_state"] == "dead"
        assert api.get(f"{kernel.path}/ready").status_code == 500
        assert api.post(f"{kernel.path}/restart").status_code == 200
        assert socket.run("1").results() == ["1"]


def test_what_a_kernel_started_does_not_outlive_it(start: Starter, api: httpx.Client) -> None:
    kernel = start()
    with kernel.websocket() as socket:
        cell = socket.run("import subprocess; print(subprocess.Popen(['sleep', '1000']).pid)")
        child = psutil.Process(int(cell.text()))
        assert api.delete(kernel.path).status_code == 204
    eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


# -- stop --------------------------------------------------------------------------------------


def test_a_deleted_kernel_is_gone_and_its_clients_know(start: Starter, api: httpx.Client) -> None:
    kernel = start()
    with kernel.websocket() as socket:
        assert api.delete(kernel.path).status_code == 204
        assert socket.until(status("dead"))
        with pytest.raises(ConnectionClosed) as closed:
            socket.receive()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4404
    for answer in (api.get(kernel.path), api.delete(kernel.path), api.post(f"{kernel.path}/restart")):
        assert answer.status_code == 404


def test_a_kernel_is_deleted_while_it_starts(start: Starter, api: httpx.Client) -> None:
    kernel = start()
    assert api.delete(kernel.path).status_code == 204
    assert api.get(kernel.path).status_code == 404


def test_a_kernel_is_deleted_while_it_restarts(start: Starter, api: httpx.Client) -> None:
    kernel = start()
    kernel.ready()
    answers: list[int] = []
    restarting = threading.Thread(
        target=lambda: answers.append(api.post(f"{kernel.path}/restart").status_code)
    )
    restarting.start()
    eventually(lambda: kernel.model()["execution_state"] == "starting")
    assert api.delete(kernel.path).status_code == 204
    restarting.join()
    assert answers == [404]
    assert api.get(kernel.path).status_code == 404


def test_a_kernel_is_deleted_while_it_comes_back_from_death(
    host: KernelHostProcess, start: Starter, api: httpx.Client
) -> None:
    kernel = start()
    with kernel.websocket() as socket:
        socket.start_cell(DIE)
        socket.until(status("restarting"))
        assert api.delete(kernel.path).status_code == 204
    assert kernel_dirs(host, kernel) == 0


def kernel_dirs(host: KernelHostProcess, kernel: KernelUnderTest) -> int:
    others = len(kernel.api.get("/api/kernels").json())
    return sum(entry.is_dir() for entry in host.runtime_dir.iterdir()) - others


def test_a_kernel_that_ignores_everything_is_killed_in_time(start: Starter, api: httpx.Client) -> None:
    kernel = start()
    with kernel.websocket() as socket:
        socket.run("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)")
        socket.start_cell(
            "import time\nwhile True:\n    try: time.sleep(1000)\n    except BaseException: pass"
        )
        socket.until(lambda m: m.kind == "execute_input")
        begin = time.monotonic()
        assert api.delete(kernel.path).status_code == 204
        assert time.monotonic() - begin < 5.0


def test_two_deletes_at_once_both_succeed(start: Starter, host: KernelHostProcess) -> None:
    kernel = start()
    kernel.ready()
    answers: list[int] = []

    def delete() -> None:
        with host.client() as client:
            answers.append(client.delete(kernel.path).status_code)

    both = [threading.Thread(target=delete) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert 204 in answers
    assert set(answers) <= {204, 404}


# -- the host itself ------------------------------------------------------------------------------


def test_a_stopping_host_ends_its_kernels_and_tells_their_clients() -> None:
    host = KernelHostProcess()
    with host.client() as api:
        kernels = [KernelUnderTest(host, api) for _ in range(2)]
        kernels[1].ready()
        with kernels[0].websocket() as socket:
            socket.start_cell("import time; time.sleep(1000)")
            socket.until(lambda m: m.kind == "execute_input")
            processes = children_of(host)
            assert len(processes) == 2
            assert host.terminate() < 8.0
            with pytest.raises(ConnectionClosed) as closed:
                socket.until(lambda _: False)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
    assert host.process.returncode == 0
    assert not any(process.is_running() for process in processes)
    shutil.rmtree(host.base)


def test_kernels_of_a_killed_host_are_not_left_behind() -> None:
    host = KernelHostProcess()
    try:
        with host.client() as api:
            kernel = KernelUnderTest(host, api)
            with KernelWebsocket(kernel.url, host.secret) as socket:
                # Without this an ipykernel ends by itself when its parent is gone.
                pid = int(socket.run("import os; print(os.getpid())").text())
        orphan = psutil.Process(pid)
        orphan.suspend()
        host.kill()
        assert orphan.is_running()
        host.start()
        eventually(lambda: not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE)
        assert [entry.name for entry in host.runtime_dir.iterdir()] == ["host.lock"]
        with host.client() as api:
            assert api.get("/api/kernels").json() == []
    finally:
        host.stop()
