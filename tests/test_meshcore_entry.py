"""A MeshCore companion in Home Assistant: the same forms, entities and actions as any radio."""

from homeassistant.const import STATE_OFF, STATE_ON
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import device_registry as dr
import pytest

from tests.ha import (
    companion_id,
    coordinator_of,
    entity_id,
    make_companion_entry,
    make_entry,
    node_id,
    set_up,
    state_of,
    virtual_node,
    wait_until,
)
from tests.ha.flows import start, submit
from tests.ports import free_port
from tests.simulators.meshcore_companion import SimulatedCompanion
from tests.simulators.meshtastic_node import SimulatedNode

pytestmark = pytest.mark.usefixtures("unload")


async def test_add_by_address(hass: HomeAssistant, companion: SimulatedCompanion) -> None:
    """The companion's own key and name make the entry."""
    port = free_port()
    result = await submit(
        hass,
        await start(hass, "meshcore_tcp"),
        {
            "host": companion.host,
            "port": companion.port,
            "virtual_node": {"enabled": True, "port": port, "share_contacts": True},
        },
    )
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["title"] == "Hilltop"
    assert result["data"] == {
        "protocol": "meshcore",
        "connection": "tcp",
        "host": companion.host,
        "port": companion.port,
    }
    options = result["options"]["virtual_node"]
    assert (
        options.items()
        >= {
            "enabled": True,
            "port": port,
            "share_contacts": True,
            "allow_signing": False,
            "raw_reception": True,
        }.items()
    )
    assert "announce" not in options
    assert result["result"].unique_id == companion_id(companion)
    await wait_until(lambda: coordinator_of(result["result"]).is_available)


async def test_add_by_serial_port(hass: HomeAssistant, companion: SimulatedCompanion) -> None:
    """A companion that is plugged in."""
    device = str(companion.plug_in())
    result = await submit(hass, await start(hass, "meshcore_serial"), {"device": device})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["data"]["device"] == device
    assert result["result"].unique_id == companion_id(companion)
    assert result["options"]["virtual_node"]["port"] == 5000
    await wait_until(lambda: coordinator_of(result["result"]).is_available)


async def test_not_a_companion(
    hass: HomeAssistant, node: SimulatedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Meshtastic node is a radio, but not of this kind."""
    # A real companion is granted more.
    monkeypatch.setattr("custom_components.meshmonitor.meshcore.probe.SILENCE_TIMEOUT", 1.0)
    form = await submit(
        hass, await start(hass, "meshcore_tcp"), {"host": node.host, "port": node.port}
    )
    assert form["type"] is FlowResultType.FORM
    assert form["errors"] is not None
    assert form["errors"]["base"] in {"wrong_protocol", "no_answer"}


async def test_entities(hass: HomeAssistant, companion: SimulatedCompanion) -> None:
    """An automation that was written for one protocol reads the same for the other."""
    await set_up(hass, make_companion_entry(companion))
    unique_id = companion_id(companion)
    assert state_of(hass, "binary_sensor", f"{unique_id}_link").state == STATE_ON
    assert state_of(hass, "binary_sensor", f"{unique_id}_virtual_node").state == STATE_OFF

    companion.mesh.post("Bravo", "hello, everybody")

    def attributes() -> dict[str, object]:
        return dict(state_of(hass, "event", f"{unique_id}_message").attributes)

    await wait_until(lambda: attributes().get("text") == "hello, everybody", "the event")
    assert attributes()["event_type"] == "channel"
    assert attributes()["origin"] == "radio"
    assert attributes()["sender_name"] == "Bravo"
    assert attributes()["channel"] == 0

    companion.mesh.say("Bravo", "for you alone")
    await wait_until(lambda: attributes().get("text") == "for you alone", "the event")
    assert attributes()["event_type"] == "direct"
    assert attributes()["sender_id"] == companion.mesh.peer("Bravo").key.hex()

    await hass.services.async_call(
        "notify",
        "send_message",
        {
            "entity_id": entity_id(hass, "notify", f"{unique_id}_channel_0"),
            "message": "from an automation",
        },
        blocking=True,
    )
    await wait_until(lambda: companion.mesh.of_kind("post"), "the transmission")
    await wait_until(lambda: attributes().get("text") == "from an automation", "the event")
    assert attributes()["origin"] == "home_assistant"


async def test_device(hass: HomeAssistant, companion: SimulatedCompanion) -> None:
    """The device says what it is."""
    coordinator = await set_up(hass, make_companion_entry(companion, options=virtual_node()))
    device = dr.async_get(hass).async_get(coordinator.device_id)
    assert isinstance(device, dr.DeviceEntry)
    assert device.manufacturer == "MeshCore"
    assert device.name == "Hilltop"
    assert device.model
    assert device.sw_version
    assert coordinator.source.virtual_node.is_running


async def test_both_protocols(
    hass: HomeAssistant, companion: SimulatedCompanion, node: SimulatedNode
) -> None:
    """Radios of both protocols live side by side."""
    await set_up(hass, make_companion_entry(companion, options=virtual_node()))
    await set_up(hass, make_entry(node, options=virtual_node()))
    for unique_id in (companion_id(companion), node_id(node)):
        assert state_of(hass, "binary_sensor", f"{unique_id}_link").state == STATE_ON
        assert state_of(hass, "binary_sensor", f"{unique_id}_virtual_node").state == STATE_ON
