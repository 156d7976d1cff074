"""How a virtual node is to serve: what a form takes, and what it refuses, now and later."""

from collections.abc import Awaitable, Callable
import socket
from typing import Any, Final

from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
import pytest

from custom_components.meshmonitor.mesh.admission import DEFAULT_ALLOWED_NETWORKS
from tests.ha import coordinator_of, make_entry, set_up, virtual_node
from tests.ha.flows import open_options, start, submit, suggested
from tests.ports import free_port
from tests.simulators.meshtastic_node import SimulatedNode

pytestmark = pytest.mark.usefixtures("unload")

PRIVATE: Final = [str(network) for network in DEFAULT_ALLOWED_NETWORKS]

type Spoil = Callable[[HomeAssistant, SimulatedNode, SimulatedNode], Awaitable[dict[str, Any]]]


async def _port_of_other_source(
    hass: HomeAssistant, node: SimulatedNode, other: SimulatedNode
) -> dict[str, Any]:
    port = free_port()
    make_entry(other, title="Hill", options=virtual_node(port)).add_to_hass(hass)
    return {"port": port}


async def _port_of_home_assistant(
    hass: HomeAssistant, node: SimulatedNode, other: SimulatedNode
) -> dict[str, Any]:
    return {"port": 8123 if hass.config.api is None else hass.config.api.port}


async def _port_of_radio(
    hass: HomeAssistant, node: SimulatedNode, other: SimulatedNode
) -> dict[str, Any]:
    return {"port": node.port}


async def _port_of_a_stranger(
    hass: HomeAssistant, node: SimulatedNode, other: SimulatedNode
) -> dict[str, Any]:
    return {"port": other.port}


async def _foreign_address(
    hass: HomeAssistant, node: SimulatedNode, other: SimulatedNode
) -> dict[str, Any]:
    # Reserved for documentation (RFC 5737): nobody has it.
    return {"bind_address": "192.0.2.1"}


async def _no_address(
    hass: HomeAssistant, node: SimulatedNode, other: SimulatedNode
) -> dict[str, Any]:
    return {"bind_address": "eth0"}


async def _no_network(
    hass: HomeAssistant, node: SimulatedNode, other: SimulatedNode
) -> dict[str, Any]:
    return {"allowed_networks": ["192.168.1.0/24", "home"]}


async def _no_admin_network(
    hass: HomeAssistant, node: SimulatedNode, other: SimulatedNode
) -> dict[str, Any]:
    return {"admin_networks": ["1.2.3"]}


SPOILS: Final = [
    pytest.param(_port_of_other_source, "port_used_by_source", "Hill", id="other source"),
    pytest.param(_port_of_home_assistant, "port_used_by_home_assistant", "8123", id="web page"),
    pytest.param(_port_of_radio, "port_of_radio", None, id="radio"),
    pytest.param(_port_of_a_stranger, "port_in_use", None, id="stranger"),
    pytest.param(_foreign_address, "invalid_bind_address", None, id="foreign address"),
    pytest.param(_no_address, "invalid_bind_address", "eth0", id="no address"),
    pytest.param(_no_network, "invalid_network", "home", id="no network"),
    pytest.param(_no_admin_network, "invalid_network", "1.2.3", id="no admin network"),
]


@pytest.mark.parametrize(("spoil", "error", "detail"), SPOILS)
async def test_virtual_node_cannot_serve_so(
    hass: HomeAssistant,
    node: SimulatedNode,
    other_node: SimulatedNode,
    spoil: Spoil,
    error: str,
    detail: str | None,
) -> None:
    """What the virtual node could not do is refused in the form, before the radio is asked."""
    wrong = {"enabled": True, "port": free_port(), **await spoil(hass, node, other_node)}
    user_input = {"host": node.host, "port": node.port, "virtual_node": wrong}
    form = await submit(hass, await start(hass, "meshtastic_tcp"), user_input)
    assert form["type"] is FlowResultType.FORM
    assert form["errors"] == {"virtual_node": error}
    assert form["description_placeholders"] is not None
    assert form["description_placeholders"]["detail"] == (
        detail if detail is not None else form["description_placeholders"]["detail"]
    )
    assert suggested(form)["virtual_node"].items() >= wrong.items()
    assert node.tally["connections"] == 0

    right = {"enabled": True, "port": free_port()}
    result = await submit(hass, form, {**user_input, "virtual_node": right})
    assert result["type"] is FlowResultType.CREATE_ENTRY


@pytest.mark.parametrize(("spoil", "error", "detail"), SPOILS)
async def test_options_have_the_same_checks(
    hass: HomeAssistant,
    node: SimulatedNode,
    other_node: SimulatedNode,
    spoil: Spoil,
    error: str,
    detail: str | None,
) -> None:
    """Later, too."""
    entry = make_entry(node)
    await set_up(hass, entry)
    wrong = {"enabled": True, "port": free_port(), **await spoil(hass, node, other_node)}
    form = await open_options(hass, entry, "virtual_node")
    result = await hass.config_entries.options.async_configure(
        form["flow_id"], {"virtual_node": wrong}
    )
    assert result["type"] is FlowResultType.FORM
    assert result["errors"] == {"virtual_node": error}
    assert suggested(result)["virtual_node"].items() >= wrong.items()
    assert entry.options == {}


async def test_port_of_a_radio_elsewhere(hass: HomeAssistant, socket_enabled: None) -> None:
    """Some apps insist on the radio's usual port: on this host it is free."""
    port = free_port()
    async with SimulatedNode() as node:
        await node.stop()
        # Another host of this network, as seen from the form.
        entry = make_entry(node, host="192.0.2.7", port=port)
        entry.add_to_hass(hass)
        form = await open_options(hass, entry, "virtual_node")
        result = await hass.config_entries.options.async_configure(
            form["flow_id"], virtual_node(port)
        )
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_disabled_virtual_node_needs_no_port(
    hass: HomeAssistant, node: SimulatedNode, other_node: SimulatedNode
) -> None:
    """What does not listen is in nobody's way, and nobody in its."""
    make_entry(
        other_node, options={"virtual_node": {"enabled": False, "port": node.port}}
    ).add_to_hass(hass)
    result = await submit(
        hass,
        await start(hass, "meshtastic_tcp"),
        {
            "host": node.host,
            "port": node.port,
            "virtual_node": {"enabled": False, "port": node.port},
        },
    )
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_same_port_at_different_addresses(
    hass: HomeAssistant, node: SimulatedNode, other_node: SimulatedNode
) -> None:
    """Two virtual nodes may share a number where each has an address of its own."""
    port = free_port()
    await set_up(hass, make_entry(other_node, options=virtual_node(port, bind_address="127.0.0.2")))
    entry = make_entry(node)
    await set_up(hass, entry)
    form = await open_options(hass, entry, "virtual_node")
    for address, expected in (
        ("", FlowResultType.FORM),
        ("0.0.0.0", FlowResultType.FORM),
        ("127.0.0.2", FlowResultType.FORM),
        ("127.0.0.1", FlowResultType.CREATE_ENTRY),
    ):
        result = await hass.config_entries.options.async_configure(
            form["flow_id"], virtual_node(port, bind_address=address)
        )
        assert result["type"] is expected, address
    await hass.async_block_till_done()
    assert coordinator_of(entry).source.virtual_node.is_running


async def test_damaged_neighbour_is_in_nobodys_way(
    hass: HomeAssistant, node: SimulatedNode, other_node: SimulatedNode
) -> None:
    """An entry that cannot be set up holds no port."""
    port = free_port()
    make_entry(other_node, options=virtual_node(port, allowed_networks=["?"])).add_to_hass(hass)
    entry = make_entry(node)
    await set_up(hass, entry)
    form = await open_options(hass, entry, "virtual_node")
    result = await hass.config_entries.options.async_configure(form["flow_id"], virtual_node(port))
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_port_not_permitted(
    hass: HomeAssistant, node: SimulatedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Systems keep low ports for the administrator."""

    def refuse(self: socket.socket, address: tuple[str, int]) -> None:
        if address[1] == 80:
            raise PermissionError(13, "Permission denied")
        bind(self, address)

    bind = socket.socket.bind
    monkeypatch.setattr(socket.socket, "bind", refuse)
    result = await submit(
        hass,
        await start(hass, "meshtastic_tcp"),
        {"host": node.host, "port": node.port, "virtual_node": {"enabled": True, "port": 80}},
    )
    assert result["errors"] == {"virtual_node": "port_not_permitted"}


async def test_options(hass: HomeAssistant, node: SimulatedNode) -> None:
    """The options show what holds, and take effect without a reload."""
    port = free_port()
    options = virtual_node(port, max_clients=5, bind_address="127.0.0.1")
    entry = make_entry(node, options={**options, "nodes": {"mode": "all"}})
    coordinator = await set_up(hass, entry)
    form = await open_options(hass, entry, "virtual_node")
    shown = suggested(form)["virtual_node"]
    assert shown["max_clients"] == 5
    assert shown["port"] == port
    # The port that it serves at itself is not "in use".
    result = await hass.config_entries.options.async_configure(
        form["flow_id"], virtual_node(port, max_clients=6)
    )
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()
    assert entry.options["virtual_node"]["max_clients"] == 6
    # A field that was emptied is empty: nothing of the old value is left.
    assert entry.options["virtual_node"]["bind_address"] == ""
    assert entry.options["nodes"] == {"mode": "all"}
    assert coordinator_of(entry) is coordinator
    assert coordinator.source.virtual_node.options.max_clients == 6
    assert coordinator.source.virtual_node.is_running
    assert node.tally["connections"] == 1


@pytest.mark.parametrize("networks", [[], [" "], PRIVATE], ids=["none", "blank", "all of them"])
async def test_no_networks_mean_private_ones(
    hass: HomeAssistant, node: SimulatedNode, networks: list[str]
) -> None:
    """An empty list does not shut everybody out, and nobody has to read the nine of them."""
    entry = make_entry(node, options={"virtual_node": {"allowed_networks": ["10.0.0.0/8"]}})
    coordinator = await set_up(hass, entry)
    form = await open_options(hass, entry, "virtual_node")
    assert suggested(form)["virtual_node"]["allowed_networks"] == ["10.0.0.0/8"]
    await hass.config_entries.options.async_configure(
        form["flow_id"], {"virtual_node": {"allowed_networks": networks}}
    )
    await hass.async_block_till_done()
    assert "allowed_networks" not in entry.options["virtual_node"]
    allowed = coordinator.source.virtual_node.options.allowed_networks
    assert allowed == DEFAULT_ALLOWED_NETWORKS

    for stored in ({}, {"allowed_networks": PRIVATE}):
        hass.config_entries.async_update_entry(entry, options={"virtual_node": stored})
        form = await open_options(hass, entry, "virtual_node")
        assert not suggested(form)["virtual_node"]["allowed_networks"]


async def test_port_of_a_serial_radio_on_this_host(
    hass: HomeAssistant, node: SimulatedNode
) -> None:
    """A serial port in the network has an address, too."""
    form = await start(hass, "meshtastic_serial")
    user_input = {
        "device": f"socket://{node.host}:{node.port}",
        "virtual_node": {"enabled": True, "port": node.port},
    }
    form = await submit(hass, form, user_input)
    assert form["errors"] == {"virtual_node": "port_of_radio"}
    assert suggested(form)["device"] == user_input["device"]
    user_input["device"] = f"socket://{node.host}:99999"
    user_input["virtual_node"] = {"enabled": True, "port": free_port()}
    form = await submit(hass, form, user_input)
    assert form["errors"] == {"base": "cannot_connect"}
