"""A radio that is found elsewhere: told by its owner, or by its own announcement."""

from ipaddress import ip_address
import socket
from typing import Any

from homeassistant.config_entries import (
    SOURCE_IGNORE,
    SOURCE_USER,
    SOURCE_ZEROCONF,
    ConfigEntryState,
    ConfigFlowResult,
)
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers.service_info.zeroconf import ZeroconfServiceInfo
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.meshmonitor.const import DOMAIN
from tests.ha import coordinator_of, make_entry, node_id, set_up, virtual_node, wait_until
from tests.ha.flows import submit
from tests.ports import free_port
from tests.simulators.meshtastic_config import NodeConfig
from tests.simulators.meshtastic_node import SimulatedNode

pytestmark = pytest.mark.usefixtures("unload")


async def reconfigure(
    hass: HomeAssistant, entry: MockConfigEntry, user_input: dict[str, Any]
) -> ConfigFlowResult:
    """Tell where a radio is now."""
    form = await entry.start_reconfigure_flow(hass)
    assert form["type"] is FlowResultType.FORM
    assert form["step_id"] == "reconfigure"
    result = await hass.config_entries.flow.async_configure(form["flow_id"], user_input)
    await hass.async_block_till_done()
    return result


def announced(node: SimulatedNode, **changes: Any) -> ZeroconfServiceInfo:
    """Return what a node's announcement says."""
    properties = changes.pop("properties", {"id": node_id(node), "shortname": "SIMB"})
    values: dict[str, Any] = {
        "ip_address": ip_address(node.host),
        "ip_addresses": [ip_address(node.host)],
        "port": node.port,
        "hostname": "meshtastic.local.",
        "type": "_meshtastic._tcp.local.",
        "name": "Meshtastic._meshtastic._tcp.local.",
        "properties": properties,
        **changes,
    }
    return ZeroconfServiceInfo(**values)


async def discover(hass: HomeAssistant, info: ZeroconfServiceInfo) -> ConfigFlowResult:
    """Let Home Assistant find an announcement."""
    result = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_ZEROCONF}, data=info
    )
    await hass.async_block_till_done()
    return result


async def test_move(hass: HomeAssistant, node: SimulatedNode) -> None:
    """The same radio at another address: the entry follows, and connects there."""
    entry = make_entry(node, port=free_port())
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    result = await reconfigure(hass, entry, {"host": node.host, "port": node.port})
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "reconfigure_successful"
    assert entry.data == make_entry(node).data
    await wait_until(lambda: coordinator_of(entry).is_available)


async def test_move_to_the_same_place(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A radio whose link is held is not asked again: that would cut the link."""
    entry = make_entry(node)
    coordinator = await set_up(hass, entry)
    result = await reconfigure(hass, entry, {"host": node.host, "port": node.port})
    assert result["reason"] == "reconfigure_successful"
    assert coordinator_of(entry) is coordinator
    assert node.tally["connections"] == 1


async def test_move_to_the_same_place_by_name(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Its name in place of its address: no second connection beside the one that is held."""
    entry = make_entry(node)
    await set_up(hass, entry)
    result = await reconfigure(hass, entry, {"host": "localhost", "port": node.port})
    assert result["reason"] == "reconfigure_successful"
    assert entry.data["host"] == "localhost"
    await wait_until(lambda: coordinator_of(entry).is_available)
    assert node.tally["taken_over"] == 0


async def test_move_to_another_radio(
    hass: HomeAssistant, node: SimulatedNode, other_node: SimulatedNode
) -> None:
    """Another radio is not this one: it would be a source of its own."""
    entry = make_entry(node)
    await set_up(hass, entry)
    result = await reconfigure(hass, entry, {"host": other_node.host, "port": other_node.port})
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "unique_id_mismatch"
    assert result["description_placeholders"] == {
        "expected": node_id(node),
        "found": node_id(other_node),
    }
    assert entry.data["port"] == node.port


async def test_move_to_a_radio_in_use(
    hass: HomeAssistant, node: SimulatedNode, other_node: SimulatedNode
) -> None:
    """The link of another entry is left alone."""
    entry = make_entry(node)
    await set_up(hass, entry)
    await set_up(hass, make_entry(other_node, title="Hill"))
    result = await reconfigure(hass, entry, {"host": other_node.host, "port": other_node.port})
    assert result["reason"] == "already_configured"
    assert other_node.tally["connections"] == 1


async def test_move_fails_and_then_works(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A wrong address changes nothing, and the form stays."""
    entry = make_entry(node, port=free_port(), options=virtual_node())
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    form = await entry.start_reconfigure_flow(hass)
    for user_input, errors in (
        ({"host": "no host", "port": node.port}, {"host": "invalid_host"}),
        ({"host": node.host, "port": free_port()}, {"base": "cannot_connect"}),
        (
            {"host": node.host, "port": entry.options["virtual_node"]["port"]},
            {"base": "port_of_radio"},
        ),
    ):
        result = await hass.config_entries.flow.async_configure(form["flow_id"], user_input)
        assert result["type"] is FlowResultType.FORM
        assert result["errors"] == errors
    result = await hass.config_entries.flow.async_configure(
        form["flow_id"], {"host": node.host, "port": node.port}
    )
    assert result["reason"] == "reconfigure_successful"
    await hass.async_block_till_done()


@pytest.mark.parametrize("bind_address", ["", "192.0.2.7"])
async def test_move_without_a_virtual_node(
    hass: HomeAssistant, node: SimulatedNode, bind_address: str
) -> None:
    """A virtual node that cannot listen is told of elsewhere: its radio can be moved all the same.

    After a network has been renumbered, both may have to be put right.
    """
    with socket.create_server(("", 0)) as taken:
        options = virtual_node(taken.getsockname()[1], bind_address=bind_address)
        entry = make_entry(node, port=free_port(), options=options)
        entry.add_to_hass(hass)
        assert await hass.config_entries.async_setup(entry.entry_id)
        assert coordinator_of(entry).source.virtual_node.bind_error
        result = await reconfigure(hass, entry, {"host": node.host, "port": node.port})
        assert result["reason"] == "reconfigure_successful"
        await wait_until(lambda: coordinator_of(entry).is_available)


async def test_move_a_serial_port(hass: HomeAssistant, node: SimulatedNode, tmp_path: Any) -> None:
    """A serial port by another name is still the same port, and is not opened twice."""
    device = node.serve_pty()
    entry = make_entry(node, connection="serial", device=device)
    await set_up(hass, entry)
    link = tmp_path / "by-id"
    link.symlink_to(device)
    result = await reconfigure(hass, entry, {"device": str(link)})
    assert result["reason"] == "reconfigure_successful"
    assert entry.data == {"protocol": "meshtastic", "connection": "serial", "device": str(link)}
    await wait_until(lambda: coordinator_of(entry).is_available)


async def test_discovered(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A radio that announces itself is offered, and added by one click."""
    form = await discover(hass, announced(node))
    assert form["type"] is FlowResultType.FORM
    assert form["step_id"] == "zeroconf_confirm"
    assert form["description_placeholders"] == {"name": "SIMB", "host": node.host, "detail": ""}
    flow = hass.config_entries.flow.async_progress()[0]
    assert flow["context"]["title_placeholders"] == {"name": f"SIMB ({node_id(node)})"}
    # Nothing was asked of the radio: its owner may use it otherwise.
    assert node.tally["connections"] == 0
    result = await submit(hass, form, {})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["title"] == "Simulated Base"
    assert result["result"].unique_id == node_id(node)
    assert result["data"] == make_entry(node).data
    await hass.async_block_till_done()


async def test_discovered_but_gone(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A radio that is away by then can be tried again."""
    form = await discover(hass, announced(node))
    node.refuse()
    form = await hass.config_entries.flow.async_configure(form["flow_id"], {})
    assert form["errors"] == {"base": "cannot_connect"}
    await node.listen()
    result = await submit(hass, form, {})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()


async def test_discovered_another(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Who announces an id that is not his own is not added under it."""
    form = await discover(hass, announced(node, properties={"id": "!01020304"}))
    assert form["description_placeholders"] == {
        "name": "!01020304",
        "host": node.host,
        "detail": "",
    }
    result = await hass.config_entries.flow.async_configure(form["flow_id"], {})
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "other_radio"


@pytest.mark.parametrize("properties", [{}, {"id": None}, {"id": "base"}, {"shortname": "SIMB"}])
async def test_discovered_without_identity(
    hass: HomeAssistant, node: SimulatedNode, properties: dict[str, Any]
) -> None:
    """Older firmware does not say who it is."""
    result = await discover(hass, announced(node, properties=properties))
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "no_identity"


async def test_discovered_virtual_node(hass: HomeAssistant, node: SimulatedNode) -> None:
    """What this or another Home Assistant announces is no radio."""
    properties = {"id": node_id(node), "shortname": "SIMB", "meshmonitor": "1"}
    result = await discover(hass, announced(node, properties=properties))
    assert result["reason"] == "virtual_node"


async def test_discovered_own_port(
    hass: HomeAssistant, node: SimulatedNode, other_node: SimulatedNode
) -> None:
    """What leads to our own port is no radio either, whatever it says."""
    port = free_port()
    await set_up(hass, make_entry(node, options=virtual_node(port)))
    result = await discover(hass, announced(other_node, port=port))
    assert result["reason"] == "virtual_node"
    elsewhere = await discover(
        hass,
        announced(
            other_node,
            port=port,
            ip_address=ip_address("192.0.2.7"),
            ip_addresses=[ip_address("192.0.2.7")],
        ),
    )
    assert elsewhere["type"] is FlowResultType.FORM


async def test_discovered_twice(hass: HomeAssistant, node: SimulatedNode) -> None:
    """One offer is enough."""
    await discover(hass, announced(node))
    result = await discover(hass, announced(node))
    assert result["reason"] == "already_in_progress"


async def test_discovered_and_added_by_hand(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Who types the address while an offer stands is not held up by it."""
    await discover(hass, announced(node))
    menu = await hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_USER})
    form = await hass.config_entries.flow.async_configure(
        menu["flow_id"], {"next_step_id": "meshtastic_tcp"}
    )
    result = await submit(hass, form, {"host": node.host, "port": node.port})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()
    assert not hass.config_entries.flow.async_progress()


async def test_discovered_elsewhere(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A radio that was lost is followed to its new address."""
    entry = make_entry(node, port=free_port())
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    result = await discover(hass, announced(node))
    assert result["reason"] == "already_configured"
    assert entry.data["port"] == node.port
    assert entry.state is ConfigEntryState.LOADED
    await wait_until(lambda: coordinator_of(entry).is_available)


async def test_discovered_at_a_second_address(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A radio that answers where it is known is not moved, nor is one that is named by its host."""
    entry = make_entry(node, host="localhost")
    coordinator = await set_up(hass, entry)
    for info in (
        announced(node),
        announced(node, ip_address=ip_address("192.0.2.7"), ip_addresses=[]),
    ):
        result = await discover(hass, info)
        assert result["reason"] == "already_configured"
    assert entry.data["host"] == "localhost"
    assert coordinator_of(entry) is coordinator
    assert node.tally["connections"] == 1


async def test_discovered_but_plugged_in(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A radio that is used at a serial port stays there."""
    entry = make_entry(node, connection="serial", device="/dev/serial/by-id/no-such-radio")
    entry.add_to_hass(hass)
    before = dict(entry.data)
    result = await discover(hass, announced(node))
    assert result["reason"] == "already_configured"
    assert dict(entry.data) == before


async def test_discovered_and_ignored(hass: HomeAssistant, node: SimulatedNode) -> None:
    """An offer that was turned down is not made again."""
    MockConfigEntry(
        domain=DOMAIN, unique_id=node_id(node), source=SOURCE_IGNORE, data={}
    ).add_to_hass(hass)
    result = await discover(hass, announced(node))
    assert result["reason"] == "already_configured"


async def test_discovered_at_the_place_of_another(
    hass: HomeAssistant, node: SimulatedNode, socket_enabled: None
) -> None:
    """Where an entry holds a link nothing else is offered, whatever is announced there."""
    entry = make_entry(node)
    await set_up(hass, entry)
    async with SimulatedNode(NodeConfig(num=0x0C0C0C0C)) as other:
        result = await discover(hass, announced(other, port=node.port))
    assert result["reason"] == "already_configured"
    assert node.tally["connections"] == 1
