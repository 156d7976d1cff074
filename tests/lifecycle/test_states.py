"""What nodes said is shown at once after a reload, whether the radio is there, away, or coming."""

import asyncio

from homeassistant.const import STATE_UNAVAILABLE, Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from tests.ha import make_companion_entry, make_entry, set_up, virtual_node
from tests.simulators.meshcore_companion import SimulatedCompanion
from tests.simulators.meshtastic_node import SimulatedNode

pytestmark = pytest.mark.usefixtures("unload", "all_enabled")

SHOWN = {Platform.BINARY_SENSOR, Platform.DEVICE_TRACKER, Platform.SENSOR}


def shown(hass: HomeAssistant, entry: MockConfigEntry) -> dict[str, str]:
    """Return the states of what shows something of other nodes, by unique id."""
    own = f"{entry.unique_id}_"
    found = {}
    for entity in er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id):
        of = entity.unique_id.removeprefix(own)
        if entity.domain in SHOWN and "_" in of and not of.startswith(own) and _is_node(of):
            state = hass.states.get(entity.entity_id)
            assert state is not None, entity.entity_id
            found[entity.unique_id] = state.state
    return found


def _is_node(name: str) -> bool:
    return name.startswith("!") or len(name.partition("_")[0]) == 64


@pytest.mark.parametrize("turns", [0, 3, 30, None])
@pytest.mark.parametrize("protocol", ["meshtastic", "meshcore"])
async def test_states_are_there_after_a_reload(
    hass: HomeAssistant,
    node: SimulatedNode,
    companion: SimulatedCompanion,
    protocol: str,
    turns: int | None,
) -> None:
    """However soon behind the loss of the link it comes; without turns the radio stays away."""
    options = {"nodes": {"mode": "all"}, **virtual_node()}
    if protocol == "meshtastic":
        entry = make_entry(node, options=options)
    else:
        entry = make_companion_entry(companion, options=options)
    await set_up(hass, entry)
    before = shown(hass, entry)
    assert len(before) > 10
    assert STATE_UNAVAILABLE not in before.values()
    if turns is None:
        node.refuse()
        node.drop()
        await companion.away()
    else:
        node.drop()
        companion.close()
        for _ in range(turns):
            await asyncio.sleep(0)
    assert await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()
    after = shown(hass, entry)
    assert after.keys() >= before.keys()
    assert STATE_UNAVAILABLE not in after.values()
