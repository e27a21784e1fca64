"""Running ``uv``: a clean environment, a bound on every call, words for every failure."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from uv import find_uv_bin

from hub.errors import BuildFailed

Progress = Callable[[str], None]
"""Is told, in a few words, what is happening."""

TAIL_LINES = 20
"""Of a failed command's output kept in the error's details."""

_PASSED = frozenset({
    "PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "NETRC",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "SSL_CLIENT_CERT",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy",
    "no_proxy",
    "UV_CACHE_DIR", "UV_CONCURRENT_BUILDS", "UV_CONCURRENT_DOWNLOADS", "UV_CONCURRENT_INSTALLS",
    "UV_CONFIG_FILE",
    "UV_DEFAULT_INDEX", "UV_EXCLUDE_NEWER", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_HTTP_RETRIES",
    "UV_HTTP_TIMEOUT", "UV_INDEX", "UV_INDEX_STRATEGY", "UV_INDEX_URL", "UV_INSECURE_HOST",
    "UV_KEYRING_PROVIDER",
    "UV_NATIVE_TLS", "UV_NO_CACHE", "UV_NO_CONFIG", "UV_OFFLINE", "UV_PYTHON_INSTALL_DIR",
    "UV_SYSTEM_CERTS",
})  # fmt: skip
"""What reaches uv: where packages come from and how they travel. Nothing that changes what a build means."""

_PASSED_PREFIX = "UV_INDEX_"
"""Credentials of named indexes: ``UV_INDEX_<NAME>_USERNAME`` and ``…_PASSWORD``."""

_FROM_PIP = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_EXTRA_INDEX_URL",
    "PIP_CERT": "SSL_CERT_FILE",
}
"""pip's variables that uv does not read, and uv's for the same; uv's own win."""

_INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_CONFIG_FILE")

_SYSTEM_CERTIFICATES = (Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pki/tls/certs/ca-bundle.crt"))

_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")
_MAX_GIST_LENGTH = 600
_DECORATION = " \u00d7\u2570\u2500\u25b6\u2502"
"""Signs uv draws its messages with."""
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_TOLD = re.compile(r"(?:Resolved|Prepared|Installed|Downloading|Downloaded|Bytecode compiled) ")

_log = logging.getLogger(__name__)


@dataclass
class _Running:
    """Commands under way, so that a service that ends can end them."""

    processes: set[subprocess.Popen[str]] = field(default_factory=set)
    closed: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


class Uv:
    """The ``uv`` program that came with us, and Python interpreters it finds.

    Parameters
    ----------
    binary
        None: the one installed beside this package.
    environ
        Of which the variables that say where packages come from reach uv, and nothing else.
        None: this process's.
    """

    def __init__(self, binary: str | None = None, environ: Mapping[str, str] | None = None) -> None:
        self._environ = clean_environment(os.environ if environ is None else environ)
        self._binary = binary or os.fspath(find_uv_bin())
        self._running = _Running()

    def run(
        self,
        arguments: Sequence[str],
        *,
        what: str,
        timeout: timedelta,
        progress: Progress | None = None,
        keep_open: Sequence[int] = (),
    ) -> str:
        """Run uv; returns its standard output.

        Parameters
        ----------
        what
            Ends "could not", for the message of a failure.
        keep_open
            File descriptors that stay open, and locks on them held, as long as the command lives.

        Raises
        ------
        BuildFailed
            With the last lines of output in ``details["output"]``.
        """
        command = [self._binary, *arguments, "--color", "never", "--no-progress"]
        return self.call(command, what=what, timeout=timeout, progress=progress, keep_open=keep_open)

    def call(
        self,
        command: Sequence[str],
        *,
        what: str,
        timeout: timedelta,
        progress: Progress | None = None,
        keep_open: Sequence[int] = (),
    ) -> str:
        """Like ``run``, for any command, in the same environment."""
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
            process = self._start(command, output.fileno(), keep_open, what)
            # Killing closes standard error, which ends the loop below.
            watchdog = threading.Timer(timeout.total_seconds(), process.kill)
            watchdog.daemon = True
            watchdog.start()
            try:
                _follow(process, tail, progress)
                status = process.wait()
            finally:
                timed_out = watchdog.finished.is_set()
                watchdog.cancel()
                self._running.processes.discard(process)
            output.seek(0)
            answer = output.read()
        if status != 0:
            raise self._failure(what, tail, timeout if timed_out else None)
        return answer

    def close(self) -> None:
        """End what runs and start nothing more; whoever waits gets ``BuildFailed``."""
        with self._running.lock:
            self._running.closed = True
            for process in list(self._running.processes):
                process.kill()

    def _start(
        self, command: Sequence[str], output: int, keep_open: Sequence[int], what: str
    ) -> subprocess.Popen[str]:
        with self._running.lock:
            if self._running.closed:
                raise self._failure(what, [], None)
            try:
                process = subprocess.Popen(  # noqa: S603 # a list, no shell; requirements travel in a file
                    list(command),
                    env=self._environ,
                    cwd="/",  # no project's configuration lies above it
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.PIPE,
                    text=True,
                    encoding="utf-8",
                    errors="replace",
                    pass_fds=tuple(keep_open),
                )
            except OSError as error:
                raise BuildFailed(
                    f"Could not {what}: {command[0]} cannot be run ({error.strerror})."
                ) from error
            self._running.processes.add(process)
            return process

    def _failure(self, what: str, tail: Sequence[str], timeout: timedelta | None) -> BuildFailed:
        if self._running.closed:
            return BuildFailed(f"Could not {what}: the service is stopping. Publish again in a moment.")
        if timeout is not None:
            reason = f"it took longer than {timeout.total_seconds():.0f} seconds"
        else:
            reason = _gist(tail)
        return BuildFailed(f"Could not {what}: {reason}.", output=list(tail))


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables uv runs with, out of those of a process."""
    kept = {
        name: value for name, value in environ.items() if name in _PASSED or name.startswith(_PASSED_PREFIX)
    }
    index_is_given = any(name in kept for name in _INDEX_VARIABLES)
    for pip, ours in _FROM_PIP.items():
        about_index = ours != "SSL_CERT_FILE"
        if environ.get(pip) and ours not in kept and not (about_index and index_is_given):
            kept[ours] = environ[pip]
    if any(bundle.exists() for bundle in _SYSTEM_CERTIFICATES):
        # As pip does: an organisation's own authority is known to the machine, not to uv.
        kept.setdefault("UV_SYSTEM_CERTS", "1")
    kept["UV_PYTHON_DOWNLOADS"] = "never"
    kept["LC_ALL"] = "C.UTF-8"
    return kept


def without_credentials(text: str) -> str:
    """``text`` with the user part of every URL removed, and no terminal codes."""
    return _USERINFO.sub("", _ANSI.sub("", text))


def write_lines(directory: Path, name: str, text: str) -> str:
    """Put what uv is to read into a file; returns its path."""
    path = directory / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def _follow(process: subprocess.Popen[str], tail: deque[str], progress: Progress | None) -> None:
    assert process.stderr is not None  # noqa: S101 # a pipe was asked for
    with process.stderr:
        for raw in process.stderr:
            line = without_credentials(raw.rstrip())
            tail.append(line)
            if progress is not None and _TOLD.match(line):
                progress(line)


def _gist(tail: Sequence[str]) -> str:
    """What uv says is wrong, from the outermost to the innermost cause, on one line."""
    words = " ".join(line.strip(_DECORATION) for line in tail if line.strip())
    told = words[words.rfind("error: ") :].removeprefix("error: ").replace(" cause: ", ": ")
    return told[:_MAX_GIST_LENGTH].rstrip(".: ") or "the command failed without saying why"
