"""What the tests of Home Assistant's side share: entries, ports, waiting, plain clients."""

import asyncio
from collections.abc import Callable
import time
from typing import Any, Final

from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import entity_registry as er
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.meshmonitor.const import DOMAIN
from custom_components.meshmonitor.coordinator import MeshMonitorConfigEntry, MeshMonitorCoordinator
from tests.ports import free_port
from tests.simulators.meshcore_companion import SimulatedCompanion
from tests.simulators.meshtastic_node import SimulatedNode

PATIENCE: Final = 20.0
"""Seconds until something that should happen counts as not happening: these tests share a
machine with others."""


async def wait_until(condition: Callable[[], object], what: str = "the condition") -> None:
    """Let Home Assistant run until a condition holds.

    Raises:
        AssertionError: It does not come to hold.
    """
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come to hold"
        await asyncio.sleep(0.01)


def node_id(node: SimulatedNode) -> str:
    """Return a simulated node's id as an entry's unique id has it."""
    return f"!{node.state.num:08x}"


def make_entry(
    node: SimulatedNode, *, title: str = "Base", options: dict[str, Any] | None = None, **data: Any
) -> MockConfigEntry:
    """Return an entry for a simulated node, which is not added to Home Assistant yet."""
    return MockConfigEntry(
        domain=DOMAIN,
        title=title,
        unique_id=node_id(node),
        data={
            "protocol": "meshtastic",
            "connection": "tcp",
            "host": node.host,
            "port": node.port,
            **data,
        },
        options=options or {},
    )


def make_companion_entry(
    companion: SimulatedCompanion, *, options: dict[str, Any] | None = None, **data: Any
) -> MockConfigEntry:
    """Return an entry for a simulated MeshCore companion, which is not added yet."""
    return MockConfigEntry(
        domain=DOMAIN,
        title="Hilltop",
        unique_id=companion_id(companion),
        data={
            "protocol": "meshcore",
            "connection": "tcp",
            "host": companion.host,
            "port": companion.port,
            **data,
        },
        options=options or {},
    )


def companion_id(companion: SimulatedCompanion) -> str:
    """Return a simulated companion's id as an entry's unique id has it."""
    return companion.device.settings.public_key.hex()


def virtual_node(port: int | None = None, **options: Any) -> dict[str, Any]:
    """Return the options of an entry whose virtual node serves, on a free port by default."""
    return {"virtual_node": {"enabled": True, "port": port or free_port(), **options}}


async def set_up(hass: HomeAssistant, entry: MockConfigEntry) -> MeshMonitorCoordinator:
    """Add an entry, set it up, and wait until its radio has been read."""
    coordinator = await set_up_without_radio(hass, entry)
    await wait_until(lambda: coordinator.is_available, "the link")
    await hass.async_block_till_done()
    return coordinator


async def set_up_without_radio(
    hass: HomeAssistant, entry: MockConfigEntry
) -> MeshMonitorCoordinator:
    """Add an entry and set it up, its radio being there or not."""
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    return coordinator_of(entry)


def coordinator_of(entry: MeshMonitorConfigEntry) -> MeshMonitorCoordinator:
    """Return what an entry that is set up runs on."""
    coordinator: MeshMonitorCoordinator = entry.runtime_data
    return coordinator


def entity_id(hass: HomeAssistant, platform: str, unique_id: str) -> str:
    """Return an entity's id by its unique id."""
    found = er.async_get(hass).async_get_entity_id(platform, DOMAIN, unique_id)
    assert found is not None, f"no {platform} {unique_id}"
    return found


def state_of(hass: HomeAssistant, platform: str, unique_id: str) -> State:
    """Return an entity's state by its unique id."""
    state = hass.states.get(entity_id(hass, platform, unique_id))
    assert state is not None
    return state
