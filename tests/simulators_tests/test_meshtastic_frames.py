"""The envelope is read as the firmware reads it."""

import pytest

from tests.simulators.meshtastic_frames import FrameReader, frame


def test_frames_are_found_however_the_stream_is_split() -> None:
    """Byte by byte gives the same payloads as all at once."""
    stream = frame(b"one") + frame(b"") + frame(b"\x94\xc3" * 200)
    whole, split = FrameReader(), FrameReader()
    expected = [b"one", b"", b"\x94\xc3" * 200]
    assert whole.feed(stream) == expected
    assert [p for byte in stream for p in split.feed(bytes((byte,)))] == expected
    assert whole.skipped == 0


@pytest.mark.parametrize(
    ("before", "skipped"),
    [
        (b"\xc3" * 32, 32),  # The Python client's wake-up.
        (b"\x94" * 4, 4),  # Android's.
        (b"boot: hello \x94 world\r\n", 21),
        (b"\x94\xc3\x02\x01", 4),  # Announces 513 bytes.
    ],
)
def test_what_stands_before_a_frame_is_skipped(before: bytes, skipped: int) -> None:
    """Wake-up bytes, text and an impossible length do not hide the frame after them."""
    reader = FrameReader()
    assert reader.feed(before + frame(b"here")) == [b"here"]
    assert reader.skipped == skipped


def test_an_odd_number_of_start_bytes_hides_a_frame() -> None:
    """The firmware consumes a wrong second byte, even when it is a start byte itself."""
    reader = FrameReader()
    assert reader.feed(b"\x94" + frame(b"lost") + frame(b"next")) == [b"next"]
