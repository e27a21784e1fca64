"""The error tree: codes are unique, stable and survive the wire."""

from __future__ import annotations

import re

import pytest

from hub.errors import GranaryError, HubUnavailable, NotEntitled, all_errors, from_code
from hub.wire import ErrorBody, error_from_body


def every_class(cls: type[GranaryError] = GranaryError) -> list[type[GranaryError]]:
    return [cls, *(found for child in cls.__subclasses__() for found in every_class(child))]


def test_codes_are_unique_and_well_formed():
    codes = [cls.code for cls in every_class()]
    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)
    assert set(codes) == set(all_errors())


@pytest.mark.parametrize("cls", every_class(), ids=lambda cls: cls.code)
def test_an_error_survives_the_wire(cls: type[GranaryError]):
    sent = cls("Do this.", kernel="python-data", message_id=1)
    received = ErrorBody.model_validate_json(ErrorBody.of(sent).model_dump_json()).to_error()
    assert (type(received), received.message, dict(received.details)) == (
        cls,
        sent.message,
        dict(sent.details),
    )


def test_details_may_have_any_name():
    error = from_code("not_entitled", "No.", {"message": "x", "self": 1})
    assert isinstance(error, NotEntitled)
    assert error.details["self"] == 1


def test_an_unknown_code_is_still_an_error():
    assert type(from_code("from_the_future", "Hm.", {})) is GranaryError


@pytest.mark.parametrize("body", [None, {}, [], {"message": "Not ours"}, "text"])
def test_a_foreign_body_gives_the_fallback(body: object):
    fallback = HubUnavailable("The hub is not answering.")
    assert error_from_body(body, fallback) is fallback
