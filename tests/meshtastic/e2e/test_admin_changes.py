"""What follows when the radio has taken a change: for the mirror, the others, Home Assistant."""

from meshtastic.protobuf import admin_pb2, channel_pb2, config_pb2, mesh_pb2

from custom_components.meshmonitor.mesh.link import CONTENDED_AFTER
from custom_components.meshmonitor.mesh.source import NodeChanged, NodeRemoved
from tests.clients.meshtastic_phone import MeshtasticPhone
from tests.meshtastic.e2e.conftest import OpenStage
from tests.simulators.meshtastic_config import NodeConfig

ADMIN = admin_pb2.AdminMessage


def _set_owner(name: str) -> admin_pb2.AdminMessage:
    return ADMIN(set_owner=mesh_pb2.User(long_name=name, short_name="NEW"))


async def _rebooted(phone: MeshtasticPhone) -> None:
    await phone.wait_for(lambda: any(m.rebooted for m in phone.messages()))


async def test_the_others_see_a_changed_setting(open_stage: OpenStage) -> None:
    """They are told to read anew, and read the new state; who changed it is left alone."""
    stage = await open_stage(allow_admin_commands=True)
    phone, other = await stage.phone(), await stage.phone()
    lora = config_pb2.Config()
    lora.CopyFrom(stage.node.state.configs["lora"])
    lora.lora.hop_limit = 5
    packet_id = phone.send_admin(ADMIN(set_config=lora), stage.own)
    assert await phone.outcome(packet_id) == [0]
    await _rebooted(other)
    dump = [mesh_pb2.FromRadio.FromString(p) for p in await other.want_config(3)]
    assert [m.config.lora.hop_limit for m in dump if m.config.HasField("lora")] == [5]
    await phone.barrier()
    assert not any(m.rebooted for m in phone.messages())
    assert len(stage.node.want_configs) == 1


async def test_the_others_see_a_changed_name_and_channel(open_stage: OpenStage) -> None:
    """Names and channels are in everybody's next dump too, and in Home Assistant."""
    stage = await open_stage(allow_admin_commands=True)
    phone, other = await stage.phone(), await stage.phone()
    packet_id = phone.send_admin(_set_owner("Changed"), stage.own)
    assert await phone.outcome(packet_id) == [0]
    await _rebooted(other)
    dump = [mesh_pb2.FromRadio.FromString(p) for p in await other.want_config(3)]
    names = [m.node_info.user.long_name for m in dump if m.node_info.num == stage.own]
    assert names == ["Changed"]
    await stage.until(lambda: stage.source.identity and stage.source.identity.name == "Changed")

    channel = channel_pb2.Channel(index=3, role=channel_pb2.Channel.Role.SECONDARY)
    channel.settings.name = "Fresh"
    packet_id = phone.send_admin(ADMIN(set_channel=channel), stage.own)
    assert await phone.outcome(packet_id) == [0]
    await stage.until(lambda: "Fresh" in [c.name for c in stage.source.channels])
    dump = [mesh_pb2.FromRadio.FromString(p) for p in await other.want_config(4)]
    assert "Fresh" in [m.channel.settings.name for m in dump]


async def test_favourites_and_removed_nodes_reach_home_assistant_and_the_others(
    open_stage: OpenStage,
) -> None:
    """What an app does to the node database, everybody sees."""
    stage = await open_stage(allow_admin_commands=True)
    phone, other = await stage.phone(), await stage.phone()
    kept, gone = stage.node.peer(2).num, stage.node.peer(3).num
    stage.events.clear()
    packet_id = phone.send_admin(ADMIN(set_favorite_node=kept), stage.own)
    assert await phone.outcome(packet_id) == [0]
    await stage.until(lambda: stage.told(NodeChanged))
    assert stage.told(NodeChanged)[0].node.is_favorite
    packet_id = phone.send_admin(ADMIN(remove_by_nodenum=gone), stage.own)
    assert await phone.outcome(packet_id) == [0]
    await stage.until(lambda: stage.told(NodeRemoved))
    assert stage.told(NodeRemoved)[0].node_id == f"!{gone:08x}"
    await _rebooted(other)
    dump = [mesh_pb2.FromRadio.FromString(p) for p in await other.want_config(3)]
    nodes = {m.node_info.num: m.node_info for m in dump if m.HasField("node_info")}
    assert nodes[kept].is_favorite
    assert gone not in nodes


async def test_a_change_that_restarts_the_radio_is_read_again(open_stage: OpenStage) -> None:
    """The radio's own word replaces what was supposed; the others read once more only if needed."""
    config = NodeConfig(really_reboots=True)
    stage = await open_stage(config, allow_admin_commands=True)
    phone, other = await stage.phone(), await stage.phone()
    device = config_pb2.Config()
    device.CopyFrom(stage.node.state.configs["device"])
    device.device.node_info_broadcast_secs = 7200
    packet_id = phone.send_admin(ADMIN(set_config=device), stage.own)
    assert await phone.outcome(packet_id) == [0]
    await stage.until_ready(sessions=2)
    await _rebooted(other)
    dump = [mesh_pb2.FromRadio.FromString(p) for p in await other.want_config(3)]
    times = [m.config.device.node_info_broadcast_secs for m in dump if m.config.HasField("device")]
    assert times == [7200]
    assert not phone.closed
    assert not other.closed


async def test_changes_that_restart_the_radio_are_nobody_fighting_for_it(
    open_stage: OpenStage,
) -> None:
    """One setting after the other, each with a restart: the radio is back soon each time."""
    stage = await open_stage(NodeConfig(really_reboots=True), allow_admin_commands=True)
    phone = await stage.phone()
    device = config_pb2.Config()
    device.CopyFrom(stage.node.state.configs["device"])
    for change in range(1, CONTENDED_AFTER + 1):
        device.device.node_info_broadcast_secs = 7200 + change
        packet_id = phone.send_admin(ADMIN(set_config=device), stage.own)
        assert await phone.outcome(packet_id) == [0]
        await stage.until_ready(sessions=1 + change)
    assert not stage.source.link.is_contended


async def test_a_change_that_has_to_be_read_again_is_acknowledged_first(
    open_stage: OpenStage,
) -> None:
    """The radio's keys may follow from what was set: it is read again, behind its answer."""
    stage = await open_stage(NodeConfig(frame_delay=0.005), allow_admin_commands=True)
    phone, other = await stage.phone(), await stage.phone()
    security = config_pb2.Config()
    security.CopyFrom(stage.node.state.configs["security"])
    security.security.serial_enabled = False
    packet_id = phone.send_admin(ADMIN(set_config=security), stage.own)
    assert await phone.outcome(packet_id) == [0]
    await stage.until_ready(sessions=2)
    await _rebooted(other)
    assert len(stage.node.want_configs) == 2
    assert not phone.closed


async def test_what_was_fetched_is_fetched_again_after_a_change(open_stage: OpenStage) -> None:
    """The ringtone that an app sets is the one that the next app reads."""
    stage = await open_stage(allow_admin_commands=True)
    phone, other = await stage.phone(), await stage.phone()
    before = await phone.ask_admin(ADMIN(get_ringtone_request=True), stage.own)
    assert isinstance(before, ADMIN)
    packet_id = phone.send_admin(ADMIN(set_ringtone_message="new tune"), stage.own)
    assert await phone.outcome(packet_id) == [0]
    after = await other.ask_admin(ADMIN(get_ringtone_request=True), stage.own)
    assert isinstance(after, ADMIN)
    assert after.get_ringtone_response == "new tune" != before.get_ringtone_response
