"""What nodes say of themselves, and what the radio says of its settings, in the mirror."""

from meshtastic.protobuf import channel_pb2, config_pb2, mesh_pb2, telemetry_pb2
import pytest

from custom_components.meshmonitor.meshtastic import packets, wire
from custom_components.meshmonitor.meshtastic.mirror import Mirror
from custom_components.meshmonitor.meshtastic.replay import ReplayKind
from tests.meshtastic.recorded import NOW, heard, mirror_of, node_of, raw_node, replayed

OWN = 0x0A000001
OTHER = 0x0A000002
STRANGER = 0x0A0000FF


def user_packet(sender: int, user: bytes, **fields: object) -> bytes:
    """Return a packet with a ``User``."""
    return heard(sender, packets.NODE_INFO_APP, user, **fields)


def test_user_packet() -> None:
    """Name, role and key are told to clients; the id is always that of the sender."""
    mirror = mirror_of("2.7.26")
    user = mesh_pb2.User(
        id="!deadbeef",
        long_name="Näme",
        short_name="Nä",
        hw_model=mesh_pb2.HELTEC_V3,
        role=config_pb2.Config.DeviceConfig.ROUTER,
        public_key=b"k" * 32,
    )
    mirror.live(user_packet(STRANGER, user.SerializeToString(), channel=2), NOW)
    info = node_of(mirror, STRANGER)
    user.id = f"!{STRANGER:08x}"
    assert info.user == user
    assert info.channel == 2


def test_known_key_is_never_replaced() -> None:
    """As in the firmware, such a packet changes nothing of the identity."""
    mirror = mirror_of("2.7.26", 2)
    before = node_of(mirror, OTHER).user
    forged = mesh_pb2.User(long_name="Mallory", public_key=b"m" * 32)
    mirror.live(user_packet(OTHER, forged.SerializeToString()), NOW)
    keyless = mesh_pb2.User(long_name="Mallory")
    mirror.live(user_packet(OTHER, keyless.SerializeToString()), NOW)
    assert node_of(mirror, OTHER).user == before
    renamed = mesh_pb2.User(
        id=before.id,
        long_name="Renamed",
        macaddr=before.macaddr,
        public_key=before.public_key,
    )
    mirror.live(user_packet(OTHER, renamed.SerializeToString()), NOW)
    assert node_of(mirror, OTHER).user == renamed


def test_name_that_is_no_utf8() -> None:
    """It reaches clients as something that they can read."""
    mirror = mirror_of("2.7.26")
    name = "Zoë".encode()[:-1] + b"\xff!"
    user = wire.bytes_field(2, name) + wire.bytes_field(3, b"\xf0\x9f\x98")
    assert mirror.live(user_packet(STRANGER, user), NOW).nodes == {STRANGER}
    info = node_of(mirror, STRANGER)
    assert info.user.long_name == "Zo??!"
    assert info.user.short_name == "???"
    assert not mirror.counters


@pytest.mark.parametrize("portnum", [3, 4, 34, 36, 67])
@pytest.mark.parametrize(
    "content", [b"", b"\x0a", b"\x0a\x7fx", b"\xff" * 20, b"\x12\x03\x0a\x05x"]
)
def test_broken_content(portnum: int, content: bytes) -> None:
    """The node was heard all the same, and says nothing that could do harm."""
    mirror = mirror_of("2.7.26", 2)
    before = node_of(mirror, OTHER)
    assert mirror.live(heard(OTHER, portnum, content), NOW).nodes == {OTHER}
    after = node_of(mirror, OTHER)
    assert after.last_heard == int(NOW) - 5
    assert after.user == before.user
    assert after.position == before.position
    assert after.device_metrics == before.device_metrics
    restored = Mirror()
    restored.restore(mirror.snapshot())
    assert replayed(restored, ReplayKind.NODES) == replayed(mirror, ReplayKind.NODES)


def test_position_packet_on_firmware_that_tells_it_in_node_infos() -> None:
    """What the firmware keeps of a position is told: a time that is missing stays."""
    mirror = mirror_of("2.7.26", 2)
    known = node_of(mirror, OTHER).position
    sent = mesh_pb2.Position(
        latitude_i=-33_8688000,
        longitude_i=151_2093000,
        altitude=-4,
        ground_speed=12,
        sats_in_view=8,
        precision_bits=14,
    )
    mirror.live(heard(OTHER, packets.POSITION, sent.SerializeToString()), NOW)
    assert node_of(mirror, OTHER).position == mesh_pb2.Position(
        latitude_i=-33_8688000,
        longitude_i=151_2093000,
        altitude=-4,
        time=known.time,
        precision_bits=14,
    )
    only_time = mesh_pb2.Position(time=int(NOW))
    mirror.live(heard(OTHER, packets.POSITION, only_time.SerializeToString()), NOW)
    assert node_of(mirror, OTHER).position.time == int(NOW)
    assert node_of(mirror, OTHER).position.latitude_i == -33_8688000
    assert mirror.after_complete(ReplayKind.FULL) == []


def test_telemetry_packet_on_firmware_that_tells_it_in_node_infos() -> None:
    """Device metrics are told, explicit zeros included; other kinds are none of them."""
    mirror = mirror_of("2.7.26", 2)
    sent = telemetry_pb2.Telemetry(
        device_metrics=telemetry_pb2.DeviceMetrics(battery_level=55, voltage=0.0)
    )
    mirror.live(heard(OTHER, packets.TELEMETRY, sent.SerializeToString()), NOW)
    metrics = node_of(mirror, OTHER).device_metrics
    assert metrics == sent.device_metrics
    assert metrics.HasField("voltage")
    other = telemetry_pb2.Telemetry(
        environment_metrics=telemetry_pb2.EnvironmentMetrics(temperature=21.5)
    )
    mirror.live(heard(OTHER, packets.TELEMETRY, other.SerializeToString()), NOW)
    assert node_of(mirror, OTHER).device_metrics == sent.device_metrics
    # A request is an empty measurement.
    request = telemetry_pb2.Telemetry(device_metrics=telemetry_pb2.DeviceMetrics())
    mirror.live(heard(OTHER, packets.TELEMETRY, request.SerializeToString()), NOW)
    assert node_of(mirror, OTHER).device_metrics == sent.device_metrics


def test_own_packets() -> None:
    """The radio's own measurements are told of it; it never hears itself, but was heard now."""
    mirror = mirror_of("2.8.0-dev")
    own = mirror.my_node_num
    assert own is not None
    before = node_of(mirror, own)
    sent = telemetry_pb2.Telemetry(device_metrics=telemetry_pb2.DeviceMetrics(battery_level=55))
    packet = heard(own, packets.TELEMETRY, sent.SerializeToString(), priority=10, rx_rssi=None)
    assert mirror.live(packet, NOW).nodes == {own}
    info = node_of(mirror, own)
    assert info.device_metrics == sent.device_metrics
    assert info.last_heard == int(NOW) - 5
    before.device_metrics.CopyFrom(info.device_metrics)
    before.last_heard = info.last_heard
    assert info == before
    # A radio that has no clock says nothing of the time.
    mirror.live(heard(own, packets.TELEMETRY, sent.SerializeToString(), rx_time=None), NOW + 9)
    assert node_of(mirror, own).last_heard == before.last_heard
    assert not mirror.live(heard(own, packets.ROUTING, b"\x18\x00", to=own), NOW)


def test_configuration_frames_replace_their_own() -> None:
    """Byte for byte, in their place; the change says what they are."""
    mirror = mirror_of("2.7.26")
    before = replayed(mirror)
    channel = channel_pb2.Channel(
        index=1,
        role=channel_pb2.Channel.SECONDARY,
        settings=channel_pb2.ChannelSettings(name="Admin", psk=b"\x01"),
    )
    frame = mesh_pb2.FromRadio(channel=channel).SerializeToString() + wire.varint_field(99, 0)
    change = mirror.live(frame, NOW)
    assert change.channels
    assert not change.config
    assert not mirror.live(frame, NOW)
    after = replayed(mirror)
    changed = [index for index, payload in enumerate(after) if payload != before[index]]
    assert [after[index] for index in changed] == [frame]
    assert mirror.channel(1) == channel.SerializeToString()

    power = config_pb2.Config(power=config_pb2.Config.PowerConfig(ls_secs=77))
    assert mirror.live(mesh_pb2.FromRadio(config=power).SerializeToString(), NOW).config
    assert mirror.config(3) == power.SerializeToString()
    lora = config_pb2.Config(
        lora=config_pb2.Config.LoRaConfig(
            use_preset=True, modem_preset=config_pb2.Config.LoRaConfig.MEDIUM_FAST
        )
    )
    change = mirror.live(mesh_pb2.FromRadio(config=lora).SerializeToString(), NOW)
    assert change.config
    assert change.channels
    metadata = mesh_pb2.FromRadio(metadata=mesh_pb2.DeviceMetadata(firmware_version="2.7.27.x"))
    assert mirror.live(metadata.SerializeToString(), NOW).config
    assert mirror.metadata() == metadata.metadata.SerializeToString()
    assert len(replayed(mirror)) == len(before)


def test_configuration_without_a_place_is_not_taken() -> None:
    """Only a new capture can say where it belongs."""
    mirror = mirror_of("2.7.26")
    before = replayed(mirror)
    unknown = wire.bytes_field(packets.CONFIG, wire.bytes_field(60, b"\x08\x01"))
    assert not mirror.live(unknown, NOW)
    assert not mirror.live(wire.bytes_field(packets.CONFIG, b""), NOW)
    assert not mirror.live(wire.bytes_field(30, b"\x08\x01"), NOW)
    assert replayed(mirror) == before


def test_malformed_configuration_is_not_taken() -> None:
    """Nor does it break a replay without secrets."""
    mirror = mirror_of("2.7.26")
    before = replayed(mirror)
    broken = wire.bytes_field(packets.CONFIG, wire.bytes_field(8, b"\x12\x20short"))
    assert not mirror.live(broken, NOW)
    assert mirror.counters["malformed_frames"] == 1
    assert replayed(mirror) == before
    assert mirror.replay(ReplayKind.FULL, redacted=True) is not None


def test_unsolicited_node_info() -> None:
    """It replaces what was known, or adds a node."""
    mirror = mirror_of("2.7.26", 2)
    info = node_of(mirror, OTHER)
    info.is_favorite = True
    frame = mesh_pb2.FromRadio(node_info=info).SerializeToString() + wire.varint_field(1, 0)
    assert mirror.live(frame, NOW).nodes == {OTHER}
    assert raw_node(mirror, OTHER) == frame
    assert not mirror.live(frame, NOW)
    new = mesh_pb2.FromRadio(node_info=mesh_pb2.NodeInfo(num=STRANGER)).SerializeToString()
    assert mirror.live(new, NOW).new_nodes == {STRANGER}
    assert raw_node(mirror, STRANGER) == new


def test_other_identity_in_a_live_frame() -> None:
    """It is said, and nothing is changed."""
    mirror = mirror_of("2.7.26")
    before = replayed(mirror)
    info = mesh_pb2.FromRadio(my_info=mesh_pb2.MyNodeInfo(my_node_num=4711))
    change = mirror.live(info.SerializeToString(), NOW)
    assert change.identity
    assert replayed(mirror) == before
    same = mesh_pb2.FromRadio(my_info=mesh_pb2.MyNodeInfo(my_node_num=OWN, reboot_count=9))
    assert not mirror.live(same.SerializeToString(), NOW).identity
    assert replayed(mirror)[0] == same.SerializeToString()


def test_nothing_is_followed_before_a_capture() -> None:
    """There is nothing that could follow."""
    mirror = Mirror()
    assert not mirror.live(heard(OTHER, 1, b"x"), NOW)
    assert not mirror.apply_admin(wire.varint_field(39, OTHER))
    assert not mirror.has_snapshot
