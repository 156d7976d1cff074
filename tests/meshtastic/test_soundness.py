"""Frames of a configuration that did not come whole are known by what stands in them."""

from meshtastic.protobuf import channel_pb2, mesh_pb2
import pytest

from custom_components.meshmonitor.meshtastic import wire
from custom_components.meshmonitor.meshtastic.framing import FrameDecoder, encode
from custom_components.meshmonitor.meshtastic.mirror import Mirror
from custom_components.meshmonitor.meshtastic.soundness import is_sound
from tests.meshtastic.recorded import VERSIONS, connections

FULL = 2


@pytest.mark.parametrize("version", VERSIONS)
def test_whatever_real_firmware_says_is_sound(version: str) -> None:
    """With variants and fields that are newer than the schema."""
    for connection in connections(version).values():
        assert all(map(is_sound, connection.dump))


# Of what is newer than the schema only a whole header that stands in it is conspicuous.
@pytest.mark.parametrize(
    ("version", "missing"),
    [(version, missing) for version in VERSIONS for missing in (3, 9, 30)]
    + [("2.7.26", 1), ("2.7.26", 2)],
)
def test_a_torn_frame_is_noticed(version: str, missing: int) -> None:
    """By itself, by the frame that it swallowed, or because the rest is not enough."""
    dump = connections(version)[FULL].dump
    for index, torn in enumerate(dump[:-1]):
        if len(torn) <= missing:
            continue
        frames = [*map(encode, dump[:index]), encode(torn)[:-missing]]
        mirror = Mirror()
        mirror.begin_capture()
        for payload in FrameDecoder().feed(b"".join([*frames, *map(encode, dump[index + 1 :])])):
            mirror.capture(payload)
        is_noticed = mirror.is_capture_damaged
        assert is_noticed or not mirror.complete_capture().is_complete, (index, missing)


def test_names_that_others_chose_may_be_anything() -> None:
    """Some are no UTF-8, and it is no use to read them again."""
    user = wire.bytes_field(2, b"caf\xe9")
    info = wire.varint_field(1, 7) + wire.bytes_field(2, user)
    assert is_sound(wire.bytes_field(4, info))


def test_what_is_not_sound() -> None:
    """A text that is none, a message that is none, deep inside; the beginning of another frame."""
    channel = channel_pb2.Channel(index=1, settings=channel_pb2.ChannelSettings(name="abcd"))
    payload = mesh_pb2.FromRadio(channel=channel).SerializeToString()
    assert is_sound(payload)
    assert not is_sound(payload.replace(b"abcd", b"ab\xc3\x28"))
    assert not is_sound(payload.replace(b"\x1a\x04abcd", b"\x1a\x05abcd"))
    assert is_sound(wire.bytes_field(40, b"anything"))
    assert not is_sound(wire.bytes_field(40, b"any\x94\xc3\x00\x02"))
    assert not is_sound(b"\x12")


def _is_damaged(mirror: Mirror) -> bool:
    """Return what the type checker takes for unchanged otherwise."""
    return mirror.is_capture_damaged


def test_a_new_capture_is_not_damaged_by_what_was_before() -> None:
    """Neither by an earlier one, nor by the rest of what somebody else had asked."""
    dump = connections("2.7.26")[FULL].dump
    mirror = Mirror()
    mirror.begin_capture()
    mirror.capture(b"\x12\x7f")
    assert _is_damaged(mirror)
    for payload in dump:
        mirror.capture(payload)
    assert not _is_damaged(mirror)
    mirror.capture(b"\x52\x7f")
    assert _is_damaged(mirror)
    mirror.begin_capture()
    assert not _is_damaged(mirror)
