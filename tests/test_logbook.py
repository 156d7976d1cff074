"""The logbook reads like sentences."""

from datetime import timedelta
from typing import Any, Final

from homeassistant.components.recorder import Recorder
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
from homeassistant.util.yaml import parse_yaml
from meshtastic.protobuf import mesh_pb2
import pytest
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)
from pytest_homeassistant_custom_component.typing import WebSocketGenerator

from custom_components.meshmonitor.const import DOMAIN
from custom_components.meshmonitor.coordinator import MeshMonitorCoordinator
from custom_components.meshmonitor.mesh.model import (
    Delivery,
    DeliveryState,
    Message,
    MessageKind,
    Origin,
)
from custom_components.meshmonitor.mesh.source import DeliveryChanged, MessageReceived, OutgoingText
from tests.ha import make_entry, node_id, set_up, state_of, wait_until
from tests.pages import blocks, section
from tests.simulators.meshtastic_node import SimulatedNode

PAGE_SECTION: Final = "Event entities and the logbook"
ICONS: Final = {"mdi:message-text-outline", "mdi:message-alert-outline"}

pytestmark = pytest.mark.usefixtures("unload")


@pytest.fixture(autouse=True)
def _load_custom_integrations(recorder_mock: Recorder, enable_custom_integrations: None) -> None:
    """Have a recorder before Home Assistant."""


async def entries(
    hass: HomeAssistant, client: WebSocketGenerator, device_id: str | None = None
) -> list[dict[str, Any]]:
    """Return what the logbook shows, of all or of one device."""
    await async_wait_recording_done(hass)
    request: dict[str, Any] = {
        "type": "logbook/get_events",
        "start_time": (dt_util.utcnow() - timedelta(hours=1)).isoformat(),
    }
    if device_id is not None:
        request["device_ids"] = [device_id]
    socket = await client()
    await socket.send_json_auto_id(request)
    answer = await socket.receive_json()
    assert answer["success"], answer
    found: list[dict[str, Any]] = answer["result"]
    return found


async def sentences(
    hass: HomeAssistant, client: WebSocketGenerator, device_id: str | None = None
) -> list[str]:
    """Return what the logbook says of this integration's events."""
    found = [e for e in await entries(hass, client, device_id) if e.get("domain") == DOMAIN]
    assert {entry["icon"] for entry in found} <= ICONS
    return [f"{entry['name']} {entry['message']}" for entry in found]


def emit(coordinator: MeshMonitorCoordinator, **changes: Any) -> None:
    """Let a message happen that the simulated radio cannot bring about."""
    plain: dict[str, Any] = {
        "message_id": "00000001",
        "kind": MessageKind.CHANNEL,
        "origin": Origin.RADIO,
        "text": "hello",
        "sender_id": None,
        "sender_name": None,
        "channel": 3,
        "time": 1.0,
    }
    coordinator.source.emit(MessageReceived(Message(**{**plain, **changes})))


async def test_sentences(
    hass: HomeAssistant, hass_ws_client: WebSocketGenerator, node: SimulatedNode
) -> None:
    """Who said what to whom, by name, as Home Assistant's own logbook shows it."""
    assert await async_setup_component(hass, "logbook", {})
    coordinator = await set_up(hass, make_entry(node))
    peer = node.peer(0)
    name = peer.user.long_name
    recipient = f"!{peer.num:08x}"
    first = await node.say(peer.num, "hello")
    await node.say(peer.num, "to you", to=node.state.num)
    await node.say(peer.num, "👍", reply_id=first, reaction=True)
    await wait_until(lambda: len(coordinator.messages) == 3, "the messages")
    peer.refuses = mesh_pb2.Routing.Error.MAX_RETRANSMIT
    await coordinator.async_send_text(OutgoingText(text="yes", recipient_id=recipient))
    await wait_until(
        lambda: any(
            logged.delivery is not None and logged.delivery.state is DeliveryState.FAILED
            for logged in coordinator.messages
        ),
        "the failure",
    )
    told = await sentences(hass, hass_ws_client)
    assert told == [
        f"Base received “hello” from {name} on LongFast",
        f"Base received “to you” from {name}",
        f"Base received the reaction “👍” from {name}",
        f"Base sent “yes” to {name}",
        f"Base could not deliver a message to {name} (max retransmit)",
    ]
    assert await sentences(hass, hass_ws_client, coordinator.device_id) == told


async def test_little_is_known(
    hass: HomeAssistant, hass_ws_client: WebSocketGenerator, node: SimulatedNode
) -> None:
    """Sentences are whole where names are missing, and the source is gone."""
    assert await async_setup_component(hass, "logbook", {})
    entry = make_entry(node)
    coordinator = await set_up(hass, entry)
    emit(coordinator)
    emit(coordinator, kind=MessageKind.ALERT, sender_id="!00000001", message_id="2")
    emit(coordinator, kind=MessageKind.DETECTION, sender_name="Door", message_id="3")
    emit(coordinator, kind=MessageKind.ROOM, sender_name="Ann", recipient_id="aa", message_id="4")
    emit(coordinator, origin=Origin.PHONE, channel=0, channel_name="LongFast")
    emit(coordinator, origin=Origin.PHONE, kind=MessageKind.DIRECT, recipient_id="!00000001")
    coordinator.source.emit(
        DeliveryChanged(Delivery(message_id="7", state=DeliveryState.FAILED, channel=0))
    )
    told = [
        "Base received “hello” from somebody on channel 3",
        "Base received the alert “hello” from !00000001",
        "Base received the detection “hello” from Door",
        "Base received “hello” from Ann in aa",
        "Base sent “hello” to LongFast for a phone",
        "Base sent “hello” to !00000001 for a phone",
        "Base could not deliver a message to LongFast",
    ]
    assert await sentences(hass, hass_ws_client) == told
    await hass.config_entries.async_remove(entry.entry_id)
    assert await sentences(hass, hass_ws_client) == [
        sentence.replace("Base", "MeshMonitor", 1) for sentence in told
    ]


async def test_once(
    hass: HomeAssistant, hass_ws_client: WebSocketGenerator, node: SimulatedNode
) -> None:
    """With the lines that the docs give for it, a message is there once: as a sentence."""
    [configuration] = [
        parse_yaml(block)
        for block in blocks(section("docs/automations.md", PAGE_SECTION), "yaml")
        if "logbook:" in block
    ]
    assert isinstance(configuration, dict)
    assert await async_setup_component(hass, "logbook", configuration)
    await set_up(hass, make_entry(node))
    await node.say(node.peer(0).num, "hello")
    event = f"{node_id(node)}_message"
    await wait_until(lambda: state_of(hass, "event", event).attributes.get("text") == "hello")
    shown = await entries(hass, hass_ws_client)
    assert [entry for entry in shown if "hello" in entry.get("message", "")]
    assert not [entry for entry in shown if entry.get("entity_id", "").startswith("event.")]
    # Anything else stays.
    assert [entry for entry in shown if entry.get("entity_id", "").startswith("binary_sensor.")]
