"""A source is set up, changed while it runs, unloaded and removed."""

import asyncio
from base64 import b64decode
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import EVENT_HOMEASSISTANT_STOP, STATE_OFF, STATE_ON, STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr
import pytest

from custom_components.meshmonitor.const import DOMAIN
from tests.ha import (
    coordinator_of,
    entity_id,
    make_entry,
    node_id,
    set_up,
    set_up_without_radio,
    state_of,
    virtual_node,
    wait_until,
)
from tests.ports import free_port
from tests.simulators.meshtastic_node import SimulatedNode

pytestmark = pytest.mark.usefixtures("unload")


async def listens(port: int) -> bool:
    """Return whether somebody accepts connections at a port of this host."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def test_entry_without_options(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A missing option means its default: the radio is there, the virtual node is off."""
    await set_up(hass, make_entry(node))
    unique_id = node_id(node)
    assert state_of(hass, "binary_sensor", f"{unique_id}_link").state == STATE_ON
    assert state_of(hass, "binary_sensor", f"{unique_id}_virtual_node").state == STATE_OFF
    assert state_of(hass, "sensor", f"{unique_id}_clients").state == "0"


async def test_devices(hass: HomeAssistant, node: SimulatedNode) -> None:
    """The radio is a device as it calls itself; its virtual node is a part of it."""
    entry = make_entry(node, options=virtual_node())
    coordinator = await set_up(hass, entry)
    registry = dr.async_get(hass)
    radio = registry.async_get_device_by_identifier((DOMAIN, node_id(node)), entry.entry_id)
    assert radio is not None
    assert radio.id == coordinator.device_id
    assert radio.name == "Simulated Base"
    assert radio.manufacturer == "Meshtastic"
    assert radio.model
    assert radio.sw_version == node.state.metadata.firmware_version
    assert radio.serial_number == node_id(node)
    part = registry.async_get_child_device_by_identifier(
        (DOMAIN, f"{node_id(node)}_virtual_node"), entry.entry_id
    )
    assert part is not None
    assert part.parent_device_id == radio.id
    assert part.name == "Simulated Base virtual node"
    for platform, key, expected in (
        ("binary_sensor", "virtual_node", "binary_sensor.base_virtual_node"),
        ("sensor", "clients", "sensor.base_virtual_node_clients"),
    ):
        assert entity_id(hass, platform, f"{node_id(node)}_{key}") == expected


async def test_radio_is_renamed(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Its device and that of its virtual node follow."""
    entry = make_entry(node)
    coordinator = await set_up(hass, entry)
    node.state.user.long_name = "Attic"
    node.drop()

    def names() -> set[str | None]:
        registry = dr.async_get(hass)
        return {
            None if device is None else device.name
            for device in (
                registry.async_get(coordinator.device_id),
                registry.async_get_child_device_by_identifier(
                    (DOMAIN, f"{node_id(node)}_virtual_node"), entry.entry_id
                ),
            )
        }

    await wait_until(lambda: names() == {"Attic", "Attic virtual node"}, "the new names")


async def test_radio_away(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Setup succeeds without the radio, the virtual node serves, and the radio may come later."""
    node.refuse()
    port = free_port()
    entry = make_entry(node, options=virtual_node(port))
    await set_up_without_radio(hass, entry)
    unique_id = node_id(node)
    assert entry.state is ConfigEntryState.LOADED
    assert state_of(hass, "binary_sensor", f"{unique_id}_link").state == STATE_OFF
    assert state_of(hass, "sensor", f"{unique_id}_nodes_known").state == STATE_UNAVAILABLE
    assert state_of(hass, "binary_sensor", f"{unique_id}_virtual_node").state == STATE_ON
    assert await listens(port)

    await node.listen()
    await wait_until(lambda: coordinator_of(entry).is_available)
    await hass.async_block_till_done()
    assert state_of(hass, "binary_sensor", f"{unique_id}_link").state == STATE_ON
    assert state_of(hass, "sensor", f"{unique_id}_nodes_known").state != STATE_UNAVAILABLE


async def test_loss_and_recovery(
    hass: HomeAssistant, node: SimulatedNode, caplog: pytest.LogCaptureFixture
) -> None:
    """A radio that goes away takes its entities along, but not the virtual node; logged once."""
    port = free_port()
    entry = make_entry(node, options=virtual_node(port))
    coordinator = await set_up(hass, entry)
    unique_id = node_id(node)

    node.refuse()
    node.drop()
    await wait_until(lambda: coordinator.source.link.failures > 1, "a second attempt")
    await hass.async_block_till_done()
    link = state_of(hass, "binary_sensor", f"{unique_id}_link")
    assert link.state == STATE_OFF
    assert link.attributes["last_error"]
    assert state_of(hass, "sensor", f"{unique_id}_nodes_known").state == STATE_UNAVAILABLE
    assert state_of(hass, "binary_sensor", f"{unique_id}_virtual_node").state == STATE_ON
    assert await listens(port)
    lost = [record for record in caplog.records if "no connection to" in record.getMessage()]
    assert len(lost) == 1

    await node.listen()
    await wait_until(lambda: coordinator.is_available)
    await hass.async_block_till_done()
    link = state_of(hass, "binary_sensor", f"{unique_id}_link")
    assert link.state == STATE_ON
    assert link.attributes["last_error"] is None


async def test_unload_leaves_nothing(hass: HomeAssistant, node: SimulatedNode) -> None:
    """After the end nobody listens, nobody is connected; the harness finds no task or timer."""
    port = free_port()
    entry = make_entry(node, options=virtual_node(port))
    await set_up(hass, entry)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await hass.config_entries.async_unload(entry.entry_id)
    assert entry.state is ConfigEntryState.NOT_LOADED
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    assert not await listens(port)
    await wait_until(lambda: not node.connected, "the end of the link")
    assert await hass.config_entries.async_setup(entry.entry_id)
    await wait_until(lambda: coordinator_of(entry).is_available)
    assert await listens(port)


async def test_home_assistant_stops(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Home Assistant does not unload entries when it stops: everything is closed all the same."""
    port = free_port()
    entry = make_entry(node, options=virtual_node(port))
    await set_up(hass, entry)
    hass.bus.async_fire(EVENT_HOMEASSISTANT_STOP)
    await hass.async_block_till_done()
    await wait_until(lambda: not node.connected, "the end of the link")
    assert not await listens(port)


async def test_hot_swap_leaves_the_link_alone(hass: HomeAssistant, node: SimulatedNode) -> None:
    """On, another port, admin, off: the radio does not notice any of it."""
    entry = make_entry(node)
    coordinator = await set_up(hass, entry)
    first, second = free_port(), free_port()
    unique_id = node_id(node)

    async def apply(**options: Any) -> None:
        hass.config_entries.async_update_entry(entry, options={"virtual_node": options})
        await hass.async_block_till_done()

    await apply(enabled=True, port=first)
    assert await listens(first)
    assert state_of(hass, "binary_sensor", f"{unique_id}_virtual_node").state == STATE_ON
    await apply(enabled=True, port=second)
    assert await listens(second)
    assert not await listens(first)
    await apply(enabled=True, port=second, allow_admin_commands=True)
    assert coordinator.source.virtual_node.options.allow_admin_commands
    await apply(enabled=False, port=second)
    assert not await listens(second)
    assert state_of(hass, "binary_sensor", f"{unique_id}_virtual_node").state == STATE_OFF

    assert coordinator_of(entry) is coordinator
    assert node.tally["connections"] == 1
    assert len(node.want_configs) == 1


async def test_a_flag_does_not_drop_clients(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Who may still be connected stays connected."""
    port = free_port()
    entry = make_entry(node, options=virtual_node(port))
    coordinator = await set_up(hass, entry)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await wait_until(lambda: coordinator.source.virtual_node.clients)
    hass.config_entries.async_update_entry(
        entry, options=virtual_node(port, allow_admin_commands=True, max_clients=3)
    )
    await hass.async_block_till_done()
    assert len(coordinator.source.virtual_node.clients) == 1
    assert not reader.at_eof()
    writer.close()
    await writer.wait_closed()
    await wait_until(lambda: not coordinator.source.virtual_node.clients)


async def test_title_changes_nothing(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Another title is no reason to do anything."""
    entry = make_entry(node)
    coordinator = await set_up(hass, entry)
    hass.config_entries.async_update_entry(entry, title="Roof")
    await hass.async_block_till_done()
    assert coordinator_of(entry) is coordinator
    assert node.tally["connections"] == 1


@pytest.mark.parametrize("change", [{"options": {"other": True}}, {"data": {"host": "localhost"}}])
async def test_other_changes_reload(
    hass: HomeAssistant, node: SimulatedNode, change: dict[str, Any]
) -> None:
    """Where the radio is, and options that the source is built from, make a new source."""
    entry = make_entry(node)
    coordinator = await set_up(hass, entry)
    if "data" in change:
        change = {"data": {**entry.data, **change["data"]}}
    hass.config_entries.async_update_entry(entry, **change)
    await hass.async_block_till_done()
    assert entry.state is ConfigEntryState.LOADED
    assert coordinator_of(entry) is not coordinator
    await wait_until(lambda: coordinator_of(entry).is_available)


@pytest.mark.parametrize(
    ("data", "options"),
    [
        ({"protocol": "smoke_signals"}, {}),
        ({"connection": "serial"}, {}),
        ({}, {"virtual_node": {"allowed_networks": ["everywhere"]}}),
    ],
    ids=["protocol", "device", "network"],
)
async def test_damaged_entry(
    hass: HomeAssistant, node: SimulatedNode, data: dict[str, Any], options: dict[str, Any]
) -> None:
    """An entry that makes no sense fails with a reason, and can still be unloaded and removed."""
    entry = make_entry(node, options=options, **data)
    entry.add_to_hass(hass)
    assert not await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.SETUP_ERROR
    assert entry.error_reason_translation_key == "invalid_entry"
    assert await hass.config_entries.async_remove(entry.entry_id)


async def test_state_survives_a_restart(hass: HomeAssistant, node: SimulatedNode) -> None:
    """What was known of the radio is there again at once, also while the radio is still away."""
    entry = make_entry(node, options=virtual_node())
    coordinator = await set_up(hass, entry)
    nodes, channels = dict(coordinator.source.nodes), list(coordinator.source.channels)
    assert len(nodes) == node.config.nodes
    assert await hass.config_entries.async_unload(entry.entry_id)
    node.refuse()
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    coordinator = coordinator_of(entry)
    assert not coordinator.is_available
    assert set(coordinator.source.nodes) == set(nodes)
    assert list(coordinator.source.channels) == channels
    unique_id = node_id(node)
    assert state_of(hass, "sensor", f"{unique_id}_nodes_known").state == STATE_UNAVAILABLE
    radio = dr.async_get(hass).async_get(coordinator.device_id)
    assert radio is not None
    assert radio.name == "Simulated Base"


async def test_removed_entry_is_forgotten(
    hass: HomeAssistant, hass_storage: dict[str, Any], node: SimulatedNode
) -> None:
    """Nothing is kept of a source that was removed."""
    entry = make_entry(node)
    await set_up(hass, entry)
    key = f"{DOMAIN}.{entry.entry_id}"
    assert await hass.config_entries.async_unload(entry.entry_id)
    assert hass_storage[key]["data"]
    assert await hass.config_entries.async_remove(entry.entry_id)
    assert key not in hass_storage


async def test_two_sources(
    hass: HomeAssistant, node: SimulatedNode, other_node: SimulatedNode
) -> None:
    """Two radios side by side, each with its virtual node; the end of one is not the other's."""
    first_port, second_port = free_port(), free_port()
    first = make_entry(node, options=virtual_node(first_port))
    second = make_entry(other_node, title="Hill", options=virtual_node(second_port))
    await set_up(hass, first)
    await set_up(hass, second)
    for simulated in (node, other_node):
        unique_id = node_id(simulated)
        assert state_of(hass, "binary_sensor", f"{unique_id}_link").state == STATE_ON
        assert state_of(hass, "binary_sensor", f"{unique_id}_virtual_node").state == STATE_ON
    await node.say(node.peer(0).num, "to the base only")
    await wait_until(
        lambda: state_of(hass, "event", f"{node_id(node)}_message").attributes["event_type"]
    )
    await hass.async_block_till_done()
    other = state_of(hass, "event", f"{node_id(other_node)}_message")
    assert other.attributes["event_type"] is None

    assert await hass.config_entries.async_unload(first.entry_id)
    assert not await listens(first_port)
    assert await listens(second_port)
    assert coordinator_of(second).is_available


def texts_in(value: Any) -> Iterator[str]:
    """Yield every text in a structure of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from texts_in([*value.keys(), *value.values()])
    elif isinstance(value, list):
        for item in value:
            yield from texts_in(item)


async def test_no_private_key_is_stored(
    hass: HomeAssistant, hass_storage: dict[str, Any], node: SimulatedNode
) -> None:
    """The private key of a radio is not written down, in whatever form."""
    entry = make_entry(node)
    await set_up(hass, entry)
    assert await hass.config_entries.async_unload(entry.entry_id)
    security = node.state.configs["security"].security
    kept = b""
    for text in texts_in(hass_storage[f"{DOMAIN}.{entry.entry_id}"]["data"]):
        kept += text.encode()
        with suppress(ValueError):
            kept += b64decode(text)
        with suppress(ValueError):
            kept += bytes.fromhex(text)
    # The public key tells that the search would find one.
    assert security.public_key in kept
    assert security.private_key
    assert security.private_key not in kept
