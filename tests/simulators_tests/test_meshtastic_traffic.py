"""Packets, acknowledgements, limits: the simulated node against the firmware's rules."""

from collections.abc import Callable

from meshtastic.protobuf import mesh_pb2, telemetry_pb2
import pytest

from tests.simulators.meshtastic_client import RawClient
from tests.simulators.meshtastic_config import ManualClock, NodeConfig
from tests.simulators.meshtastic_frames import frame
from tests.simulators.meshtastic_mesh import PORTS, Port, sender
from tests.simulators.meshtastic_node import SimulatedNode
from tests.simulators.meshtastic_state import BROADCAST
from tests.simulators.recording import MESHTASTIC_2_7, MESHTASTIC_2_8, live_frames

ERROR = mesh_pb2.Routing.Error


def recorded_packet(wanted: Callable[[mesh_pb2.MeshPacket], bool]) -> mesh_pb2.MeshPacket:
    """Return the first packet of the 2.7 recording's live frames that is `wanted`."""
    frames = map(mesh_pb2.FromRadio.FromString, live_frames(MESHTASTIC_2_7))
    return next(f.packet for f in frames if f.HasField("packet") and wanted(f.packet))


def shape(packet: mesh_pb2.MeshPacket) -> set[str]:
    """Return the names of the fields that are filled, but for those that need a set clock."""
    filled = {field.name for field, _ in packet.ListFields()}
    filled |= {f"decoded.{field.name}" for field, _ in packet.decoded.ListFields()}
    return filled - {"rx_time"}


async def test_a_broadcast_is_acknowledged_by_the_node_itself(
    client: RawClient, node: SimulatedNode
) -> None:
    """A neighbour repeats it, which counts as the acknowledgement."""
    packet_id = client.say("hello", to=BROADCAST, packet_id=1001)
    assert await client.outcome(packet_id) == [ERROR.NONE]
    ack = client.packets(PORTS.ROUTING_APP)[0]
    assert sender(ack) == ack.to == node.state.num
    assert shape(ack) == shape(recorded_packet(lambda p: p.priority == p.Priority.ACK))
    (status,) = client.queue_statuses()
    assert (status.res, status.free, status.maxlen) == (0, 15, 16)
    assert status.mesh_packet_id == packet_id
    assert node.texts() == ["hello"]


async def test_a_direct_text_is_acknowledged_by_its_destination(
    client: RawClient, node: SimulatedNode
) -> None:
    """With the fields that the recording shows."""
    peer = node.peer(0)
    packet_id = client.say("hello you", to=peer.num, packet_id=1002)
    assert await client.outcome(packet_id) == [ERROR.NONE]
    ack = client.packets(PORTS.ROUTING_APP)[0]
    assert sender(ack) == peer.num
    recorded = recorded_packet(
        lambda p: p.decoded.portnum == PORTS.ROUTING_APP and p.want_ack and p.next_hop == 1
    )
    assert shape(ack) == shape(recorded)


@pytest.mark.parametrize("silent", [True, False])
async def test_nobody_there_is_told(client: RawClient, node: SimulatedNode, silent: bool) -> None:
    """A silent and an unknown destination end in MAX_RETRANSMIT from the node itself."""
    peer = node.peer(0)
    peer.silent = silent
    packet_id = client.say("hello?", to=peer.num if silent else 0x1234, packet_id=1003)
    assert await client.outcome(packet_id) == [ERROR.MAX_RETRANSMIT]


async def test_a_node_that_refuses_says_why(client: RawClient, node: SimulatedNode) -> None:
    """Whatever error a test sets comes from the destination."""
    node.peer(0).refuses = ERROR.NO_CHANNEL
    packet_id = client.say("hello?", to=node.peer(0).num, packet_id=1004)
    assert await client.outcome(packet_id) == [ERROR.NO_CHANNEL]


async def test_an_echo_bot_answers_a_direct_text(client: RawClient, node: SimulatedNode) -> None:
    """After the acknowledgement, privately, as a reply."""
    node.peer(0).echoes = True
    packet_id = client.say("ping", to=node.peer(0).num, packet_id=1005)
    await client.wait_for(client.texts)
    assert client.texts() == ["Got it: ping"]
    answer = client.packets(PORTS.TEXT_MESSAGE_APP)[0]
    assert answer.decoded.reply_id == packet_id
    assert answer.pki_encrypted
    assert answer.public_key == node.peer(0).user.public_key
    assert client.errors_for(packet_id) == [ERROR.NONE]


async def test_requests_are_answered_by_the_peers(client: RawClient, node: SimulatedNode) -> None:
    """Traceroute with signal figures, telemetry, position, node info; each carries the id."""
    far = next(p for p in node.mesh.peers.values() if p.hops)
    near = node.peer(0)
    asked: list[tuple[Port, int, int]] = [
        (PORTS.TRACEROUTE_APP, far.num, 2001),
        (PORTS.TELEMETRY_APP, near.num, 2002),
        (PORTS.POSITION_APP, near.num, 2003),
        (PORTS.NODEINFO_APP, near.num, 2004),
    ]
    for port, to, packet_id in asked:
        client.send_data(port, b"", to=to, packet_id=packet_id, want_response=True)
    await client.wait_for(lambda: len(client.packets()) == len(asked))
    answers = {p.decoded.request_id: p.decoded for p in client.packets()}
    assert {i: d.portnum for i, d in answers.items()} == {i: port for port, _, i in asked}
    route = mesh_pb2.RouteDiscovery.FromString(answers[2001].payload)
    assert tuple(route.route) == far.route
    assert len(route.snr_towards) == len(route.snr_back) == far.hops + 1
    measured = telemetry_pb2.Telemetry.FromString(answers[2002].payload)
    assert measured.device_metrics == near.metrics
    assert mesh_pb2.User.FromString(answers[2004].payload) == near.user


async def test_a_peer_without_a_position_says_so(client: RawClient, node: SimulatedNode) -> None:
    """With NO_RESPONSE, as recorded."""
    node.peer(0).position = None
    client.send_data(
        PORTS.POSITION_APP, b"", to=node.peer(0).num, packet_id=2005, want_response=True
    )
    assert await client.outcome(2005) == [ERROR.NO_RESPONSE]


async def test_a_repeated_id_is_dropped_without_a_word(
    client: RawClient, node: SimulatedNode
) -> None:
    """Among the last twenty ids of the connection, and no further back."""
    sent = (1, 1, *range(2, 22), 1, 3)
    for packet_id in sent:
        client.send_data(PORTS.PRIVATE_APP, b"x", to=node.peer(0).num, packet_id=packet_id)
    await node.wait_for(lambda: len(node.packets()) == len(sent))
    assert node.tally["duplicates"] == 2
    assert [p.id for p in node.router.accepted] == [1, *range(2, 22), 1]


async def test_texts_too_close_together_are_refused_where_nobody_sees_it(
    client: RawClient, node: SimulatedNode, clock: ManualClock
) -> None:
    """Two seconds from the last accepted one; the refusal goes to what the client put in `from`."""
    for i, wait in enumerate((0.0, 1.0, 0.9, 0.2)):
        clock.advance(wait)
        client.say(f"text {i}", to=BROADCAST, packet_id=3000 + i)
        await client.report(3000 + i)
    await client.outcome(3003)
    assert [p.id for p in node.router.accepted] == [3000, 3003]
    assert client.errors_for(3001) == client.errors_for(3002) == []
    assert node.tally["rate_limited_TEXT_MESSAGE_APP"] == 2
    refusals = [p for p in node.router.on_air if p.decoded.portnum == PORTS.ROUTING_APP]
    assert [p.to for p in refusals] == [0, 0]

    packet = mesh_pb2.MeshPacket(to=BROADCAST, id=3004)
    packet.decoded.portnum = PORTS.TEXT_MESSAGE_APP
    setattr(packet, "from", node.state.num)
    client.send_packet(packet)
    assert await client.outcome(3004) == [ERROR.RATE_LIMIT_EXCEEDED]


async def test_a_refused_packet_sent_again_is_a_repeated_one(
    client: RawClient, node: SimulatedNode, clock: ManualClock
) -> None:
    """The id is remembered before the limit is looked at: a retry must use another id."""
    client.say("one", to=BROADCAST, packet_id=1)
    client.say("two", to=BROADCAST, packet_id=2)
    await client.report(2)
    clock.advance(10)
    client.say("two", to=BROADCAST, packet_id=2)
    await node.wait_for(lambda: node.tally["duplicates"])
    assert [p.id for p in node.router.accepted] == [1]


async def test_the_limits_of_the_other_ports(
    client: RawClient, node: SimulatedNode, clock: ManualClock
) -> None:
    """Ten seconds in silence for four ports; thirty with a notification for traceroutes."""
    quiet = (PORTS.POSITION_APP, PORTS.WAYPOINT_APP, PORTS.ALERT_APP, PORTS.TELEMETRY_APP)
    packet_id = 0
    for wait in (0.0, 9.9, 0.2):
        clock.advance(wait)
        for port in (*quiet, PORTS.TRACEROUTE_APP):
            packet_id += 1
            client.send_data(port, b"", to=node.peer(0).num, packet_id=packet_id)
            await client.report(packet_id)
    assert [p.id for p in node.router.accepted] == [1, 2, 3, 4, 5, 11, 12, 13, 14]
    expected = "TraceRoute can only be sent once every 30 seconds"
    await client.wait_for(lambda: client.notifications() == [expected] * 2)
    assert node.router.accepted[4].want_ack


async def test_the_limits_belong_to_a_connection(client: RawClient, node: SimulatedNode) -> None:
    """A new connection starts afresh."""
    client.say("one", to=BROADCAST, packet_id=1)
    await client.outcome(1)
    async with await RawClient.connect(node.host, node.port) as other:
        await other.want_config(2)
        other.say("two", to=BROADCAST, packet_id=1)
        assert await other.outcome(1) == [ERROR.NONE]
    assert node.texts() == ["one", "two"]


async def test_many_packets_at_once_lose_their_reports(
    client: RawClient, node: SimulatedNode
) -> None:
    """Two reports wait at most; the firmware reads all that has come before it writes."""
    packets = (
        mesh_pb2.MeshPacket(to=BROADCAST, id=i, decoded=mesh_pb2.Data(portnum=PORTS.PRIVATE_APP))
        for i in (1, 2, 3)
    )
    client.write(b"".join(frame(mesh_pb2.ToRadio(packet=p).SerializeToString()) for p in packets))
    await client.report(3)
    assert client.reported_ids() == [2, 3]
    assert node.tally["evicted_queue_status"] == 1


async def test_a_full_transmit_queue_is_reported(client: RawClient, node: SimulatedNode) -> None:
    """With an error in the report and, where asked, in place of the acknowledgement."""
    node.router.queue_fill = 16
    packet_id = client.say("hello", to=BROADCAST, packet_id=1)
    assert await client.outcome(packet_id) == [ERROR.MAX_RETRANSMIT]
    (status,) = client.queue_statuses()
    assert (status.res, status.free) == (32, 0)
    node.router.queue_fill = 0
    client.send_data(PORTS.PRIVATE_APP, b"", to=BROADCAST, packet_id=2)
    await client.report(2)


async def test_the_node_completes_what_a_client_sends(
    client: RawClient, node: SimulatedNode
) -> None:
    """`from` is overwritten and a missing id made up; data too long is not even decoded."""
    packet = mesh_pb2.MeshPacket(to=BROADCAST)
    packet.decoded.portnum = PORTS.PRIVATE_APP
    setattr(packet, "from", 0xBAD)
    client.send_packet(packet)
    await client.wait_for(client.queue_statuses)
    (accepted,) = node.router.accepted
    assert sender(accepted) == node.state.num
    assert accepted.id == client.reported_ids()[0] != 0
    assert sender(node.packets()[0]) == 0xBAD

    client.send_data(PORTS.PRIVATE_APP, bytes(234), to=BROADCAST, packet_id=5)
    client.write(b"\x94\xc3\x00\x03\x0a\xff\x01")
    await node.wait_for(lambda: node.tally["malformed"] == 2)
    assert len(node.router.accepted) == 1


async def test_keys_and_channels_are_checked(socket_enabled: None) -> None:
    """A wrong public key, a missing one (2.8) and a disabled channel fail at once."""
    async with (
        SimulatedNode(NodeConfig(flavour="2.8")) as node,
        await RawClient.connect(node.host, node.port) as client,
    ):
        await client.want_config(69420)
        stranger, peer = node.mesh.peer(0x1234).num, node.peer(0).num
        cases = [
            (mesh_pb2.MeshPacket(to=stranger, id=1), ERROR.PKI_SEND_FAIL_PUBLIC_KEY),
            (
                mesh_pb2.MeshPacket(to=peer, id=2, public_key=bytes(32)),
                ERROR.PKI_FAILED,
            ),
            (mesh_pb2.MeshPacket(to=BROADCAST, id=3, channel=5), ERROR.NO_CHANNEL),
        ]
        for packet, error in cases:
            # Another port for the others: only texts to one node need a key.
            packet.decoded.portnum = PORTS.TEXT_MESSAGE_APP if error == 39 else PORTS.PRIVATE_APP
            client.send_packet(packet)
            assert await client.outcome(packet.id) == [error]
            assert (await client.report(packet.id)).res == error
        recorded = map(mesh_pb2.FromRadio.FromString, live_frames(MESHTASTIC_2_8))
        assert 39 in [f.queueStatus.res for f in recorded]


async def test_what_the_mesh_says_reaches_the_client(
    client: RawClient, node: SimulatedNode
) -> None:
    """In order, whole, and the node database follows."""
    num = node.peer(0).num
    packet_id = await node.say(num, "to all", reply_id=5)
    await node.say(num, "to you", to=node.state.num)
    moved = mesh_pb2.Position(latitude_i=1, longitude_i=2, precision_bits=32)
    await node.send_position(num, moved)
    await node.send_telemetry(
        num, telemetry_pb2.Telemetry(device_metrics=telemetry_pb2.DeviceMetrics(battery_level=7))
    )
    await node.send_waypoint(num, mesh_pb2.Waypoint(id=3, name="camp"))
    raw = b"\x9a\x01\x02\x08\x01"
    await node.send_raw(raw)
    await client.wait_for(lambda: client.payloads[-1] == raw)
    assert client.texts() == ["to all", "to you"]
    port = PORTS.TEXT_MESSAGE_APP
    public, private = client.packets(port)
    assert public.id == packet_id
    assert (public.decoded.reply_id, public.pki_encrypted) == (5, False)
    assert private.pki_encrypted
    recorded = recorded_packet(lambda p: p.pki_encrypted and p.decoded.portnum == port)
    assert shape(private) == shape(recorded)
    record = node.state.nodes[num]
    assert record.position == moved
    assert record.device_metrics.battery_level == 7
