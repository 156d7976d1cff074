"""Conditions hold when what they name is so, for one, any or all of it."""

from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.helpers import config_validation as cv, device_registry as dr
from homeassistant.helpers.condition import (
    async_from_config,
    async_get_all_descriptions,
    async_validate_condition_config,
)
from homeassistant.setup import async_setup_component
import probatio
import pytest

from custom_components.meshmonitor.condition import CONDITIONS
from custom_components.meshmonitor.const import DOMAIN
from tests.ha import coordinator_of, make_entry, node_id, set_up, wait_until
from tests.ha.automations import automate, device_of
from tests.simulators.meshtastic_node import SimulatedNode

pytestmark = pytest.mark.usefixtures("unload")


async def holds(hass: HomeAssistant, key: str, **options: Any) -> bool:
    """Return whether a condition holds."""
    config = cv.CONDITION_SCHEMA({"condition": f"{DOMAIN}.{key}", "options": options})
    check = await async_from_config(hass, await async_validate_condition_config(hass, config))
    result = check.async_check()
    check.async_unload()
    return bool(result)


async def test_link(hass: HomeAssistant, node: SimulatedNode, other_node: SimulatedNode) -> None:
    """A link is up while its radio is connected, and not while its source is not set up."""
    assert await async_setup_component(hass, DOMAIN, {})
    assert not await holds(hass, "link_is_up")
    base = await set_up(hass, make_entry(node))
    assert await holds(hass, "link_is_up")
    assert await holds(hass, "link_is_up", device_id=base.device_id)

    hill = make_entry(other_node, title="Hill")
    both = [base.device_id, (await set_up(hass, hill)).device_id]
    assert await holds(hass, "link_is_up")
    assert await holds(hass, "link_is_up", device_id=both)
    other_node.refuse()
    other_node.drop()
    await wait_until(lambda: not coordinator_of(hill).is_available, "the loss")
    assert not await holds(hass, "link_is_up")
    assert not await holds(hass, "link_is_up", device_id=both)
    assert await holds(hass, "link_is_up", device_id=both, behavior="any")
    assert await hass.config_entries.async_unload(hill.entry_id)
    assert not await holds(hass, "link_is_up", device_id=both[1])
    assert not await holds(hass, "link_is_up")


async def test_node(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A node is online when it was heard; the radio itself while it is connected."""
    entry = make_entry(node)
    coordinator = await set_up(hass, entry)
    heard, silent = (f"!{node.peer(index).num:08x}" for index in (0, 1))
    device = await device_of(hass, coordinator, heard)
    assert not await holds(hass, "node_is_online", node_id=heard)
    assert not await holds(hass, "node_is_online", device_id=device)
    await node.send_node_info(node.peer(0).num)
    await wait_until(lambda: coordinator.presence.is_online(heard), "its presence")
    assert await holds(hass, "node_is_online", node_id=heard)
    assert await holds(hass, "node_is_online", device_id=[device, coordinator.device_id])
    assert not await holds(hass, "node_is_online", node_id=[heard, silent])
    assert await holds(hass, "node_is_online", node_id=[heard, silent], behavior="any")
    assert not await holds(hass, "node_is_online")
    name = node.peer(0).user.long_name
    for called in (name.upper(), node.peer(0).user.short_name, heard.upper(), node_id(node)):
        assert await holds(hass, "node_is_online", node_id=called), called
    for called in (f"{name} and more", "", " "):
        assert not await holds(hass, "node_is_online", node_id=called), called
    node.refuse()
    node.drop()
    await wait_until(lambda: not coordinator.is_available, "the loss")
    assert await holds(hass, "node_is_online", node_id=name)
    assert not await holds(hass, "node_is_online", node_id=node_id(node))

    assert await hass.config_entries.async_unload(entry.entry_id)
    assert not await holds(hass, "node_is_online", device_id=device)
    assert not await holds(hass, "node_is_online", node_id=heard)


async def test_device_that_is_gone(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A device that was removed since is nothing that could be online, whatever else is."""
    coordinator = await set_up(hass, make_entry(node))
    peer = f"!{node.peer(0).num:08x}"
    device = await device_of(hass, coordinator, peer)
    await node.send_node_info(node.peer(0).num)
    await wait_until(lambda: coordinator.presence.is_online(peer), "its presence")
    checks = []
    for device_id, behavior in (
        ([device], "all"),
        ([device, coordinator.device_id], "all"),
        ([device, coordinator.device_id], "any"),
    ):
        options = {"device_id": device_id, "behavior": behavior}
        config = cv.CONDITION_SCHEMA({"condition": f"{DOMAIN}.node_is_online", "options": options})
        config = await async_validate_condition_config(hass, config)
        checks.append(await async_from_config(hass, config))
    assert all(check.async_check() for check in checks)
    dr.async_get(hass).async_remove_device(device)
    assert [check.async_check() for check in checks] == [False, False, True]


@pytest.mark.parametrize(
    "options", [{"device_id": "nobody"}, {"behavior": "most"}, {"colour": "red"}]
)
@pytest.mark.parametrize("key", list(CONDITIONS))
async def test_nonsense_is_refused(
    hass: HomeAssistant, node: SimulatedNode, key: str, options: dict[str, Any]
) -> None:
    """What can never hold is told when the automation is set up."""
    await set_up(hass, make_entry(node))
    with pytest.raises(probatio.Invalid):
        await holds(hass, key, **options)


async def test_in_an_automation(hass: HomeAssistant, node: SimulatedNode) -> None:
    """An automation goes on only where the condition holds."""
    coordinator = await set_up(hass, make_entry(node))
    calls = await automate(
        hass,
        {"trigger": "event", "event_type": "go"},
        conditions=[
            {"condition": "meshmonitor.node_is_online", "options": {"node_id": "!00c0ffee"}}
        ],
    )
    hass.bus.async_fire("go")
    await hass.async_block_till_done()
    assert not calls
    await node.say(0x00C0FFEE, "hello")
    await wait_until(lambda: coordinator.presence.is_online("!00c0ffee"), "its presence")
    hass.bus.async_fire("go")
    await hass.async_block_till_done()
    assert len(calls) == 1


async def test_described(hass: HomeAssistant) -> None:
    """Home Assistant finds all conditions, with the fields that they take."""
    assert await async_setup_component(hass, DOMAIN, {})
    assert await async_setup_component(hass, "automation", {})
    await hass.async_block_till_done()
    described = await async_get_all_descriptions(hass)
    for key, condition in CONDITIONS.items():
        description = described[f"{DOMAIN}.{key}"]
        assert description is not None
        fields = {marker.schema for marker in condition._fields}  # type: ignore[attr-defined]
        assert set(description["fields"]) == fields | {"behavior", "device_id"}
