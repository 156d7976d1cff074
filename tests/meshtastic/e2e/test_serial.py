"""A radio at a serial port: the same frames, between boot messages and log lines."""

import os

from meshtastic.protobuf import mesh_pb2
import pytest

from custom_components.meshmonitor.mesh.source import MessageReceived, ProbeError, ProbeReason
from custom_components.meshmonitor.mesh.transport import SerialEndpoint
from custom_components.meshmonitor.meshtastic.probe import probe
from tests.clients.meshtastic_phone import frame
from tests.meshtastic.e2e.conftest import OpenStage
from tests.meshtastic.e2e.stage import Served, Stage
from tests.simulators.meshtastic_config import Flavour, NodeConfig
from tests.simulators.meshtastic_node import SimulatedNode

SESSION = "custom_components.meshmonitor.meshtastic.session"


@pytest.fixture
async def serial_stage(open_serial_stage: OpenStage) -> Stage:
    """Return a stage whose radio talks of itself between the frames."""
    return await open_serial_stage(log_lines=True)


async def test_a_radio_at_a_serial_port_is_shared(serial_stage: Stage) -> None:
    """Both ways, with debug text between the frames."""
    stage = serial_stage
    phone, other = await stage.phone(), await stage.phone()
    packet_id = phone.send_text("over the wire")
    assert await phone.outcome(packet_id) == [0]
    await other.wait_for(lambda: other.texts() == ["over the wire"])
    await stage.node.say(stage.node.peer(0).num, "from the air")
    await phone.wait_for(lambda: phone.texts() == ["from the air"])
    assert stage.source.counters.get("malformed_frames", 0) == 0
    assert stage.node.tally["connections"] == 0


async def test_a_large_dump_comes_over_a_serial_port(open_serial_stage: OpenStage) -> None:
    """Whatever pieces the port hands over."""
    stage = await open_serial_stage(NodeConfig(nodes=200), log_lines=True)
    assert len(await (await stage.phone()).want_config(4)) > 240


async def test_unplugged_and_plugged_in_again(serial_stage: Stage) -> None:
    """The phones stay, and what they send meanwhile is sent afterwards."""
    stage = serial_stage
    phone = await stage.phone()
    stage.node.unplug()
    await stage.until(lambda: not stage.source.link.is_ready)
    packet_id = phone.send_text("in between")
    await phone.barrier()
    assert stage.source.link.last_error
    stage.node.replug()
    assert await phone.outcome(packet_id) == [0]
    assert stage.source.link.sessions == 2
    assert not phone.closed


async def test_a_port_that_is_not_there_yet(open_serial_stage: OpenStage) -> None:
    """It is tried again until it is."""
    stage = await open_serial_stage(started=False)
    stage.node.unplug()
    await stage.source.start()
    await stage.until(lambda: stage.source.link.failures >= 2)
    stage.node.replug()
    await stage.until_ready()


@pytest.mark.parametrize("flavour", ["2.7", "2.8"])
async def test_a_restart_behind_an_open_port(
    open_serial_stage: OpenStage, flavour: Flavour
) -> None:
    """The port stays; the radio says on it, as a frame or as text, that it began anew."""
    stage = await open_serial_stage(NodeConfig(flavour=flavour), log_lines=True)
    phone = await stage.phone()
    stage.node.state.configs["lora"].lora.hop_limit = 7
    await stage.node.reboot()
    await stage.until_ready(sessions=2)
    assert len(stage.node.want_configs) == 2
    await phone.wait_for(lambda: any(m.rebooted for m in phone.messages()))
    dump = await phone.want_config(5)
    configs = [mesh_pb2.FromRadio.FromString(payload).config for payload in dump]
    assert any(config.lora.hop_limit == 7 for config in configs)
    packet_id = phone.send_text("after the restart")
    assert await phone.outcome(packet_id) == [0]
    await stage.node.say(stage.node.peer(0).num, "from the air")
    await phone.wait_for(lambda: phone.texts() == ["from the air"])


async def test_a_restart_that_nothing_shows(
    open_serial_stage: OpenStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The radio answers heartbeats and says nothing else any more: it is asked again."""
    # What is meant to be found here is no silence.
    monkeypatch.setattr(f"{SESSION}.SILENT_HEARTBEATS", 1000.0)
    stage = await open_serial_stage(heartbeat_interval=0.05)
    serial = stage.node._serial
    assert serial is not None
    await stage.node.say(stage.node.peer(0).num, "before")
    await stage.until(lambda: stage.told(MessageReceived))
    serial.api.reset()
    heartbeats = len(stage.node.heartbeats)
    await stage.until(lambda: len(stage.node.heartbeats) > heartbeats + 2)
    assert len(stage.node.want_configs) == 1
    with monkeypatch.context() as patch:
        patch.setattr(f"{SESSION}.QUIET_TIMEOUT", 0.0)
        await stage.node.wait_for(lambda: len(stage.node.want_configs) == 2)
    await stage.until_ready(sessions=2)
    phone = await stage.phone()
    await stage.node.say(stage.node.peer(0).num, "from the air")
    await phone.wait_for(lambda: phone.texts() == ["from the air"])
    assert stage.source.link.failures == 0


@pytest.mark.parametrize("flavour", ["2.7", "2.8"])
async def test_a_board_that_restarts_when_its_port_is_opened(
    open_serial_stage: OpenStage, flavour: Flavour
) -> None:
    """What it was asked before its restart it has forgotten, and is asked again."""
    stage = await open_serial_stage(NodeConfig(flavour=flavour), started=False)
    stage.node.faults.mute = True
    await stage.source.start()
    await stage.node.wait_for(lambda: stage.node.want_configs)
    stage.node.faults.mute = False
    await stage.node.reboot()
    await stage.until_ready()
    assert len(stage.node.want_configs) == 2
    assert stage.source.link.failures == 0


async def test_half_a_frame_of_an_earlier_program_is_overcome(
    open_serial_stage: OpenStage,
) -> None:
    """The radio may wait for the rest of a frame that nobody will send."""
    stage = await open_serial_stage(started=False)
    device = os.open(stage.node.replug(), os.O_RDWR | os.O_NOCTTY)
    # A length of 16 of which only one byte comes: less than is written first.
    os.write(device, b"\x94\xc3\x00\x10\x1a")
    serial = stage.node._serial
    assert serial is not None
    await stage.until(lambda: len(serial.reader._buffer) == 5)
    os.close(device)
    await stage.start()
    assert stage.node.tally["malformed"] == 1
    assert len(stage.node.want_configs) == 1


async def test_half_an_answer_to_an_earlier_program_is_overcome(
    open_serial_stage: OpenStage,
) -> None:
    """The radio goes on with it until it is asked anew; no phone is told any of it twice."""
    stage = await open_serial_stage(NodeConfig(frame_delay=0.002), started=False)
    device = os.open(stage.node.replug(), os.O_RDWR | os.O_NOCTTY)
    os.write(device, frame(mesh_pb2.ToRadio(want_config_id=77).SerializeToString()))
    serial = stage.node._serial
    assert serial is not None
    await stage.until(lambda: serial.frames_sent > 12)
    os.close(device)
    await stage.start()
    dump = await (await stage.phone()).want_config(5)
    kinds = [mesh_pb2.FromRadio.FromString(p).WhichOneof("payload_variant") for p in dump]
    assert kinds[0] == "my_info"
    assert [kinds.count(kind) for kind in ("my_info", "channel", "config")] == [1, 8, 10]


async def test_a_serial_radio_is_proved(serial_node: tuple[SimulatedNode, str]) -> None:
    """And let go again, so that the source can have it."""
    node, device = serial_node
    proved = await probe(SerialEndpoint(device))
    assert proved.identity.node_id == node.state.user.id
    assert proved.identity.name == node.config.long_name
    assert (proved.nodes, proved.favorites) == (node.config.nodes, 1)
    again = await probe(SerialEndpoint(device))
    assert again == proved


async def test_a_radio_behind_a_network_adapter(socket_enabled: None, short_times: None) -> None:
    """A ``socket://`` URL is a serial port that is elsewhere."""
    async with SimulatedNode() as node:
        served = Served(SerialEndpoint(f"socket://{node.host}:{node.port}"))
        try:
            await served.start()
            phone = await served.phone()
            assert await phone.outcome(phone.send_text("from afar")) == [0]
            node.drop()
            await served.until_ready(sessions=2)
        finally:
            await served.stop()
    assert node.texts() == ["from afar"]


async def test_a_port_without_a_radio_is_told(
    socket_enabled: None, tmp_path: os.PathLike[str]
) -> None:
    """No such device."""
    with pytest.raises(ProbeError) as caught:
        await probe(SerialEndpoint(f"{tmp_path}/nothing"))
    assert caught.value.reason is ProbeReason.CANNOT_CONNECT
