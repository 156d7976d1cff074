"""What firmware 2.8 tells again after a dump, and what clients are told of it."""

from meshtastic.protobuf import mesh_pb2, telemetry_pb2
import pytest

from custom_components.meshmonitor.meshtastic import packets, wire
from custom_components.meshmonitor.meshtastic.framing import FrameDecoder
from custom_components.meshmonitor.meshtastic.mirror import Mirror
from custom_components.meshmonitor.meshtastic.replay import ReplayKind
from tests.meshtastic.recorded import (
    NOW,
    VERSIONS,
    connections,
    heard,
    mirror_of,
    node_of,
    packet_in,
    replayed,
)

OWN = 0x0A000001
OTHER = 0x0A000002
STRANGER = 0x0A0000FF


def replays(connection: int) -> list[bytes]:
    """Return the recorded packets that follow a dump of 2.8."""
    return [
        payload
        for payload in connections("2.8.0-dev")[connection].live
        if packets.variant(payload)[0] == packets.PACKET and packets.is_replay(packet_in(payload))
    ]


def test_replays_are_known_from_live_packets() -> None:
    """The recorded ones are; no other packet of either recording is."""
    assert len(replays(2)) == 2
    for version in VERSIONS:
        for payload in connections(version)[1].live:
            if packets.variant(payload)[0] == packets.PACKET:
                assert not packets.is_replay(packet_in(payload))
    explicit_zero = packet_in(replays(2)[0]) + wire.varint_field(12, 0)
    assert packets.is_replay(explicit_zero)
    assert not packets.is_replay(b"\xff")


@pytest.mark.parametrize("kind", list(ReplayKind))
def test_told_again_to_clients_as_the_firmware_does(kind: ReplayKind) -> None:
    """Byte for byte, but not to who asked for the configuration alone."""
    mirror = mirror_of("2.8.0-dev", 5)
    for payload in replays(5):
        change = mirror.live(payload, NOW)
        assert change.is_replay
        assert change.nodes
    frames = FrameDecoder().feed(b"".join(mirror.after_complete(kind)))
    assert frames == ([] if kind is ReplayKind.CONFIG else replays(5))


def test_replay_is_no_reception() -> None:
    """When and how a node was heard stays; nothing new is known of it."""
    mirror = mirror_of("2.8.0-dev", 5)
    before = replayed(mirror)
    for payload in replays(5):
        mirror.live(payload, NOW)
    assert replayed(mirror) == before
    stranger = mesh_pb2.FromRadio.FromString(replays(5)[0])
    setattr(stranger.packet, "from", STRANGER)
    assert not mirror.live(stranger.SerializeToString(), NOW)
    assert mirror.counters["replays_dropped"] == 1
    assert replayed(mirror) == before


def after(mirror: Mirror) -> list[mesh_pb2.MeshPacket]:
    """Return the packets that follow a full replay."""
    frames = FrameDecoder().feed(b"".join(mirror.after_complete(ReplayKind.FULL)))
    return [mesh_pb2.FromRadio.FromString(frame).packet for frame in frames]


def test_stored_readings_are_kept_current() -> None:
    """A newer packet takes the place of what the radio had stored, in the radio's form."""
    mirror = mirror_of("2.8.0-dev", 5)
    for payload in replays(5):
        mirror.live(payload, NOW)
    sender = int(getattr(mesh_pb2.FromRadio.FromString(replays(5)[0]).packet, "from"))
    place = mesh_pb2.Position(latitude_i=52_0000000, longitude_i=4_0000000, time=int(NOW) - 60)
    climate = telemetry_pb2.Telemetry(
        environment_metrics=telemetry_pb2.EnvironmentMetrics(temperature=0.0)
    )
    status = mesh_pb2.StatusMessage(status="on the hill")
    for portnum, message in (
        (packets.POSITION, place),
        (packets.TELEMETRY, climate),
        (packets.NODE_STATUS, status),
    ):
        content = message.SerializeToString()
        mirror.live(heard(sender, portnum, content, hop_limit=2, rx_snr=-1.5), NOW)
    told = after(mirror)
    assert [packet.decoded.portnum for packet in told] == [3, 67, 67, 36]
    assert told[1].SerializeToString() == packet_in(replays(5)[1])
    place.precision_bits = 32
    assert mesh_pb2.Position.FromString(told[0].decoded.payload) == place
    assert told[0].rx_time == place.time
    assert told[2].decoded.payload == climate.SerializeToString()
    assert told[2].rx_time == int(NOW) - 5
    assert told[3].decoded.payload == status.SerializeToString()
    for packet in (told[0], *told[2:]):
        assert packets.is_replay(packet.SerializeToString())
        assert getattr(packet, "from") == sender
        assert packet.rx_snr == -1.5
        assert (packet.hop_start, packet.hop_limit) == (3, 2)
    assert len({packet.id for packet in told}) == 4
    assert [packet.id for packet in after(mirror)] == [packet.id for packet in told]


def test_replay_id_is_the_firmwares() -> None:
    """A client that changes between radio and virtual node takes a packet for the same."""
    mirror = mirror_of("2.8.0-dev", 5)
    recorded = mesh_pb2.FromRadio.FromString(replays(5)[0]).packet
    sender = int(getattr(recorded, "from"))
    # The recorded radio stored this time, without a place.
    place = mesh_pb2.Position(latitude_i=1, longitude_i=1, time=recorded.rx_time)
    mirror.live(heard(sender, packets.POSITION, place.SerializeToString()), NOW)
    assert [packet.id for packet in after(mirror)] == [recorded.id]


def test_readings_of_the_own_node_are_not_told_again() -> None:
    """Its node info holds them."""
    mirror = mirror_of("2.8.0-dev", 5)
    own = mirror.my_node_num
    assert own is not None
    content = telemetry_pb2.Telemetry(
        device_metrics=telemetry_pb2.DeviceMetrics(battery_level=1)
    ).SerializeToString()
    mirror.live(heard(own, packets.TELEMETRY, content), NOW)
    assert after(mirror) == []


def test_replay_does_not_undo_what_was_heard() -> None:
    """The radio stores less of a packet than the packet said."""
    mirror = mirror_of("2.8.0-dev", 5)
    recorded = mesh_pb2.FromRadio.FromString(replays(5)[1]).packet
    sender = int(getattr(recorded, "from"))
    said = telemetry_pb2.Telemetry.FromString(recorded.decoded.payload)
    said.time = int(NOW) - 100
    content = said.SerializeToString()
    mirror.live(heard(sender, packets.TELEMETRY, content), NOW)
    assert not mirror.live(replays(5)[1], NOW)
    assert mirror.state is not None
    assert mirror.state.nodes[sender].readings[packets.TELEMETRY, 2].payload == content
    assert [packet.SerializeToString() for packet in after(mirror)] == [packet_in(replays(5)[1])]


def test_live_readings_stay_out_of_thin_node_infos() -> None:
    """Firmware 2.8 tells places and measurements of others apart."""
    mirror = mirror_of("2.8.0-dev", 5)
    sender = int(getattr(mesh_pb2.FromRadio.FromString(replays(5)[0]).packet, "from"))
    place = mesh_pb2.Position(latitude_i=52_0000000, longitude_i=4_0000000)
    mirror.live(heard(sender, packets.POSITION, place.SerializeToString()), NOW)
    info = node_of(mirror, sender)
    assert not info.HasField("position")
    assert info.last_heard == int(NOW) - 5
