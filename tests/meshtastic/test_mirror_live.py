"""How live frames keep the mirror current, and what they leave alone."""

from meshtastic.protobuf import channel_pb2, config_pb2, mesh_pb2, telemetry_pb2
import pytest

from custom_components.meshmonitor.meshtastic import packets, wire
from custom_components.meshmonitor.meshtastic.framing import FrameDecoder
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
    packet_in,
)

OWN = 0x0A000001
OTHER = 0x0A000002
STRANGER = 0x0A0000FF


def payloads(mirror: Mirror, kind: ReplayKind = ReplayKind.FULL) -> list[bytes]:
    """Return what would be replayed."""
    replay = mirror.replay(kind, redacted=False)
    assert replay is not None
    return FrameDecoder().feed(replay.data)


def node(mirror: Mirror, num: int) -> mesh_pb2.NodeInfo:
    """Return a node's info as a client would get it."""
    infos = [node_info_in(payload) for payload in payloads(mirror, ReplayKind.NODES)]
    return next(info for info in infos if info.num == num)


def raw_node(mirror: Mirror, num: int) -> bytes:
    """Return a node's frame as a client would get it."""
    return next(
        payload
        for payload in payloads(mirror, ReplayKind.NODES)
        if node_info_in(payload).num == num
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_live_recording_changes_nodes_alone(version: str) -> None:
    """A session's traffic leaves everything but the nodes as it was captured."""
    connection = connections(version)[1]
    mirror = captured(connection.dump)
    for payload in connection.live:
        mirror.live(payload, NOW)
    after = payloads(mirror)
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
        mirrored = node(mirror, expected.num)
        for info in (expected, mirrored):
            info.ClearField("snr")
            info.ClearField("last_heard")
            # The packet was heard at 13 bits; the firmware stores no blur of its own in 2.7.
            info.position.ClearField("precision_bits")
        assert mirrored == expected


def test_packet_of_a_known_node() -> None:
    """Time, signal and distance change; nothing else does, and nothing moves."""
    mirror = mirror_of("2.7.26", 2)
    before = node(mirror, OTHER)
    change = mirror.live(heard(OTHER, packets.TEXT_MESSAGE, b"hello", rx_snr=-3.25), NOW)
    assert change == MirrorChange(nodes=frozenset({OTHER}))
    after = node(mirror, OTHER)
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
    before = node(mirror, OTHER)
    mirror.live(heard(OTHER, 1, b"x", rx_snr=-17.0, hop_limit=1, hop_start=3), NOW)
    after = node(mirror, OTHER)
    assert after.snr == before.snr
    assert after.hops_away == 2


def test_unknown_distance_changes_no_distance() -> None:
    """Old firmware does not say how far a packet may go; others have changed it on the way."""
    mirror = mirror_of("2.7.26", 2)
    mirror.live(heard(OTHER, 1, b"x", hop_limit=1, hop_start=3), NOW)
    mirror.live(heard(OTHER, 1, b"x", hop_start=0, hop_limit=0, data_bitfield=None), NOW)
    assert node(mirror, OTHER).hops_away == 2
    mirror.live(heard(OTHER, 1, b"x", hop_start=2, hop_limit=3), NOW)
    assert node(mirror, OTHER).hops_away == 2
    mirror.live(heard(OTHER, 1, b"x", hop_start=0, hop_limit=0), NOW)
    assert node(mirror, OTHER).hops_away == 0


def test_way_over_mqtt_is_told() -> None:
    """And taken back when the node is heard by radio again."""
    mirror = mirror_of("2.7.26", 2)
    snr = node(mirror, OTHER).snr
    fields = {"via_mqtt": True, "rx_rssi": None, "rx_snr": None, "transport_mechanism": 5}
    mirror.live(heard(OTHER, 1, b"x", **fields), NOW)
    assert node(mirror, OTHER).via_mqtt
    assert node(mirror, OTHER).snr == snr
    mirror.live(heard(OTHER, 1, b"x"), NOW)
    assert not node(mirror, OTHER).via_mqtt


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
    assert node(mirror, OTHER).last_heard == expected


def test_time_does_not_run_backwards() -> None:
    """Packets that had waited in the radio come late; a time from the future is put right."""
    mirror = mirror_of("2.7.26", 2)
    mirror.live(heard(OTHER, 1, b"x", rx_time=int(NOW) - 10), NOW)
    mirror.live(heard(OTHER, 1, b"x", rx_time=int(NOW) - 600), NOW)
    assert node(mirror, OTHER).last_heard == int(NOW) - 10
    future = node(mirror, OTHER)
    future.last_heard = int(NOW) + 1_000_000
    mirror.live(mesh_pb2.FromRadio(node_info=future).SerializeToString(), NOW)
    mirror.live(heard(OTHER, 1, b"x", rx_time=int(NOW) - 5), NOW)
    assert node(mirror, OTHER).last_heard == int(NOW) - 5


def test_new_node() -> None:
    """A node that is heard for the first time is told, with what the packet says of it."""
    mirror = mirror_of("2.7.26")
    change = mirror.live(heard(STRANGER, 1, b"x", hop_limit=2), NOW)
    assert change.nodes == change.new_nodes == {STRANGER}
    info = node(mirror, STRANGER)
    assert info == mesh_pb2.NodeInfo(num=STRANGER, last_heard=int(NOW) - 5, hops_away=1)


def test_encrypted_packet_makes_no_node() -> None:
    """The radio could not read it either, and takes nothing from it."""
    mirror = mirror_of("2.7.26")
    packet = mesh_pb2.MeshPacket(encrypted=b"secret", id=5, channel=0x5A)
    setattr(packet, "from", STRANGER)
    assert not mirror.live(mesh_pb2.FromRadio(packet=packet).SerializeToString(), NOW)
    assert mirror.user_of(STRANGER) is None
    assert len(payloads(mirror, ReplayKind.NODES)) == 3


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
    nums = {node_info_in(payload).num for payload in payloads(mirror, ReplayKind.NODES)}
    assert nums == {OWN, OTHER, STRANGER + 1, STRANGER + 2, STRANGER + 3}
    for num in nums:
        mirror.apply_admin(wire.varint_field(39, num))
    assert not mirror.live(heard(STRANGER + 9, 1, b"x"), NOW)
    assert mirror.counters["nodes_refused"] == 1


# What nodes say of themselves


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
    info = node(mirror, STRANGER)
    user.id = f"!{STRANGER:08x}"
    assert info.user == user
    assert info.channel == 2
    assert mirror.public_key_of(STRANGER) == b"k" * 32


def test_known_key_is_never_replaced() -> None:
    """As in the firmware, such a packet changes nothing of the identity."""
    mirror = mirror_of("2.7.26", 2)
    before = node(mirror, OTHER).user
    forged = mesh_pb2.User(long_name="Mallory", public_key=b"m" * 32)
    mirror.live(user_packet(OTHER, forged.SerializeToString()), NOW)
    keyless = mesh_pb2.User(long_name="Mallory")
    mirror.live(user_packet(OTHER, keyless.SerializeToString()), NOW)
    assert node(mirror, OTHER).user == before
    renamed = mesh_pb2.User(
        id=before.id,
        long_name="Renamed",
        macaddr=before.macaddr,
        public_key=before.public_key,
    )
    mirror.live(user_packet(OTHER, renamed.SerializeToString()), NOW)
    assert node(mirror, OTHER).user == renamed


def test_name_that_is_no_utf8() -> None:
    """It reaches clients as something that they can read."""
    mirror = mirror_of("2.7.26")
    name = "Zoë".encode()[:-1] + b"\xff!"
    user = wire.bytes_field(2, name) + wire.bytes_field(3, b"\xf0\x9f\x98")
    assert mirror.live(user_packet(STRANGER, user), NOW).nodes == {STRANGER}
    info = node(mirror, STRANGER)
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
    before = node(mirror, OTHER)
    assert mirror.live(heard(OTHER, portnum, content), NOW).nodes == {OTHER}
    after = node(mirror, OTHER)
    assert after.last_heard == int(NOW) - 5
    assert after.user == before.user
    assert after.position == before.position
    assert after.device_metrics == before.device_metrics
    restored = Mirror()
    restored.restore(mirror.snapshot())
    assert payloads(restored, ReplayKind.NODES) == payloads(mirror, ReplayKind.NODES)


def test_position_packet_on_firmware_that_tells_it_in_node_infos() -> None:
    """What the firmware keeps of a position is told: a time that is missing stays."""
    mirror = mirror_of("2.7.26", 2)
    known = node(mirror, OTHER).position
    sent = mesh_pb2.Position(
        latitude_i=-33_8688000,
        longitude_i=151_2093000,
        altitude=-4,
        ground_speed=12,
        sats_in_view=8,
        precision_bits=14,
    )
    mirror.live(heard(OTHER, packets.POSITION, sent.SerializeToString()), NOW)
    assert node(mirror, OTHER).position == mesh_pb2.Position(
        latitude_i=-33_8688000,
        longitude_i=151_2093000,
        altitude=-4,
        time=known.time,
        precision_bits=14,
    )
    only_time = mesh_pb2.Position(time=int(NOW))
    mirror.live(heard(OTHER, packets.POSITION, only_time.SerializeToString()), NOW)
    assert node(mirror, OTHER).position.time == int(NOW)
    assert node(mirror, OTHER).position.latitude_i == -33_8688000
    assert mirror.after_complete(ReplayKind.FULL) == []


def test_telemetry_packet_on_firmware_that_tells_it_in_node_infos() -> None:
    """Device metrics are told, explicit zeros included; other kinds are none of them."""
    mirror = mirror_of("2.7.26", 2)
    sent = telemetry_pb2.Telemetry(
        device_metrics=telemetry_pb2.DeviceMetrics(battery_level=55, voltage=0.0)
    )
    mirror.live(heard(OTHER, packets.TELEMETRY, sent.SerializeToString()), NOW)
    metrics = node(mirror, OTHER).device_metrics
    assert metrics == sent.device_metrics
    assert metrics.HasField("voltage")
    other = telemetry_pb2.Telemetry(
        environment_metrics=telemetry_pb2.EnvironmentMetrics(temperature=21.5)
    )
    mirror.live(heard(OTHER, packets.TELEMETRY, other.SerializeToString()), NOW)
    assert node(mirror, OTHER).device_metrics == sent.device_metrics
    # A request is an empty measurement.
    request = telemetry_pb2.Telemetry(device_metrics=telemetry_pb2.DeviceMetrics())
    mirror.live(heard(OTHER, packets.TELEMETRY, request.SerializeToString()), NOW)
    assert node(mirror, OTHER).device_metrics == sent.device_metrics


def test_own_packets() -> None:
    """The radio's own measurements are told of it; it never hears itself."""
    mirror = mirror_of("2.8.0-dev")
    own = mirror.my_node_num
    assert own is not None
    before = node(mirror, own)
    sent = telemetry_pb2.Telemetry(device_metrics=telemetry_pb2.DeviceMetrics(battery_level=55))
    packet = heard(own, packets.TELEMETRY, sent.SerializeToString(), priority=10, rx_rssi=None)
    assert mirror.live(packet, NOW).nodes == {own}
    info = node(mirror, own)
    assert info.device_metrics == sent.device_metrics
    info.ClearField("device_metrics")
    before.ClearField("device_metrics")
    assert info == before
    assert not mirror.live(heard(own, packets.ROUTING, b"\x18\x00", to=own), NOW)


# Configuration frames


def test_configuration_frames_replace_their_own() -> None:
    """Byte for byte, in their place; the change says what they are."""
    mirror = mirror_of("2.7.26")
    before = payloads(mirror)
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
    after = payloads(mirror)
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
    assert len(payloads(mirror)) == len(before)


def test_configuration_without_a_place_is_not_taken() -> None:
    """Only a new capture can say where it belongs."""
    mirror = mirror_of("2.7.26")
    before = payloads(mirror)
    unknown = wire.bytes_field(packets.CONFIG, wire.bytes_field(60, b"\x08\x01"))
    assert not mirror.live(unknown, NOW)
    assert not mirror.live(wire.bytes_field(packets.CONFIG, b""), NOW)
    assert not mirror.live(wire.bytes_field(30, b"\x08\x01"), NOW)
    assert payloads(mirror) == before


def test_malformed_configuration_is_not_taken() -> None:
    """Nor does it break a replay without secrets."""
    mirror = mirror_of("2.7.26")
    before = payloads(mirror)
    broken = wire.bytes_field(packets.CONFIG, wire.bytes_field(8, b"\x12\x20short"))
    assert not mirror.live(broken, NOW)
    assert mirror.counters["malformed_frames"] == 1
    assert payloads(mirror) == before
    assert mirror.replay(ReplayKind.FULL, redacted=True) is not None


def test_unsolicited_node_info() -> None:
    """It replaces what was known, or adds a node."""
    mirror = mirror_of("2.7.26", 2)
    info = node(mirror, OTHER)
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
    before = payloads(mirror)
    info = mesh_pb2.FromRadio(my_info=mesh_pb2.MyNodeInfo(my_node_num=4711))
    change = mirror.live(info.SerializeToString(), NOW)
    assert change.identity
    assert payloads(mirror) == before
    same = mesh_pb2.FromRadio(my_info=mesh_pb2.MyNodeInfo(my_node_num=OWN, reboot_count=9))
    assert not mirror.live(same.SerializeToString(), NOW).identity
    assert payloads(mirror)[0] == same.SerializeToString()


def test_nothing_is_followed_before_a_capture() -> None:
    """There is nothing that could follow."""
    mirror = Mirror()
    assert not mirror.live(heard(OTHER, 1, b"x"), NOW)
    assert not mirror.remember_replayed(heard(OTHER, 3, b"x"), NOW)
    assert not mirror.apply_admin(wire.varint_field(39, OTHER))
    assert not mirror.has_snapshot


# What firmware 2.8 tells again after a dump


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
    before = payloads(mirror)
    for payload in replays(5):
        mirror.live(payload, NOW)
    assert payloads(mirror) == before
    stranger = mesh_pb2.FromRadio.FromString(replays(5)[0])
    setattr(stranger.packet, "from", STRANGER)
    assert not mirror.live(stranger.SerializeToString(), NOW)
    assert mirror.counters["replays_dropped"] == 1
    assert payloads(mirror) == before


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
    info = node(mirror, sender)
    assert not info.HasField("position")
    assert info.last_heard == int(NOW) - 5
