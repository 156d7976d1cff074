"""Fixtures of the tests of Home Assistant's side."""

from collections.abc import AsyncIterator, Iterator
from unittest.mock import PropertyMock, patch

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
import pytest

from custom_components.meshmonitor.const import DOMAIN
from tests.simulators.meshcore_companion import SimulatedCompanion
from tests.simulators.meshtastic_config import NodeConfig
from tests.simulators.meshtastic_node import SimulatedNode


@pytest.fixture(name="node")
async def node_fixture(socket_enabled: None) -> AsyncIterator[SimulatedNode]:
    """Yield a simulated node that listens."""
    async with SimulatedNode() as node:
        yield node


@pytest.fixture(name="other_node")
async def other_node_fixture(socket_enabled: None) -> AsyncIterator[SimulatedNode]:
    """Yield a second simulated node, another one than the first."""
    config = NodeConfig(seed=2, num=0x0B0B0B0B, long_name="Simulated Hill", short_name="SIMH")
    async with SimulatedNode(config) as node:
        yield node


@pytest.fixture(name="companion")
async def companion_fixture(socket_enabled: None) -> AsyncIterator[SimulatedCompanion]:
    """Yield a simulated MeshCore companion that listens."""
    async with SimulatedCompanion() as companion:
        yield companion


@pytest.fixture(name="unload")
async def unload_fixture(hass: HomeAssistant, socket_enabled: None) -> AsyncIterator[None]:
    """Unload every entry at the end, as Home Assistant would; the harness then looks for rests."""
    yield
    for entry in hass.config_entries.async_entries(DOMAIN):
        if entry.state is ConfigEntryState.LOADED:
            assert await hass.config_entries.async_unload(entry.entry_id)
    await hass.async_block_till_done()


@pytest.fixture(name="all_enabled")
def all_enabled_fixture() -> Iterator[None]:
    """Enable those entities, too, that are disabled unless somebody wants them."""
    with patch(
        "homeassistant.helpers.entity.Entity.entity_registry_enabled_default",
        PropertyMock(return_value=True),
    ):
        yield
