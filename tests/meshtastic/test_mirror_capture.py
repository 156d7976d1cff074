"""What is captured, when it is served, and what clients and policy can look up in it."""

from meshtastic.protobuf import admin_pb2, config_pb2, mesh_pb2, module_config_pb2, xmodem_pb2
import pytest

from custom_components.meshmonitor.meshtastic import packets, wire
from custom_components.meshmonitor.meshtastic.admin import AdminQuery
from custom_components.meshmonitor.meshtastic.mirror import MAX_ADMIN_ANSWERS, MAX_CAPTURE, Mirror
from custom_components.meshmonitor.meshtastic.policy import MirrorView
from custom_components.meshmonitor.meshtastic.replay import ReplayKind
from tests.meshtastic.recorded import (
    NOW,
    VERSIONS,
    captured,
    connections,
    heard,
    mirror_of,
    packet_in,
    replayed,
)

OWN = 0x0A000001
OTHER = 0x0A000002


@pytest.mark.parametrize(
    "frame",
    [
        mesh_pb2.FromRadio(packet=mesh_pb2.MeshPacket(id=1)),
        mesh_pb2.FromRadio(rebooted=True),
        mesh_pb2.FromRadio(queueStatus=mesh_pb2.QueueStatus(free=16)),
        mesh_pb2.FromRadio(clientNotification=mesh_pb2.ClientNotification(message="x")),
        mesh_pb2.FromRadio(mqttClientProxyMessage=mesh_pb2.MqttClientProxyMessage(topic="x")),
        mesh_pb2.FromRadio(log_record=mesh_pb2.LogRecord(message="x")),
        mesh_pb2.FromRadio(config_complete_id=7),
        mesh_pb2.FromRadio(xmodemPacket=xmodem_pb2.XModem(seq=1)),
        mesh_pb2.FromRadio(lockdown_status=mesh_pb2.LockdownStatus()),
        mesh_pb2.FromRadio(id=3),
        mesh_pb2.FromRadio(),
    ],
    ids=lambda frame: frame.WhichOneof("payload_variant") or "none",
)
def test_live_frames_are_no_configuration(frame: mesh_pb2.FromRadio) -> None:
    """What happens to come amid a dump is for whoever follows live frames."""
    dump = connections("2.7.26")[1].dump
    mirror = Mirror()
    mirror.begin_capture()
    for payload in dump[:20]:
        assert mirror.capture(payload)
    assert not mirror.capture(frame.SerializeToString())
    for payload in dump[20:]:
        assert mirror.capture(payload)
    assert mirror.complete_capture().is_complete
    assert replayed(mirror) == dump


@pytest.mark.parametrize("number", [19, 20, 30, 1000])
def test_unknown_variants_are_configuration(number: int) -> None:
    """What is newer than the schema stays where it stood, among the nodes as well."""
    dump = list(connections("2.7.26")[2].dump)
    unknown = wire.bytes_field(number, b"\x0a\x03new")
    dump.insert(10, unknown)
    last_node = max(index for index, payload in enumerate(dump) if packets.variant(payload)[0] == 4)
    dump.insert(last_node, unknown)
    mirror = captured(dump)
    assert replayed(mirror) == dump
    assert [packets.variant(payload)[0] for payload in replayed(mirror, ReplayKind.NODES)] == [
        packets.NODE_INFO
    ] * 3
    assert replayed(mirror, ReplayKind.CONFIG).count(unknown) == 2


def test_half_a_capture_is_never_served() -> None:
    """Until the new one is complete, the old one is; a lost link changes nothing."""
    first, second = (connections("2.7.26")[number].dump for number in (1, 2))
    mirror = captured(first)
    mirror.begin_capture()
    for payload in second[:-1]:
        mirror.capture(payload)
    assert replayed(mirror) == first
    mirror.abandon_capture()
    assert not mirror.capture(second[0])
    assert not mirror.complete_capture().is_complete
    assert replayed(mirror) == first
    mirror.begin_capture()
    for payload in second:
        mirror.capture(payload)
    assert mirror.complete_capture().is_complete
    assert replayed(mirror) == second


def test_new_capture_begins_from_nothing() -> None:
    """A second request voids what the first one had brought."""
    dump = connections("2.7.26")[1].dump
    mirror = Mirror()
    mirror.begin_capture()
    for payload in dump[:12]:
        mirror.capture(payload)
    mirror.begin_capture()
    for payload in dump:
        mirror.capture(payload)
    assert mirror.complete_capture().is_complete
    assert replayed(mirror) == dump


def test_rest_of_an_earlier_answer_is_no_part_of_it() -> None:
    """A serial port still brings what a program before us had asked for."""
    dump = connections("2.7.26")[2].dump
    assert packets.variant(dump[0])[0] == packets.MY_INFO
    assert replayed(captured(dump[12:] + dump)) == dump
    assert replayed(captured(dump[:20] + dump)) == dump


@pytest.mark.parametrize("missing", [packets.MY_INFO, packets.NODE_INFO])
def test_capture_without_identity_is_not_complete(missing: int) -> None:
    """A client could not use it, so the earlier one stays."""
    dump = connections("2.7.26")[1].dump
    mirror = captured(dump)
    mirror.begin_capture()
    for payload in dump:
        if packets.variant(payload)[0] != missing:
            mirror.capture(payload)
    result = mirror.complete_capture()
    assert not result.is_complete
    assert result.problem
    assert not result.change
    assert replayed(mirror) == dump
    assert mirror.counters["incomplete_captures"] == 1


def test_another_radio_is_not_taken_over_unasked() -> None:
    """The caller decides whether the address now belongs to the other radio."""
    ours, other = connections("2.7.26")[1].dump, connections("2.8.0-dev")[1].dump
    mirror = captured(ours)
    mirror.remember_admin_answer(AdminQuery(10), b"\x5a\x00")
    mirror.begin_capture()
    for payload in other:
        mirror.capture(payload)
    result = mirror.complete_capture()
    assert result.is_complete
    assert result.identity_changed
    assert replayed(mirror) == ours
    change = mirror.adopt_capture()
    assert replayed(mirror) == other
    assert change.new_nodes == change.nodes == frozenset(mirror.state.nodes if mirror.state else ())
    assert not change.removed_nodes
    assert mirror.admin_answer(AdminQuery(10)) is None
    assert not mirror.adopt_capture()


def test_cleared_mirror_knows_nothing() -> None:
    """Neither what was served nor what was about to be."""
    mirror = mirror_of("2.7.26")
    mirror.begin_capture()
    for payload in connections("2.8.0-dev")[1].dump:
        mirror.capture(payload)
    assert mirror.complete_capture().identity_changed
    mirror.clear()
    assert not mirror.adopt_capture()
    assert not mirror.has_snapshot
    assert mirror.my_node_num is None
    assert mirror.own_user() is None
    assert mirror.config(6) is None
    assert mirror.replay(ReplayKind.FULL, redacted=True) is None


def test_capture_says_what_came_and_went() -> None:
    """Nodes that the radio has forgotten meanwhile are named."""
    mirror = mirror_of("2.7.26", 2)
    mirror.live(heard(0x0A0000FF, packets.TEXT_MESSAGE, b"x"), NOW)
    mirror.begin_capture()
    for payload in connections("2.7.26")[2].dump:
        mirror.capture(payload)
    change = mirror.complete_capture().change
    assert change.removed_nodes == {0x0A0000FF}
    assert not change.new_nodes
    assert change.nodes == {OWN, OTHER, 0x0A000003}


def test_what_was_heard_survives_a_new_capture() -> None:
    """The radio stores less than what was heard."""
    mirror = mirror_of("2.7.26", 2)
    position = mesh_pb2.Position(latitude_i=52_0000000, longitude_i=4_0000000, sats_in_view=9)
    relayed = heard(
        OTHER, packets.POSITION, position.SerializeToString(), hop_limit=2, relay_node=0x42
    )
    mirror.live(relayed, NOW)
    mirror.begin_capture()
    for payload in connections("2.7.26")[2].dump:
        mirror.capture(payload)
    mirror.complete_capture()
    assert mirror.state is not None
    record = mirror.state.nodes[OTHER]
    assert record.readings[packets.POSITION, 0].payload == position.SerializeToString()
    assert record.relay == 0x42


@pytest.mark.parametrize("num", [0, 1, 0xFFFFFFFF])
def test_no_node_has_a_reserved_number(num: int) -> None:
    """Some radios tell of them; clients would show ghosts."""
    dump = connections("2.7.26")[2].dump
    ghost = mesh_pb2.FromRadio(node_info=mesh_pb2.NodeInfo(num=num, snr=1.0)).SerializeToString()
    mirror = captured([*dump[:36], ghost, *dump[36:]])
    assert replayed(mirror) == dump
    assert not mirror.live(ghost, NOW)
    assert not mirror.live(heard(num, packets.TEXT_MESSAGE, b"boo"), NOW)
    assert replayed(mirror) == dump


def test_node_told_twice_stands_once() -> None:
    """The radio sorts its nodes while it tells them: the later word counts."""
    dump = list(connections("2.7.26")[2].dump)
    first = next(
        index for index, payload in enumerate(dump[3:], 3) if packets.variant(payload)[0] == 4
    )
    again = mesh_pb2.FromRadio.FromString(dump[first])
    again.node_info.snr = 9.75
    mirror = captured([*dump[: first + 2], again.SerializeToString(), *dump[first + 2 :]])
    dump[first] = again.SerializeToString()
    assert replayed(mirror) == dump


def test_malformed_frames_are_counted_and_left_out() -> None:
    """Apps close their connection for one; a half-read configuration is none either."""
    dump = connections("2.7.26")[1].dump
    mirror = Mirror()
    mirror.begin_capture()
    broken = [b"\x0a", b"\x2a\x03\x42\x05\x12", b"\x22\x01\x08"]
    for payload in [*dump[:10], *broken, *dump[10:]]:
        assert mirror.capture(payload)
    assert mirror.complete_capture().is_complete
    assert replayed(mirror) == dump
    assert mirror.counters["malformed_frames"] == len(broken)


def test_capture_is_bounded() -> None:
    """A radio gone mad does not fill the memory."""
    mirror = Mirror()
    mirror.begin_capture()
    dump = connections("2.7.26")[1].dump
    for payload in dump:
        mirror.capture(payload)
    for _ in range(MAX_CAPTURE):
        assert mirror.capture(b"\x7a\x00")
    assert mirror.counters["capture_overflow"] == len(dump)
    assert mirror.complete_capture().is_complete
    assert len(replayed(mirror)) == MAX_CAPTURE


@pytest.mark.parametrize("version", VERSIONS)
def test_answers_what_the_policy_asks(version: str) -> None:
    """All that a client may read of the radio is there, as the radio sent it."""
    mirror: MirrorView = mirror_of(version)
    frames = [mesh_pb2.FromRadio.FromString(payload) for payload in connections(version)[1].dump]
    own = frames[0].my_info.my_node_num
    assert mirror.my_node_num == own
    user = next(frame.node_info.user for frame in frames if frame.HasField("node_info"))
    assert mesh_pb2.User.FromString(mirror.own_user() or b"") == user
    assert mirror.user_of(own) == mirror.own_user()
    assert mirror.user_of(4711) is None
    for index in range(8):
        channel = next(
            frame.channel
            for frame in frames
            if frame.HasField("channel") and frame.channel.index == index
        )
        assert mirror.channel(index) == channel.SerializeToString()
    assert mirror.channel(8) is None
    for tag in range(1, 11):
        config = config_pb2.Config.FromString(mirror.config(tag) or b"")
        name = config.WhichOneof("payload_variant")
        assert name is not None
        assert config.DESCRIPTOR.fields_by_name[name].number == tag
    assert mirror.config(11) is None
    for tag in range(1, 14):
        module = module_config_pb2.ModuleConfig.FromString(mirror.module_config(tag) or b"")
        member = module.WhichOneof("payload_variant")
        assert member is not None
        assert module.DESCRIPTOR.fields_by_name[member].number == tag
    metadata = next(frame.metadata for frame in frames if frame.HasField("metadata"))
    assert mirror.metadata() == metadata.SerializeToString()
    ui = next(frame.deviceuiConfig for frame in frames if frame.HasField("deviceuiConfig"))
    assert mirror.ui_config() == ui.SerializeToString()
    assert not mirror.is_managed()


def test_knows_a_managed_radio() -> None:
    """Such a radio answers no local administration."""
    mirror = mirror_of("2.7.26")
    config = config_pb2.Config(security=config_pb2.Config.SecurityConfig(is_managed=True))
    mirror.live(mesh_pb2.FromRadio(config=config).SerializeToString(), NOW)
    assert mirror.is_managed()


def test_keys_are_bytes_of_the_right_length() -> None:
    """A node without one has none."""
    mirror = mirror_of("2.7.26", 2)
    user = mesh_pb2.User.FromString(mirror.user_of(OTHER) or b"")
    mirror.live(heard(0x0A0000FF, packets.TEXT_MESSAGE, b"x"), NOW)
    assert mirror.state is not None
    assert mirror.state.nodes[OTHER].public_key == user.public_key
    assert len(user.public_key) == 32
    assert mirror.state.nodes[0x0A0000FF].public_key is None


def test_admin_answers_are_kept_and_bounded() -> None:
    """The newest ones stay."""
    mirror = mirror_of("2.7.26")
    for index in range(MAX_ADMIN_ANSWERS + 1):
        mirror.remember_admin_answer(AdminQuery(5, index), bytes((index,)))
    assert mirror.admin_answer(AdminQuery(5, 0)) is None
    assert mirror.admin_answer(AdminQuery(5, MAX_ADMIN_ANSWERS)) == bytes((MAX_ADMIN_ANSWERS,))
    assert mirror.admin_answer(AdminQuery(5, 1)) == b"\x01"


def test_admin_answers_are_those_of_a_session() -> None:
    """What was asked in an earlier one may have been set since, at the radio itself."""
    mirror = mirror_of("2.7.26")
    mirror.remember_admin_answer(AdminQuery(14), b"tune")
    mirror.begin_capture()
    for payload in connections("2.7.26")[1].dump:
        mirror.capture(payload)
    assert mirror.admin_answer(AdminQuery(14)) == b"tune"
    assert mirror.complete_capture().is_complete
    assert mirror.admin_answer(AdminQuery(14)) is None


def test_own_readings_answer_while_they_are_fresh() -> None:
    """Telemetry by variant, and the position; each as the radio sent it."""
    mirror = mirror_of("2.7.26")
    live = [
        payload
        for payload in connections("2.7.26")[1].live
        if packets.variant(payload)[0] == packets.PACKET
    ]
    own_telemetry = [
        mesh_pb2.FromRadio.FromString(payload).packet.decoded.payload
        for payload in live
        if packets.parse_packet(packet_in(payload)).portnum == packets.TELEMETRY
        and packets.parse_packet(packet_in(payload)).sender == OWN
    ]
    assert mirror.recent_telemetry(2, NOW, 60) is None
    for payload in live:
        mirror.live(payload, NOW)
    assert mirror.recent_telemetry(2, NOW + 60, 60) == own_telemetry[-1]
    assert mirror.recent_telemetry(2, NOW + 61, 60) is None
    assert mirror.recent_telemetry(6, NOW, 60) is None
    assert mirror.recent_position(NOW, 60) is None
    position = mesh_pb2.Position(latitude_i=1, longitude_i=2).SerializeToString()
    mirror.live(heard(OWN, packets.POSITION, position), NOW)
    assert mirror.recent_position(NOW, 60) == position
    assert mirror.own_position() == position


def test_admin_answers_of_the_radio_are_learned() -> None:
    """What it answers about itself is newer than what was captured."""
    mirror = mirror_of("2.7.26")
    lora = config_pb2.Config(lora=config_pb2.Config.LoRaConfig(hop_limit=6, use_preset=True))
    answer = admin_pb2.AdminMessage(get_config_response=lora, session_passkey=b"12345678")
    frame = heard(OWN, 6, answer.SerializeToString(), to=OWN, data_request_id=4711)
    assert mirror.live(frame, NOW).config
    assert mirror.config(6) == lora.SerializeToString()
    assert not mirror.live(frame, NOW)
    # Another node's answer is about that node.
    foreign = admin_pb2.AdminMessage(
        get_config_response=config_pb2.Config(lora=config_pb2.Config.LoRaConfig(hop_limit=2))
    )
    mirror.live(heard(OTHER, 6, foreign.SerializeToString(), to=OWN), NOW)
    assert mirror.config(6) == lora.SerializeToString()
    owner = admin_pb2.AdminMessage(get_owner_response=mesh_pb2.User(long_name="Renamed"))
    assert mirror.live(heard(OWN, 6, owner.SerializeToString(), to=OWN), NOW).nodes == {OWN}
    assert mesh_pb2.User.FromString(mirror.own_user() or b"").long_name == "Renamed"
