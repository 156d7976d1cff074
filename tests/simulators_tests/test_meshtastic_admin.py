"""Administration: the answers are those of the recorded firmware, the changes are real."""

from collections.abc import Iterator
from pathlib import Path

from meshtastic.protobuf import admin_pb2, channel_pb2, config_pb2, mesh_pb2, module_config_pb2
import pytest

from tests.simulators.meshtastic_client import RawClient
from tests.simulators.meshtastic_config import Flavour, ManualClock, NodeConfig
from tests.simulators.meshtastic_frames import frame
from tests.simulators.meshtastic_mesh import PORTS
from tests.simulators.meshtastic_node import SimulatedNode
from tests.simulators.meshtastic_state import BROADCAST, MQTT_PASSWORD, WIFI_PSK
from tests.simulators.recording import MESHTASTIC_2_7, MESHTASTIC_2_8, read_recording

ERROR = mesh_pb2.Routing.Error
Admin = admin_pb2.AdminMessage


def about(request: mesh_pb2.MeshPacket, payloads: list[bytes]) -> list[tuple[str, ...]]:
    """Return what the node says about an admin `request`, stripped of what differs each time."""
    frames = [mesh_pb2.FromRadio.FromString(p) for p in payloads]
    answers = {f.packet.id: f.packet for f in frames if f.packet.decoded.request_id == request.id}
    said: list[tuple[str, ...]] = []
    for message in frames:
        status = message.queueStatus
        if message.HasField("queueStatus") and status.mesh_packet_id == request.id:
            said.append(("report of the request", str(status.free)))
        elif message.HasField("queueStatus") and status.mesh_packet_id in answers:
            said.append(("report of the answer", str(status.free)))
        elif message.packet.id in answers:
            packet = message.packet
            fields = [f.name for f, _ in packet.ListFields() if f.name != "rx_time"]
            inner = [f.name for f, _ in packet.decoded.ListFields()]
            content: list[str] = []
            if packet.decoded.portnum == PORTS.ADMIN_APP:
                answer = Admin.FromString(packet.decoded.payload)
                content = [f.name for f, _ in answer.ListFields()]
            else:
                content = [packet.decoded.payload.hex()]
            said.append((str(packet.priority), *fields, *inner, *content))
    return said


def recorded_conversations(path: Path) -> Iterator[tuple[bytes, list[bytes]]]:
    """Yield each recorded admin request and what the node sent until the client's next frame."""
    request, answers = b"", list[bytes]()
    for entry in read_recording(path):
        if entry.sender == "node" and entry.kind == "frame":
            answers.append(entry.data)
        elif entry.sender == "client" and entry.kind == "frame":
            if request:
                yield request, answers
            packet = mesh_pb2.ToRadio.FromString(entry.data).packet
            request = entry.data if packet.decoded.portnum == PORTS.ADMIN_APP else b""
            answers = []


@pytest.mark.parametrize(("flavour", "path"), [("2.7", MESHTASTIC_2_7), ("2.8", MESHTASTIC_2_8)])
async def test_the_recorded_conversations_repeat_themselves(
    socket_enabled: None, flavour: Flavour, path: Path
) -> None:
    """The recorded requests, byte for byte, get answers of the recorded form in the same order."""
    conversations = list(recorded_conversations(path))
    assert len(conversations) == 11
    num = mesh_pb2.ToRadio.FromString(conversations[0][0]).packet.to
    async with (
        SimulatedNode(NodeConfig(flavour=flavour, num=num)) as node,
        await RawClient.connect(node.host, node.port) as client,
    ):
        # The recorded node has no canned messages.
        node.state.modules["canned_message"].canned_message.enabled = False
        await client.want_config(1)
        for payload, recorded in conversations:
            request = mesh_pb2.ToRadio.FromString(payload).packet
            expected = about(request, recorded)
            first = len(client.payloads)
            client.write(frame(payload))
            assert about(request, await client.more(len(expected), than=first)) == expected


async def test_everything_can_be_read(client: RawClient, node: SimulatedNode) -> None:
    """Every section and slot, as the state has it, with a session key."""
    num, packet_id = node.state.num, 100
    for i, section in enumerate(node.state.configs.values()):
        answer = await client.ask_admin(
            Admin(get_config_request=Admin.ConfigType.ValueType(i)), to=num, packet_id=packet_id + i
        )
        assert isinstance(answer, Admin)
        assert answer.get_config_response == section
        assert len(answer.session_passkey) == 8
    for i, module in enumerate(node.state.modules.values()):
        answer = await client.ask_admin(
            Admin(get_module_config_request=Admin.ModuleConfigType.ValueType(i)),
            to=num,
            packet_id=packet_id + 20 + i,
        )
        assert isinstance(answer, Admin)
        assert answer.get_module_config_response == module
    for i, channel in enumerate(node.state.channels):
        answer = await client.ask_admin(
            Admin(get_channel_request=i + 1), to=num, packet_id=packet_id + 50 + i
        )
        assert isinstance(answer, Admin)
        assert answer.get_channel_response == channel
    refused = await client.ask_admin(Admin(get_channel_request=9), to=num, packet_id=packet_id + 70)
    assert refused == ERROR.BAD_REQUEST
    canned = await client.ask_admin(
        Admin(get_canned_message_module_messages_request=True), to=num, packet_id=packet_id + 71
    )
    assert isinstance(canned, Admin)
    assert canned.get_canned_message_module_messages_response == node.state.canned_messages


async def change(client: RawClient, node: SimulatedNode, packet_id: int, message: Admin) -> None:
    """Send a change and wait for its acknowledgement."""
    answer = await client.ask_admin(message, to=node.state.num, packet_id=packet_id)
    assert answer == ERROR.NONE


async def test_changes_show_in_the_next_dump(client: RawClient, node: SimulatedNode) -> None:
    """Owner, channel, configuration, module, and marks on nodes."""
    favourite, ignored, removed = (node.peer(i).num for i in (3, 4, 5))
    friend = mesh_pb2.User(long_name="Friend", public_key=bytes(range(32)))
    c, m = config_pb2.Config, module_config_pb2.ModuleConfig
    messages = [
        Admin(set_owner=mesh_pb2.User(long_name="Attic", short_name="ATT")),
        Admin(
            set_channel=channel_pb2.Channel(
                index=3,
                role=channel_pb2.Channel.Role.SECONDARY,
                settings=channel_pb2.ChannelSettings(name="Hike", psk=b"\x02"),
            )
        ),
        Admin(set_config=c(display=c.DisplayConfig(screen_on_secs=17))),
        Admin(set_module_config=m(telemetry=m.TelemetryConfig(device_update_interval=99))),
        Admin(set_favorite_node=favourite),
        Admin(set_ignored_node=ignored),
        Admin(remove_by_nodenum=removed),
        Admin(add_contact=admin_pb2.SharedContact(node_num=0x77, user=friend)),
        Admin(store_ui_config=node.state.ui),
        Admin(set_ringtone_message="a:1"),
    ]
    for i, message in enumerate(messages):
        await change(client, node, 10 + i, message)
    assert node.admin_messages() == messages
    frames = list(map(mesh_pb2.FromRadio.FromString, await client.want_config(5)))
    nodes = {f.node_info.num: f.node_info for f in frames if f.HasField("node_info")}
    assert nodes[node.state.num].user.long_name == "Attic"
    assert nodes[favourite].is_favorite
    assert nodes[ignored].is_ignored
    assert removed not in nodes
    assert nodes[0x77].user == friend
    channels = [f.channel for f in frames if f.HasField("channel")]
    assert (channels[3].settings.name, len(channels)) == ("Hike", 8)
    assert 17 in [f.config.display.screen_on_secs for f in frames]
    assert 99 in [f.moduleConfig.telemetry.device_update_interval for f in frames]


async def test_sekrit_keeps_the_present_password(client: RawClient, node: SimulatedNode) -> None:
    """For the two passwords where the firmware knows the word."""
    c, m = config_pb2.Config, module_config_pb2.ModuleConfig
    network = c.NetworkConfig(wifi_ssid="cellar", wifi_psk="sekrit")
    await change(client, node, 1, Admin(set_config=c(network=network)))
    mqtt = m.MQTTConfig(username="me", password="sekrit")
    await change(client, node, 2, Admin(set_module_config=m(mqtt=mqtt)))
    kept = node.state.configs["network"].network
    assert (kept.wifi_ssid, kept.wifi_psk) == ("cellar", WIFI_PSK)
    kept_mqtt = node.state.modules["mqtt"].mqtt
    assert (kept_mqtt.username, kept_mqtt.password) == ("me", MQTT_PASSWORD)


@pytest.mark.parametrize(("flavour", "kept"), [("2.7", False), ("2.8", True)])
async def test_a_missing_private_key(socket_enabled: None, flavour: Flavour, kept: bool) -> None:
    """2.8 keeps the identity, earlier firmware makes a new one."""
    async with (
        SimulatedNode(NodeConfig(flavour=flavour)) as node,
        await RawClient.connect(node.host, node.port) as client,
    ):
        await client.want_config(1)
        before = node.state.user.public_key
        security = config_pb2.Config.SecurityConfig(serial_enabled=True)
        await change(client, node, 1, Admin(set_config=config_pb2.Config(security=security)))
        now = node.state.configs["security"].security
        assert (node.state.user.public_key == before) is kept
        assert now.public_key == node.state.user.public_key
        assert now.private_key


@pytest.mark.parametrize("to", [BROADCAST, 1])
async def test_admin_to_everybody_is_executed_here(
    client: RawClient, node: SimulatedNode, to: int
) -> None:
    """The firmware takes a broadcast for its own, with all trust."""
    payload = Admin(set_owner=mesh_pb2.User(long_name="Gone")).SerializeToString()
    client.send_data(PORTS.ADMIN_APP, payload, to=to, packet_id=1)
    await client.wait_for(client.queue_statuses)
    assert node.state.user.long_name == "Gone"
    assert len(node.router.on_air) == (to == BROADCAST)


async def test_a_managed_node_does_nothing(client: RawClient, node: SimulatedNode) -> None:
    """Neither changes nor answers."""
    node.state.configs["security"].security.is_managed = True
    message = Admin(set_owner=mesh_pb2.User(long_name="Gone"))
    await change(client, node, 1, message)
    assert node.admin_messages() == []
    assert node.state.user.long_name == node.config.long_name


async def test_the_session_key_is_renewed(
    client: RawClient, node: SimulatedNode, clock: ManualClock
) -> None:
    """After two and a half minutes."""
    keys = []
    for i, wait in enumerate((0.0, 149.0, 2.0)):
        clock.advance(wait)
        answer = await client.ask_admin(
            Admin(get_owner_request=True), to=node.state.num, packet_id=1 + i
        )
        assert isinstance(answer, Admin)
        keys.append(answer.session_passkey)
    assert keys[0] == keys[1] != keys[2]


async def test_restarts_are_recorded(client: RawClient, node: SimulatedNode) -> None:
    """Without being carried out, unless asked for."""
    for i, message in enumerate(
        (
            Admin(reboot_seconds=1),
            Admin(shutdown_seconds=1),
            Admin(nodedb_reset=True),
            Admin(factory_reset_config=1),
        )
    ):
        await change(client, node, 1 + i, message)
    assert node.restarts == ["reboot", "shutdown", "nodedb_reset", "factory_reset"]
    assert node.state.nodes == {}
    assert node.connected


async def test_a_restart_can_be_real(socket_enabled: None) -> None:
    """The connection ends, nobody listens for a while, then everything starts anew."""
    config = NodeConfig(really_reboots=True, reboot_down_for=0.05)
    async with SimulatedNode(config) as node:
        async with await RawClient.connect(node.host, node.port) as client:
            await client.want_config(1)
            await change(client, node, 1, Admin(begin_edit_settings=True))
            lora = config_pb2.Config.LoRaConfig(hop_limit=5)
            await change(client, node, 2, Admin(set_config=config_pb2.Config(lora=lora)))
            assert node.restarts == []
            await change(client, node, 3, Admin(commit_edit_settings=True))
            await client.end()
        with pytest.raises(OSError):
            await RawClient.connect(node.host, node.port)
        count = node.state.reboot_count
        await node.wait_for(lambda: node.tally["reboots"] and node.listening)
        async with await RawClient.connect(node.host, node.port) as client:
            dump = await client.want_config(2)
            assert mesh_pb2.FromRadio.FromString(dump[0]).my_info.reboot_count == count
        assert node.restarts == ["config"]
        assert node.state.configs["lora"].lora.hop_limit == 5


async def test_admin_of_another_node_is_refused_there(
    client: RawClient, node: SimulatedNode
) -> None:
    """It goes on the air, and the destination does not know this administrator."""
    answer = await client.ask_admin(Admin(get_owner_request=True), to=node.peer(0).num, packet_id=1)
    assert answer == ERROR.NOT_AUTHORIZED
    assert [p.to for p in node.router.on_air] == [node.peer(0).num]
    assert node.admin_messages() == []
