"""Signing agrees with jupyter_client, and messages of others are refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from jupyter_client.session import Session

from gateway_bridge.kernelhost.messages import Author, BadSignature, Signer, header_field

KEY = b"0123456789abcdef"
NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


def test_jupyter_client_reads_what_we_sign() -> None:
    parts = Author.new().notice("words", now=NOW, parent=b'{"msg_id": "cell"}')
    session = Session(key=KEY)
    identities, rest = session.feed_identities([b"peer", *Signer(KEY).wrap(parts)])
    message = session.deserialize(rest)
    assert identities == [b"peer"]
    assert message["content"] == {"name": "stderr", "text": "words"}
    assert message["parent_header"] == {"msg_id": "cell"}
    assert message["header"]["date"] == NOW


def test_we_read_what_jupyter_client_signs() -> None:
    session = Session(key=KEY)
    frames = session.serialize(session.msg("status", {"execution_state": "idle"}), ident=b"topic")
    parts = Signer(KEY).unwrap([*frames, b"buffer"])
    assert header_field(parts[0], "msg_type") == "status"
    assert parts[3:] == [b'{"execution_state": "idle"}', b"buffer"]


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b"topic"],
        [b"<IDS|MSG>"],
        [b"<IDS|MSG>", b"", b"{}", b"{}", b"{}", b"{}"],
        Signer(b"another key").wrap([b"{}"] * 4),
        Signer(KEY).wrap([b"{}"] * 3),
    ],
)
def test_what_is_not_signed_with_the_key_is_refused(frames: list[bytes]) -> None:
    with pytest.raises(BadSignature):
        Signer(KEY).unwrap(frames)


@pytest.mark.parametrize("header", [b"", b"[]", b"{}", b'{"msg_type": 3}', b"\xff"])
def test_a_header_without_the_field_has_none(header: bytes) -> None:
    assert header_field(header, "msg_type") is None
