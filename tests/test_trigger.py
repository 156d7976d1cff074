"""Triggers fire for what they were asked for, with all that is needed, also after a reload."""

from datetime import datetime, timedelta
from typing import Any

from freezegun import freeze_time
from homeassistant.core import HomeAssistant, ServiceCall
from homeassistant.helpers import config_validation as cv, device_registry as dr
from homeassistant.helpers.trigger import async_validate_trigger_config
from homeassistant.helpers.trigger.descriptions import async_get_all_descriptions
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
from meshtastic.protobuf import mesh_pb2
import probatio
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_fire_time_changed

from custom_components.meshmonitor.const import DOMAIN
from custom_components.meshmonitor.coordinator import MeshMonitorCoordinator
from custom_components.meshmonitor.mesh.model import (
    Delivery,
    DeliveryState,
    Message,
    MessageKind,
    Origin,
)
from custom_components.meshmonitor.mesh.source import (
    DeliveryChanged,
    MessageReceived,
    NodeRemoved,
    OutgoingText,
)
from custom_components.meshmonitor.protocols import PROTOCOLS
from custom_components.meshmonitor.trigger import TRIGGERS
from tests.ha import coordinator_of, make_entry, set_up, wait_until
from tests.ha.automations import automate, device_of, payloads
from tests.simulators.meshtastic_mesh import Peer
from tests.simulators.meshtastic_node import SimulatedNode

pytestmark = pytest.mark.usefixtures("unload")


def message_trigger(**options: Any) -> dict[str, Any]:
    """Return a trigger for messages."""
    return {"trigger": "meshmonitor.message_received", "options": options}


def peer_id(peer: Peer) -> str:
    """Return a peer's node id."""
    return f"!{peer.num:08x}"


async def test_payload(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Everything that an answer needs is in what the automation gets."""
    coordinator = await set_up(hass, make_entry(node))
    peer = node.peer(0)
    device = await device_of(hass, coordinator, peer_id(peer))
    calls = await automate(hass, message_trigger())
    packet_id = await node.say(peer.num, "hello", channel=1, reply_id=0x01020304)
    await wait_until(lambda: calls, "the automation")
    [payload] = payloads(calls)
    heard = datetime.fromisoformat(payload.pop("time"))
    assert heard.utcoffset() == timedelta(0)
    assert isinstance(payload.pop("snr"), float)
    assert isinstance(payload.pop("rssi"), int | float)
    assert payload.pop("description") == f"message from {peer.user.long_name}"
    for key in ("id", "idx", "alias", "platform"):
        payload.pop(key)
    assert payload == {
        "config_entry_id": coordinator.entry.entry_id,
        "device_id": coordinator.device_id,
        "message_id": f"{packet_id:08x}",
        "kind": "channel",
        "origin": "radio",
        "text": "hello",
        "sender_id": peer_id(peer),
        "sender_name": peer.user.long_name,
        "sender_device_id": device,
        "recipient_id": None,
        "recipient_name": None,
        "recipient_device_id": None,
        "channel": 1,
        "channel_name": "Home",
        "reply_id": "01020304",
        "hops": 0,
        "via_mqtt": False,
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["Ping 1", "ping [2]", "to you", "👍"]),
        ({"text": "ping*"}, ["Ping 1", "ping [2]"]),
        ({"text": "PING ?"}, ["Ping 1"]),
        ({"text": "ping [2]"}, ["ping [2]"]),
        ({"text": " "}, ["Ping 1", "ping [2]", "to you", "👍"]),
        ({"channel": "longfast"}, ["Ping 1", "👍"]),
        ({"channel": ["1", "7"]}, ["ping [2]"]),
        ({"channel": ["none"]}, []),
        ({"kind": ["direct", "reaction"]}, ["to you", "👍"]),
        ({"sender": "ZERO"}, ["Ping 1", "👍"]),
        ({"sender": [""]}, ["Ping 1", "ping [2]", "to you", "👍"]),
        ({"origin": ["home_assistant"]}, ["own"]),
        ({"origin": ["radio", "home_assistant"], "text": "*o*"}, ["to you", "own"]),
        ({"origin": "phone"}, []),
    ],
    ids=str,
)
async def test_filters(
    hass: HomeAssistant, node: SimulatedNode, options: dict[str, Any], expected: list[str]
) -> None:
    """Each filter lets through what it names, and together all have to agree."""
    coordinator = await set_up(hass, make_entry(node))
    zero, one = node.peer(0), node.peer(1)
    calls = await automate(
        hass, message_trigger(**_with_ids(options, zero)), message_trigger(text="end")
    )
    first = await node.say(zero.num, "Ping 1")
    await node.say(one.num, "ping [2]", channel=1)
    await node.say(one.num, "to you", to=node.state.num)
    await node.say(zero.num, "👍", reply_id=first, reaction=True)
    await coordinator.async_send_text(OutgoingText(text="own", channel=0))
    await wait_until(lambda: len(coordinator.messages) == 5 and node.texts(), "the messages")
    await wait_until(lambda: _is_sent(coordinator), "the own message")
    await hass.async_block_till_done()
    assert sorted(payload["text"] for payload in payloads(calls)) == sorted(expected)


def _with_ids(options: dict[str, Any], peer: Peer) -> dict[str, Any]:
    return {**options, "sender": peer_id(peer)} if options.get("sender") == "ZERO" else options


def _is_sent(coordinator: MeshMonitorCoordinator) -> bool:
    return any(
        logged.delivery is not None and logged.delivery.state is not DeliveryState.QUEUED
        for logged in coordinator.messages
    )


async def test_history_does_not_trigger(hass: HomeAssistant, node: SimulatedNode) -> None:
    """An old message that is repeated is listed, but is no news."""
    coordinator = await set_up(hass, make_entry(node))
    calls = await automate(hass, message_trigger())
    old = Message(
        message_id="1",
        kind=MessageKind.CHANNEL,
        origin=Origin.RADIO,
        text="old",
        sender_id=None,
        sender_name=None,
        time=1.0,
        is_history=True,
    )
    coordinator.source.emit(MessageReceived(old))
    await hass.async_block_till_done()
    assert not calls
    assert [logged.message.text for logged in coordinator.messages] == ["old"]


async def test_devices(hass: HomeAssistant, node: SimulatedNode, other_node: SimulatedNode) -> None:
    """A radio's device stands for its mesh, a node's device for the node in that mesh."""
    base = await set_up(hass, make_entry(node))
    hill = await set_up(hass, make_entry(other_node, title="Hill"))
    zero, one = node.peer(0), node.peer(1)
    device = await device_of(hass, base, peer_id(zero))
    calls = await automate(
        hass,
        {**message_trigger(device_id=hill.device_id), "id": "hill"},
        {**message_trigger(device_id=[device]), "id": "zero"},
        {**message_trigger(device_id=[device, hill.device_id]), "id": "both"},
    )
    await node.say(zero.num, "zero")
    await node.say(one.num, "one")
    await other_node.say(zero.num, "zero, heard elsewhere")
    await wait_until(lambda: len(calls) == 4, "the automations")
    await hass.async_block_till_done()
    told = sorted((payload["id"], payload["text"]) for payload in payloads(calls))
    assert told == [
        ("both", "zero"),
        ("both", "zero, heard elsewhere"),
        ("hill", "zero, heard elsewhere"),
        ("zero", "zero"),
    ]


@pytest.mark.parametrize(
    ("key", "options"),
    [
        ("message_received", {"device_id": "nobody"}),
        ("message_received", {"device_id": "STRANGER"}),
        ("message_received", {"kind": "rumour"}),
        ("message_received", {"origin": "mars"}),
        ("message_received", {"colour": "red"}),
        ("node_online", {"device_id": "nobody"}),
        ("delivery_failed", {"origin": "radio"}),
    ],
)
async def test_nonsense_is_refused(
    hass: HomeAssistant, node: SimulatedNode, key: str, options: dict[str, Any]
) -> None:
    """What can never trigger is told when the automation is set up."""
    await set_up(hass, make_entry(node))
    entry = MockConfigEntry(domain="elsewhere")
    entry.add_to_hass(hass)
    stranger = dr.async_get(hass).async_get_or_create(
        config_entry_id=entry.entry_id, identifiers={("elsewhere", "1")}
    )
    if options.get("device_id") == "STRANGER":
        options = {"device_id": stranger.id}
    with pytest.raises(probatio.Invalid):
        await async_validate_trigger_config(
            hass, cv.TRIGGER_SCHEMA([{"trigger": f"{DOMAIN}.{key}", "options": options}])
        )


async def test_reload(hass: HomeAssistant, node: SimulatedNode) -> None:
    """An automation outlives the source's reload, and hears everything once."""
    entry = make_entry(node)
    coordinator = await set_up(hass, entry)
    calls = await automate(hass, message_trigger(device_id=coordinator.device_id))
    await node.say(node.peer(0).num, "before")
    await wait_until(lambda: calls, "the automation")
    assert await hass.config_entries.async_reload(entry.entry_id)
    await wait_until(lambda: coordinator_of(entry).is_available, "the link")
    assert coordinator_of(entry) is not coordinator
    await node.say(node.peer(0).num, "after")
    await wait_until(lambda: len(calls) == 2, "the automation")
    await hass.async_block_till_done()
    assert [payload["text"] for payload in payloads(calls)] == ["before", "after"]


async def test_switched_off(hass: HomeAssistant, node: SimulatedNode) -> None:
    """An automation that is switched off hears nothing more."""
    coordinator = await set_up(hass, make_entry(node))
    calls = await automate(
        hass,
        message_trigger(),
        {"trigger": "meshmonitor.node_online"},
        {"trigger": "meshmonitor.delivery_failed"},
        alias="Watch",
    )
    entities = [state.entity_id for state in hass.states.async_all("automation")]
    await hass.services.async_call("automation", "turn_off", {"entity_id": entities}, blocking=True)
    await node.say(node.peer(0).num, "hello")
    await wait_until(lambda: len(coordinator.messages), "the message")
    await hass.async_block_till_done()
    assert not calls


async def test_node_comes_and_goes(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A node that is heard came online; after two hours of silence it went."""
    coordinator = await set_up(hass, make_entry(node))
    peer, other = node.peer(0), node.peer(1)
    device = await device_of(hass, coordinator, peer_id(peer))
    calls = await automate(
        hass,
        {"trigger": "meshmonitor.node_online", "options": {"device_id": device}},
        {"trigger": "meshmonitor.node_offline", "options": {"node_id": peer.user.long_name}},
        {"trigger": "meshmonitor.node_offline", "options": {"node_id": "!deadbeef"}},
    )
    await node.send_node_info(other.num)
    await node.send_node_info(peer.num)
    await wait_until(lambda: calls, "the automation")
    [online] = payloads(calls)
    assert online["node_id"] == peer_id(peer)
    assert online["node_name"] == peer.user.long_name
    assert online["node_device_id"] == device
    assert online["device_id"] == coordinator.device_id
    assert datetime.fromisoformat(online["last_heard"])
    assert online["description"] == f"{peer.user.long_name} came online"

    with freeze_time(
        dt_util.utcnow() + timedelta(seconds=PROTOCOLS["meshtastic"].online_limit + 10)
    ):
        async_fire_time_changed(hass)
        await hass.async_block_till_done()
    assert len(calls) == 2
    assert payloads(calls)[1]["node_id"] == peer_id(peer)
    assert payloads(calls)[1]["description"] == f"{peer.user.long_name} went offline"


async def test_node_that_is_gone(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A node that nothing is known of but its id can come and go as well."""
    coordinator = await set_up(hass, make_entry(node))
    calls = await automate(hass, {"trigger": "meshmonitor.node_online"})
    await node.say(0x00C0FFEE, "hello")
    await wait_until(lambda: calls, "the automation")
    [payload] = payloads(calls)
    assert payload["node_id"] == "!00c0ffee"
    assert payload["node_device_id"] is None
    coordinator.source.emit(NodeRemoved("!00c0ffee"))
    assert not coordinator.presence.is_online("!00c0ffee")


async def test_delivery_failed(hass: HomeAssistant, node: SimulatedNode) -> None:
    """What was not delivered, to whom, and why: enough to try again."""
    coordinator = await set_up(hass, make_entry(node))
    peer = node.peer(0)
    peer.refuses = mesh_pb2.Routing.Error.MAX_RETRANSMIT
    device = await device_of(hass, coordinator, peer_id(peer))
    calls = await automate(
        hass,
        {"trigger": "meshmonitor.delivery_failed", "options": {"device_id": device}},
        {"trigger": "meshmonitor.delivery_failed", "options": {"origin": "phone"}},
    )
    sent = await coordinator.async_send_text(
        OutgoingText(text="are you there?", recipient_id=peer_id(peer))
    )
    await coordinator.async_send_text(OutgoingText(text="hello", channel=0))
    await wait_until(lambda: calls, "the automation")
    [payload] = payloads(calls)
    assert payload["message_id"] == sent.message_id
    assert payload["state"] == "failed"
    assert payload["reason"] == "max_retransmit"
    assert payload["origin"] == "home_assistant"
    assert payload["text"] == "are you there?"
    assert payload["recipient_id"] == peer_id(peer)
    assert payload["recipient_name"] == peer.user.long_name
    assert payload["recipient_device_id"] == device
    assert payload["description"] == f"message to {peer.user.long_name} not delivered"

    coordinator.source.emit(
        DeliveryChanged(
            Delivery(message_id="7", state=DeliveryState.FAILED, origin=Origin.PHONE, channel=1)
        )
    )
    await wait_until(lambda: len(calls) == 2, "the automation")
    payload = payloads(calls)[1]
    assert payload["text"] is None
    assert payload["channel_name"] == "Home"
    assert payload["recipient_id"] is None
    assert payload["description"] == "message to Home not delivered"


async def test_described(hass: HomeAssistant) -> None:
    """Home Assistant finds all triggers, with the fields that they take."""
    assert await async_setup_component(hass, DOMAIN, {})
    assert await async_setup_component(hass, "automation", {})
    await hass.async_block_till_done()
    described = await async_get_all_descriptions(hass)
    for key, trigger in TRIGGERS.items():
        description = described[f"{DOMAIN}.{key}"]
        assert description is not None
        fields = {marker.schema for marker in trigger._fields}  # type: ignore[attr-defined]
        assert set(description["fields"]) == fields | {"device_id"}
    message = described[f"{DOMAIN}.message_received"]
    assert message is not None
    kinds = message["fields"]["kind"]["selector"]["select"]["options"]
    assert set(kinds) == {kind.value for kind in MessageKind}


async def test_nothing_is_logged(
    hass: HomeAssistant, node: SimulatedNode, caplog: pytest.LogCaptureFixture
) -> None:
    """What people write is not in this integration's log, however much it tells."""
    caplog.set_level("DEBUG", logger=f"custom_components.{DOMAIN}")
    await set_up(hass, make_entry(node))
    calls: list[ServiceCall] = await automate(hass, message_trigger())
    await node.say(node.peer(0).num, "a secret of mine")
    await wait_until(lambda: calls, "the automation")
    ours = [r for r in caplog.records if r.name.startswith(f"custom_components.{DOMAIN}")]
    assert ours
    assert not [record for record in ours if "a secret of mine" in record.getMessage()]
