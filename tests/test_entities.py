"""The entities of a radio and of its virtual node show what is so."""

import asyncio
from datetime import datetime, timedelta

from homeassistant.const import MATCH_ALL, STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util
from meshtastic.protobuf import channel_pb2
import pytest
from pytest_homeassistant_custom_component.common import (
    async_capture_events,
    async_fire_time_changed,
)

from custom_components.meshmonitor.const import DOMAIN
from custom_components.meshmonitor.mesh.model import (
    Delivery,
    DeliveryState,
    Message,
    MessageKind,
    Origin,
)
from custom_components.meshmonitor.mesh.source import DeliveryChanged, MessageReceived, OutgoingText
from tests.ha import (
    coordinator_of,
    entity_id,
    make_entry,
    node_id,
    set_up,
    state_of,
    virtual_node,
    wait_until,
)
from tests.ports import free_port
from tests.simulators.meshtastic_node import SimulatedNode

pytestmark = pytest.mark.usefixtures("unload")


async def test_unique_ids_and_categories(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Every entity carries its source's id; what is of no daily use is out of the way."""
    await set_up(hass, make_entry(node))
    entries = er.async_get(hass).entities.values()
    assert entries
    assert all(entry.unique_id.startswith(f"{node_id(node)}_") for entry in entries)
    assert all(entry.has_entity_name for entry in entries)
    by_key = {entry.unique_id.removeprefix(f"{node_id(node)}_"): entry for entry in entries}
    for key in ("packets_received", "packets_sent", "queue_length"):
        assert by_key[key].disabled_by is er.RegistryEntryDisabler.INTEGRATION
    for key in ("link", "virtual_node", "clients", "delivery"):
        assert by_key[key].entity_category is not None
    for key in ("message", "channel_0"):
        assert by_key[key].entity_category is None


async def test_counters(hass: HomeAssistant, node: SimulatedNode) -> None:
    """The radio's counters, for those who enable them, move with its traffic."""
    for key in ("packets_received", "packets_sent", "queue_length"):
        er.async_get(hass).async_get_or_create("sensor", DOMAIN, f"{node_id(node)}_{key}")
    await set_up(hass, make_entry(node))

    def received() -> int:
        return int(state_of(hass, "sensor", f"{node_id(node)}_packets_received").state)

    before = received()
    await node.say(node.peer(0).num, "one")
    await wait_until(lambda: received() > before, "the counter")
    assert state_of(hass, "sensor", f"{node_id(node)}_queue_length").state == "0"
    assert state_of(hass, "sensor", f"{node_id(node)}_packets_sent").state == "0"


@pytest.mark.usefixtures("all_enabled")
async def test_what_is_not_recorded(hass: HomeAssistant, node: SimulatedNode) -> None:
    """What changes with every packet, and is of no use later, does not fill the database."""
    await set_up(hass, make_entry(node, options=virtual_node()))
    for platform, key, expected in (
        ("sensor", "packets_received", MATCH_ALL),
        ("sensor", "refusals", MATCH_ALL),
        ("sensor", "messages_delivered", MATCH_ALL),
        ("sensor", "clients", MATCH_ALL),
        ("sensor", f"{node_id(node)}_device_battery_level", "measured_at"),
        ("device_tracker", f"{node_id(node)}_position", "measured_at"),
        ("binary_sensor", "link", "last_error"),
    ):
        info = state_of(hass, platform, f"{node_id(node)}_{key}").state_info
        assert info is not None
        assert expected in info["unrecorded_attributes"], key


async def test_clients(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Who is connected to the virtual node, and since when."""
    port = free_port()
    coordinator = await set_up(hass, make_entry(node, options=virtual_node(port)))
    unique_id = f"{node_id(node)}_clients"
    assert state_of(hass, "sensor", unique_id).attributes["clients"] == []
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    await wait_until(lambda: coordinator.source.virtual_node.clients)
    await hass.async_block_till_done()
    state = state_of(hass, "sensor", unique_id)
    assert state.state == "1"
    [client] = state.attributes["clients"]
    assert client["ip"] == "127.0.0.1"
    assert client["id"]
    connected_at = datetime.fromisoformat(client["connected_at"])
    assert connected_at.utcoffset() == timedelta(0)

    writer.write(b"\x94\xc3\x00\x02\x3a\x00")
    [served] = coordinator.source.virtual_node.clients.values()
    await wait_until(lambda: served.bytes_in)
    served.last_activity = served.connected_at + 30
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=2))
    await hass.async_block_till_done()
    [client] = state_of(hass, "sensor", unique_id).attributes["clients"]
    assert datetime.fromisoformat(client["last_activity"]) - connected_at == timedelta(seconds=30)

    writer.close()
    await writer.wait_closed()
    await wait_until(lambda: state_of(hass, "sensor", unique_id).state == "0", "the end")


async def test_channel_message(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A text from the mesh is an event with all that an answer needs."""
    await set_up(hass, make_entry(node))
    unique_id = f"{node_id(node)}_message"
    assert state_of(hass, "event", unique_id).state == STATE_UNKNOWN
    peer = node.peer(0)
    packet_id = await node.say(peer.num, "hello, everybody")
    await wait_until(lambda: state_of(hass, "event", unique_id).state != STATE_UNKNOWN)
    attributes = state_of(hass, "event", unique_id).attributes
    assert attributes["event_type"] == "channel"
    assert attributes["text"] == "hello, everybody"
    assert attributes["origin"] == "radio"
    assert attributes["sender_id"] == f"!{peer.num:08x}"
    assert attributes["sender_name"] == peer.user.long_name
    assert attributes["channel"] == 0
    assert attributes["channel_name"] == "LongFast"
    assert attributes["recipient_id"] is None
    assert attributes["reply_id"] is None
    assert attributes["message_id"]
    assert attributes["hops"] == 0
    assert attributes["snr"] is not None
    assert attributes["rssi"] is not None

    await node.say(peer.num, "👍", reply_id=packet_id, reaction=True)
    await wait_until(
        lambda: state_of(hass, "event", unique_id).attributes["event_type"] == "reaction"
    )
    assert state_of(hass, "event", unique_id).attributes["reply_id"] == attributes["message_id"]
    await node.say(peer.num, "for you alone", to=node.state.num)
    await wait_until(
        lambda: state_of(hass, "event", unique_id).attributes["event_type"] == "direct"
    )
    assert state_of(hass, "event", unique_id).attributes["recipient_id"] == node_id(node)


async def test_history_is_no_news(hass: HomeAssistant, node: SimulatedNode) -> None:
    """What a radio or a server repeats was told before."""
    coordinator = await set_up(hass, make_entry(node))
    message = Message(
        message_id="1",
        kind=MessageKind.CHANNEL,
        origin=Origin.RADIO,
        text="old",
        sender_id="!00000001",
        sender_name=None,
        time=1.0,
        is_history=True,
    )
    coordinator.source.emit(MessageReceived(message))
    assert state_of(hass, "event", f"{node_id(node)}_message").state == STATE_UNKNOWN


@pytest.mark.parametrize("state", list(DeliveryState))
async def test_delivery(hass: HomeAssistant, node: SimulatedNode, state: DeliveryState) -> None:
    """What became of a message is an event, whatever became of it."""
    coordinator = await set_up(hass, make_entry(node))
    coordinator.source.emit(
        DeliveryChanged(
            Delivery(
                message_id="7",
                state=state,
                reason="no_interface" if state is DeliveryState.FAILED else None,
                origin=Origin.PHONE,
                channel=2,
            )
        )
    )
    attributes = state_of(hass, "event", f"{node_id(node)}_delivery").attributes
    assert attributes["event_type"] == state.value
    assert attributes["message_id"] == "7"
    assert attributes["origin"] == "phone"
    assert attributes["channel"] == 2
    assert (attributes["reason"] == "no_interface") == (state is DeliveryState.FAILED)


async def test_notify(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A notify action sends a text to its channel; it is an event here as well, and delivered."""
    await set_up(hass, make_entry(node))
    unique_id = node_id(node)
    states = async_capture_events(hass, "state_changed")
    await hass.services.async_call(
        "notify",
        "send_message",
        {
            "entity_id": entity_id(hass, "notify", f"{unique_id}_channel_1"),
            "message": "the gate is open",
            "title": "Alarm",
        },
        blocking=True,
    )
    await wait_until(node.texts, "the text at the radio")
    assert node.texts() == ["Alarm: the gate is open"]
    assert [packet.channel for packet in node.packets() if packet.decoded.payload] == [1]
    await wait_until(
        lambda: state_of(hass, "event", f"{unique_id}_message").attributes.get("text"), "the event"
    )
    attributes = state_of(hass, "event", f"{unique_id}_message").attributes
    assert attributes["origin"] == "home_assistant"
    assert attributes["sender_id"] == unique_id
    assert attributes["channel"] == 1

    def told() -> list[str]:
        delivery = entity_id(hass, "event", f"{unique_id}_delivery")
        return [
            event.data["new_state"].attributes["event_type"]
            for event in states
            if event.data["entity_id"] == delivery
        ]

    await wait_until(lambda: "sent" in told(), "the delivery")
    assert told().count("sent") == 1
    assert state_of(hass, "notify", f"{unique_id}_channel_1").state != STATE_UNKNOWN


async def test_delivery_while_the_radio_is_away(hass: HomeAssistant, node: SimulatedNode) -> None:
    """That a text waits is told when it does, and what it says; its delivery follows."""
    coordinator = await set_up(hass, make_entry(node))
    unique_id = node_id(node)
    await coordinator.async_send_text(OutgoingText(text="before", channel=0))
    await wait_until(node.texts, "the text at the radio")
    node.refuse()
    node.drop()
    await wait_until(lambda: not coordinator.is_available, "the loss")
    states = async_capture_events(hass, "state_changed")
    sent = await coordinator.async_send_text(OutgoingText(text="meanwhile", channel=0))

    def told() -> list[tuple[str, str]]:
        delivery = entity_id(hass, "event", f"{unique_id}_delivery")
        return [
            (attributes["event_type"], attributes["text"])
            for event in states
            if event.data["entity_id"] == delivery
            and (attributes := event.data["new_state"].attributes).get("message_id")
            == sent.message_id
        ]

    await hass.async_block_till_done()
    assert told() == [("queued", "meanwhile")]
    await node.listen()
    await wait_until(lambda: len(told()) > 1, "the delivery")
    assert told()[1] == ("sent", "meanwhile")


async def test_events_over_a_restart(hass: HomeAssistant, node: SimulatedNode) -> None:
    """What happened last is known again at once, the radio being there or not."""
    entry = make_entry(node)
    await set_up(hass, entry)
    unique_id = f"{node_id(node)}_message"
    await node.say(node.peer(0).num, "the last one")
    await wait_until(lambda: state_of(hass, "event", unique_id).state != STATE_UNKNOWN)
    before = state_of(hass, "event", unique_id)
    node.refuse()
    for _ in range(2):
        assert await hass.config_entries.async_unload(entry.entry_id)
        assert await hass.config_entries.async_setup(entry.entry_id)
        await hass.async_block_till_done()
        after = state_of(hass, "event", unique_id)
        assert (after.state, after.attributes["text"]) == (before.state, "the last one")


async def test_notify_refused(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A text that cannot be sent fails visibly."""
    await set_up(hass, make_entry(node))
    with pytest.raises(ServiceValidationError) as error:
        await hass.services.async_call(
            "notify",
            "send_message",
            {
                "entity_id": entity_id(hass, "notify", f"{node_id(node)}_channel_0"),
                "message": "ä" * 200,
            },
            blocking=True,
        )
    assert error.value.translation_key == "send_message_too_long"
    assert not node.texts()
    assert isinstance(error.value, HomeAssistantError)


async def test_channels_come_change_and_go(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Notify entities follow the radio's channel table."""
    entry = make_entry(node)
    coordinator = await set_up(hass, entry)
    unique_id = node_id(node)
    used = {channel.index for channel in coordinator.source.channels}
    index = next(number for number in range(8) if number not in used)
    key = f"{unique_id}_channel_{index}"
    registry = er.async_get(hass)
    assert registry.async_get_entity_id("notify", DOMAIN, key) is None

    def channel(name: str, role: channel_pb2.Channel.Role.ValueType) -> channel_pb2.Channel:
        return channel_pb2.Channel(
            index=index,
            role=role,
            settings=channel_pb2.ChannelSettings(name=name, psk=bytes(32)),
        )

    await node.change_channel(channel("Club", channel_pb2.Channel.Role.SECONDARY))
    await wait_until(lambda: registry.async_get_entity_id("notify", DOMAIN, key), "the entity")
    await hass.async_block_till_done()
    assert state_of(hass, "notify", key).name.endswith("Club")

    await node.change_channel(channel("Team", channel_pb2.Channel.Role.SECONDARY))
    await wait_until(lambda: state_of(hass, "notify", key).name.endswith("Team"), "the new name")
    renamed = registry.async_get(entity_id(hass, "notify", key))
    assert renamed is not None
    assert renamed.original_name == "Team"

    await node.change_channel(channel("Team", channel_pb2.Channel.Role.DISABLED))
    await wait_until(
        lambda: state_of(hass, "notify", key).state == STATE_UNAVAILABLE, "the end of the channel"
    )
    await node.change_channel(channel("Team", channel_pb2.Channel.Role.SECONDARY))
    await wait_until(lambda: state_of(hass, "notify", key).state != STATE_UNAVAILABLE)
    assert coordinator_of(entry) is coordinator
