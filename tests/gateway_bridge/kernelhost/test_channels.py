"""The websocket, with real kernels."""

from __future__ import annotations

import os
import time
import uuid
from typing import Any

import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.gateway_bridge.kernelhost.conftest import KernelUnderTest, Starter
from tests.support.kernelsocket import V1, Cell, KernelWebsocket

protocols = pytest.mark.parametrize("v1", [True, False], ids=["v1", "default"])


@protocols
def test_a_cell_runs_and_prints(kernel: KernelUnderTest, v1: bool) -> None:
    with kernel.websocket(v1=v1) as socket:
        cell = socket.run("print('hello'); 6 * 7")
        assert (cell.text(), cell.results()) == ("hello\n", ["42"])
        assert {message.channel for message in cell.messages} == {"iopub", "shell"}


def test_the_newest_protocol_is_chosen_and_nothing_compressed(kernel: KernelUnderTest) -> None:
    with kernel.websocket() as socket:
        assert socket.socket.subprotocol == V1
        assert socket.socket.response is not None
        assert "Sec-WebSocket-Extensions" not in socket.socket.response.headers
    with kernel.websocket(v1=False) as socket:
        assert socket.socket.subprotocol is None


def test_a_websocket_opens_once_a_starting_kernel_answers(start: Starter) -> None:
    kernel = start()
    with kernel.websocket() as socket:
        assert kernel.model()["execution_state"] == "idle"
        assert socket.run("print('first')").text() == "first\n"


def test_round_trips_do_not_stall(kernel: KernelUnderTest) -> None:
    with kernel.websocket() as socket:
        socket.run("1")
        begin = time.perf_counter()
        for _ in range(25):
            socket.run("1")
        # Nagle's algorithm and delayed acknowledgements together would add 40 ms to each.
        assert (time.perf_counter() - begin) / 25 < 0.035


@protocols
def test_input_is_asked_for_and_given(kernel: KernelUnderTest, v1: bool) -> None:
    with kernel.websocket(v1=v1) as socket:
        msg_id = socket.start_cell("print(input('name? ').upper())", allow_stdin=True)
        question = socket.until(lambda m: m.kind == "input_request")[-1]
        assert (question.channel, question.content["prompt"]) == ("stdin", "name? ")
        socket.send("input_reply", {"value": "ada"}, channel="stdin", parent=question.header)
        assert socket.finish_cell(msg_id).text() == "ADA\n"


def open_echo(socket: KernelWebsocket) -> str:
    """A comm that sends back the buffers it is sent."""
    socket.run(
        "from comm import get_comm_manager\n"
        "def echo(comm, opened):\n"
        "    comm.on_msg(lambda m: comm.send({'n': len(m['buffers'])}, buffers=m['buffers']))\n"
        "get_comm_manager().register_target('echo', echo)"
    )
    comm_id = uuid.uuid4().hex
    socket.send("comm_open", {"comm_id": comm_id, "target_name": "echo", "data": {}})
    return comm_id


@protocols
@pytest.mark.parametrize(
    "buffers",
    [[os.urandom(100_000), b"", bytes(range(256))], [os.urandom(30_000_000)]],
    ids=["several", "30 MB"],
)
def test_buffers_pass_both_ways_unchanged(kernel: KernelUnderTest, buffers: list[bytes], v1: bool) -> None:
    with kernel.websocket(v1=v1) as socket:
        comm_id = open_echo(socket)
        socket.send("comm_msg", {"comm_id": comm_id, "data": {}}, buffers=buffers)
        answer = socket.until(lambda m: m.kind == "comm_msg")[-1]
        assert answer.content["data"] == {"n": len(buffers)}
        assert answer.buffers == buffers


@protocols
def test_thirty_megabytes_in_one_output(kernel: KernelUnderTest, v1: bool) -> None:
    with kernel.websocket(v1=v1) as socket:
        assert socket.run("print('é' * 15_000_000)").text() == "é" * 15_000_000 + "\n"


def test_many_small_outputs_all_arrive_in_order(kernel: KernelUnderTest) -> None:
    with kernel.websocket() as socket:
        cell = socket.run("for i in range(5000): print(i, flush=True)")
        assert cell.text() == "".join(f"{i}\n" for i in range(5000))


def test_two_clients_see_each_others_output_but_not_replies(kernel: KernelUnderTest) -> None:
    with kernel.websocket() as one, kernel.websocket(v1=False) as other:
        assert kernel.model()["connections"] == 2
        msg_id = one.start_cell("print('for both')")
        seen = other.until(
            lambda m: (
                m.kind == "status" and m.content["execution_state"] == "idle" and m.parent["msg_id"] == msg_id
            )
        )
        assert [m.content["text"] for m in seen if m.kind == "stream"] == ["for both\n"]
        assert {m.channel for m in seen} == {"iopub"}
        assert one.finish_cell(msg_id).text() == "for both\n"
        assert other.run("'mine'").results() == ["'mine'"]


# -- connections that drop -----------------------------------------------------------------


def wait_until(condition: Any, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def idle_and_alone(kernel: KernelUnderTest) -> bool:
    model = kernel.model()
    return model["execution_state"] == "idle" and model["connections"] == 0


@protocols
def test_what_happens_while_nobody_is_connected_is_delivered(kernel: KernelUnderTest, v1: bool) -> None:
    socket = kernel.websocket(v1=v1)
    msg_id = socket.start_cell(
        "import time\nfor i in range(20):\n    print(i, flush=True)\n    time.sleep(0.03)"
    )
    seen = [*socket.until(lambda m: m.kind == "stream"), *socket.drop()]
    before = "".join(m.content["text"] for m in seen if m.kind == "stream")
    wait_until(lambda: idle_and_alone(kernel))
    with kernel.websocket(session_id=socket.session_id, received=socket.received, v1=v1) as again:
        cell = again.finish_cell(msg_id)
        assert before + cell.text() == "".join(f"{i}\n" for i in range(20))
        assert cell.reply is not None


def test_a_client_that_does_not_count_misses_nothing_produced_while_it_was_away(
    kernel: KernelUnderTest,
) -> None:
    socket = kernel.websocket()
    msg_id = socket.start_cell("import time; time.sleep(0.5); print('late')")
    socket.until(lambda m: m.kind == "execute_input")
    socket.close()
    wait_until(lambda: idle_and_alone(kernel))
    with kernel.websocket(session_id=socket.session_id) as again:
        assert again.finish_cell(msg_id).text() == "late\n"


def test_a_connection_cut_in_full_flow_loses_and_repeats_nothing(kernel: KernelUnderTest) -> None:
    socket = kernel.websocket()
    msg_id = socket.start_cell("for i in range(3000): print(i, flush=True)")
    reconnected = 0
    cell = Cell()
    while not cell.done:
        messages = [socket.receive()]
        if socket.received // 500 > reconnected:
            messages += socket.drop()
            reconnected = socket.received // 500
            socket = kernel.websocket(session_id=socket.session_id, received=socket.received)
        for message in messages:
            if message.parent.get("msg_id") == msg_id:
                cell.add(message)
    socket.close()
    assert cell.text() == "".join(f"{i}\n" for i in range(3000))


def test_a_new_session_gets_no_old_output(kernel: KernelUnderTest) -> None:
    with kernel.websocket() as first:
        first.run("print('old')")
    with kernel.websocket() as second:
        assert "old" not in second.run("print('new')").text()
        with pytest.raises(TimeoutError):
            second.receive(0.2)


def test_too_much_output_for_nobody_is_dropped_visibly(kernel: KernelUnderTest) -> None:
    socket = kernel.websocket()
    msg_id = socket.start_cell("for i in range(64): print(f'{i} ' + 'x' * 100_000, flush=True)")
    socket.until(lambda m: m.kind == "execute_input")
    socket.drop()
    wait_until(lambda: idle_and_alone(kernel))
    with kernel.websocket(session_id=socket.session_id, received=socket.received) as again:
        cell = again.finish_cell(msg_id)
    assert "missing here" in cell.text("stderr")
    numbers = [int(line.split()[0]) for line in cell.text().splitlines()]
    assert numbers == list(range(numbers[0], 64))
    assert 0 < len(numbers) < 45


def test_a_client_that_does_not_read_costs_no_more_than_the_bound(start: Starter) -> None:
    kernel = start()
    with kernel.websocket() as lazy, kernel.websocket() as other:
        before = psutil.Process(kernel.host.process.pid).memory_info().rss
        msg_id = lazy.start_cell("for i in range(200): print(f'{i} ' + 'x' * 1_000_000, flush=True)")
        # The other one reads, slowly enough to be overtaken as well.
        other.until(lambda m: m.parent.get("msg_id") == msg_id and m.content.get("execution_state") == "idle")
        grown = psutil.Process(kernel.host.process.pid).memory_info().rss - before
        assert grown < 100 * 2**20
        cell = lazy.finish_cell(msg_id)
        assert cell.reply is not None
        assert "missing here" in cell.text("stderr")
        assert cell.text().splitlines()[-1].startswith("199 ")


def test_the_newest_connection_of_a_session_wins(kernel: KernelUnderTest) -> None:
    with kernel.websocket() as old, kernel.websocket(session_id=old.session_id) as new:
        with pytest.raises(ConnectionClosed) as closed:
            old.receive(5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4001
        assert new.run("print('here')").text() == "here\n"
        assert kernel.model()["connections"] == 1


def test_a_request_sent_twice_runs_once(kernel: KernelUnderTest) -> None:
    with kernel.websocket() as socket:
        socket.run("count = 0")
        again = {"msg_id": uuid.uuid4().hex}
        content = {"code": "count += 1", "silent": False, "stop_on_error": True, "allow_stdin": False}
        for _ in range(2):
            socket.send("execute_request", content, header=again)
        assert socket.run("count").results() == ["1"]


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("frame", [b"nonsense", "text in a binary protocol"])
def test_a_malformed_frame_closes_the_connection_only(kernel: KernelUnderTest, frame: str | bytes) -> None:
    with kernel.websocket() as socket:
        socket.send_frame(frame)
        with pytest.raises(ConnectionClosed) as closed:
            socket.receive(5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1007
    with kernel.websocket() as socket:
        assert socket.run("1").results() == ["1"]


def test_channels_that_take_nothing_are_ignored(kernel: KernelUnderTest) -> None:
    with kernel.websocket() as socket:
        socket.send("status", {"execution_state": "dead"}, channel="iopub")
        socket.send("x", {}, channel="nowhere")
        assert socket.run("1").results() == ["1"]


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ({}, "", 401),
        ({"Authorization": "token wrong"}, "", 401),
        ({"Authorization": "token SECRET", "Origin": "http://evil.example"}, "", 403),
        ({"Authorization": "token SECRET"}, "?session_id=a/b", 400),
        ({"Authorization": "token SECRET"}, "?session_id=", 400),
        ({"Authorization": "token SECRET"}, "?received=-1", 400),
        ({"Authorization": "token SECRET"}, f"?received={2**60}", 400),
    ],
)
def test_upgrades_that_are_refused(
    kernel: KernelUnderTest, headers: dict[str, str], query: str, status: int
) -> None:
    sent = {name: value.replace("SECRET", kernel.host.secret) for name, value in headers.items()}
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{kernel.url.replace('http', 'ws')}/channels{query}", additional_headers=sent, proxy=None)
    assert refused.value.response.status_code == status


def test_a_websocket_to_an_unknown_kernel_is_refused(kernel: KernelUnderTest) -> None:
    unknown = kernel.url.replace(kernel.id, str(uuid.uuid4()))
    with pytest.raises(InvalidStatus) as refused:
        KernelWebsocket(unknown, kernel.host.secret)
    assert refused.value.response.status_code == 404
