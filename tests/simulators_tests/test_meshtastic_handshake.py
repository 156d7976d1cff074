"""The simulated node answers `want_config_id` as the recorded firmware does."""

from pathlib import Path

from meshtastic.protobuf import mesh_pb2
import pytest

from tests.simulators.meshtastic_client import RawClient
from tests.simulators.meshtastic_config import Flavour, NodeConfig
from tests.simulators.meshtastic_dump import ONLY_CONFIG, ONLY_NODES, REGION_PRESETS
from tests.simulators.meshtastic_mesh import PORTS
from tests.simulators.meshtastic_node import SimulatedNode
from tests.simulators.recording import MESHTASTIC_2_7, MESHTASTIC_2_8, recorded_dumps

RECORDINGS: list[tuple[Flavour, Path]] = [("2.7", MESHTASTIC_2_7), ("2.8", MESHTASTIC_2_8)]


def kinds(payloads: list[bytes] | tuple[bytes, ...]) -> list[str]:
    """Return what each frame is, down to the section of the configuration."""
    found = []
    for payload in payloads:
        message = mesh_pb2.FromRadio.FromString(payload)
        kind = message.WhichOneof("payload_variant") or payload[:2].hex()
        if kind in {"config", "moduleConfig"}:
            kind += f".{getattr(message, kind).WhichOneof('payload_variant')}"
        found.append(kind)
    return found


@pytest.mark.parametrize(("flavour", "path"), RECORDINGS)
async def test_dumps_have_the_recorded_order(
    socket_enabled: None, flavour: Flavour, path: Path
) -> None:
    """Frame by frame the same kinds, for full, config-only and nodes-only requests."""
    for recorded in recorded_dumps(path):
        others = kinds(recorded.frames).count("node_info") - 1
        nodes = 3 if recorded.nonce == ONLY_CONFIG else others + 1
        async with (
            SimulatedNode(NodeConfig(flavour=flavour, nodes=nodes)) as node,
            await RawClient.connect(node.host, node.port) as client,
        ):
            dump = await client.want_config(recorded.nonce)
            assert kinds(dump) == kinds(recorded.frames)
            assert dump[-1] == recorded.frames[-1]


async def test_the_own_node_comes_in_its_slot(client: RawClient, node: SimulatedNode) -> None:
    """First of the nodes, favourite, without a distance."""
    for nonce, slot in ((ONLY_NODES, 0), (ONLY_CONFIG, 2), (7, 2)):
        dump = await client.want_config(nonce)
        own = mesh_pb2.FromRadio.FromString(dump[slot]).node_info
        assert own.num == node.state.num
        assert own.is_favorite
        assert not own.HasField("hops_away")


async def test_a_large_mesh_is_dumped_whole(socket_enabled: None) -> None:
    """A thousand nodes, each once, although the dump is larger than a socket's buffer."""
    async with (
        SimulatedNode(NodeConfig(nodes=1000)) as node,
        await RawClient.connect(node.host, node.port) as client,
    ):
        dump = await client.want_config(0)
        infos = [mesh_pb2.FromRadio.FromString(p).node_info for p in dump]
        nums = [info.num for info in infos if info.num]
        assert len(nums) == len(set(nums)) == 1000
        assert mesh_pb2.FromRadio.FromString(dump[0]).my_info.nodedb_count == 1000


async def test_2_8_lists_thin_and_replays_what_it_knows(socket_enabled: None) -> None:
    """Positions and measurements come as packets after the dump, unless only config was asked."""
    config = NodeConfig(flavour="2.8", nodes=5)
    async with (
        SimulatedNode(config) as node,
        await RawClient.connect(node.host, node.port) as client,
    ):
        assert REGION_PRESETS in await client.want_config(ONLY_CONFIG)
        client.heartbeat()
        await client.wait_for(client.queue_statuses)
        assert client.packets() == []

        dump = await client.want_config(ONLY_NODES)
        infos = [mesh_pb2.FromRadio.FromString(p).node_info for p in dump[1:-1]]
        assert not any(i.HasField("position") or i.HasField("device_metrics") for i in infos)
        known = list(node.state.nodes.values())
        assert len(known) == 4
        positions = sum(i.HasField("position") for i in known)
        measured = len(known) + len(node.state.environment)
        await client.wait_for(lambda: len(client.packets()) == positions + measured)
        assert len(client.packets(PORTS.POSITION_APP)) == positions
        ids = [p.id for p in client.packets()]
        again = len(client.payloads)
        await client.want_config(5)
        await client.wait_for(lambda: len(client.packets()) == 2 * (positions + measured))
        assert [p.id for p in client.packets()[len(ids) :]] == ids
        assert len(client.payloads) > again


async def test_a_request_during_a_dump_restarts_it_and_is_counted(socket_enabled: None) -> None:
    """The second answer is whole; the first one never ends."""
    async with (
        SimulatedNode(NodeConfig(nodes=30, frame_delay=0.001)) as node,
        await RawClient.connect(node.host, node.port) as client,
    ):
        client.send(mesh_pb2.ToRadio(want_config_id=77))
        await client.wait_for(lambda: len(client.payloads) > 5)
        dump = await client.want_config(78)
        completes = [f.config_complete_id for f in client.frames if f.config_complete_id]
        assert completes == [78]
        assert kinds(dump).count("my_info") == 1
        assert node.tally["overlapping_requests"] == 1
        await client.want_config(79)
        assert node.tally["overlapping_requests"] == 1


async def test_live_frames_wait_for_the_end_of_a_dump(socket_enabled: None) -> None:
    """What the mesh says meanwhile comes after `config_complete_id`, up to the queue's bound."""
    async with (
        SimulatedNode(NodeConfig(frame_delay=0.001, to_phone_queue=4)) as node,
        await RawClient.connect(node.host, node.port) as client,
    ):
        client.send(mesh_pb2.ToRadio(want_config_id=9))
        await client.wait_for(lambda: client.payloads)
        for i in range(6):
            await node.say(node.peer(0).num, f"text {i}")
        await node.send_own_telemetry()
        await client.wait_for(lambda: len(client.texts()) == 4)
        complete = kinds(client.payloads).index("config_complete_id")
        assert "packet" not in kinds(client.payloads)[:complete]
        assert client.texts() == ["text 2", "text 3", "text 4", "text 5"]
        assert node.tally["evicted_packets"] == 2
        assert node.tally["lost_packets"] == 1


async def test_the_newest_connection_wins(client: RawClient, node: SimulatedNode) -> None:
    """The one before is closed."""
    async with await RawClient.connect(node.host, node.port) as newer:
        await client.end()
        await newer.want_config(3)
        assert node.tally["taken_over"] == 1
        assert not newer.ended


async def test_heartbeats_are_answered_even_before_a_handshake(node: SimulatedNode) -> None:
    """With a report about no packet; nonce 1 asks for a broadcast instead and is not answered."""
    async with await RawClient.connect(node.host, node.port) as client:
        client.heartbeat(1)
        client.heartbeat(7)
        await client.wait_for(client.queue_statuses)
        assert client.reported_ids() == [0]
        assert node.heartbeats == [1, 7]
        assert node.tally["nodeinfo_pings"] == 1


async def test_an_old_firmware_keeps_silent_on_heartbeats(socket_enabled: None) -> None:
    """Before 2.7.4 a heartbeat kept the session alive and no more."""
    async with (
        SimulatedNode(NodeConfig(answers_heartbeat=False)) as node,
        await RawClient.connect(node.host, node.port) as client,
    ):
        client.heartbeat()
        await client.want_config(1)
        assert client.queue_statuses() == []
        assert node.heartbeats == [0]


async def test_disconnect_and_idleness_end_a_connection(socket_enabled: None) -> None:
    """`disconnect` at once, silence after the time limit."""
    async with SimulatedNode(NodeConfig(idle_timeout=0.05)) as node:
        async with await RawClient.connect(node.host, node.port) as client:
            client.send(mesh_pb2.ToRadio(disconnect=True))
            await client.end()
        assert node.tally["disconnects"] == 1
        async with await RawClient.connect(node.host, node.port) as client:
            await client.end()
        assert node.tally["idle_timeouts"] == 1
