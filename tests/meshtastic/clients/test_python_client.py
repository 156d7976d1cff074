"""The published Python client against the virtual node, two and more at once."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from meshtastic.protobuf import admin_pb2, portnums_pb2
import pytest

from tests.meshtastic.clients.python_client import PythonClient, python_client
from tests.meshtastic.e2e.conftest import OpenStage
from tests.meshtastic.e2e.stage import PORT, Stage
from tests.simulators.meshtastic_config import NodeConfig

ADMIN = admin_pb2.AdminMessage


def _seen(client: PythonClient) -> dict[str, Any]:
    """Return all that a client knows of its radio, without the time of its request."""
    interface = client.interface
    nodes = {num: dict(node) for num, node in (interface.nodesByNum or {}).items()}
    own = nodes[interface.localNode.nodeNum]
    own.pop("lastHeard")
    own["position"].pop("time")
    return {
        "nodes": nodes,
        "my_info": interface.myInfo,
        "metadata": interface.metadata,
        "channels": interface.localNode.channels,
        "config": interface.localNode.localConfig,
        "modules": interface.localNode.moduleConfig,
    }


async def test_it_sees_what_a_direct_connection_shows(open_stage: OpenStage) -> None:
    """Nodes, channels and configuration, in three clients at once and then at the radio itself."""
    stage = await open_stage(NodeConfig(nodes=60), hide_secrets=False)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(python_client(stage.port)) for _ in range(3)]
        through = [_seen(client) for client in clients]
    await stage.source.stop()
    async with python_client(stage.node.port) as client:
        direct = _seen(client)
    assert len(direct["nodes"]) == 60
    assert len(direct["channels"]) == 8
    assert direct["config"].network.wifi_psk
    assert through == [direct, direct, direct]


async def test_without_nodes_it_is_quick_and_knows_itself(stage: Stage) -> None:
    """The nonce for the configuration alone."""
    async with python_client(stage.port, no_nodes=True) as client:
        assert set(client.interface.nodesByNum or {}) == {stage.own}
        assert client.interface.getLongName() == "Simulated Base"


async def test_two_of_them_talk_with_each_other(stage: Stage) -> None:
    """The text of the one is seen at the other, once, and never at its sender."""
    async with python_client(stage.port) as one, python_client(stage.port) as two:
        sent = await one.call(one.interface.sendText, "hello")
        await two.until(two.texts)
        (packet,) = two.of("TEXT_MESSAGE_APP")
        assert (packet["id"], packet["fromId"]) == (sent.id, stage.node.state.user.id)
        await two.call(two.interface.sendText, "hello yourself")
        await one.until(one.texts)
        await stage.node.say(stage.node.peer(0).num, "from the air")
        for client in (one, two):
            await client.until(lambda client=client: "from the air" in client.texts())  # type: ignore[misc]
        assert one.texts() == ["hello yourself", "from the air"]
        assert two.texts() == ["hello", "from the air"]
    assert stage.node.texts() == ["hello", "hello yourself"]


async def test_it_waits_for_its_acknowledgement(stage: Stage) -> None:
    """Implicit from all, real from one; and it learns of a failure."""
    async with python_client(stage.port) as client:
        interface = client.interface

        def send(text: str, to: int | str) -> None:
            """Send a text and wait, as the command line does with ``--ack``."""
            local = interface.getNode("^local", False)
            interface.sendText(text, to, wantAck=True, onResponse=local.onAckNak)
            interface.waitForAckNak()

        await client.call(send, "to all", "^all")
        await client.call(send, "to one", stage.node.peer(0).num)
        stage.node.peer(1).silent = True
        await client.call(send, "to nobody", stage.node.peer(1).num)
        await client.until(lambda: len(client.of("ROUTING_APP")) == 3)
        reasons = [p["decoded"]["routing"]["errorReason"] for p in client.of("ROUTING_APP")]
    assert reasons == ["NONE", "NONE", "MAX_RETRANSMIT"]
    assert len(stage.node.texts()) == 3


async def test_it_asks_other_nodes(stage: Stage) -> None:
    """Traceroute, position and telemetry, each answered."""
    peer = stage.node.peer(2)
    async with python_client(stage.port) as client:
        interface = client.interface
        await client.call(interface.sendTraceRoute, peer.num, 3)
        await client.call(lambda: interface.sendPosition(destinationId=peer.num, wantResponse=True))
        await client.call(
            lambda: interface.sendTelemetry(destinationId=peer.num, wantResponse=True)
        )
        await client.until(lambda: client.of("TELEMETRY_APP"))
        (route,) = client.of("TRACEROUTE_APP")
        assert route["decoded"]["traceroute"]["route"] == list(peer.route)
        (place,) = client.of("POSITION_APP")
        assert place["from"] == peer.num


async def test_waypoints_reach_the_other(stage: Stage) -> None:
    """Sent by the one, shown by the other."""
    async with python_client(stage.port) as one, python_client(stage.port) as two:
        await one.call(
            lambda: one.interface.sendWaypoint(
                name="Meet", description="here", icon=9786, expire=0, waypoint_id=7,
                latitude=52.1, longitude=5.1, wantAck=False, wantResponse=False,
            )
        )  # fmt: skip
        await two.until(lambda: two.of("WAYPOINT_APP"))
        (packet,) = two.of("WAYPOINT_APP")
        assert packet["decoded"]["waypoint"]["name"] == "Meet"
        assert one.of("WAYPOINT_APP") == []


async def test_it_reads_settings_with_administration_off(open_stage: OpenStage) -> None:
    """By its own methods, which wait until there is an answer."""
    stage = await open_stage(started=False)
    stage.node.state.metadata.excluded_modules = 0
    await stage.start()
    async with python_client(stage.port) as client, python_client(stage.port) as other:
        node = client.interface.localNode
        assert await client.call(node.get_ringtone) == stage.node.state.ringtone
        assert await client.call(node.get_canned_message) == stage.node.state.canned_messages
        await client.call(node.getMetadata)
        before = len(client.of("ADMIN_APP"))
        await client.call(node.requestConfig, ADMIN.ConfigType.LORA_CONFIG)
        await client.until(lambda: len(client.of("ADMIN_APP")) > before)
        answer = client.of("ADMIN_APP")[-1]["decoded"]["admin"]["raw"]
        assert answer.get_config_response == stage.node.state.configs["lora"]
        assert other.of("ADMIN_APP") == []
    assert len(stage.node.packets(PORT.ADMIN_APP)) == 2


@pytest.mark.parametrize("allowed", [False, True])
async def test_changes_are_refused_or_taken(open_stage: OpenStage, allowed: bool) -> None:
    """By the owner's choice; a refused one comes back as a refusal."""
    stage = await open_stage(allow_admin_commands=allowed)
    async with python_client(stage.port) as client:
        node = client.interface.localNode
        await client.call(node.setOwner, "Changed", "CHG")
        await client.until(lambda: client.of("ROUTING_APP"))
        reason = client.of("ROUTING_APP")[0]["decoded"]["routing"]["errorReason"]
        assert reason == ("NONE" if allowed else "NOT_AUTHORIZED")
        await client.call(node.factoryReset)
        await client.until(lambda: len(client.of("ROUTING_APP")) >= 2)
    assert (stage.node.state.user.long_name == "Changed") is allowed
    assert stage.node.restarts == []


async def test_its_many_texts_are_all_sent(stage: Stage) -> None:
    """It stops sending when there is no room, and goes on when there is."""
    async with python_client(stage.port) as one, python_client(stage.port) as two:
        for number in range(6):
            await one.call(one.interface.sendText, f"text {number}")
        await two.until(lambda: len(two.texts()) == 6)
        assert two.texts() == [f"text {number}" for number in range(6)]
        # What it was told of each, it takes out of its own queue.
        await one.until(lambda: not any(one.interface.queue.values()))


async def test_it_comes_back_by_itself(stage: Stage) -> None:
    """After another radio took the place of its own."""
    async with python_client(stage.port) as client:
        stage.node.become(0x22222222)
        await stage.node.reboot()
        await client.until(
            lambda: client.interface.myInfo and client.interface.myInfo.my_node_num == 0x22222222
        )
        await client.until(client.interface.isConnected.is_set)
        await client.call(client.interface.sendText, "to the new one")
        await client.until(lambda: "to the new one" in stage.node.texts())


async def test_ten_at_once(open_stage: OpenStage) -> None:
    """All see each other's texts."""
    stage = await open_stage(NodeConfig(nodes=100))
    async with AsyncExitStack() as stack:
        clients = await asyncio.gather(
            *(stack.enter_async_context(python_client(stage.port)) for _ in range(10))
        )
        await clients[0].call(clients[0].interface.sendText, "to nine")
        for client in clients[1:]:
            await client.until(lambda client=client: client.texts() == ["to nine"])  # type: ignore[misc]
        assert clients[0].texts() == []
    assert len(stage.node.want_configs) == 1
    assert stage.node.packets(portnums_pb2.PortNum.ADMIN_APP) == []
