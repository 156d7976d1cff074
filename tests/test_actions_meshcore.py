"""The same triggers and actions on a MeshCore mesh."""

from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
import pytest

from custom_components.meshmonitor.const import DOMAIN
from tests.ha import companion_id, make_companion_entry, set_up, wait_until
from tests.ha.automations import automate, device_of, payloads
from tests.simulators.meshcore_companion import SimulatedCompanion

pytestmark = pytest.mark.usefixtures("unload")


async def act(hass: HomeAssistant, action: str, **data: Any) -> dict[str, Any]:
    """Call an action, and return its answer."""
    answer = await hass.services.async_call(
        DOMAIN, action, data, blocking=True, return_response=True
    )
    assert answer is not None
    return dict(answer)


async def test_message_received(hass: HomeAssistant, companion: SimulatedCompanion) -> None:
    """Writers on a channel have a name alone; contacts have an id."""
    await set_up(hass, make_companion_entry(companion))
    calls = await automate(
        hass,
        {"trigger": "meshmonitor.message_received", "options": {"sender": "bravo"}},
    )
    companion.mesh.post("Bravo", "hello, everybody")
    await wait_until(lambda: calls, "the automation")
    companion.mesh.say("Bravo", "for you alone")
    await wait_until(lambda: len(calls) == 2, "the automation")
    channel, direct = payloads(calls)
    assert (channel["kind"], channel["sender_id"], channel["sender_name"]) == (
        "channel",
        None,
        "Bravo",
    )
    assert direct["kind"] == "direct"
    assert direct["sender_id"] == companion.mesh.peer("Bravo").key.hex()
    assert direct["recipient_id"] == companion_id(companion)


async def test_a_post_in_a_room(hass: HomeAssistant, companion: SimulatedCompanion) -> None:
    """It names its author and its room, is answered in the room, and is no direct message."""
    coordinator = await set_up(hass, make_companion_entry(companion))
    room = companion.mesh.peer("Town Hall").key.hex()
    device = await device_of(hass, coordinator, room)
    trigger = "meshmonitor.message_received"
    calls = await automate(
        hass,
        {"trigger": trigger, "options": {"kind": "direct"}},
        {"trigger": trigger, "options": {"kind": "room", "device_id": device}},
    )
    companion.mesh.say("Bravo", "to you")
    companion.mesh.post_in("Town Hall", "Bravo", "to all")
    await wait_until(lambda: len(calls) == 2, "the automations")
    direct, post = payloads(calls)
    assert (direct["kind"], direct["text"]) == ("direct", "to you")
    assert (post["kind"], post["text"], post["sender_name"]) == ("room", "to all", "Bravo")
    assert (post["recipient_id"], post["recipient_name"]) == (room, "Town Hall")
    assert post["recipient_device_id"] == device

    await act(hass, "send_text", message="I, too", recipient=post["recipient_id"])
    await wait_until(lambda: companion.mesh.of_kind("text"), "the transmission")
    listed = (await act(hass, "list_messages", node_id="Town Hall"))["messages"]
    assert [(each["text"], each["kind"]) for each in listed] == [
        ("to all", "room"),
        ("I, too", "room"),
    ]
    with pytest.raises(ServiceValidationError):
        await act(hass, "send_text", message="x" * 151, recipient="Town Hall")


async def test_acknowledged(hass: HomeAssistant, companion: SimulatedCompanion) -> None:
    """A contact acknowledges what it got."""
    await set_up(hass, make_companion_entry(companion))
    answer = await act(
        hass, "send_text", message="there?", recipient="Bravo", wait_for_ack=True, timeout=30
    )
    assert answer["delivery"] == "delivered"
    listed = (await act(hass, "list_messages", node_id="Bravo"))["messages"]
    assert [(each["text"], each["delivery"]) for each in listed] == [("there?", "delivered")]


async def test_requests(hass: HomeAssistant, companion: SimulatedCompanion) -> None:
    """A repeater lets one in, and says how it is and whom it hears."""
    await set_up(hass, make_companion_entry(companion))
    repeater = "Ridge"
    await hass.services.async_call(
        DOMAIN, "login", {"node_id": repeater, "password": "password"}, blocking=True
    )
    status = await act(hass, "request_status", node_id=repeater)
    assert status["kind"] == "status"
    assert status["readings"]
    telemetry = await act(hass, "request_telemetry", node_id=repeater)
    assert telemetry["readings"]
    neighbors = await act(hass, "request_neighbors", node_id=repeater)
    assert isinstance(neighbors["neighbors"], list)


async def test_not_supported(hass: HomeAssistant, companion: SimulatedCompanion) -> None:
    """What MeshCore does not know is refused as such."""
    await set_up(hass, make_companion_entry(companion))
    for action, data in (
        ("request_node_info", {"node_id": "Bravo"}),
        ("send_waypoint", {"name": "Here", "latitude": 1, "longitude": 2}),
        ("send_text", {"message": "👍", "reaction": True, "reply_id": "1"}),
    ):
        with pytest.raises(ServiceValidationError) as refused:
            await act(hass, action, **data)
        assert refused.value.translation_key == "send_not_supported", action
    assert isinstance(refused.value, HomeAssistantError)


async def test_advert(hass: HomeAssistant, companion: SimulatedCompanion) -> None:
    """The companion announces itself, near and far."""
    await set_up(hass, make_companion_entry(companion))
    for flood in (False, True):
        await hass.services.async_call(DOMAIN, "send_advert", {"flood": flood}, blocking=True)
    await wait_until(lambda: len(companion.commands(7)) == 2, "the commands")
    assert [bytes(command[1:2]) for command in companion.commands(7)] == [b"\x00", b"\x01"]
