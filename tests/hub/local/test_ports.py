"""Ports: the public one as asked, the others free and kept."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from hub.errors import InvalidConfiguration, PortInUse
from hub.local.plan import INTERNAL_PORTS, LOOPBACK
from hub.local.ports import choose_internal, is_free, require_free


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind((LOOPBACK, 0))
        listening.listen()
        yield listening.getsockname()[1]


def test_a_port_somebody_listens_on_is_not_free(taken: int):
    assert not is_free(LOOPBACK, taken)
    with pytest.raises(PortInUse, match="Choose another one with --port") as raised:
        require_free(LOOPBACK, taken)
    assert raised.value.details["port"] == taken


def test_a_port_nobody_listens_on_is_free_also_right_after_use():
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as every server of ours does
        listening.bind((LOOPBACK, 0))
        listening.listen()
        port = listening.getsockname()[1]
        with socket.create_connection((LOOPBACK, port)) as one:
            other, _ = listening.accept()
            other.close()  # the server closes first and is left in TIME_WAIT
            assert one.recv(1) == b""
    require_free(LOOPBACK, port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_an_address_of_another_machine_is_refused(host: str):
    with pytest.raises(InvalidConfiguration, match=f"{host} is no address of this machine"):
        is_free(host, 8000)


def test_new_ports_are_all_different():
    chosen = choose_internal({}, set())
    assert set(chosen) == set(INTERNAL_PORTS)
    assert len(set(chosen.values())) == len(INTERNAL_PORTS)


def test_remembered_ports_are_kept_while_they_are_free():
    first = choose_internal({}, set())
    assert choose_internal(first, set()) == first


def test_a_taken_port_is_kept_only_if_we_took_it(taken: int):
    first = {**choose_internal({}, set()), "hub": taken}
    assert choose_internal(first, {"hub"})["hub"] == taken
    replaced = choose_internal(first, set())
    assert replaced["hub"] != taken
    assert {name: port for name, port in replaced.items() if name != "hub"} == {
        name: port for name, port in first.items() if name != "hub"
    }


def test_a_port_remembered_twice_is_used_once():
    port = choose_internal({}, set())["hub"]
    chosen = choose_internal(dict.fromkeys(INTERNAL_PORTS, port), set())
    assert len(set(chosen.values())) == len(INTERNAL_PORTS)
