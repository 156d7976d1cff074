"""The field scanner and splicer, against the generated classes and on its own."""

from pathlib import Path

from hypothesis import assume, given, strategies as st
from meshtastic.protobuf import mesh_pb2, portnums_pb2
import pytest

from custom_components.meshmonitor.meshtastic import wire
from tests.simulators.recording import MESHTASTIC_2_7, MESHTASTIC_2_8, read_recording

NUMBERS = st.integers(1, (1 << 29) - 1)
FIELDS = st.one_of(
    st.builds(wire.varint_field, NUMBERS, st.integers(0, (1 << 64) - 1)),
    st.builds(wire.fixed32_field, NUMBERS, st.integers(0, (1 << 32) - 1)),
    st.builds(wire.bytes_field, NUMBERS, st.binary(max_size=300)),
    st.builds(
        lambda number, value: wire.encode_varint(number << 3 | wire.FIXED64) + value,
        NUMBERS,
        st.binary(min_size=8, max_size=8),
    ),
)
MESSAGES = st.lists(FIELDS, max_size=8)


@given(st.integers(0, (1 << 64) - 1), st.binary(max_size=3), st.binary(max_size=3))
def test_varint_comes_back(value: int, before: bytes, behind: bytes) -> None:
    """A varint reads as what was written, wherever it stands."""
    encoded = wire.encode_varint(value)
    position = len(before)
    assert wire.read_varint(before + encoded + behind, position) == (
        value,
        position + len(encoded),
    )


@given(st.integers(0, (1 << 64) - 1))
def test_varint_is_cut_off(value: int) -> None:
    """Every proper beginning of a varint is an error, not another number."""
    encoded = wire.encode_varint(value)
    for size in range(len(encoded)):
        with pytest.raises(wire.WireError):
            wire.read_varint(encoded[:size], 0)


def test_varint_is_too_long() -> None:
    """Ten bytes are the most that a 64-bit number takes."""
    assert wire.read_varint(b"\x80" * 9 + b"\x01", 0) == (1 << 63, 10)
    with pytest.raises(wire.WireError):
        wire.read_varint(b"\x80" * 10 + b"\x01", 0)


def test_padded_varint_is_read() -> None:
    """A number with needless bytes is the same number: parsers take it."""
    assert wire.read_varint(b"\x81\x80\x00", 0) == (1, 3)


@given(MESSAGES)
def test_scan_finds_every_field(parts: list[bytes]) -> None:
    """Fields follow one another without gap, in order, and none is lost."""
    message = b"".join(parts)
    fields = wire.scan(message)
    assert [message[field.start : field.end] for field in fields] == parts
    for field, part in zip(fields, parts, strict=True):
        (alone,) = wire.scan(part)
        assert (alone.number, alone.wire_type, alone.number_value) == (
            field.number,
            field.wire_type,
            field.number_value,
        )
        assert wire.value_bytes(part, alone) == wire.value_bytes(message, field)


@given(st.binary(max_size=64))
def test_scan_takes_or_refuses_any_bytes(data: bytes) -> None:
    """Whatever comes, the answer is fields that cover all of it, or `WireError`."""
    try:
        fields = wire.scan(data)
    except wire.WireError:
        return
    assert b"".join(data[field.start : field.end] for field in fields) == data


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x00\x01", id="field number 0"),
        pytest.param(b"\x0b\x0c", id="group"),
        pytest.param(b"\x0e\x00", id="wire type 6"),
        pytest.param(b"\x0a\x05abc", id="bytes cut off"),
        pytest.param(b"\x0a", id="length missing"),
        pytest.param(b"\x0d\x01\x02\x03", id="fixed32 cut off"),
        pytest.param(b"\x09\x01\x02\x03\x04\x05\x06\x07", id="fixed64 cut off"),
        pytest.param(b"\x08", id="varint missing"),
        pytest.param(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", id="absurd length"),
        pytest.param(b"\x80\x80\x80\x80\x80\x80\x01\x01", id="absurd field number"),
    ],
)
def test_malformed(data: bytes) -> None:
    """What no parser takes is an error."""
    with pytest.raises(wire.WireError):
        wire.scan(data)


@pytest.mark.parametrize("path", [MESHTASTIC_2_7, MESHTASTIC_2_8], ids=["2.7", "2.8"])
def test_recorded_frames_are_scanned_whole(path: Path) -> None:
    """All that real firmware and a real client sent is well-formed."""
    frames = [entry.data for entry in read_recording(path) if entry.kind == "frame"]
    assert len(frames) > 200
    for frame in frames:
        assert b"".join(frame[field.start : field.end] for field in wire.scan(frame)) == frame


def test_scan_agrees_with_the_generated_class() -> None:
    """Numbers read on the wire are those that the schema's own classes read."""
    packet = mesh_pb2.MeshPacket(
        to=0xFFFFFFFF, id=7, hop_limit=3, want_ack=True, rx_rssi=-90, rx_snr=6.25, channel=2
    )
    packet.decoded.portnum = portnums_pb2.TEXT_MESSAGE_APP
    packet.decoded.payload = b"hello"
    raw = packet.SerializeToString()
    fields = wire.scan(raw)
    assert wire.value_int(wire.last(fields, 2)) == 0xFFFFFFFF
    assert wire.value_int(wire.last(fields, 3)) == 2
    assert wire.value_int(wire.last(fields, 6)) == 7
    assert wire.value_int(wire.last(fields, 12)) == (1 << 64) - 90
    assert wire.value_bytes(raw, wire.last(fields, 4)) == packet.decoded.SerializeToString()


def test_last_field_counts() -> None:
    """Of a singular field that stands twice, parsers take the last one."""
    data = wire.varint_field(3, 1) + wire.varint_field(4, 9) + wire.varint_field(3, 2)
    fields = wire.scan(data)
    assert wire.value_int(wire.last(fields, 3)) == 2
    assert wire.last(fields, 5) is None


def test_value_of_another_type() -> None:
    """A value of another type reads as absent."""
    data = wire.varint_field(1, 5) + wire.bytes_field(2, b"x")
    fields = wire.scan(data)
    assert wire.value_bytes(data, wire.last(fields, 1)) == b""
    assert wire.value_int(wire.last(fields, 2), 77) == 77
    assert wire.value_int(None, 78) == 78
    assert wire.value_bytes(data, None) == b""


@given(MESSAGES, NUMBERS, st.binary(max_size=20))
def test_replace_touches_nothing_else(parts: list[bytes], number: int, value: bytes) -> None:
    """The replaced field stands once, in the first one's place or at the end; the rest stays."""
    replacement = wire.bytes_field(number, value)
    numbers = [wire.scan(part)[0].number for part in parts]
    expected: list[bytes] = []
    for part, own in zip(parts, numbers, strict=True):
        if own != number:
            expected.append(part)
        elif replacement not in expected:
            expected.append(replacement)
    if number not in numbers:
        expected.append(replacement)
    assert wire.replace_field(b"".join(parts), number, replacement) == b"".join(expected)


@given(MESSAGES, st.data())
def test_replace_and_remove_what_is_there(parts: list[bytes], data: st.DataObject) -> None:
    """A field that is there is replaced in its place; removing takes every one of that number."""
    assume(parts)
    number = wire.scan(data.draw(st.sampled_from(parts)))[0].number
    message = b"".join(parts)
    removed = wire.replace_field(message, number, b"")
    assert removed == b"".join(part for part in parts if wire.scan(part)[0].number != number)
    place = [wire.scan(part)[0].number for part in parts].index(number)
    replaced = wire.replace_field(message, number, wire.varint_field(number, 1))
    assert wire.scan(replaced)[place].number == number
    assert wire.replace_field(replaced, number, b"") == removed


def test_unknown_field_and_explicit_zero_survive() -> None:
    """What a generated class of an older schema would lose is still there after a splice."""
    newer = wire.varint_field(12, 0) + wire.bytes_field(99, b"newer") + wire.fixed32_field(7, 0)
    spliced = wire.replace_field(newer + wire.fixed32_field(6, 1), 6, wire.fixed32_field(6, 2))
    assert spliced == newer + wire.fixed32_field(6, 2)


def test_replace_in_a_malformed_message() -> None:
    """Nothing is spliced into what cannot be read."""
    with pytest.raises(wire.WireError):
        wire.replace_field(b"\x0a\x05abc", 1, b"")
