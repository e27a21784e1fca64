from __future__ import annotations

import json

import pytest

from hub.errors import BridgeUnavailable, Denied, NotEntitled, NotFound, all_errors
from hub.wire import ErrorBody
from spawner.singleuser.refusals import Refusal, refusal_from_answer, status_of


def test_our_error_body_keeps_code_words_details_and_status() -> None:
    error = NotEntitled("Team atlas may not start it.", team="atlas")
    refusal = refusal_from_answer(403, ErrorBody.of(error).model_dump_json().encode())
    assert isinstance(refusal.error, NotEntitled)
    assert refusal.status_code == 403
    assert ErrorBody.model_validate(refusal.body()) == ErrorBody.of(error)


@pytest.mark.parametrize(
    ("status", "content", "family", "words"),
    [
        (404, b'{"message": "Kernel does not exist: x"}', NotFound, "Kernel does not exist: x"),
        (403, b"<html>Forbidden</html>", Denied, "The kernel bridge answered 403."),
        (502, b"", BridgeUnavailable, "The kernel bridge answered 502."),
        (503, b"[]", BridgeUnavailable, "The kernel bridge answered 503."),
        (302, b"", BridgeUnavailable, "The kernel bridge answered 302."),
    ],
)
def test_other_bodies_keep_their_status(status: int, content: bytes, family: type, words: str) -> None:
    refusal = refusal_from_answer(status, content)
    assert (refusal.status_code, refusal.error.message) == (status if status >= 400 else 503, words)
    assert isinstance(refusal.error, family)


def test_every_error_has_a_status_and_a_body() -> None:
    for cls in all_errors().values():
        refusal = Refusal(cls("100% sure."))
        assert 400 <= status_of(refusal.error) <= 503
        assert json.loads(json.dumps(refusal.body()))["message"] == "100% sure."
