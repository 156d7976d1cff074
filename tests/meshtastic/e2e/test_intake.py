"""What the radio says besides the usual packets, and what becomes of it."""

import asyncio
from itertools import count

from meshtastic.protobuf import mesh_pb2
import pytest

from custom_components.meshmonitor.mesh.model import DeliveryState, LinkState
from custom_components.meshmonitor.mesh.source import (
    DeliveryChanged,
    MeshEvent,
    MessageReceived,
    NodeChanged,
)
from custom_components.meshmonitor.meshtastic import intake, names
from custom_components.meshmonitor.meshtastic.switchboard import Switchboard
from tests.meshtastic.e2e.conftest import OpenStage
from tests.meshtastic.e2e.stage import PORT, Stage
from tests.simulators.meshtastic_config import NodeConfig


def _text(number: int, packet_id: int, payload: bytes) -> bytes:
    """Return a text of a node as the radio hands it over."""
    packet = mesh_pb2.MeshPacket(id=packet_id, to=0xFFFFFFFF, rx_rssi=-90, hop_start=3, hop_limit=3)
    setattr(packet, "from", number)
    packet.decoded.portnum = PORT.TEXT_MESSAGE_APP
    packet.decoded.payload = payload
    return mesh_pb2.FromRadio(packet=packet).SerializeToString()


async def test_a_node_that_the_radio_tells_of_is_known_at_once(stage: Stage) -> None:
    """In Home Assistant, by every phone, and by those that read the configuration later."""
    phone = await stage.phone()
    info = mesh_pb2.NodeInfo(num=0x0A0B0C0D)
    info.user.id, info.user.long_name, info.user.short_name = "!0a0b0c0d", "Newcomer", "NEW"
    frame = mesh_pb2.FromRadio(node_info=info).SerializeToString()
    await stage.node.send_raw(frame)
    await phone.wait_for(lambda: frame in phone.payloads)
    (told,) = [e for e in stage.told(NodeChanged) if e.node.node_id == "!0a0b0c0d"]
    assert told.is_new
    assert told.node.name == "Newcomer"
    dump = await (await stage.phone()).want_config(5)
    found = [mesh_pb2.FromRadio.FromString(payload).node_info for payload in dump]
    assert [node.user.long_name for node in found if node.num == info.num] == ["Newcomer"]


async def test_a_repeaters_copy_of_a_text_is_no_text_and_shows_that_it_was_relayed(
    stage: Stage,
) -> None:
    """Firmware 2.8 hands it over. Everybody has the text already."""
    phone, other = await stage.phone(), await stage.phone()
    packet_id = phone.send_text("once")
    assert await phone.outcome(packet_id) == [0]
    await other.wait_for(lambda: other.texts() == ["once"])
    message_id = names.packet_id_to_message_id(packet_id)
    assert stage.source.delivery(message_id) is not None
    again = phone.send_data(PORT.TEXT_MESSAGE_APP, b"relayed", want_ack=False)
    await other.wait_for(lambda: other.texts() == ["once", "relayed"])
    await stage.node.send_raw(_text(stage.node.state.num, again, b"relayed"))
    await stage.settle()
    assert other.texts() == ["once", "relayed"]
    assert phone.texts() == []
    states = {
        event.delivery.state
        for event in stage.told(DeliveryChanged)
        if event.delivery.message_id == names.packet_id_to_message_id(again)
    }
    assert DeliveryState.RELAYED in states
    assert len(stage.told(MessageReceived)) == 2


async def test_what_comes_again_is_told_once_for_as_long_as_it_is_remembered(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has no number cannot be recognised."""
    monkeypatch.setattr(intake, "REMEMBERED_PACKETS", 2)
    peer = stage.node.peer(0).num
    for packet_id, text in ((1, b"a"), (1, b"a"), (0, b"-"), (0, b"-"), (2, b"b"), (3, b"c")):
        await stage.node.send_raw(_text(peer, packet_id, text))
    await stage.until(lambda: len(stage.told(MessageReceived)) == 5)
    await stage.node.send_raw(_text(peer, 1, b"a"))
    await stage.until(lambda: len(stage.told(MessageReceived)) == 6)
    assert [event.message.text for event in stage.told(MessageReceived)] == [*"a--bca"]


async def test_another_number_of_the_radio_has_everything_read_anew(stage: Stage) -> None:
    """What is known of it belongs to the old number."""
    await stage.node.send_raw(
        mesh_pb2.FromRadio(my_info=mesh_pb2.MyNodeInfo(my_node_num=77)).SerializeToString()
    )
    await stage.until_ready(sessions=2)
    assert len(stage.node.want_configs) == 2


async def test_a_source_that_stops_tells_of_no_more_nodes(open_stage: OpenStage) -> None:
    """Also where it was amid a thousand of them."""
    stage = await open_stage(NodeConfig(nodes=200), started=False)
    stopping: list[asyncio.Task[None]] = []

    def stop(event: MeshEvent) -> None:
        if isinstance(event, NodeChanged) and not stopping:
            stopping.append(asyncio.create_task(stage.source.stop()))

    stage.source.subscribe(stop)
    await stage.source.start()
    await stage.until(lambda: stopping and stopping[0].done())
    told = len(stage.told(NodeChanged))
    assert 0 < told < 200
    await asyncio.sleep(0)
    assert len(stage.told(NodeChanged)) == told


async def test_a_configuration_that_lacks_the_radio_itself_is_not_served(
    open_stage: OpenStage,
) -> None:
    """It is asked for again until it is whole."""
    stage = await open_stage(started=False)
    own, stage.node.state.num = stage.node.state.num, 0
    await stage.source.start()
    await stage.until(lambda: stage.source.link.failures >= 2)
    assert stage.source.link.last_error is not None
    assert "incomplete configuration" in stage.source.link.last_error
    assert stage.source.identity is None
    stage.node.state.num = own
    await stage.until_ready()


async def test_a_fault_of_ours_costs_one_frame_and_not_the_link(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """All phones hang on it."""
    calls = count()

    def fail(switchboard: Switchboard, payload: bytes) -> None:
        raise RuntimeError(f"call {next(calls)}")

    monkeypatch.setattr(Switchboard, "lockdown_from_radio", fail)
    phone = await stage.phone()
    await stage.node.send_raw(b"\x92\x01\x00")
    await stage.node.say(stage.node.peer(0).num, "and on")
    await phone.wait_for(lambda: phone.texts() == ["and on"])
    assert next(calls) == 1
    assert "error in handling a frame" in caplog.text
    assert stage.source.link.state is LinkState.READY
    assert stage.source.link.sessions == 1
