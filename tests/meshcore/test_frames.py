"""What the recorded device said, read by our own classes."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hypothesis import given, strategies as st
import pytest

from custom_components.meshmonitor.meshcore import frames, pushes
from custom_components.meshmonitor.meshcore.codes import Err, Resp
from custom_components.meshmonitor.meshcore.frames import (
    ChannelInfo,
    ChannelMessage,
    Contact,
    ContactMessage,
    DeviceInfo,
    FrameError,
    SelfInfo,
    Sent,
)
from custom_components.meshmonitor.meshcore.pushes import (
    LoginResult,
    PathDiscovery,
    RemoteStatus,
    Trace,
)

from ..simulators.meshcore_mesh import status_blob
from ..simulators.meshcore_recorded import recorded_frames

NODE_FRAMES = recorded_frames("node")
OWN_PREFIX = "ae5d1d24fcd8"


def recorded(code: int) -> list[bytes]:
    """Return the recorded frames of one kind."""
    found = [frame for frame in NODE_FRAMES if frame[0] == code]
    assert found
    return found


def test_self_info() -> None:
    """Identity and settings."""
    info = SelfInfo.parse(recorded(Resp.SELF_INFO)[0])
    assert info.name == "Alpha"
    assert info.public_key.hex().startswith(OWN_PREFIX)
    assert (info.tx_power, info.max_tx_power) == (20, 20)
    assert (info.latitude, info.longitude) == (52_090_700, 5_121_400)
    assert (info.frequency, info.bandwidth) == (915_000, 250_000)
    assert (info.spreading_factor, info.coding_rate) == (10, 5)
    assert info.build() == recorded(Resp.SELF_INFO)[0]


def test_device_info() -> None:
    """Versions and limits; the PIN is not among them."""
    device = DeviceInfo.parse(recorded(Resp.DEVICE_INFO)[0])
    assert device.protocol_version == 13
    assert (device.max_contacts, device.max_channels) == (350, 40)
    assert (device.model, device.firmware) == ("Simulator", "v1.17.1-sim")
    assert (device.client_repeat, device.path_hash_mode) == (0, 0)
    assert not any("pin" in name for name in DeviceInfo.__slots__)


def test_device_info_of_older_firmware_is_shorter() -> None:
    """80 and 81 bytes lack what came later."""
    frame = recorded(Resp.DEVICE_INFO)[0]
    assert DeviceInfo.parse(frame[:80]).client_repeat is None
    assert DeviceInfo.parse(frame[:81]).path_hash_mode is None


def test_contact_is_read_and_built_the_same() -> None:
    """148 bytes there and back."""
    for frame in recorded(Resp.CONTACT):
        contact = Contact.parse(frame)
        assert contact.name == "Bravo"
        assert contact.adv_type == 1
        assert contact.build() == frame
        assert frames.contact_lastmod(frame) == contact.lastmod
        assert frames.contact_key(frame) == contact.public_key


def test_messages() -> None:
    """Direct and on a channel, with signal-to-noise ratio."""
    text = ContactMessage.parse(recorded(Resp.CONTACT_MSG_RECV_V3)[0])
    assert text.sender.hex() == "713801041e12"
    assert (text.text, text.path_len, text.snr) == (b"direct back", 0xFF, 8.0)
    post = ChannelMessage.parse(recorded(Resp.CHANNEL_MSG_RECV_V3)[0])
    assert (post.text, post.channel, post.path_len) == (b"Bravo: public back", 0, 0)
    assert post.build() == recorded(Resp.CHANNEL_MSG_RECV_V3)[0]


def test_a_signed_text_names_its_author() -> None:
    """Rooms forward texts of others."""
    frame = b"\x07" + b"RRRRRR" + b"\x02\x02" + bytes(4) + b"AAAA" + b"posted"
    text = ContactMessage.parse(frame)
    assert (text.sender, text.author, text.text, text.snr) == (b"RRRRRR", b"AAAA", b"posted", None)


def test_channel_info_is_cleaned_of_what_the_buffer_held_before() -> None:
    """The recorded empty slots show the name and key of others behind the end of their name."""
    empty = recorded(Resp.CHANNEL_INFO)[2]
    assert b"garden" in empty
    clean = frames.clean_channel_info(empty)
    assert clean == bytes((18, 2)) + bytes(48)
    assert ChannelInfo.parse(clean).is_empty
    garden = frames.clean_channel_info(recorded(Resp.CHANNEL_INFO)[1])
    assert ChannelInfo.parse(garden).name == "#garden"
    assert garden[34:50] == recorded(Resp.CHANNEL_INFO)[1][34:50]
    assert not any(garden[9:34])


def test_sent_and_errors() -> None:
    """What follows a text."""
    sent = Sent.parse(recorded(Resp.SENT)[0])
    assert (sent.is_flood, sent.tag.hex(), sent.timeout) == (True, "1b154387", 1.028)
    assert frames.error_of(b"\x01\x02") is Err.NOT_FOUND
    assert frames.error_of(b"\x01") is None
    assert frames.error_of(b"\x01\x63") is None
    assert frames.error_of(b"\x00") is None


def test_battery_with_and_without_storage() -> None:
    """Three bytes before v1.7.1."""
    full = frames.Battery.parse(recorded(Resp.BATT_AND_STORAGE)[0])
    assert (full.millivolts, full.used_kb, full.total_kb) == (4200, 0x01C716C0, 0x0FBF8E74)
    assert frames.Battery.parse(b"\x0c\x68\x10") == frames.Battery(4200)


def test_pushes() -> None:
    """Acknowledgement, discovery, raw reception."""
    confirmed = pushes.SendConfirmed.parse(recorded(0x82)[0])
    assert (confirmed.ack.hex(), confirmed.round_trip) == ("1b154387", 0.202)
    discovery = PathDiscovery.parse(recorded(0x8D)[0])
    assert (discovery.out_path, discovery.in_path) == ((), ())
    heard = pushes.RawReception.parse(recorded(0x88)[0])
    assert (heard.snr, heard.rssi) == (8.0, -70)
    assert pushes.RemoteData.parse(recorded(0x8B)[0]).sender.hex() == OWN_PREFIX
    assert pushes.BinaryAnswer.parse(recorded(0x8C)[0]).tag.hex() == "e7df026b"


def test_login_results_long_short_and_failed() -> None:
    """Old servers answer with eight bytes."""
    long = LoginResult.parse(b"\x85\x01abcdef" + bytes((9, 0, 0, 0, 3, 2)))
    assert (long.is_admin, long.server_time, long.permissions, long.firmware_level) == (
        True, 9, 3, 2,
    )  # fmt: skip
    short = LoginResult.parse(b"\x85\x00abcdef")
    assert short.is_success
    assert (short.is_admin, short.permissions) == (False, None)
    assert not LoginResult.parse(b"\x86\x00abcdef").is_success


@pytest.mark.parametrize(
    ("size", "air", "errors"), [(48, None, None), (52, 222, None), (56, 222, 5), (60, 222, 5)]
)
def test_status_in_each_of_its_sizes(size: int, air: int | None, errors: int | None) -> None:
    """Later firmware appends."""
    status = RemoteStatus.parse(status_blob(3900).ljust(size, b"\0")[:size])
    assert (status.millivolts, status.noise_floor, status.last_snr) == (3900, -118, 10.25)
    assert (status.rx_air_time, status.receive_errors) == (air, errors)


def test_trace_with_hashes_of_each_size() -> None:
    """Flags tell how many bytes a hash has."""
    for power in range(3):
        size = 1 << power
        path = bytes(range(1, 1 + 2 * size))
        frame = b"\x89\x00" + bytes((2 * size, power)) + b"TTTTAAAA" + path + b"\x10\xf0\x20"
        trace = Trace.parse(frame)
        assert trace.tag == b"TTTT"
        assert trace.hashes == (path[:size], path[size:])
        assert trace.snrs == (4.0, -4.0, 8.0)


def test_path_lengths() -> None:
    """Six bits of hops, two bits of hash size, and a value of its own."""
    assert pushes.hop_count(0xFF) is None
    assert pushes.hop_count(0) == 0
    assert pushes.hop_count(0x43) == 3
    assert pushes.path_hops(0x42, b"aabbcc") == (b"aa", b"bb")
    assert pushes.path_hops(0xFF, b"aa") == ()


PARSERS: list[Callable[[bytes], Any]] = [
    SelfInfo.parse, DeviceInfo.parse, Contact.parse, Sent.parse, ContactMessage.parse,
    ChannelMessage.parse, frames.ChannelData.parse, ChannelInfo.parse, frames.Battery.parse,
    pushes.SendConfirmed.parse, LoginResult.parse, RemoteStatus.parse, pushes.RemoteData.parse,
    pushes.BinaryAnswer.parse, Trace.parse, PathDiscovery.parse, pushes.RawReception.parse,
]  # fmt: skip


@given(st.integers(0, 255), st.binary(max_size=180))
def test_anything_is_parsed_or_refused(code: int, rest: bytes) -> None:
    """No other exception, whatever comes."""
    frame = bytes([code]) + rest
    for parse in PARSERS:
        with suppress(FrameError):
            parse(frame)


def test_secrets_do_not_show() -> None:
    """A representation that gets into a log holds no text, key or place."""
    info = SelfInfo.parse(recorded(Resp.SELF_INFO)[0])
    shown = repr(info) + repr(ChannelInfo(0, "x", b"SECRETSECRETSECR"))
    shown += repr(ContactMessage.parse(recorded(Resp.CONTACT_MSG_RECV_V3)[0]))
    assert "SECRET" not in shown
    assert str(info.latitude) not in shown
    assert "direct back" not in shown


def test_padded_text_is_cut_between_characters() -> None:
    """Half a character would be no text."""
    assert frames.padded("aé", 3) == b"a\0\0"
    assert frames.text_of(b"ab\0cd") == "ab"
