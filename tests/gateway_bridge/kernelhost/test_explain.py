"""Ends of kernels in words."""

from __future__ import annotations

import signal

import pytest

from gateway_bridge.kernelhost.explain import (
    MAX_CHARACTERS,
    end_in_words,
    last_lines,
    restart_notice,
    start_failure,
)
from gateway_bridge.kernelhost.process import Ended

KILLED = Ended(None, signal.SIGKILL, out_of_memory=False)


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (Ended(3, None, out_of_memory=False), "ended with exit code 3"),
        (Ended(0, None, out_of_memory=False), "ended by itself"),
        (KILLED, "killed by SIGKILL"),
        (Ended(None, signal.SIGKILL, out_of_memory=True), "because memory ran out"),
        (Ended(None, signal.SIGSEGV, out_of_memory=False), "SIGSEGV: it accessed memory"),
        (Ended(None, 50, out_of_memory=False), "killed by"),
    ],
)
def test_every_end_has_words(ended: Ended, words: str) -> None:
    assert words in end_in_words(ended)


def test_last_lines_are_few_and_whole() -> None:
    assert last_lines("\n".join(map(str, range(100))) + "\n\n") == "\n".join(map(str, range(88, 100)))
    assert len(last_lines("x" * 10_000)) == MAX_CHARACTERS + 1


def test_a_failed_start_says_what_the_process_said() -> None:
    assert start_failure("it ended", "") == "The kernel did not start: it ended."
    assert start_failure("it ended", "why\n").endswith("It said:\nwhy")


def test_a_restart_says_what_is_lost() -> None:
    assert "variables are gone" in restart_notice(KILLED, "", again=True)
    assert "died too often" in restart_notice(KILLED, "", again=False)
    assert "Segmentation fault" in restart_notice(KILLED, "Segmentation fault\n", again=True)
    assert "noise" not in restart_notice(Ended(0, None, out_of_memory=False), "noise", again=True)
