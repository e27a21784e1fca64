"""The REST client against servers that misbehave: every call ends, in a value or in an error of ours."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, repeat
from typing import Any

import pytest

from hub import rest
from hub.errors import ControlPlaneUnavailable, KernelNotFound, PublicationTimedOut, TokenRejected
from hub.rest import RestClient

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

    for method in ("GET", "PUT", "POST", "DELETE"):
        setattr(Handler, f"do_{method}", answer)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def answering(status: int, body: object) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda handler: send(handler, status, content)


def in_turn(answers: Iterator[Answer]) -> Answer:
    """Another answer each time."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        next(answers)(handler)

    return answer


def trickling(handler: BaseHTTPRequestHandler) -> None:
    """Never silent for long, never finished."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(200):
        try:
            handler.wfile.write(b" ")
        except OSError:
            return
        time.sleep(0.05)


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(200):
        try:
            handler.wfile.write(b" " * 2**20)
        except OSError:
            return


def hanging_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


@pytest.mark.parametrize(
    "answer",
    [
        answering(503, b"<h1>no route</h1>"),
        answering(404, b"Not Found"),
        answering(302, b""),
        answering(500, {"code": 7}),
        answering(200, b"<html>"),
        answering(200, {"kernels": "none"}),
        answering(200, b"[" * 100_000),
        answering(500, b"[" * 100_000),
        hanging_up,
        endless,
    ],
)
def test_whatever_is_not_the_control_plane_is_told_as_unavailable(answer: Answer) -> None:
    with (
        serving(answer) as url,
        RestClient(url, "t") as client,
        pytest.raises(ControlPlaneUnavailable, match=url),
    ):
        client.kernels()


def test_an_answer_that_trickles_in_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "CALL_TIMEOUT", timedelta(seconds=0.5))
    began = time.monotonic()
    with serving(trickling) as url, RestClient(url, "t") as client, pytest.raises(ControlPlaneUnavailable):
        client.kernels()
    assert time.monotonic() - began < 5


def test_refusals_keep_their_code_and_text() -> None:
    refusal = {"code": "kernel_not_found", "message": "There is no kernel x.", "details": {"kernel": "x"}}
    with (
        serving(answering(404, refusal)) as url,
        RestClient(url, "t") as client,
        pytest.raises(KernelNotFound, match="There is no kernel x") as refused,
    ):
        client.kernel("x")
    assert refused.value.details == {"kernel": "x"}


def test_a_rejected_token_is_not_repeated_in_the_error() -> None:
    refusal = {"code": "token_rejected", "message": "The hub does not know this token.", "details": {}}
    with (
        serving(answering(401, refusal)) as url,
        RestClient(url, "hunter2hunter2") as client,
        pytest.raises(TokenRejected) as refused,
    ):
        client.me()
    assert "hunter2" not in str(refused.value) + repr(client.__dict__)


def test_names_are_one_segment_of_the_path() -> None:
    asked: list[str] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        send(handler, 200, b"")

    with serving(answer) as url, RestClient(f"{url}/", "t") as client:
        client.disentitle("a/../b", "t?x#y", reason="so & so")
    assert asked == ["/services/granary/api/v1/kernels/a%2F..%2Fb/entitlements/t%3Fx%23y?reason=so+%26+so"]


def body(state: str) -> dict[str, object]:
    return {
        "id": "1", "kernel": "a", "version": "1.0", "team": "atlas", "state": state, "requested_by": "x",
        "requested_at": "2026-11-21T10:00:00Z", "finished_at": None, "steps": [], "artifact_digest": None,
        "error": None, "release": None,
    }  # fmt: skip


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "FOLLOW_INTERVAL", timedelta(milliseconds=5))


@pytest.mark.usefixtures("hurried")
def test_a_publication_is_followed_across_a_restart_of_the_control_plane() -> None:
    answers = iter([
        answering(202, body("queued")), answering(200, body("building")), answering(503, b""), hanging_up,
        answering(200, body("done")),
    ])  # fmt: skip
    with serving(in_turn(answers)) as url, RestClient(url, "t") as client:
        begun = client.publish({"kernel": "a"})
        assert [look.state.value for look in client.follow(begun)] == ["queued", "building", "done"]


@pytest.mark.usefixtures("hurried")
def test_a_control_plane_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "PATIENCE", timedelta(seconds=0.2))
    answers = chain([answering(202, body("queued"))], repeat(answering(503, b"")))
    with serving(in_turn(answers)) as url, RestClient(url, "t") as client:
        begun = client.publish({"kernel": "a"})
        with pytest.raises(ControlPlaneUnavailable):
            list(client.follow(begun))


@pytest.mark.usefixtures("hurried")
def test_a_publication_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "PUBLICATION_TIMEOUT", timedelta(seconds=0.2))
    with serving(answering(200, body("building"))) as url, RestClient(url, "t") as client:
        begun = client.publish({"kernel": "a"})
        with pytest.raises(PublicationTimedOut):
            list(client.follow(begun))
