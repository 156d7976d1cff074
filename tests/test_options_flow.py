"""The last step of the forms, the options, and radios that are plugged in."""

from typing import Any

from homeassistant.config_entries import SOURCE_IGNORE, SOURCE_USB, ConfigFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.service_info.usb import UsbServiceInfo
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import get_system_health_info

from custom_components.meshmonitor.const import DOMAIN
from custom_components.meshmonitor.diagnostics import async_get_device_diagnostics
from tests.ha import (
    coordinator_of,
    make_companion_entry,
    make_entry,
    node_id,
    set_up,
    set_up_without_radio,
    wait_until,
)
from tests.ha.flows import open_options, start, submit, submit_one, suggested
from tests.simulators.meshcore_companion import SimulatedCompanion
from tests.simulators.meshtastic_node import SimulatedNode

pytestmark = pytest.mark.usefixtures("unload")


def offered(form: ConfigFlowResult, field: str) -> dict[str, str]:
    """Return what a field offers, by value."""
    assert form["data_schema"] is not None
    selector = next(
        value for key, value in form["data_schema"].schema.items() if key.schema == field
    )
    return {option["value"]: option["label"] for option in selector.config["options"]}


async def save(
    hass: HomeAssistant, form: ConfigFlowResult, user_input: dict[str, Any]
) -> ConfigFlowResult:
    """Send the fields of a part of the options."""
    result = await hass.config_entries.options.async_configure(form["flow_id"], user_input)
    await hass.async_block_till_done()
    assert result["type"] is FlowResultType.CREATE_ENTRY
    return result


async def test_the_last_step(hass: HomeAssistant, node: SimulatedNode) -> None:
    """It says how many nodes there are, and asks which of them are wanted."""
    form = await submit_one(
        hass, await start(hass, "meshtastic_tcp"), {"host": node.host, "port": node.port}
    )
    assert form["step_id"] == "nodes"
    assert form["description_placeholders"] == {
        "name": "Simulated Base",
        "nodes": "12",
        "favorites": "1",
    }
    assert not hass.config_entries.async_entries(DOMAIN)
    result = await submit_one(hass, form, {"mode": "all", "expire_days": 7.0})
    assert result["options"]["nodes"] == {"mode": "all", "picked": [], "expire_days": 7}
    await wait_until(lambda: coordinator_of(result["result"]).is_available)
    await hass.async_block_till_done()


async def test_the_last_step_of_meshcore(
    hass: HomeAssistant, companion: SimulatedCompanion
) -> None:
    """Contacts are counted, too."""
    contacts = list(companion.device.contacts.values())
    contacts[0].flags |= 1
    form = await submit_one(
        hass,
        await start(hass, "meshcore_tcp"),
        {"host": companion.host, "port": companion.port},
    )
    assert form["description_placeholders"] == {
        "name": "Hilltop",
        "nodes": str(len(contacts) + 1),
        "favorites": "1",
    }


async def test_added_meanwhile(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Two forms for one radio make one entry: the other one closes."""
    forms = [
        await submit_one(
            hass, await start(hass, "meshtastic_tcp"), {"host": node.host, "port": node.port}
        )
        for _ in range(2)
    ]
    first = await submit_one(hass, forms[0], {})
    assert first["type"] is FlowResultType.CREATE_ENTRY
    assert not hass.config_entries.flow.async_progress()
    await hass.async_block_till_done()


async def test_menu(hass: HomeAssistant, node: SimulatedNode) -> None:
    """The options come in parts."""
    entry = make_entry(node)
    entry.add_to_hass(hass)
    menu = await hass.config_entries.options.async_init(entry.entry_id)
    assert menu["type"] is FlowResultType.MENU
    assert menu["menu_options"] == ["virtual_node", "nodes", "notifications"]


async def test_nodes(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Nodes are picked by name; what is chosen holds at once, and the rest stays."""
    entry = make_entry(node, options={"notify_contacts": ["!00000001"]})
    coordinator = await set_up(hass, entry)
    form = await open_options(hass, entry, "nodes")
    assert form["description_placeholders"] == {"name": "Base", "nodes": "12", "favorites": "1"}
    names = offered(form, "picked")
    assert len(names) == 11
    picked = f"!{node.peer(0).num:08x}"
    assert names[picked] == f"Windmill ({picked})"
    await save(hass, form, {"mode": "gateway", "expire_days": 0, "picked": [picked]})
    assert entry.options == {
        "notify_contacts": ["!00000001"],
        "nodes": {"mode": "gateway", "picked": [picked], "expire_days": 0},
    }
    assert coordinator.devices.shown == {node_id(node)}
    assert coordinator_of(entry) is coordinator
    form = await open_options(hass, entry, "nodes")
    assert suggested(form) == {"mode": "gateway", "expire_days": 0, "picked": [picked]}
    await save(hass, form, {"mode": "favorites", "expire_days": 0})
    # A field that was emptied is empty.
    assert entry.options["nodes"]["picked"] == []


async def test_nodes_without_radio(hass: HomeAssistant, node: SimulatedNode) -> None:
    """What was picked can be kept, or not, though nobody knows it now."""
    node.refuse()
    entry = make_entry(node, options={"nodes": {"picked": ["!00000001"]}})
    await set_up_without_radio(hass, entry)
    assert await hass.config_entries.async_unload(entry.entry_id)
    form = await open_options(hass, entry, "nodes")
    assert offered(form, "picked") == {"!00000001": "!00000001"}


async def test_notifications(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Contacts are chosen by name; each has a notify entity at once."""
    node.state.nodes[node.peer(1).num].user.is_unmessagable = True
    entry = make_entry(node)
    await set_up(hass, entry)
    form = await open_options(hass, entry, "notifications")
    names = offered(form, "notify_contacts")
    assert f"!{node.peer(1).num:08x}" not in names
    assert node_id(node) not in names
    chosen = f"!{node.peer(0).num:08x}"
    await save(hass, form, {"notify_contacts": [chosen]})
    assert entry.options["notify_contacts"] == [chosen]
    assert any(state.name.endswith("Windmill") for state in hass.states.async_all("notify"))


async def plug_in(hass: HomeAssistant, device: str) -> ConfigFlowResult:
    """Let the system find a board."""
    return await hass.config_entries.flow.async_init(
        DOMAIN,
        context={"source": SOURCE_USB},
        data=UsbServiceInfo(
            device=device,
            vid="239A",
            pid="8029",
            serial_number="ABC",
            manufacturer="RAKwireless",
            description="WisCore RAK4631 Board",
        ),
    )


async def test_plugged_in(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A board is offered; what it runs, its owner says, and only then it is asked."""
    device = node.serve_pty()
    menu = await plug_in(hass, device)
    assert menu["type"] is FlowResultType.MENU
    assert menu["menu_options"] == ["meshtastic_serial", "meshcore_serial"]
    assert menu["description_placeholders"] == {"name": "WisCore RAK4631 Board"}
    [flow] = hass.config_entries.flow.async_progress()
    assert flow["context"]["title_placeholders"] == {"name": "WisCore RAK4631 Board"}
    form = await hass.config_entries.flow.async_configure(
        menu["flow_id"], {"next_step_id": "meshtastic_serial"}
    )
    assert suggested(form)["device"] == device
    result = await submit(hass, form, {"device": device})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["data"] == {"protocol": "meshtastic", "connection": "serial", "device": device}
    assert result["result"].unique_id == node_id(node)
    await wait_until(lambda: coordinator_of(result["result"]).is_available)
    await hass.async_block_till_done()


async def test_plugged_in_again(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A radio that is set up already is no news."""
    device = node.serve_pty()
    data = {"protocol": "meshtastic", "connection": "serial", "device": device}
    entry = make_entry(node)
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, data=data)
    result = await plug_in(hass, device)
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "already_configured"


async def test_plugged_in_and_ignored(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A board that was turned down is not offered again, however often it is plugged in."""
    device = node.serve_pty()
    await plug_in(hass, device)
    [flow] = hass.config_entries.flow.async_progress()
    turned_down = await hass.config_entries.flow.async_init(
        DOMAIN,
        context={"source": SOURCE_IGNORE},
        data={"unique_id": flow["context"]["unique_id"], "title": "WisCore RAK4631 Board"},
    )
    assert turned_down["type"] is FlowResultType.CREATE_ENTRY
    assert not hass.config_entries.flow.async_progress()
    result = await plug_in(hass, device)
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "already_configured"


async def test_device_diagnostics(hass: HomeAssistant, node: SimulatedNode) -> None:
    """What is known of a node, but not which one it is or where; the radio's are the source's."""
    entry = make_entry(node, options={"nodes": {"mode": "all", "expire_days": 0}})
    coordinator = await set_up(hass, entry)
    registry = dr.async_get(hass)
    radio = registry.async_get(coordinator.device_id)
    assert radio is not None
    assert "counters" in await async_get_device_diagnostics(hass, entry, radio)
    peer = next(peer for peer in node.mesh.peers.values() if peer.position)
    device = registry.async_get_device_by_identifier(
        (DOMAIN, f"{node_id(node)}_!{peer.num:08x}"), entry.entry_id
    )
    assert device is not None
    told = await async_get_device_diagnostics(hass, entry, device)
    assert told["node"]["has_position"] is True
    assert told["node"]["role"]
    assert told["node"]["telemetry"]["device"]["values"]["voltage"] > 0
    text = str(told)
    for secret in (
        f"{peer.num:08x}",
        peer.user.long_name,
        peer.user.public_key.hex(),
        str(peer.position.latitude_i)[:5] if peer.position else "-",
    ):
        assert secret not in text
    stranger = registry.async_get_or_create(
        config_entry_id=entry.entry_id, identifiers={(DOMAIN, f"{node_id(node)}_!00000001")}
    )
    assert await async_get_device_diagnostics(hass, entry, stranger) == {"node": None}


async def test_system_health(
    hass: HomeAssistant, node: SimulatedNode, companion: SimulatedCompanion
) -> None:
    """The figures of all radios together."""
    assert await async_setup_component(hass, "system_health", {})
    await set_up(hass, make_entry(node))
    await set_up(hass, make_companion_entry(companion))
    await hass.async_block_till_done()
    info = await get_system_health_info(hass, DOMAIN)
    assert info == {
        "sources": 2,
        "connected": 2,
        "nodes": 12 + len(companion.device.contacts) + 1,
        "online": info["online"],
        "virtual_nodes": 0,
        "clients": 0,
    }
