"""Diagnostics explain a fault and give nobody away."""

import asyncio
import json

from homeassistant.core import HomeAssistant
from homeassistant.helpers.json import JSONEncoder
import pytest

from custom_components.meshmonitor.diagnostics import async_get_config_entry_diagnostics
from tests.ha import make_entry, node_id, set_up, set_up_without_radio, virtual_node, wait_until
from tests.ports import free_port
from tests.simulators.meshtastic_node import SimulatedNode

pytestmark = pytest.mark.usefixtures("unload")


async def test_diagnostics(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Counters, states and figures are there; names, addresses, keys and texts are not."""
    port = free_port()
    peer_id = f"!{node.peer(1).num:08x}"
    entry = make_entry(
        node,
        options={
            **virtual_node(port, bind_address="127.0.0.1", admin_networks=["127.0.0.8/29"]),
            "nodes": {"picked": [peer_id]},
            "notify_contacts": [peer_id],
        },
    )
    coordinator = await set_up(hass, entry)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    await wait_until(lambda: coordinator.source.virtual_node.clients)
    await node.say(node.peer(0).num, "a text that is nobody else's business")
    await wait_until(lambda: coordinator.source.counters["packets_received"])

    told = await async_get_config_entry_diagnostics(hass, entry)
    assert told["link"]["state"] == "ready"
    assert told["link"]["sessions"] == 1
    assert told["mesh"] == {"nodes": node.config.nodes, "channels": 3}
    assert told["counters"]["packets_received"] >= 1
    assert told["radio"]["firmware"] == node.state.metadata.firmware_version
    assert told["virtual_node"]["is_running"]
    assert told["virtual_node"]["port"] == port
    assert told["virtual_node"]["clients"][0]["bytes_in"] == 0
    assert told["entry"]["options"]["virtual_node"]["port"] == port

    text = json.dumps(told, cls=JSONEncoder)
    security = node.state.configs["security"].security
    for secret in (
        "127.0.0",
        "nobody else's business",
        "Simulated Base",
        node.state.user.long_name,
        node.peer(0).user.long_name,
        node_id(node),
        f"{node.peer(0).num:08x}",
        peer_id,
        security.private_key.hex(),
        # A key of one byte is the number of a well-known one.
        *(
            channel.settings.psk.hex()
            for channel in node.state.channels
            if len(channel.settings.psk) > 1
        ),
        *(channel.settings.name for channel in node.state.channels if channel.settings.name),
    ):
        assert secret
        assert secret not in text
    writer.close()
    await writer.wait_closed()


async def test_diagnostics_without_radio(hass: HomeAssistant, node: SimulatedNode) -> None:
    """When the radio was never there, they say so."""
    node.refuse()
    entry = make_entry(node)
    coordinator = await set_up_without_radio(hass, entry)
    await wait_until(lambda: coordinator.source.link.last_error, "the first attempt")
    told = await async_get_config_entry_diagnostics(hass, entry)
    assert told["radio"] is None
    assert told["link"]["state"] != "ready"
    assert told["mesh"] == {"nodes": 0, "channels": 0}
    assert told["link"]["last_error"]
    assert node.host not in json.dumps(told, cls=JSONEncoder)
