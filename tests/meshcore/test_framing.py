"""Bytes to frames and back, whatever stands between the frames."""

from hypothesis import given, strategies as st
import pytest

from custom_components.meshmonitor.meshcore.framing import (
    MAX_FRAME_SIZE,
    MAX_TOLERATED_SIZE,
    AppStreamDecoder,
    DeviceStreamDecoder,
    to_app,
    to_device,
)

from ..simulators.meshcore_recorded import recorded_frames

payloads = st.lists(st.binary(min_size=1, max_size=MAX_FRAME_SIZE), max_size=8)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """Return the data in pieces of these sizes, the rest as one piece."""
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


@given(payloads, st.lists(st.integers(0, 40)))
def test_frames_of_a_device_arrive_however_they_are_cut(
    frames: list[bytes], sizes: list[int]
) -> None:
    """The stream's pieces have nothing to do with its frames."""
    decoder = DeviceStreamDecoder()
    stream = b"".join(map(to_app, frames))
    assert [f for piece in cut(stream, sizes) for f in decoder.feed(piece)] == frames
    assert decoder.counters.junk_bytes == 0


@given(payloads, st.lists(st.integers(0, 40)))
def test_commands_of_an_app_arrive_however_they_are_cut(
    frames: list[bytes], sizes: list[int]
) -> None:
    """The stream's pieces have nothing to do with its frames."""
    decoder = AppStreamDecoder()
    stream = b"".join(map(to_device, frames))
    assert [f for piece in cut(stream, sizes) for f in decoder.feed(piece)] == frames
    assert not decoder.unfinished


@given(st.lists(st.binary(max_size=500)))
def test_no_bytes_break_a_decoder_or_grow_in_it(pieces: list[bytes]) -> None:
    """Anything may come; at most one frame is held back."""
    device, app = DeviceStreamDecoder(), AppStreamDecoder()
    for piece in pieces:
        assert all(0 < len(frame) <= MAX_TOLERATED_SIZE for frame in device.feed(piece))
        assert all(0 < len(frame) <= MAX_FRAME_SIZE + 1 for frame in app.feed(piece))
        assert len(device._buffer) < 3 + MAX_TOLERATED_SIZE
        assert len(app._payload) <= MAX_FRAME_SIZE + 1


def test_debug_text_before_a_frame_is_skipped() -> None:
    """Text with a marker in it has a length that no frame has."""
    decoder = DeviceStreamDecoder()
    text = b"boot > ready >> \r\n"
    assert decoder.feed(text + to_app(b"\x00") + b"DEBUG > more\n" + to_app(b"\x0a")) == [
        b"\x00",
        b"\x0a",
    ]
    assert decoder.counters.junk_bytes == len(text) + 13
    assert decoder.counters.oversize_frames > 0


def test_an_empty_frame_is_no_frame() -> None:
    """Firmware ignores a length of zero."""
    app, device = AppStreamDecoder(), DeviceStreamDecoder()
    assert app.feed(b"<\x00\x00" + to_device(b"\x0a")) == [b"\x0a"]
    assert device.feed(b">\x00\x00" + to_app(b"\x0a")) == [b"\x0a"]
    assert app.counters.empty_frames == device.counters.empty_frames == 1


def test_junk_before_a_command_is_skipped() -> None:
    """As the firmware's serial interface does."""
    decoder = AppStreamDecoder()
    assert decoder.feed(b"GET / HTTP/1.1\r\n" + to_device(b"\x14")) == [b"\x14"]
    assert decoder.counters.junk_bytes == 16


def test_a_command_inside_a_command_that_is_too_long_is_not_found() -> None:
    """It comes out cut, to be refused; what is in it is never executed."""
    decoder = AppStreamDecoder()
    hidden = b"\x02" + b"x" * 200 + to_device(b"\x13reboot") + b"y" * 200
    frames = decoder.feed(to_device(hidden) + to_device(b"\x0a"))
    assert frames == [hidden[: MAX_FRAME_SIZE + 1], b"\x0a"]
    assert decoder.counters.oversize_frames == 1
    assert decoder.counters.junk_bytes == len(hidden) - MAX_FRAME_SIZE - 1


def test_the_longest_frames_pass() -> None:
    """176 bytes both ways, and a little more from a device that is newer than we are."""
    assert AppStreamDecoder().feed(to_device(b"\x02" * MAX_FRAME_SIZE)) == [b"\x02" * 176]
    assert DeviceStreamDecoder().feed(to_app(b"\x88" * MAX_TOLERATED_SIZE)) == [b"\x88" * 300]


def test_thousands_of_tiny_frames_in_one_piece() -> None:
    """A burst is no recursion."""
    assert len(DeviceStreamDecoder().feed(to_app(b"\x83") * 5000)) == 5000
    assert len(AppStreamDecoder().feed(to_device(b"\x0a") * 5000)) == 5000


def test_reset_forgets_half_a_frame() -> None:
    """A new connection begins with a frame."""
    decoder = DeviceStreamDecoder()
    assert decoder.feed(to_app(b"\x05" * 60)[:30]) == []
    decoder.reset()
    assert decoder.feed(to_app(b"\x00")) == [b"\x00"]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_recording_survives_the_stream(size: int) -> None:
    """Every recorded frame comes out as it went in."""
    frames = recorded_frames("node")
    stream = b"".join(map(to_app, frames))
    decoder = DeviceStreamDecoder()
    out = [f for at in range(0, len(stream), size) for f in decoder.feed(stream[at : at + size])]
    assert out == frames
    assert len(frames) > 50
