"""What the phones learn when the radio restarts, changes, or is another one."""

import asyncio

from meshtastic.protobuf import channel_pb2, config_pb2, mesh_pb2, telemetry_pb2
import pytest

from custom_components.meshmonitor.mesh.source import (
    MessageReceived,
    NodeChanged,
    Problem,
    ProblemChanged,
)
from custom_components.meshmonitor.meshtastic import wire
from tests.clients.meshtastic_phone import MeshtasticPhone, frame
from tests.meshtastic.e2e.conftest import OpenStage
from tests.meshtastic.e2e.stage import PORT, Stage
from tests.simulators.meshtastic_config import NodeConfig
from tests.simulators.meshtastic_faults import Cut

CONFIGURATION = {
    "my_info",
    "config",
    "moduleConfig",
    "channel",
    "metadata",
    "fileInfo",
    "deviceuiConfig",
    "config_complete_id",
}
RESYNC_DELAY = "custom_components.meshmonitor.meshtastic.switchboard.RESYNC_DELAY"


def _since(phone: MeshtasticPhone, start: int) -> set[str | None]:
    return {m.WhichOneof("payload_variant") for m in phone.messages(start)}


def _reboots(phone: MeshtasticPhone) -> int:
    return sum(m.rebooted for m in phone.messages())


async def _quiet(stage: Stage, *phones: MeshtasticPhone) -> None:
    """Wait until a change would have been told, and all that was said has come."""
    marks = [_reboots(phone) for phone in phones]
    await asyncio.sleep(0.25)
    await stage.settle()
    assert [_reboots(phone) for phone in phones] == marks


async def test_a_radio_that_restarts_unchanged_disturbs_nobody(stage: Stage) -> None:
    """Clients stay, hear no stray configuration, and go on where they were."""
    phone = await stage.phone()
    start = len(phone.payloads)
    await stage.node.reboot()
    await stage.until_ready(sessions=2)
    await _quiet(stage, phone)
    assert not _since(phone, start) & CONFIGURATION
    assert not phone.closed
    assert _reboots(phone) == 0
    assert await phone.outcome(phone.send_text("still here")) == [0]
    assert len(stage.node.want_configs) == 2


async def test_a_radio_that_comes_back_changed_is_read_anew_by_all(stage: Stage) -> None:
    """By the one word that every client answers with a new handshake."""
    phones = [await stage.phone(nonce=69420), await stage.phone()]
    silent = await stage.connect()
    starts = [len(phone.payloads) for phone in phones]
    stage.node.state.configs["lora"].lora.hop_limit = 6
    await stage.node.reboot()
    for phone, start in zip(phones, starts, strict=True):
        await phone.wait_for(lambda phone=phone: _reboots(phone) == 1)  # type: ignore[misc]
        assert not _since(phone, start) & CONFIGURATION
        dump = [mesh_pb2.FromRadio.FromString(p) for p in await phone.want_config(9)]
        assert [m.config.lora.hop_limit for m in dump if m.config.HasField("lora")] == [6]
    assert silent.payloads == []
    await _quiet(stage, *phones)


async def test_nodes_that_appeared_while_the_radio_was_away_are_read(stage: Stage) -> None:
    """They are in no frame that a client heard."""
    phone = await stage.phone()
    stage.node.refuse()
    stage.node.drop()
    await stage.until(lambda: not stage.source.link.is_ready)
    stranger = stage.node.mesh.add(0x12345678, "Newcomer", "NEW")
    stage.node.state.heard(stranger.num).user.CopyFrom(stranger.user)
    await stage.node.listen()
    await phone.wait_for(lambda: _reboots(phone) == 1)
    nodes = [mesh_pb2.FromRadio.FromString(p).node_info.num for p in await phone.want_config(9)]
    assert stranger.num in nodes


async def test_a_phone_that_read_the_new_state_is_not_told_to(
    open_stage: OpenStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came between the change and the word about it."""
    monkeypatch.setattr(RESYNC_DELAY, 0.5)
    stage = await open_stage()
    old = await stage.phone()
    stage.node.state.configs["lora"].lora.hop_limit = 6
    await stage.node.reboot()
    await stage.until_ready(sessions=2)
    new = await stage.phone()
    await old.wait_for(lambda: _reboots(old) == 1)
    await stage.settle()
    assert _reboots(new) == 0


async def test_a_phone_that_read_only_the_nodes_since_is_told(
    open_stage: OpenStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The configuration changed between the two halves of its handshake."""
    monkeypatch.setattr(RESYNC_DELAY, 0.5)
    stage = await open_stage()
    phone = await stage.phone(nonce=69420)
    stage.node.state.configs["lora"].lora.hop_limit = 6
    await stage.node.reboot()
    await stage.until_ready(sessions=2)
    await phone.want_config(69421)
    assert _reboots(phone) == 0
    await phone.wait_for(lambda: _reboots(phone) == 1)
    await phone.want_config(69420)
    await phone.want_config(69421)
    await _quiet(stage, phone)


async def test_live_configuration_reaches_nobody_as_it_is(stage: Stage) -> None:
    """It spoils what some apps know; they read it in a handshake instead."""
    phone = await stage.phone()
    start = len(phone.payloads)
    channel = channel_pb2.Channel(index=1, role=channel_pb2.Channel.Role.SECONDARY)
    channel.settings.name = "Renamed"
    await stage.node.change_channel(channel)
    device = config_pb2.Config()
    device.CopyFrom(stage.node.state.configs["device"])
    device.device.node_info_broadcast_secs = 60
    await stage.node.change_config(device)
    for message in (
        mesh_pb2.FromRadio(config_complete_id=12345),
        mesh_pb2.FromRadio(my_info=mesh_pb2.MyNodeInfo(my_node_num=stage.own, reboot_count=77)),
    ):
        await stage.node.send_raw(message.SerializeToString())
    await phone.wait_for(lambda: _reboots(phone) == 1)
    assert not _since(phone, start) & CONFIGURATION
    dump = [mesh_pb2.FromRadio.FromString(p) for p in await phone.want_config(9)]
    assert "Renamed" in [m.channel.settings.name for m in dump]
    assert [m.my_info.reboot_count for m in dump if m.HasField("my_info")] == [77]
    await _quiet(stage, phone)
    assert len(stage.node.want_configs) == 1


async def test_a_word_of_restart_is_not_kept(stage: Stage) -> None:
    """A ``rebooted`` that was replayed would have clients ask for ever."""
    phone = await stage.phone()
    await stage.node.send_raw(mesh_pb2.FromRadio(rebooted=True).SerializeToString())
    await stage.node.wait_for(lambda: len(stage.node.want_configs) == 2)
    await stage.until_ready(sessions=2)
    assert not any(mesh_pb2.FromRadio.FromString(p).rebooted for p in await phone.want_config(9))
    assert len({r.connection for r in stage.node.received}) == 1


async def test_another_radio_at_the_same_address_ends_all_connections(
    open_stage: OpenStage,
) -> None:
    """Nothing of the old radio is served after that, and its owner is told."""
    node = NodeConfig(num=0x11111111)
    stage = await open_stage(node, expected_node_id="!11111111")
    phone, handshaking = await stage.phone(), await stage.connect()
    start = len(phone.payloads)
    stage.node.become(0x22222222)
    await stage.node.reboot()
    await phone.wait_closed()
    await handshaking.wait_closed()
    assert not _since(phone, start) & CONFIGURATION
    await stage.until_ready(sessions=2)
    back = await stage.phone()
    infos = [m.my_info.my_node_num for m in back.messages() if m.HasField("my_info")]
    assert infos == [0x22222222]
    assert 0x11111111 not in [m.node_info.num for m in back.messages()]
    (problem,) = stage.told(ProblemChanged)
    assert (problem.problem, problem.is_active) == (Problem.OTHER_IDENTITY, True)
    assert problem.placeholders == {"expected": "!11111111", "found": "!22222222"}
    await _quiet(stage, back)

    stage.node.become(0x11111111)
    await stage.node.reboot()
    await stage.until(lambda: len(stage.told(ProblemChanged)) == 2)
    assert not stage.told(ProblemChanged)[-1].is_active


async def test_what_waits_for_one_radio_is_not_sent_by_another(open_stage: OpenStage) -> None:
    """Its ids and keys belong to the first."""
    stage = await open_stage()
    phone = await stage.phone()
    stage.node.refuse()
    stage.node.drop()
    await stage.until(lambda: not stage.source.link.is_ready)
    packet_id = phone.send_text("for the old one")
    await phone.barrier()
    stage.node.become(0x22222222)
    await stage.node.listen()
    await phone.wait_closed()
    await stage.until_ready(sessions=2)
    assert phone.routing_errors(packet_id) == [4]
    assert stage.node.texts() == []


async def test_a_snapshot_is_served_whole_while_the_next_one_arrives(
    open_stage: OpenStage,
) -> None:
    """Half a configuration is never served, however often the radio breaks off."""
    stage = await open_stage()
    whole = await (await stage.phone()).want_config(5)
    stage.node.faults.cut = Cut(after_frames=20, times=3)
    stage.node.drop()
    await stage.node.wait_for(lambda: len(stage.node.want_configs) >= 3)
    assert await (await stage.phone()).want_config(5) == whole
    await stage.until_ready(sessions=2)
    assert len(await (await stage.phone()).want_config(5)) == len(whole)


async def test_a_phone_amid_its_handshake_is_not_hurt_by_a_restart(stage: Stage) -> None:
    """Its second half is answered from the last snapshot, in one piece."""
    phone = await stage.phone(nonce=69420)
    stage.node.refuse()
    stage.node.drop()
    await stage.until(lambda: not stage.source.link.is_ready)
    nodes = await phone.want_config(69421)
    assert mesh_pb2.FromRadio.FromString(nodes[0]).node_info.num == stage.own
    assert not phone.closed


async def test_stored_readings_follow_the_dump_and_are_history(open_stage: OpenStage) -> None:
    """Firmware 2.8 tells them after the dump; every later phone gets them there as well."""
    stage = await open_stage(NodeConfig(flavour="2.8"))
    await stage.settle()
    direct = stage.node.state.nodes
    with_position = {num for num, info in direct.items() if info.HasField("position")}
    for nonce, expected in ((5, True), (69421, True), (69420, False)):
        phone = await stage.phone(nonce=nonce)
        await phone.barrier()
        kinds = [m.WhichOneof("payload_variant") for m in phone.messages()]
        after = phone.messages(kinds.index("config_complete_id") + 1)
        told = {
            getattr(m.packet, "from")
            for m in after
            if m.packet.decoded.portnum == PORT.POSITION_APP
        }
        assert told == (with_position if expected else set())
        assert "packet" not in kinds[: kinds.index("config_complete_id")]
    telemetry = phone.packets(PORT.TELEMETRY_APP)
    assert telemetry == []
    assert stage.told(MessageReceived) == []
    nodes = stage.source.nodes
    placed = {num for num in with_position if nodes[f"!{num:08x}"].position is not None}
    assert placed == with_position
    heard = {e.node.node_id: e.node.last_heard for e in stage.told(NodeChanged)}
    for num, info in direct.items():
        assert heard[f"!{num:08x}"] == (info.last_heard or None)


async def test_a_live_reading_replaces_the_stored_one(open_stage: OpenStage) -> None:
    """A later phone sees the newest, once."""
    stage = await open_stage(NodeConfig(flavour="2.8"))
    await stage.settle()
    peer = stage.node.peer(0)
    assert peer.metrics.battery_level != 42
    metrics = telemetry_pb2.DeviceMetrics(battery_level=42)
    await stage.node.send_telemetry(peer.num, telemetry_pb2.Telemetry(device_metrics=metrics))
    await stage.settle()
    phone = await stage.phone()
    await phone.barrier()
    found = [
        telemetry_pb2.Telemetry.FromString(p.decoded.payload).device_metrics.battery_level
        for p in phone.packets(PORT.TELEMETRY_APP)
        if getattr(p, "from") == peer.num
        and telemetry_pb2.Telemetry.FromString(p.decoded.payload).HasField("device_metrics")
    ]
    assert found == [42]


async def test_a_later_phone_reads_what_was_heard_since_the_dump(stage: Stage) -> None:
    """Names, places, measurements and strangers, in the node infos of 2.7."""
    peer, stranger = stage.node.peer(1), stage.node.mesh.add(0x12345678, "Newcomer", "NEW")
    user = mesh_pb2.User()
    user.CopyFrom(peer.user)
    user.long_name = "Renamed"
    await stage.node.send_node_info(peer.num, user)
    await stage.node.send_node_info(stranger.num)
    await stage.node.send_position(peer.num, mesh_pb2.Position(latitude_i=5, longitude_i=6))
    metrics = telemetry_pb2.DeviceMetrics(battery_level=42)
    await stage.node.send_telemetry(peer.num, telemetry_pb2.Telemetry(device_metrics=metrics))
    first = await stage.phone()
    await stage.settle()
    dump = [mesh_pb2.FromRadio.FromString(payload) for payload in await first.want_config(3)]
    nodes = {m.node_info.num: m.node_info for m in dump if m.HasField("node_info")}
    info = nodes[peer.num]
    assert info.user.long_name == "Renamed"
    assert (info.position.latitude_i, info.position.longitude_i) == (5, 6)
    assert info.device_metrics.battery_level == 42
    assert info.snr == stage.node.state.nodes[peer.num].snr
    assert nodes[stranger.num].user.long_name == "Newcomer"
    assert [m.my_info.nodedb_count for m in dump if m.HasField("my_info")] == [len(nodes)]
    # The order of the firmware stays: the own node second, strangers at the end.
    kinds = [m.WhichOneof("payload_variant") for m in dump]
    assert dump[kinds.index("node_info")].node_info.num == stage.own
    assert len(stage.node.want_configs) == 1


async def test_what_comes_amid_the_dump_is_traffic_and_is_never_replayed(
    open_stage: OpenStage,
) -> None:
    """Only configuration is kept for later; the rest is delivered once."""
    stage = await open_stage(NodeConfig(frame_delay=0.005), started=False)
    await stage.source.start()
    early = await stage.connect()
    early.send(mesh_pb2.ToRadio(want_config_id=1))
    await stage.node.wait_for(lambda: stage.node.want_configs)
    await stage.until(lambda: any(link.frames_sent > 5 for link in stage.node._links()))
    text = mesh_pb2.MeshPacket(to=0xFFFFFFFF, id=77)
    setattr(text, "from", stage.node.peer(0).num)
    text.decoded.portnum = PORT.TEXT_MESSAGE_APP
    text.decoded.payload = b"amid the dump"
    amid = [
        mesh_pb2.FromRadio(packet=text),
        mesh_pb2.FromRadio(clientNotification=mesh_pb2.ClientNotification(message="amid")),
        mesh_pb2.FromRadio(queueStatus=mesh_pb2.QueueStatus(free=9, maxlen=16)),
        mesh_pb2.FromRadio(log_record=mesh_pb2.LogRecord(message="amid")),
    ]
    await stage.node.send_junk(b"".join(frame(m.SerializeToString()) for m in amid))
    await early.wait_for(lambda: early.texts() == ["amid the dump"])
    kinds = [m.WhichOneof("payload_variant") for m in early.messages()]
    assert kinds.index("config_complete_id") < kinds.index("packet")
    await stage.until_ready()
    later = await stage.connect()
    dump = [mesh_pb2.FromRadio.FromString(payload) for payload in await later.want_config(1)]
    traffic = {"packet", "clientNotification", "queueStatus", "log_record"}
    assert not {m.WhichOneof("payload_variant") for m in dump} & traffic


async def test_what_was_kept_over_a_restart_is_served_until_the_radio_is_read(
    open_stage: OpenStage,
) -> None:
    """Without the private key; and only a difference makes the clients read again."""
    before = await open_stage()
    whole = await (await before.phone()).want_config(5)
    kept = before.source.snapshot()
    assert before.node.state.private_key.hex() not in repr(kept)
    await before.source.stop()
    for hop_limit, reboots in ((3, 0), (5, 1)):
        stage = await open_stage(started=False)
        stage.node.state.configs["lora"].lora.hop_limit = hop_limit
        stage.node.refuse()
        stage.source.restore(kept)
        await stage.source.start()
        phone = await stage.connect()
        assert await phone.want_config(5) == whole
        stage.live.append(phone)
        await stage.node.listen()
        await stage.until_ready()
        await phone.wait_for(lambda phone=phone, n=reboots: _reboots(phone) == n)  # type: ignore[misc]
        await _quiet(stage, phone)
        assert _reboots(phone) == reboots


async def test_a_kept_snapshot_of_another_radio_is_not_served(open_stage: OpenStage) -> None:
    """The entry is another radio's."""
    before = await open_stage(NodeConfig(num=0x11111111))
    kept = before.source.snapshot()
    stage = await open_stage(started=False, expected_node_id="!22222222")
    stage.node.refuse()
    stage.source.restore(kept)
    await stage.source.start()
    phone = await stage.connect()
    phone.send(mesh_pb2.ToRadio(want_config_id=5))
    await phone.barrier()
    assert _since(phone, 0) == {"queueStatus"}


async def test_lock_state_and_log_records_are_passed_on(stage: Stage) -> None:
    """The lock state also to those who come later, behind their handshake."""
    phone = await stage.phone()
    lock = wire.bytes_field(18, wire.varint_field(1, 2))
    log = mesh_pb2.FromRadio(log_record=mesh_pb2.LogRecord(message="x")).SerializeToString()
    await stage.node.send_raw(lock)
    await stage.node.send_raw(log)
    await stage.settle()
    assert lock in phone.payloads
    assert log in phone.payloads
    late = await stage.phone()
    await late.barrier()
    kinds = [m.WhichOneof("payload_variant") for m in late.messages()]
    assert late.payloads.index(lock) > kinds.index("config_complete_id")
    assert log not in late.payloads
    assert all(lock not in dump for dump in [await late.want_config(69420)])


async def test_notifications_go_to_whom_they_concern(stage: Stage) -> None:
    """About a packet to its sender, about the radio to all."""
    sender, other = await stage.phone(), await stage.phone()
    packet_id = sender.send_data(PORT.PRIVATE_APP, b"x")
    await sender.outcome(packet_id)
    about = mesh_pb2.ClientNotification(reply_id=packet_id, message="about it")
    await stage.node.send_raw(mesh_pb2.FromRadio(clientNotification=about).SerializeToString())
    await stage.node.send_notification("about the radio")
    await stage.settle()
    assert sorted(sender.notifications()) == ["about it", "about the radio"]
    assert other.notifications() == ["about the radio"]
