"""Chosen contacts can be notified like channels, and the choice is followed while it runs."""

from typing import Any

from homeassistant.const import STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import entity_registry as er
import pytest

from custom_components.meshmonitor.const import DOMAIN
from custom_components.meshmonitor.mesh.source import NodeRemoved
from tests.ha import (
    coordinator_of,
    entity_id,
    make_companion_entry,
    make_entry,
    node_id,
    set_up,
    state_of,
    wait_until,
)
from tests.simulators.meshcore_companion import SimulatedCompanion
from tests.simulators.meshtastic_mesh import PORTS, Peer
from tests.simulators.meshtastic_node import SimulatedNode

pytestmark = pytest.mark.usefixtures("unload")


def contact(node: SimulatedNode, peer: Peer) -> str:
    """Return the unique id of a contact's entity."""
    return f"{node_id(node)}_contact_!{peer.num:08x}"


def chosen(*peers: Peer) -> dict[str, Any]:
    """Return the options of an entry with these contacts."""
    return {"notify_contacts": [f"!{peer.num:08x}" for peer in peers]}


async def notify(hass: HomeAssistant, unique_id: str, message: str) -> None:
    """Send a text by the action that automations use."""
    await hass.services.async_call(
        "notify",
        "send_message",
        {"entity_id": entity_id(hass, "notify", unique_id), "message": message},
        blocking=True,
    )


async def test_notify_contact(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A text for one node goes to it alone."""
    peer = node.peer(0)
    await set_up(hass, make_entry(node, options=chosen(peer)))
    state = state_of(hass, "notify", contact(node, peer))
    assert state.name.endswith(peer.user.long_name)
    assert state.state == STATE_UNKNOWN
    await hass.services.async_call(
        "notify",
        "send_message",
        {"entity_id": state.entity_id, "message": "come home", "title": "Dinner"},
        blocking=True,
    )
    await wait_until(node.texts, "the text")
    [packet] = node.packets(PORTS.TEXT_MESSAGE_APP)
    assert packet.to == peer.num
    assert packet.decoded.payload == b"Dinner: come home"


async def test_another_choice(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Contacts come and go with the options; the radio's connection is not touched."""
    one, two = node.peer(0), node.peer(1)
    entry = make_entry(node, options=chosen(one))
    coordinator = await set_up(hass, entry)
    hass.config_entries.async_update_entry(entry, options=chosen(two))
    await hass.async_block_till_done()
    registry = er.async_get(hass)
    assert registry.async_get_entity_id("notify", DOMAIN, contact(node, one)) is None
    assert state_of(hass, "notify", contact(node, two)).state == STATE_UNKNOWN
    hass.config_entries.async_update_entry(entry, options=chosen(two, one, two))
    await hass.async_block_till_done()
    for peer in (one, two):
        assert state_of(hass, "notify", contact(node, peer)).state == STATE_UNKNOWN
    assert coordinator_of(entry) is coordinator
    assert node.tally["connections"] == 1

    assert await hass.config_entries.async_unload(entry.entry_id)
    hass.config_entries.async_update_entry(entry, options={})
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert registry.async_get_entity_id("notify", DOMAIN, contact(node, two)) is None
    assert state_of(hass, "notify", f"{node_id(node)}_channel_0")


async def test_stranger(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A contact that the radio does not know cannot be written to: an error says so."""
    stranger = Peer(0x00C0FFEE, node.peer(0).user)
    coordinator = await set_up(hass, make_entry(node, options=chosen(stranger)))
    unique_id = contact(node, stranger)
    with pytest.raises(ServiceValidationError) as raised:
        await notify(hass, unique_id, "who are you?")
    assert raised.value.translation_key == "send_unknown_node"
    await node.say(stranger.num, "hello")
    await wait_until(lambda: coordinator.source.node(f"!{stranger.num:08x}"), "the stranger")
    await notify(hass, unique_id, "who are you?")
    await wait_until(node.texts, "the text")
    node.mesh.add(stranger.num, "Coffee", "COF")
    await node.send_node_info(stranger.num)
    await wait_until(
        lambda: state_of(hass, "notify", unique_id).name.endswith("Coffee"), "the new name"
    )
    reported = state_of(hass, "notify", unique_id).last_reported
    received = coordinator.source.counters["packets_received"]
    await node.send_node_info(stranger.num)
    await wait_until(lambda: coordinator.source.counters["packets_received"] > received)
    assert state_of(hass, "notify", unique_id).last_reported == reported

    coordinator.source.emit(NodeRemoved("!deadbeef"))
    assert state_of(hass, "notify", unique_id).name.endswith("Coffee")
    with pytest.raises(ServiceValidationError) as raised:
        await notify(hass, unique_id, "x" * 300)
    assert raised.value.translation_key == "send_message_too_long"


async def test_radio_away(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Nothing is lost without a word while the radio is away: it waits for the radio."""
    peer = node.peer(0)
    coordinator = await set_up(hass, make_entry(node, options=chosen(peer)))
    node.refuse()
    node.drop()
    await wait_until(lambda: not coordinator.is_available, "the loss of the link")
    await hass.async_block_till_done()
    for unique_id, text in (
        (f"{node_id(node)}_channel_0", "to all"),
        (contact(node, peer), "to you"),
    ):
        assert state_of(hass, "notify", unique_id).state == STATE_UNKNOWN
        await notify(hass, unique_id, text)
        assert state_of(hass, "notify", unique_id).state not in {STATE_UNKNOWN, STATE_UNAVAILABLE}
    assert coordinator.source.counters["queue_length"] == 2
    assert not node.texts()
    await node.listen()
    await wait_until(lambda: len(node.texts()) == 2, "the texts")
    sent = [(packet.to, packet.decoded.payload) for packet in node.packets(PORTS.TEXT_MESSAGE_APP)]
    assert sorted(sent) == sorted([(0xFFFFFFFF, b"to all"), (peer.num, b"to you")])


async def test_companion_away(hass: HomeAssistant, companion: SimulatedCompanion) -> None:
    """A companion takes nothing for later: the automation ends with an error that says why."""
    entry = make_companion_entry(companion)
    coordinator = await set_up(hass, entry)
    await companion.away()
    await wait_until(lambda: not coordinator.is_available, "the loss of the link")
    await hass.async_block_till_done()
    unique_id = f"{entry.unique_id}_channel_0"
    assert state_of(hass, "notify", unique_id).state == STATE_UNKNOWN
    with pytest.raises(HomeAssistantError) as raised:
        await notify(hass, unique_id, "anybody there?")
    assert raised.value.translation_key == "send_not_connected"
    assert not companion.mesh.of_kind("post")


async def test_sender_has_a_device(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A message event names the devices of those whom it is about."""
    coordinator = await set_up(hass, make_entry(node))
    unique_id = f"{node_id(node)}_message"
    await node.say(node.peer(0).num, "to you", to=node.state.num)
    await wait_until(lambda: state_of(hass, "event", unique_id).attributes.get("text"))
    attributes = state_of(hass, "event", unique_id).attributes
    assert attributes["recipient_device_id"] == coordinator.device_id
    assert attributes["recipient_name"] == "Simulated Base"
    assert attributes["sender_device_id"] is None
    assert attributes["origin"] == "radio"
    assert "kind" not in attributes
