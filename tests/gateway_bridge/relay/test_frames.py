"""Where one websocket frame ends and the next begins, however the stream is cut."""

from __future__ import annotations

import itertools
import struct

from hypothesis import given
from hypothesis import strategies as st

from gateway_bridge.relay import CloseCode, FrameCursor, close_frame


def frame(size: int, *, opcode: int = 2, masked: bool = False) -> bytes:
    """A frame with ``size`` bytes of payload that look like frame heads themselves."""
    mask = 0x80 if masked else 0
    if size < 126:
        head = bytes((0x80 | opcode, mask | size))
    elif size < 2**16:
        head = bytes((0x80 | opcode, mask | 126)) + struct.pack("!H", size)
    else:
        head = bytes((0x80 | opcode, mask | 127)) + struct.pack("!Q", size)
    return head + (b"abcd" if masked else b"") + b"\x82\x7f" * (size // 2) + b"\x82" * (size % 2)


SIZES = st.one_of(st.integers(0, 300), st.sampled_from([125, 126, 127, 65535, 65536, 70000]))
FRAMES = st.lists(st.builds(frame, SIZES, masked=st.booleans()), min_size=1, max_size=6)


@given(FRAMES, st.lists(st.integers(0, 200_000), max_size=8))
def test_boundaries_are_known_at_every_cut(frames: list[bytes], places: list[int]) -> None:
    stream = b"".join(frames)
    ends = {0}
    for one in frames:
        ends.add(max(ends) + len(one))
    cuts = sorted({0, len(stream), *(place % len(stream) for place in places)})
    cursor = FrameCursor()
    for start, stop in itertools.pairwise(cuts):
        assert cursor.between_frames == (start in ends)
        if start not in ends:
            following = min(end for end in ends if end > start)
            expected = following - start if following <= stop else None
            assert cursor.bytes_to_boundary(stream[start:stop]) == expected
        cursor.advance(stream[start:stop])
    assert cursor.between_frames


@given(FRAMES)
def test_byte_by_byte_is_no_different(frames: list[bytes]) -> None:
    stream = b"".join(frames)[:2000]
    whole, bytewise = FrameCursor(), FrameCursor()
    whole.advance(stream)
    for at in range(len(stream)):
        bytewise.advance(stream[at : at + 1])
    assert whole.between_frames == bytewise.between_frames


def test_a_close_frame_is_one_short_control_frame() -> None:
    for code in CloseCode:
        data = close_frame(code, "The gateway is restarting; connect again.")
        assert data[0] == 0x88
        assert data[1] == len(data) - 2 <= 125
        assert int.from_bytes(data[2:4], "big") == code
