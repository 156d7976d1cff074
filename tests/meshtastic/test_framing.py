"""The stream framing: wake-up bytes, cut markers, junk, lengths at the limit."""

from itertools import pairwise
from pathlib import Path

from hypothesis import given, strategies as st
import pytest

from custom_components.meshmonitor.meshtastic.framing import (
    MAX_PAYLOAD,
    FrameDecoder,
    FrameTooLongError,
    encode,
)
from tests.simulators.recording import MESHTASTIC_2_7, MESHTASTIC_2_8, read_recording

MARKER = b"\x94\xc3"
# Without the first marker byte: junk that is a frame by accident is tested elsewhere.
JUNK = st.binary(max_size=40).map(lambda junk: junk.replace(b"\x94", b"\x95"))
PAYLOADS = st.one_of(
    st.binary(max_size=MAX_PAYLOAD),
    st.lists(st.sampled_from([b"\x94", b"\xc3", MARKER, b"\x00"]), max_size=60).map(b"".join),
)


def cut(stream: bytes, at: list[int]) -> list[bytes]:
    """Return a stream in pieces, cut at these places."""
    places = sorted({0, len(stream), *(place % (len(stream) + 1) for place in at)})
    return [stream[start:end] for start, end in pairwise(places)]


@given(st.lists(st.tuples(JUNK, PAYLOADS), max_size=6), JUNK, st.lists(st.integers(0, 4000)))
def test_every_frame_is_found(
    frames: list[tuple[bytes, bytes]], rest: bytes, cuts: list[int]
) -> None:
    """Frames come out whole and in order, wherever the stream is cut, whatever stands between."""
    stream = b"".join(junk + encode(payload) for junk, payload in frames) + rest
    decoder = FrameDecoder()
    found = [payload for piece in cut(stream, cuts) for payload in decoder.feed(piece)]
    assert found == [payload for _, payload in frames]
    assert decoder.skipped_bytes == len(stream) - sum(len(payload) + 4 for _, payload in frames)
    assert decoder.partial_since is None


@given(st.lists(st.binary(max_size=700), max_size=8))
def test_any_bytes_are_taken(pieces: list[bytes]) -> None:
    """No bytes upset the decoder, each is accounted for, and less than a frame is held back."""
    decoder = FrameDecoder()
    came = taken = 0
    for piece in pieces:
        came += len(piece)
        for payload in decoder.feed(piece):
            assert len(payload) <= MAX_PAYLOAD
            taken += len(payload) + 4
        held = came - decoder.skipped_bytes - taken
        assert 0 <= held < MAX_PAYLOAD + 4
        assert (decoder.partial_since is None) == (held == 0)


@given(st.lists(st.binary(max_size=700), max_size=6), st.lists(st.integers(0, 4000)))
def test_cuts_change_nothing(pieces: list[bytes], cuts: list[int]) -> None:
    """The same bytes give the same frames however they arrive."""
    stream = b"".join(pieces)
    whole, cut_up = FrameDecoder(), FrameDecoder()
    expected = whole.feed(stream)
    assert [payload for piece in cut(stream, cuts) for payload in cut_up.feed(piece)] == expected
    assert cut_up.skipped_bytes == whole.skipped_bytes
    assert cut_up.oversize_frames == whole.oversize_frames


@pytest.mark.parametrize(
    "wake",
    [
        pytest.param(b"\xc3" * 32, id="Python"),
        pytest.param(b"\x94" * 4, id="Android"),
        pytest.param(b"\x94", id="one byte"),
        pytest.param(b"\x94\x94\xc3\xc3", id="frame of 50115 bytes"),
        pytest.param(b"INFO  | 12:00:01 [Router] log\r\n", id="log text"),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_wake_bytes(wake: bytes, size: int) -> None:
    """What apps and radios write before a frame does not cost the frame."""
    stream = wake + encode(b"\x18\xac\x9e\x04")
    decoder = FrameDecoder()
    pieces = [stream[place : place + size] for place in range(0, len(stream), size)]
    found = [payload for piece in pieces for payload in decoder.feed(piece)]
    assert found == [b"\x18\xac\x9e\x04"]
    assert decoder.skipped_bytes == len(wake)


def test_marker_is_split() -> None:
    """A first marker byte at the end of a segment belongs to the next one."""
    decoder = FrameDecoder()
    assert decoder.feed(b"junk that ends with \x94") == []
    assert decoder.skipped_bytes == 20
    assert decoder.feed(b"\xc3\x00\x02\x3a\x00") == [b"\x3a\x00"]


def test_length_0_is_a_frame() -> None:
    """An empty payload is legal."""
    assert FrameDecoder().feed(MARKER + b"\x00\x00" + encode(b"next")) == [b"", b"next"]
    assert encode(b"") == MARKER + b"\x00\x00"


def test_length_at_the_limit() -> None:
    """512 bytes are a frame; 513 are not, and the next frame is found behind that marker."""
    longest = bytes(range(256)) * 2
    decoder = FrameDecoder()
    assert decoder.feed(encode(longest)) == [longest]
    assert decoder.oversize_frames == 0
    too_long = MARKER + (513).to_bytes(2) + b"\x00" * 513
    assert decoder.feed(too_long + encode(b"next")) == [b"next"]
    assert decoder.oversize_frames == 1
    assert decoder.skipped_bytes == len(too_long)


def test_good_frame_inside_an_oversize_one() -> None:
    """The search goes on directly behind the marker of a frame that is too long."""
    decoder = FrameDecoder()
    assert decoder.feed(MARKER + MARKER + b"\x00\x01x") == [b"x"]
    assert decoder.oversize_frames == 1


def test_too_long_to_send() -> None:
    """No receiver would take it, so it is not made."""
    assert len(encode(b"x" * MAX_PAYLOAD)) == MAX_PAYLOAD + 4
    with pytest.raises(FrameTooLongError):
        encode(b"x" * (MAX_PAYLOAD + 1))


def test_since_when_a_frame_is_incomplete() -> None:
    """The clock runs from the first byte of the frame that is still incomplete."""
    decoder = FrameDecoder()
    decoder.feed(MARKER, now=1.0)
    decoder.feed(b"\x00\x02a", now=2.0)
    assert decoder.partial_since == 1.0
    assert decoder.feed(b"b" + MARKER, now=3.0) == [b"ab"]
    assert decoder.partial_since == 3.0
    assert decoder.feed(b"\x00\x00", now=4.0) == [b""]
    assert decoder.partial_since is None


def test_junk_does_not_stop_the_clock() -> None:
    """A frame that begins behind junk is incomplete since it began, not since the junk."""
    decoder = FrameDecoder()
    decoder.feed(b"\x94", now=1.0)
    decoder.feed(b"\x00\x94", now=5.0)
    assert decoder.partial_since == 5.0


def test_abandoning_leaves_a_younger_frame() -> None:
    """What is still incomplete behind an abandoned header has the time of the abandoning."""
    decoder = FrameDecoder()
    decoder.feed(MARKER + (200).to_bytes(2) + encode(b"late")[:-1], now=1.0)
    assert decoder.abandon_partial(now=9.0) == []
    assert decoder.partial_since == 9.0
    assert decoder.feed(b"e", now=9.5) == [b"late"]


def test_abandoned_header_gives_back_what_it_swallowed() -> None:
    """A header without a body costs itself only, not the frames behind it."""
    decoder = FrameDecoder()
    stream = MARKER + (200).to_bytes(2) + encode(b"first") + encode(b"second")
    assert decoder.feed(stream, now=1.0) == []
    assert decoder.abandon_partial() == [b"first", b"second"]
    assert decoder.partial_since is None
    assert decoder.skipped_bytes == 4
    assert decoder.feed(encode(b"third")) == [b"third"]


def test_abandon_with_nothing_pending() -> None:
    """There is nothing to give up between frames."""
    decoder = FrameDecoder()
    decoder.feed(encode(b"x"))
    assert decoder.abandon_partial() == []
    assert decoder.skipped_bytes == 0


@given(st.binary(max_size=600))
def test_abandoning_ends(data: bytes) -> None:
    """Giving up again and again comes to an end, with every byte accounted for."""
    decoder = FrameDecoder()
    taken = sum(len(payload) + 4 for payload in decoder.feed(MARKER + b"\x02\x00" + data))
    for _ in range(len(data) + 8):
        taken += sum(len(payload) + 4 for payload in decoder.abandon_partial())
        if decoder.partial_since is None:
            break
    assert decoder.partial_since is None
    assert decoder.skipped_bytes + taken == len(data) + 4


@pytest.mark.parametrize("path", [MESHTASTIC_2_7, MESHTASTIC_2_8], ids=["2.7", "2.8"])
@pytest.mark.parametrize("sender", ["client", "node"])
def test_recorded_streams(path: Path, sender: str) -> None:
    """What a real client and a real radio wrote, wake-up bytes and all, comes apart into frames."""
    entries = [entry for entry in read_recording(path) if entry.sender == sender]
    stream = b"".join(
        encode(entry.data) if entry.kind == "frame" else entry.data for entry in entries
    )
    decoder = FrameDecoder()
    pieces = cut(stream, list(range(0, len(stream), 97)))
    found = [payload for piece in pieces for payload in decoder.feed(piece)]
    assert found == [entry.data for entry in entries if entry.kind == "frame"]
    assert decoder.skipped_bytes == sum(
        len(entry.data) for entry in entries if entry.kind == "stray"
    )
