"""Actions that ask nodes, share places, and tell what is known."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import device_registry as dr
from meshtastic.protobuf import mesh_pb2
import pytest

from custom_components.meshmonitor.const import DOMAIN
from custom_components.meshmonitor.coordinator import MeshMonitorCoordinator
from tests.ha import make_entry, node_id, set_up, wait_until
from tests.ha.automations import device_of
from tests.simulators.meshtastic_config import NodeConfig
from tests.simulators.meshtastic_mesh import PORTS, Peer
from tests.simulators.meshtastic_node import SimulatedNode

pytestmark = pytest.mark.usefixtures("unload")

REQUESTS = (
    "request_neighbors",
    "request_node_info",
    "request_position",
    "request_status",
    "request_telemetry",
    "traceroute",
)


@pytest.fixture(name="slow_node")
async def slow_node_fixture(socket_enabled: None) -> AsyncIterator[SimulatedNode]:
    """Yield a node whose air is slow."""
    async with SimulatedNode(NodeConfig(ack_delay=0.2)) as node:
        yield node


@pytest.fixture(name="late_node")
async def late_node_fixture(socket_enabled: None) -> AsyncIterator[SimulatedNode]:
    """Yield a node to which the mesh does not answer in time."""
    async with SimulatedNode(NodeConfig(ack_delay=600.0)) as node:
        yield node


async def act(hass: HomeAssistant, action: str, **data: Any) -> dict[str, Any]:
    """Call an action, and return its answer."""
    answer = await hass.services.async_call(
        DOMAIN, action, data, blocking=True, return_response=True
    )
    assert answer is not None
    return dict(answer)


def peer_id(peer: Peer) -> str:
    """Return a peer's node id."""
    return f"!{peer.num:08x}"


def far_peer(node: SimulatedNode) -> Peer:
    """Return a peer that others stand between."""
    return next(peer for peer in node.mesh.peers.values() if peer.route)


async def test_traceroute(hass: HomeAssistant, node: SimulatedNode) -> None:
    """The route to a node and back, with the signal of every hop."""
    await set_up(hass, make_entry(node))
    peer = far_peer(node)
    answer = await act(hass, "traceroute", node_id=peer_id(peer))
    assert answer["node_id"] == peer_id(peer)
    between = [f"!{num:08x}" for num in peer.route]
    assert [hop["node_id"] for hop in answer["towards"]] == [*between, peer_id(peer)]
    assert [hop["node_id"] for hop in answer["back"]] == [*between[::-1], node_id(node)]
    assert answer["towards"][-1]["name"] == peer.user.long_name
    for hop in answer["towards"] + answer["back"]:
        assert isinstance(hop["snr"], float)


async def test_request_position(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A node says where it is; it can be called by its name."""
    await set_up(hass, make_entry(node))
    peer = next(peer for peer in node.mesh.peers.values() if peer.position is not None)
    assert peer.position is not None
    answer = await act(hass, "request_position", node_id=peer.user.long_name.upper())
    assert answer["node_id"] == peer_id(peer)
    assert answer["latitude"] == pytest.approx(peer.position.latitude_i / 1e7)
    assert answer["longitude"] == pytest.approx(peer.position.longitude_i / 1e7)
    assert answer["altitude"] == peer.position.altitude


async def test_request_telemetry(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A node says what it measures, of the kind that is asked for."""
    await set_up(hass, make_entry(node))
    peer = next(peer for peer in node.mesh.peers.values() if peer.environment is not None)
    assert peer.environment is not None
    device = await act(hass, "request_telemetry", node_id=peer_id(peer))
    assert device["kind"] == "device"
    assert device["readings"]["voltage"] == pytest.approx(peer.metrics.voltage)
    environment = await act(
        hass, "request_telemetry", node_id=peer.user.short_name, kind="environment"
    )
    assert environment["kind"] == "environment"
    assert environment["readings"]["temperature"] == pytest.approx(peer.environment.temperature)
    with pytest.raises(ServiceValidationError) as unknown:
        await act(hass, "request_telemetry", node_id=peer_id(peer), kind="mood")
    assert unknown.value.translation_key == "send_not_supported"


async def test_request_node_info(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A node says who it is; it can be chosen by its device."""
    coordinator = await set_up(hass, make_entry(node))
    peer = node.peer(0)
    device = await device_of(hass, coordinator, peer_id(peer))
    answer = await act(hass, "request_node_info", device_id=device)
    assert answer["node_id"] == peer_id(peer)
    assert answer["name"] == peer.user.long_name
    assert answer["device_id"] == device
    assert answer["is_online"] is True


async def test_request_neighbors(hass: HomeAssistant, late_node: SimulatedNode) -> None:
    """A node says whom it hears."""
    node = late_node
    await set_up(hass, make_entry(node))
    peer, other = node.peer(0), node.peer(1)
    asked = hass.async_create_task(act(hass, "request_neighbors", node_id=peer_id(peer)))
    await wait_until(lambda: node.packets(PORTS.NEIGHBORINFO_APP), "the question")
    [question] = node.packets(PORTS.NEIGHBORINFO_APP)
    info = mesh_pb2.NeighborInfo(
        node_id=peer.num, neighbors=[mesh_pb2.Neighbor(node_id=other.num, snr=4.25)]
    )
    await node.send_packet(
        node.mesh.from_air(
            peer,
            PORTS.NEIGHBORINFO_APP,
            info.SerializeToString(),
            now=node.now(),
            to=node.state.num,
            request_id=question.id,
        )
    )
    async with asyncio.timeout(20):
        answer = await asked
    assert answer["neighbors"] == [
        {"node_id": peer_id(other), "name": other.user.long_name, "snr": 4.25}
    ]


async def test_no_answer(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A node that has nothing to say, and one that refuses, are no fault of the user."""
    await set_up(hass, make_entry(node))
    peer = next(peer for peer in node.mesh.peers.values() if peer.position is None)
    with pytest.raises(HomeAssistantError) as nothing:
        await act(hass, "request_position", node_id=peer_id(peer))
    assert nothing.value.translation_key == "send_no_answer"
    assert not isinstance(nothing.value, ServiceValidationError)
    with pytest.raises(ServiceValidationError) as unsupported:
        await act(hass, "request_status", node_id=peer_id(peer))
    assert unsupported.value.translation_key == "send_not_supported"


@pytest.mark.parametrize("action", REQUESTS)
async def test_nobody_to_ask(hass: HomeAssistant, node: SimulatedNode, action: str) -> None:
    """A question is for one node; the radio's own device is none."""
    coordinator = await set_up(hass, make_entry(node))
    for data in ({}, {"device_id": coordinator.device_id}):
        with pytest.raises(ServiceValidationError) as nobody:
            await act(hass, action, **data)
        assert nobody.value.translation_key == "no_node"


async def test_whom_is_meant(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Two nodes of one name, or two nodes at once, are not guessed at."""
    coordinator = await set_up(hass, make_entry(node))
    one, two = node.peer(0), node.peer(1)
    device = await device_of(hass, coordinator, peer_id(one))
    with pytest.raises(ServiceValidationError) as both:
        await act(hass, "traceroute", device_id=device, node_id=peer_id(two))
    assert both.value.translation_key == "two_nodes"
    same = await act(hass, "traceroute", device_id=device, node_id=peer_id(one))
    assert same["node_id"] == peer_id(one)
    by_radio = await act(hass, "traceroute", device_id=coordinator.device_id, node_id=peer_id(two))
    assert by_radio["node_id"] == peer_id(two)

    two.user.long_name = one.user.long_name
    await node.send_node_info(two.num)
    name = one.user.long_name
    await wait_until(lambda: _name(coordinator, peer_id(two)) == name, "the new name")
    with pytest.raises(ServiceValidationError) as ambiguous:
        await act(hass, "traceroute", node_id=name)
    assert ambiguous.value.translation_key == "ambiguous_node"
    with pytest.raises(ServiceValidationError) as stranger:
        await act(hass, "traceroute", node_id="Nobody")
    assert stranger.value.translation_key == "send_unknown_node"


def _name(coordinator: MeshMonitorCoordinator, node: str) -> str | None:
    known = coordinator.source.node(node)
    return None if known is None else known.name


async def test_send_to_device(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A node's device is the recipient, the radio's device the sender, whatever part of it."""
    coordinator = await set_up(hass, make_entry(node))
    peer = node.peer(0)
    device = await device_of(hass, coordinator, peer_id(peer))
    part = dr.async_get(hass).async_get_child_device_by_identifier(
        (DOMAIN, f"{node_id(node)}_virtual_node"), coordinator.entry.entry_id
    )
    assert part is not None
    await act(hass, "send_text", message="one", device_id=device)
    await act(hass, "send_text", message="two", device_id=coordinator.device_id)
    await act(hass, "send_text", message="three", device_id=part.id)
    await wait_until(lambda: len(node.texts()) == 3, "the texts")
    to = {packet.decoded.payload: packet.to for packet in node.packets(PORTS.TEXT_MESSAGE_APP)}
    assert to == {b"one": peer.num, b"two": 0xFFFFFFFF, b"three": 0xFFFFFFFF}


async def test_wait_for_acknowledgement(hass: HomeAssistant, node: SimulatedNode) -> None:
    """The action goes on when the recipient has the text, and says so."""
    await set_up(hass, make_entry(node))
    answer = await act(
        hass,
        "send_text",
        message="there?",
        recipient=node.peer(0).user.long_name,
        wait_for_ack=True,
    )
    assert answer["delivery"] == "delivered"
    assert answer["reason"] is None


async def test_wait_on_a_channel(hass: HomeAssistant, node: SimulatedNode) -> None:
    """On a channel, a neighbour's repetition is as good as it gets."""
    await set_up(hass, make_entry(node))
    answer = await act(hass, "send_text", message="all", channel="LongFast", wait_for_ack=True)
    assert answer["delivery"] == "relayed"


async def test_wait_for_a_failure(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A text that is refused is a result, with its reason."""
    await set_up(hass, make_entry(node))
    peer = node.peer(0)
    peer.refuses = mesh_pb2.Routing.Error.MAX_RETRANSMIT
    answer = await act(
        hass, "send_text", message="there?", recipient=peer_id(peer), wait_for_ack=True
    )
    assert answer["delivery"] == "failed"
    assert answer["reason"] == "max_retransmit"


async def test_wait_in_vain(hass: HomeAssistant, late_node: SimulatedNode) -> None:
    """The time is limited: that nothing was heard is a result, too."""
    await set_up(hass, make_entry(late_node))
    answer = await act(
        hass,
        "send_text",
        message="there?",
        recipient=peer_id(late_node.peer(0)),
        wait_for_ack=True,
        timeout=1,
    )
    assert answer["delivery"] == "sent"


async def test_reaction(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A reaction is for a message."""
    await set_up(hass, make_entry(node))
    with pytest.raises(ServiceValidationError) as to_nothing:
        await act(hass, "send_text", message="👍", reaction=True)
    assert to_nothing.value.translation_key == "reaction_to_nothing"
    await act(hass, "send_text", message="👍", reaction=True, reply_id="01020304")
    await wait_until(node.texts, "the reaction")
    [packet] = node.packets(PORTS.TEXT_MESSAGE_APP)
    assert packet.decoded.emoji == 1
    assert packet.decoded.reply_id == 0x01020304


async def test_send_waypoint(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A place is shared, and withdrawn by its id."""
    await set_up(hass, make_entry(node))
    answer = await act(
        hass,
        "send_waypoint",
        name="Meeting point",
        description="At the mill",
        latitude=52.1,
        longitude=5.2,
        icon="🏁️",
        expires="2030-01-02T03:04:05+00:00",
        channel="home",
    )
    assert answer["waypoint_id"]
    assert answer["icon"] == "🏁"
    assert datetime.fromisoformat(answer["expires"]) == datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    await wait_until(lambda: node.packets(PORTS.WAYPOINT_APP), "the waypoint")
    [packet] = node.packets(PORTS.WAYPOINT_APP)
    assert packet.channel == 1
    sent = mesh_pb2.Waypoint.FromString(packet.decoded.payload)
    assert f"{sent.id:08x}" == answer["waypoint_id"]
    assert (sent.name, sent.latitude_i, sent.longitude_i) == ("Meeting point", 521000000, 52000000)

    with pytest.raises(ServiceValidationError) as nowhere:
        await act(hass, "send_waypoint", name="Nowhere")
    assert nowhere.value.translation_key == "waypoint_without_place"
    withdrawn = await act(hass, "send_waypoint", waypoint_id=answer["waypoint_id"])
    assert withdrawn["waypoint_id"] == answer["waypoint_id"]
    assert withdrawn["latitude"] is None
    with pytest.raises(ServiceValidationError) as too_long:
        await act(hass, "send_waypoint", name="x" * 40, latitude=1, longitude=2)
    assert too_long.value.translation_key == "send_message_too_long"
    assert too_long.value.translation_placeholders == {"name": "Base", "limit": "29"}


async def test_send_advert(hass: HomeAssistant, node: SimulatedNode) -> None:
    """The radio says who it is."""
    await set_up(hass, make_entry(node))
    await hass.services.async_call(DOMAIN, "send_advert", {}, blocking=True)
    await wait_until(lambda: node.packets(PORTS.NODEINFO_APP), "the announcement")
    [packet] = node.packets(PORTS.NODEINFO_APP)
    assert packet.to == 0xFFFFFFFF


async def test_login(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Meshtastic has nothing to log in at; the password is not told."""
    await set_up(hass, make_entry(node))
    with pytest.raises(ServiceValidationError) as unsupported:
        await hass.services.async_call(
            DOMAIN,
            "login",
            {"node_id": peer_id(node.peer(0)), "password": "secret"},
            blocking=True,
        )
    assert unsupported.value.translation_key == "send_not_supported"
    assert "secret" not in str(unsupported.value)


async def test_list_nodes(hass: HomeAssistant, node: SimulatedNode) -> None:
    """What is known of every node, without asking anybody."""
    coordinator = await set_up(hass, make_entry(node))
    peer = node.peer(2)
    await node.say(peer.num, "hello")
    await wait_until(lambda: coordinator.presence.is_online(peer_id(peer)), "its presence")
    before = len(node.packets())
    nodes = {each["node_id"]: each for each in (await act(hass, "list_nodes"))["nodes"]}
    assert len(nodes) == node.config.nodes
    own = nodes[node_id(node)]
    assert own["is_own"]
    assert own["is_online"]
    assert own["device_id"] == coordinator.device_id
    told = nodes[peer_id(peer)]
    assert told["name"] == peer.user.long_name
    assert told["is_online"]
    assert told["device_id"] is None
    assert peer.position is not None
    assert told["position"]["latitude"] == pytest.approx(peer.position.latitude_i / 1e7)
    assert told["telemetry"]["device"]["readings"]
    assert datetime.fromisoformat(told["last_heard"]).utcoffset() is not None
    assert "public_key" not in told

    online = (await act(hass, "list_nodes", online=True))["nodes"]
    assert {each["node_id"] for each in online} == {node_id(node), peer_id(peer)}
    offline = (await act(hass, "list_nodes", online=False))["nodes"]
    assert len(offline) == len(nodes) - 2
    assert len(node.packets()) == before


async def test_list_messages(hass: HomeAssistant, node: SimulatedNode) -> None:
    """The last messages in their order, with what became of those that were sent."""
    coordinator = await set_up(hass, make_entry(node))
    one, two = node.peer(0), node.peer(1)
    await node.say(one.num, "to all")
    await node.say(two.num, "at home", channel=1)
    await node.say(two.num, "to you", to=node.state.num)
    await wait_until(lambda: len(coordinator.messages) == 3, "the messages")
    await act(hass, "send_text", message="answer", recipient=peer_id(two), wait_for_ack=True)

    messages = (await act(hass, "list_messages"))["messages"]
    assert [message["text"] for message in messages] == ["to all", "at home", "to you", "answer"]
    assert [message["delivery"] for message in messages] == [None, None, None, "delivered"]
    assert messages[3]["origin"] == "home_assistant"
    assert messages[3]["recipient_name"] == two.user.long_name

    async def texts(**data: Any) -> list[str]:
        found = (await act(hass, "list_messages", **data))["messages"]
        return [message["text"] for message in found]

    assert await texts(limit=2) == ["to you", "answer"]
    assert await texts(channel="LongFast") == ["to all"]
    assert await texts(channel="1") == ["at home"]
    assert await texts(node_id=peer_id(two)) == ["at home", "to you", "answer"]
    device = await device_of(hass, coordinator, peer_id(one))
    assert await texts(device_id=device) == ["to all"]
    assert await texts(device_id=coordinator.device_id) == await texts()


async def test_acknowledgement_comes_later(hass: HomeAssistant, slow_node: SimulatedNode) -> None:
    """Other deliveries meanwhile are not taken for this one."""
    await set_up(hass, make_entry(slow_node))
    one, two = slow_node.peer(0), slow_node.peer(1)
    two.refuses = mesh_pb2.Routing.Error.NO_CHANNEL
    first, second = await asyncio.gather(
        *(
            act(hass, "send_text", message="?", recipient=peer_id(peer), wait_for_ack=True)
            for peer in (one, two)
        )
    )
    assert first["delivery"] == "delivered"
    assert second["delivery"] == "failed"
