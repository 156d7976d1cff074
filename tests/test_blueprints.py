"""The blueprints are loaded by Home Assistant, and do what they say on a mesh."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from freezegun import freeze_time
from homeassistant.components import automation
from homeassistant.components.automation.config import AUTOMATION_BLUEPRINT_SCHEMA
from homeassistant.components.blueprint.models import Blueprint
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
from homeassistant.util.yaml import load_yaml_dict
from meshtastic.protobuf import mesh_pb2
import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed, async_mock_service

from custom_components.meshmonitor.mesh.source import OutgoingText
from custom_components.meshmonitor.protocols import PROTOCOLS
from tests.ha import make_entry, set_up, wait_until
from tests.ha.automations import device_of
from tests.simulators.meshtastic_mesh import PORTS
from tests.simulators.meshtastic_node import SimulatedNode

pytestmark = pytest.mark.usefixtures("unload")

FOLDER: Final = Path(__file__).resolve().parent.parent / "blueprints/automation/meshmonitor"
BLUEPRINTS: Final = sorted(FOLDER.glob("*.yaml"))


def load(path: Path) -> Blueprint:
    """Load a blueprint as Home Assistant does."""
    return Blueprint(
        load_yaml_dict(str(path)),
        path=path.name,
        expected_domain=automation.DOMAIN,
        schema=AUTOMATION_BLUEPRINT_SCHEMA,
    )


@contextmanager
def served() -> Iterator[None]:
    """Let Home Assistant find the blueprints where a person would have imported them to."""

    def at_hand(self: Any, path: str) -> Blueprint:
        return load(FOLDER / path)

    with patch(
        "homeassistant.components.blueprint.models.DomainBlueprints._load_blueprint", at_hand
    ):
        yield


async def use(hass: HomeAssistant, name: str, **inputs: Any) -> None:
    """Set up an automation from a blueprint."""
    with served():
        assert await async_setup_component(
            hass,
            automation.DOMAIN,
            {automation.DOMAIN: {"use_blueprint": {"path": name, "input": inputs}}},
        )
    await hass.async_block_till_done()
    [state] = hass.states.async_all(automation.DOMAIN)
    assert state.state == "on"


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_sound(path: Path) -> None:
    """A blueprint says where it comes from, and that this Home Assistant can use it."""
    blueprint = load(path)
    assert blueprint.validate() is None
    assert blueprint.metadata["source_url"].endswith(
        f"/blueprints/automation/meshmonitor/{path.name}"
    )
    for key, field in blueprint.inputs.items():
        assert field["name"], key
        assert field["selector"], key


async def test_ping_on_a_channel(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A ping is answered on its channel, as a reply, with the signal; not each of many."""
    await set_up(hass, make_entry(node))
    await use(hass, "answer_ping.yaml", channels=["Home"])
    peer = node.peer(0)
    await node.say(peer.num, "ping")
    packet_id = await node.say(peer.num, "Ping ", channel=1)
    await wait_until(node.texts, "the answer")
    await node.say(peer.num, "ping", channel=1)
    await hass.async_block_till_done()
    [packet] = node.packets(PORTS.TEXT_MESSAGE_APP)
    assert packet.channel == 1
    assert packet.to == 0xFFFFFFFF
    assert packet.decoded.reply_id == packet_id
    text = packet.decoded.payload.decode()
    assert text.startswith("pong: heard directly, SNR ")
    assert text.endswith(" dBm")
    await _pass(hass, 20)


async def test_direct_ping(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A ping to the radio alone is answered to its sender alone, from however far it came."""
    coordinator = await set_up(hass, make_entry(node))
    await use(
        hass, "answer_ping.yaml", radios=[coordinator.device_id], text="*hear me*", answer="Yes"
    )
    peer = next(peer for peer in node.mesh.peers.values() if peer.hops == 1)
    await node.say(peer.num, "Do you hear me?", to=node.state.num)
    await wait_until(node.texts, "the answer")
    [packet] = node.packets(PORTS.TEXT_MESSAGE_APP)
    assert packet.to == peer.num
    assert packet.decoded.payload.decode().startswith("Yes: 1 hop, SNR ")
    await _pass(hass, 20)


async def _pass(hass: HomeAssistant, seconds: float) -> None:
    """Let some time go by."""
    with freeze_time(dt_util.utcnow() + timedelta(seconds=seconds)):
        async_fire_time_changed(hass)
        await hass.async_block_till_done()


async def test_notified(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Direct messages, nodes that come and go, and failures become notifications."""
    coordinator = await set_up(hass, make_entry(node))
    peer, other = node.peer(0), node.peer(1)
    name = peer.user.long_name
    device = await device_of(hass, coordinator, f"!{peer.num:08x}")
    calls = async_mock_service(hass, "notify", "send_message")
    await use(
        hass,
        "notify_me.yaml",
        notify={"entity_id": "notify.phone"},
        radios=[coordinator.device_id],
        nodes=[device],
    )
    await node.say(peer.num, "hello, all")
    await node.say(other.num, "only for you", to=node.state.num)
    await wait_until(lambda: len(calls) == 2, "the notifications")
    peer.refuses = mesh_pb2.Routing.Error.MAX_RETRANSMIT
    await coordinator.async_send_text(
        OutgoingText(text="an answer", recipient_id=f"!{peer.num:08x}")
    )
    await wait_until(lambda: len(calls) == 3, "the notifications")
    await _pass(hass, PROTOCOLS["meshtastic"].online_limit + 10)
    told = [(call.data["title"].strip(), call.data["message"].strip()) for call in calls]
    assert told == [
        (name, "is heard again"),
        (other.user.long_name, "only for you"),
        ("Not delivered", f"To {name}: an answer"),
        (name, "has fallen silent"),
    ]
    assert {call.data["entity_id"][0] for call in calls} == {"notify.phone"}


async def test_nothing_to_watch(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Without nodes to watch, nobody's coming is told; without failures, no failure."""
    coordinator = await set_up(hass, make_entry(node))
    calls = async_mock_service(hass, "notify", "send_message")
    await use(hass, "notify_me.yaml", notify={"entity_id": "notify.phone"}, failures=False)
    peer = node.peer(0)
    peer.refuses = mesh_pb2.Routing.Error.MAX_RETRANSMIT
    sent = await coordinator.async_send_text(
        OutgoingText(text="an answer", recipient_id=f"!{peer.num:08x}")
    )
    await wait_until(
        lambda: (
            (known := coordinator.source.delivery(sent.message_id)) is not None and known.is_final
        ),
        "the failure",
    )
    await hass.async_block_till_done()
    assert not calls
    await node.say(peer.num, "only for you", to=node.state.num)
    await wait_until(lambda: calls, "the notification")
    [call] = calls
    assert call.data["title"].strip() == peer.user.long_name
