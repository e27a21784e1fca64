"""Why a kernel ended, in words for the person whose kernel it was. Pure."""

from __future__ import annotations

import signal

from gateway_bridge.kernelhost.process import Ended

MAX_LINES = 12
MAX_CHARACTERS = 2000
"""Of a kernel's last words, in an error or a notebook."""

_MEANINGS = {
    signal.SIGSEGV: "it accessed memory it must not; usually a defect in a compiled library",
    signal.SIGABRT: "it stopped itself because something was wrong inside",
    signal.SIGBUS: "it accessed memory that is not there",
    signal.SIGILL: "it ran an instruction this processor does not have",
    signal.SIGFPE: "an arithmetic error in compiled code",
}


def end_in_words(ended: Ended) -> str:
    """One sentence without its full stop, beginning with "the kernel"."""
    if ended.out_of_memory:
        return "the kernel was killed because memory ran out"
    if ended.signal_number is not None:
        name = _signal_name(ended.signal_number)
        meaning = _MEANINGS.get(ended.signal_number)  # type: ignore[call-overload] # an int equals its member
        return f"the kernel was killed by {name}" + (f": {meaning}" if meaning else "")
    if ended.exit_code == 0:
        return "the kernel's process ended by itself"
    return f"the kernel's process ended with exit code {ended.exit_code}"


def last_lines(tail: str) -> str:
    """The end of what a process wrote, whole lines where possible."""
    lines = [line.rstrip() for line in tail.splitlines() if line.strip()]
    text = "\n".join(lines[-MAX_LINES:])
    return text if len(text) <= MAX_CHARACTERS else f"…{text[-MAX_CHARACTERS:]}"


def start_failure(why: str, tail: str) -> str:
    """The message of a failed start: why, and what the process said last."""
    said = last_lines(tail)
    sentence = f"The kernel did not start: {why}."
    return f"{sentence} It said:\n{said}" if said else sentence


def restart_notice(ended: Ended, tail: str, *, again: bool) -> str:
    """What people read in the cell that was running when their kernel died."""
    ending = (
        "A new one is being started; its variables are gone."
        if again
        else "It died too often in a short time and is not started again; restart it to try once more."
    )
    text = f"\n[Granary: {end_in_words(ended)}. {ending}]\n"
    said = last_lines(tail) if ended.exit_code or ended.signal_number else ""
    return f"{text}{said}\n" if said else text


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
