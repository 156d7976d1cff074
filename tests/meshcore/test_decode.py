"""Frames to what Home Assistant is shown."""

from hypothesis import given, strategies as st
import pytest

from custom_components.meshmonitor.mesh.model import MessageKind, Origin
from custom_components.meshmonitor.meshcore import decode, lpp
from custom_components.meshmonitor.meshcore.frames import ChannelInfo, Contact, SelfInfo
from custom_components.meshmonitor.meshcore.lpp import Reading
from custom_components.meshmonitor.meshcore.mirror import Mirror
from custom_components.meshmonitor.meshcore.pushes import PathDiscovery, Trace

from ..simulators.meshcore_mesh import Peer, status_blob, telemetry_blob
from ..simulators.meshcore_state import SENSOR
from .test_policy import full_mirror

KEY = bytes(range(32))


def test_lpp_of_a_sensor() -> None:
    """Big-endian, signed where it must be, ended by padding."""
    blob = telemetry_blob(
        Peer(name="W", kind=SENSOR, latitude=46_990_000, longitude=-7_990_000, millivolts=3980)
    )
    assert lpp.decode(blob + bytes(7)) == [
        Reading(1, "voltage", 3.98),
        Reading(1, "temperature", -3.5),
        Reading(1, "humidity", 60.5),
        Reading(1, "latitude", 46.99),
        Reading(1, "longitude", -7.99),
        Reading(1, "altitude", 432.1),
    ]


def test_lpp_of_the_recorded_node() -> None:
    """4.19 V, in what real firmware sent."""
    assert lpp.decode(bytes.fromhex("010201a30000000000000000")) == [
        Reading(1, "analog_input", 4.19)
    ]


@pytest.mark.parametrize("kind", lpp.TYPES)
def test_every_type_is_read_to_its_end(kind: int) -> None:
    """What follows it is found, and half of it is nothing."""
    known = lpp.TYPES[kind]
    size = known.size * len(known.fields)
    value = b"\xff" * size
    readings = lpp.decode(b"\x02" + bytes([kind]) + value + b"\x01\x74\x01\x9a")
    assert len(readings) == len(known.fields) + 1
    assert readings[-1] == Reading(1, "voltage", 4.1)
    sign = -1 if known.is_signed else 256**known.size - 1
    assert readings[0].value == sign / known.divisor
    assert lpp.decode(b"\x02" + bytes([kind]) + value[:-1]) == []


@given(st.binary(max_size=100))
def test_any_bytes_give_some_readings(data: bytes) -> None:
    """No exception, whatever a node sends."""
    assert len(lpp.decode(data)) <= len(data)


def test_identity_and_own_node() -> None:
    """From the recorded device."""
    mirror = full_mirror()
    identity = decode.identity(mirror)
    assert identity is not None
    assert identity.node_id.startswith("ae5d1d24fcd8")
    assert (identity.name, identity.hardware, identity.firmware) == (
        "Alpha", "Simulator", "v1.17.1-sim",
    )  # fmt: skip
    node = decode.own_node(mirror, {})
    assert node is not None
    assert node.is_own
    assert node.role == "companion"
    assert node.position is not None
    assert node.position.latitude == 52.0907
    assert decode.identity(Mirror()) is None
    assert decode.own_node(Mirror(), {}) is None


def test_a_contact_becomes_a_node() -> None:
    """Favourite, hops, place and role; a place of zeros is none."""
    frame = Contact(
        public_key=KEY, adv_type=2, flags=1, out_path_len=0x42, out_path=b"aabb", name="Ridge",
        latitude=47_050_000, longitude=-8_050_000, lastmod=77,
    ).build()  # fmt: skip
    node = decode.node(frame, {}, None)
    assert (node.node_id, node.name, node.role) == (KEY.hex(), "Ridge", "repeater")
    assert (node.hops_away, node.is_favorite, node.last_heard) == (2, True, 77.0)
    assert not node.is_messageable
    assert node.position is not None
    assert (node.position.latitude, node.position.longitude) == (47.05, -8.05)
    bare = decode.node(Contact(public_key=KEY, adv_type=0, name="").build(), {}, None)
    assert (bare.name, bare.role, bare.position, bare.hops_away) == (None, None, None, None)
    assert bare.last_heard is None


def test_channels() -> None:
    """An empty slot is not enabled."""
    assert not decode.channel(ChannelInfo(4, "", bytes(16))).is_enabled
    public = decode.channel(ChannelInfo(0, "Public", b"k" * 16))
    assert (public.name, public.is_primary, public.is_enabled) == ("Public", True, True)
    assert decode.channel(ChannelInfo(3, "", b"k" * 16)).name == "Channel 3"


def test_direct_message() -> None:
    """From a contact, its whole key and name are known; from a stranger, the prefix."""
    mirror = full_mirror()
    frame = b"\x10\x20\0\0" + KEY[:6] + b"\x02\x00" + (7).to_bytes(4, "little") + "hé".encode()
    message = decode.message(frame, mirror, 5.0)
    assert message is not None
    assert (message.kind, message.origin, message.text) == (
        MessageKind.DIRECT, Origin.RADIO, "hé",
    )  # fmt: skip
    assert (message.sender_id, message.sender_name) == (KEY.hex(), "K")
    assert (message.hops, message.snr, message.time) == (2, 8.0, 5.0)
    assert message.recipient_id == mirror.public_key.hex() if mirror.public_key else False
    stranger = decode.message(frame[:4] + b"strang" + frame[10:], mirror, 5.0)
    assert stranger is not None
    assert (stranger.sender_id, stranger.sender_name) == (b"strang".hex(), None)
    assert stranger.message_id != message.message_id


def test_a_post_in_a_room_is_its_author_s() -> None:
    """Signed texts carry four bytes of the author's key; the room is where an answer belongs."""
    frame = b"\x07ROOM!!\x01\x02" + bytes(4) + KEY[:4] + b"posted"
    mirror = full_mirror()
    message = decode.message(frame, mirror, 5.0)
    assert message is not None
    assert (message.sender_name, message.text, message.snr) == ("K", "posted", None)
    assert (message.kind, message.recipient_id) == (MessageKind.ROOM, b"ROOM!!".hex())
    room = b"ROOM!!" + bytes(26)
    mirror.contacts.put(Contact(public_key=room, adv_type=3, name="Hall").build())
    known = decode.message(frame[:13] + b"room" + frame[17:], mirror, 5.0)
    assert known is not None
    assert (known.sender_id, known.recipient_id) == (b"room".hex(), room.hex())


def test_what_is_no_message() -> None:
    """Answers to command lines, datagrams, unknown items."""
    mirror = full_mirror()
    for frame in (b"\x07REPEAT\x01\x01" + bytes(4) + b"> ok", b"\x1b" + bytes(9), b"\x1eabc"):
        assert decode.message(frame, mirror, 5.0) is None


def test_channel_message_names_its_sender_in_its_text() -> None:
    """Up to the first colon and space."""
    frame = b"\x11\xf0\0\0\x01\xff\x00" + bytes(4) + b"Bravo: it is: so"
    message = decode.message(frame, full_mirror(), 5.0)
    assert message is not None
    assert (message.sender_name, message.sender_id, message.text) == ("Bravo", None, "it is: so")
    assert (message.channel, message.channel_name) == (1, "#garden")
    assert (message.hops, message.snr) == (None, -4.0)
    nameless = decode.message(frame[:11] + b"no colon", full_mirror(), 5.0)
    assert nameless is not None
    assert (nameless.sender_name, nameless.text) == (None, "no colon")


def test_telemetry_of_others() -> None:
    """Readings of the node itself keep their name, those of further channels get a number."""
    kinds, position = decode.lpp_telemetry(
        b"\x01\x74\x01\x9a\x01\x78\x55\x01\x68\x79\x03\x67\x00\xd7\x01\x88" + bytes(9), 9.0
    )
    assert kinds["device"].values == {"voltage": 4.1, "battery_level": 85}
    assert kinds["environment"].values == {"relative_humidity": 60.5, "temperature_3": 21.5}
    assert kinds["device"].time == 9.0
    assert position is None
    _, placed = decode.lpp_telemetry(
        b"\x01\x88" + (470_000).to_bytes(3) + (80_000).to_bytes(3) + (43210).to_bytes(3), 9.0
    )
    assert placed is not None
    assert (placed.latitude, placed.longitude, placed.altitude) == (47.0, 8.0, 432.1)


def test_status_of_a_repeater() -> None:
    """Its battery and counters."""
    kinds = decode.status_telemetry(status_blob(3900), 9.0)
    assert kinds["device"].values == {"voltage": 3.9, "uptime_seconds": 86400}
    stats = kinds["local_stats"].values
    assert (stats["noise_floor"], stats["num_packets_rx"], stats["num_rx_dupe"]) == (-118, 1000, 16)
    assert (stats["rx_air_seconds"], stats["num_packets_rx_bad"]) == (222, 5)
    assert (
        "rx_air_seconds"
        not in decode.status_telemetry(status_blob(1, size=48), 9.0)["local_stats"].values
    )


def test_own_telemetry() -> None:
    """Battery and the three kinds of statistics."""
    mirror = full_mirror()
    for stats in ("1800681005000000000000", "18010000ba200000000000000000",
                  "180201000000010000000100000000000000010000000000000000000000"):  # fmt: skip
        frame = bytes.fromhex(stats)
        mirror.learn(b"\x38" + frame[1:2], frame)
    kinds = decode.own_telemetry(mirror, 9.0)
    assert kinds["device"].values == {"voltage": 4.2, "uptime_seconds": 5}
    stats_values = kinds["local_stats"].values
    assert (stats_values["last_rssi"], stats_values["last_snr"]) == (-70, 8.0)
    assert (stats_values["num_packets_rx"], stats_values["num_packets_rx_bad"]) == (1, 0)
    assert decode.own_telemetry(Mirror(), 9.0) == {}


def test_traceroute() -> None:
    """Out over the relays to the node, and back; each with how well it heard the one before."""
    hashes = (b"\xaa", b"\x00", b"\xaa")
    trace = Trace(tag=b"TTTT", flags=0, hashes=hashes, snrs=(4.0, 5.0, 6.0, 7.0))
    route = decode.traceroute(trace, KEY.hex(), "54545454", 2, lambda key: key.hex() or "own")
    assert [(hop.node_id, hop.snr) for hop in route.towards] == [("aa", 4.0), (KEY.hex(), 5.0)]
    assert [(hop.node_id, hop.snr) for hop in route.back] == [("aa", 6.0), ("own", 7.0)]


def test_discovered_paths() -> None:
    """Both ways, without signals."""
    found = PathDiscovery(sender=KEY[:6], out_path=(b"\xaa",), in_path=(b"\xbb", b"\xcc"))
    route = decode.discovered(found, KEY.hex(), bytes.hex)
    assert [hop.node_id for hop in route.towards] == ["aa", KEY.hex()]
    assert [(hop.node_id, hop.snr) for hop in route.back] == [("bb", None), ("cc", None)]


def test_an_advert_heard_without_a_relay() -> None:
    """Only then does its signal say something of its sender."""
    packet = Peer(name="B").packet(0)
    assert decode.direct_advert(packet) == Peer(name="B").key
    assert decode.direct_advert(b"\x10\x01\x02\x03\x04" + packet[1:]) == Peer(name="B").key
    assert decode.direct_advert(packet[:1] + b"\x01\xaa" + packet[2:]) is None
    assert decode.direct_advert(b"\x15" + packet[1:]) is None
    assert decode.direct_advert(packet[:20]) is decode.direct_advert(b"") is None


def test_own_names_stay_as_they_are() -> None:
    """A name with an end mark in it ends there."""
    info = SelfInfo.parse(full_mirror().self_info or b"")
    assert info.name == "Alpha"
