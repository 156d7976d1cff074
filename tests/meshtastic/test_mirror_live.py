"""How live frames keep the mirror current, and what they leave alone."""

from meshtastic.protobuf import mesh_pb2
import pytest

from custom_components.meshmonitor.meshtastic import packets, wire
from custom_components.meshmonitor.meshtastic.mirror import Mirror
from custom_components.meshmonitor.meshtastic.mirror_state import MirrorChange
from custom_components.meshmonitor.meshtastic.nodes import splice
from custom_components.meshmonitor.meshtastic.replay import ReplayKind
from tests.meshtastic.recorded import (
    NOW,
    VERSIONS,
    captured,
    connections,
    heard,
    mirror_of,
    node_info_in,
    node_of,
    raw_node,
    replayed,
)

OWN = 0x0A000001
OTHER = 0x0A000002
STRANGER = 0x0A0000FF


@pytest.mark.parametrize("version", VERSIONS)
def test_live_recording_changes_nodes_alone(version: str) -> None:
    """A session's traffic leaves everything but the nodes as it was captured."""
    connection = connections(version)[1]
    mirror = captured(connection.dump)
    for payload in connection.live:
        mirror.live(payload, NOW)
    after = replayed(mirror)
    assert len(after) == len(connection.dump)
    differing = {
        packets.variant(payload)[0]
        for payload, before in zip(after, connection.dump, strict=True)
        if payload != before
    }
    assert differing == {packets.NODE_INFO}
    assert not mirror.counters


def test_follows_the_firmware_through_a_session() -> None:
    """After the recorded session the mirror says what the radio says when it is asked again.

    Times and signal of the last packets apart: the radio had no clock, and takes the signal of
    relayed packets as well.
    """
    first, second = connections("2.7.26")[1], connections("2.7.26")[2]
    mirror = captured(first.dump)
    for payload in first.live:
        mirror.live(payload, NOW)
    for payload in second.dump:
        if packets.variant(payload)[0] != packets.NODE_INFO:
            continue
        expected = node_info_in(payload)
        if expected.num == OWN:
            # The recording's client renamed it, by a command that is no packet of the radio.
            expected.user.long_name, expected.user.short_name = "Sim Node 0", "SN0"
        mirrored = node_of(mirror, expected.num)
        for info in (expected, mirrored):
            info.ClearField("snr")
            info.ClearField("last_heard")
            # The packet was heard at 13 bits; the firmware stores no blur of its own in 2.7.
            info.position.ClearField("precision_bits")
        assert mirrored == expected


def test_packet_of_a_known_node() -> None:
    """Time, signal and distance change; nothing else does, and nothing moves."""
    mirror = mirror_of("2.7.26", 2)
    before = node_of(mirror, OTHER)
    change = mirror.live(heard(OTHER, packets.TEXT_MESSAGE, b"hello", rx_snr=-3.25), NOW)
    assert change == MirrorChange(nodes=frozenset({OTHER}))
    after = node_of(mirror, OTHER)
    assert after.last_heard == int(NOW) - 5
    assert after.snr == -3.25
    assert after.hops_away == 0
    assert after.HasField("hops_away")
    for info in (before, after):
        info.ClearField("last_heard")
        info.ClearField("snr")
    assert after == before


def test_fields_newer_than_the_schema_and_explicit_zeros_stay() -> None:
    """Only the spliced fields differ on the wire."""
    dump = list(connections("2.7.26")[2].dump)
    index = max(number for number, item in enumerate(dump) if packets.variant(item)[0] == 4)
    _, info = packets.variant(dump[index])
    num = node_info_in(dump[index]).num
    unknown = wire.varint_field(14, 1) + wire.bytes_field(99, b"new")
    zeros = wire.varint_field(10, 0) + wire.varint_field(13, 0)
    info += zeros + unknown
    dump[index] = wire.bytes_field(packets.NODE_INFO, info) + wire.varint_field(77, 5)
    mirror = captured(dump)
    mirror.live(heard(num, packets.TEXT_MESSAGE, b"hello"), NOW)
    frame = raw_node(mirror, num)
    assert frame.endswith(zeros + unknown + wire.varint_field(77, 5))
    _, changed = packets.variant(frame)
    expected = {4: info_field(changed, 4), 5: info_field(changed, 5)}
    assert expected[5] == wire.fixed32_field(5, int(NOW) - 5)
    assert changed == splice(info, expected)


def info_field(message: bytes, number: int) -> bytes:
    """Return a whole field of a message."""
    item = wire.last(wire.scan(message), number)
    assert item is not None
    return message[item.start : item.end]


def test_relayed_packet_says_nothing_of_the_senders_signal() -> None:
    """Its figures are those of the last relay."""
    mirror = mirror_of("2.7.26", 2)
    before = node_of(mirror, OTHER)
    mirror.live(heard(OTHER, 1, b"x", rx_snr=-17.0, hop_limit=1, hop_start=3), NOW)
    after = node_of(mirror, OTHER)
    assert after.snr == before.snr
    assert after.hops_away == 2


def test_unknown_distance_changes_no_distance() -> None:
    """Old firmware does not say how far a packet may go; others have changed it on the way."""
    mirror = mirror_of("2.7.26", 2)
    mirror.live(heard(OTHER, 1, b"x", hop_limit=1, hop_start=3), NOW)
    mirror.live(heard(OTHER, 1, b"x", hop_start=0, hop_limit=0, data_bitfield=None), NOW)
    assert node_of(mirror, OTHER).hops_away == 2
    mirror.live(heard(OTHER, 1, b"x", hop_start=2, hop_limit=3), NOW)
    assert node_of(mirror, OTHER).hops_away == 2
    mirror.live(heard(OTHER, 1, b"x", hop_start=0, hop_limit=0), NOW)
    assert node_of(mirror, OTHER).hops_away == 0


def test_way_over_mqtt_is_told() -> None:
    """And taken back when the node is heard by radio again."""
    mirror = mirror_of("2.7.26", 2)
    snr = node_of(mirror, OTHER).snr
    fields = {"via_mqtt": True, "rx_rssi": None, "rx_snr": None, "transport_mechanism": 5}
    mirror.live(heard(OTHER, 1, b"x", **fields), NOW)
    assert node_of(mirror, OTHER).via_mqtt
    assert node_of(mirror, OTHER).snr == snr
    mirror.live(heard(OTHER, 1, b"x"), NOW)
    assert not node_of(mirror, OTHER).via_mqtt


@pytest.mark.parametrize(
    ("rx_time", "expected"),
    [
        (int(NOW) - 60, int(NOW) - 60),
        (None, int(NOW)),
        (86_400, int(NOW)),
        (int(NOW) + 86_400, int(NOW)),
        (int(NOW) + 2, int(NOW) + 2),
    ],
    ids=["sane", "no clock", "1970", "tomorrow", "a little ahead"],
)
def test_times_of_bad_clocks_are_not_believed(rx_time: int | None, expected: int) -> None:
    """Where the radio's clock is wrong, ours is taken."""
    mirror = mirror_of("2.7.26", 2)
    mirror.live(heard(OTHER, 1, b"x", rx_time=rx_time), NOW)
    assert node_of(mirror, OTHER).last_heard == expected


def test_time_does_not_run_backwards() -> None:
    """Packets that had waited in the radio come late; a time from the future is put right."""
    mirror = mirror_of("2.7.26", 2)
    mirror.live(heard(OTHER, 1, b"x", rx_time=int(NOW) - 10), NOW)
    mirror.live(heard(OTHER, 1, b"x", rx_time=int(NOW) - 600), NOW)
    assert node_of(mirror, OTHER).last_heard == int(NOW) - 10
    future = node_of(mirror, OTHER)
    future.last_heard = int(NOW) + 1_000_000
    mirror.live(mesh_pb2.FromRadio(node_info=future).SerializeToString(), NOW)
    mirror.live(heard(OTHER, 1, b"x", rx_time=int(NOW) - 5), NOW)
    assert node_of(mirror, OTHER).last_heard == int(NOW) - 5


def test_new_node() -> None:
    """A node that is heard for the first time is told, with what the packet says of it."""
    mirror = mirror_of("2.7.26")
    change = mirror.live(heard(STRANGER, 1, b"x", hop_limit=2), NOW)
    assert change.nodes == change.new_nodes == {STRANGER}
    info = node_of(mirror, STRANGER)
    assert info == mesh_pb2.NodeInfo(num=STRANGER, last_heard=int(NOW) - 5, hops_away=1)


def test_encrypted_packet_makes_no_node() -> None:
    """The radio could not read it either, and takes nothing from it."""
    mirror = mirror_of("2.7.26")
    packet = mesh_pb2.MeshPacket(encrypted=b"secret", id=5, channel=0x5A)
    setattr(packet, "from", STRANGER)
    assert not mirror.live(mesh_pb2.FromRadio(packet=packet).SerializeToString(), NOW)
    assert mirror.user_of(STRANGER) is None
    assert len(replayed(mirror, ReplayKind.NODES)) == 3


def test_least_recently_heard_node_makes_room() -> None:
    """Neither a favourite nor the own node does."""
    mirror = Mirror(max_nodes=5)
    mirror.begin_capture()
    for payload in connections("2.7.26")[2].dump:
        mirror.capture(payload)
    assert mirror.complete_capture().is_complete
    mirror.apply_admin(wire.varint_field(39, OTHER))
    for index in range(4):
        mirror.live(heard(STRANGER + index, 1, b"x"), NOW + index * 10)
    assert mirror.counters["nodes_evicted"] == 2
    nums = {node_info_in(payload).num for payload in replayed(mirror, ReplayKind.NODES)}
    assert nums == {OWN, OTHER, STRANGER + 1, STRANGER + 2, STRANGER + 3}
    for num in nums:
        mirror.apply_admin(wire.varint_field(39, num))
    assert not mirror.live(heard(STRANGER + 9, 1, b"x"), NOW)
    assert mirror.counters["nodes_refused"] == 1
