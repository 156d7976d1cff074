"""Each fault of the simulated node does what its name says."""

import asyncio
import logging
import random

from meshtastic.protobuf import mesh_pb2
import pytest

from tests.simulators.meshtastic_client import RawClient
from tests.simulators.meshtastic_config import NodeConfig
from tests.simulators.meshtastic_faults import HTTP_ANSWER, Cut, Dribble, OnConnect
from tests.simulators.meshtastic_frames import frame
from tests.simulators.meshtastic_mesh import PORTS
from tests.simulators.meshtastic_node import SimulatedNode
from tests.simulators.recording import MESHTASTIC_2_7, read_recording


async def connect(node: SimulatedNode) -> RawClient:
    """Return a new connection to `node`."""
    return await RawClient.connect(node.host, node.port)


async def test_refused_and_back(node: SimulatedNode) -> None:
    """On the same port; the present connection is left alone."""
    async with await connect(node) as client:
        await client.want_config(1)
        port = node.port
        node.refuse()
        with pytest.raises(ConnectionRefusedError):
            await connect(node)
        await client.want_config(2)
        await node.listen()
        assert node.port == port
        async with await connect(node) as other:
            await other.want_config(3)


async def test_a_black_hole_listens_and_says_nothing(node: SimulatedNode) -> None:
    """What is sent into it is recorded all the same."""
    node.faults.on_connect = OnConnect.BLACK_HOLE
    async with await connect(node) as client:
        client.heartbeat(5)
        client.send(mesh_pb2.ToRadio(want_config_id=4))
        await node.wait_for(lambda: node.want_configs == [4])
        await node.say(node.peer(0).num, "into the void")
        assert (bytes(client.raw), client.ended) == (b"", False)
    node.faults.on_connect = OnConnect.SERVE
    async with await connect(node) as client:
        assert await client.want_config(6)


async def test_a_mute_node_is_a_dead_peer(client: RawClient, node: SimulatedNode) -> None:
    """The connection stays open; what was said meanwhile comes when it speaks again."""
    node.faults.mute = True
    received = len(client.raw)
    client.heartbeat()
    await node.wait_for(lambda: node.heartbeats)
    await node.say(node.peer(0).num, "held")
    assert len(client.raw) == received
    node.faults.mute = False
    node.pump()
    await client.wait_for(lambda: client.texts() == ["held"])


@pytest.mark.parametrize("how", [OnConnect.RESET, OnConnect.CLOSE])
async def test_ended_at_once(node: SimulatedNode, how: OnConnect) -> None:
    """Every connect, until it is switched off."""
    node.faults.on_connect = how
    for _ in range(2):
        async with await connect(node) as client:
            await client.end()
            assert client.raw == b""
    assert node.tally["connections"] == 2
    assert node.want_configs == []


async def test_another_protocol(node: SimulatedNode) -> None:
    """A web server's answer to whatever comes."""
    node.faults.on_connect = OnConnect.HTTP
    async with await connect(node) as client:
        client.heartbeat()
        await client.end()
        assert bytes(client.raw) == HTTP_ANSWER


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize("mid_frame", [True, False])
async def test_cut_in_a_dump(node: SimulatedNode, mid_frame: bool, reset: bool) -> None:
    """After so many frames, once; the next dump is whole."""
    node.faults.cut = Cut(after_frames=7, mid_frame=mid_frame, reset=reset)
    async with await connect(node) as client:
        with pytest.raises(ConnectionError):
            await client.want_config(1)
        assert len(client.payloads) == 7
        whole = sum(len(frame(p)) for p in client.payloads)
        assert (len(client.raw) > whole) is mid_frame
    async with await connect(node) as client:
        assert len(await client.want_config(2)) > 7


async def test_dribble(node: SimulatedNode) -> None:
    """In pieces, but whole and in order."""
    node.faults.dribble = Dribble(size=5, delay=0.0)
    async with await connect(node) as client:
        client.send(mesh_pb2.ToRadio(want_config_id=1))
        await client.wait_for(lambda: client.raw)
        assert len(client.payloads) < 5
        dump = await client.want_config(2, timeout=20)
        assert mesh_pb2.FromRadio.FromString(dump[-1]).config_complete_id == 2


async def test_stolen_again_and_again(node: SimulatedNode) -> None:
    """Another program takes every connection over after a while."""
    node.faults.stolen_after = 0.02
    for i in range(3):
        async with await connect(node) as client:
            await client.want_config(i)
            await client.end()
    assert node.tally["stolen"] == 3
    node.faults.stolen_after = None
    async with await connect(node) as client:
        await client.want_config(5)
        node.steal()
        await client.end()
    assert node.tally["stolen"] == 4


async def test_bytes_that_mean_nothing(client: RawClient, node: SimulatedNode) -> None:
    """Junk, an oversize and an empty frame, with traffic between them."""
    num = node.peer(0).num
    await node.send_junk(b"\x1b[31mERROR\x1b[0m something\r\n\x94")
    await node.say(num, "one")
    await node.send_oversize_frame()
    await node.say(num, "two")
    await node.send_empty_frame()
    await node.say(num, "three")
    await client.wait_for(lambda: client.payloads[-1:] and b"three" in client.payloads[-1])
    assert b"" in client.payloads
    # The odd start byte at the end of the junk hides the frame after it.
    assert client.texts() == ["two", "three"]


async def test_a_reboot_loses_what_waited(client: RawClient, node: SimulatedNode) -> None:
    """Connection, queue and session; the count goes up."""
    async with await connect(node) as idle:
        await client.end()
        await node.say(node.peer(0).num, "lost")
        await node.reboot()
        await idle.end()
    async with await connect(node) as again:
        dump = await again.want_config(1)
        assert mesh_pb2.FromRadio.FromString(dump[0]).my_info.reboot_count == 4
        again.heartbeat()
        await again.wait_for(again.queue_statuses)
        assert again.texts() == []


async def test_another_identity(node: SimulatedNode) -> None:
    """Number, id and keys are those of another node."""
    key = node.state.user.public_key
    node.become(0xABCDEF01)
    async with await connect(node) as client:
        frames = list(map(mesh_pb2.FromRadio.FromString, await client.want_config(1)))
        assert frames[0].my_info.my_node_num == 0xABCDEF01
        own = next(f.node_info for f in frames if f.HasField("node_info"))
        assert (own.num, own.user.id) == (0xABCDEF01, "!abcdef01")
        assert own.user.public_key != key


async def test_what_the_firmware_polls_in_one_go(socket_enabled: None) -> None:
    """With a poll interval, two heartbeats within it get one answer."""
    async with (
        SimulatedNode(NodeConfig(poll_interval=0.05)) as node,
        await RawClient.connect(node.host, node.port) as client,
    ):
        client.heartbeat(2)
        link = node._client
        assert link is not None
        async with asyncio.timeout(5):
            while not link._unread:
                await asyncio.sleep(0)
        client.heartbeat(3)
        await node.wait_for(lambda: len(node.heartbeats) == 2)
        await client.want_config(1)
        assert len(client.queue_statuses()) == 1


async def test_a_client_that_does_not_read_fills_the_bounded_queue(node: SimulatedNode) -> None:
    """Nothing grows without limit: what does not fit is counted as lost."""
    async with await RawClient.connect(node.host, node.port, receive_buffer=4096) as client:
        await client.want_config(1)
        client.pause()
        for _ in range(40_000):
            await node.send_data(node.peer(0).num, PORTS.PRIVATE_APP, bytes(450))
            if node.tally["lost_packets"]:
                break
        assert node.tally["lost_packets"] == 1
        assert len(node.queues) == node.config.to_phone_queue


async def test_no_rubbish_from_a_client_hurts_the_node(
    client: RawClient, node: SimulatedNode, caplog: pytest.LogCaptureFixture
) -> None:
    """Recorded frames with bytes changed, cut or added: it goes on serving."""
    rng = random.Random(1)
    entries = read_recording(MESHTASTIC_2_7)
    seeds = [e.data for e in entries if e.sender == "client" and e.kind == "frame"]
    ports = [PORTS.POSITION_APP, PORTS.TELEMETRY_APP, PORTS.ADMIN_APP, PORTS.NODEINFO_APP]
    sent = 0
    for packet_id in range(1, 400):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        rubbish = mesh_pb2.MeshPacket(to=rng.choice((node.state.num, node.peer(0).num)))
        rubbish.id = packet_id
        rubbish.decoded.portnum = rng.choice(ports)
        rubbish.decoded.payload = rng.randbytes(rng.randint(0, 30))
        rubbish.decoded.want_response = rng.random() < 0.5
        client.write(frame(bytes(data)))
        client.send_packet(rubbish)
        sent += 2
    await node.wait_for(lambda: len(node.received) >= sent or client.ended)
    async with await connect(node) as other:
        other.write(b"no frame at all")
        assert await other.want_config(3)
        assert node.tally["skipped_bytes"] == 15
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


async def test_mqtt_proxy_and_file_transfer_are_counted(
    client: RawClient, node: SimulatedNode
) -> None:
    """Accepted with the proxy enabled, ignored without; file transfers are never carried out."""
    message = mesh_pb2.ToRadio()
    message.mqttClientProxyMessage.topic = "msh"
    client.send(message)
    await node.wait_for(lambda: node.tally["mqtt_ignored"])
    mqtt = node.state.modules["mqtt"].mqtt
    mqtt.enabled = mqtt.proxy_to_client_enabled = True
    client.send(message)
    await node.wait_for(lambda: node.tally["mqtt_accepted"])
    transfer = mesh_pb2.ToRadio()
    transfer.xmodemPacket.seq = 1
    client.send(transfer)
    await node.wait_for(lambda: node.tally["xmodem"])
    await node.send_mqtt("msh/2/e", b"data")
    await node.send_notification("look")
    await node.send_queue_status(packet_id=99)
    assert (await client.report(99)).res == 0
    assert client.notifications() == ["look"]
    assert client.frames[-3].mqttClientProxyMessage.data == b"data"
