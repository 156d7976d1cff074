"""Automations as a person would write them, and what they were given."""

from typing import Any

from homeassistant.core import HomeAssistant, ServiceCall
from homeassistant.helpers import device_registry as dr
from homeassistant.setup import async_setup_component
from pytest_homeassistant_custom_component.common import async_mock_service

from custom_components.meshmonitor.const import DOMAIN
from custom_components.meshmonitor.coordinator import MeshMonitorCoordinator


async def automate(
    hass: HomeAssistant, *triggers: dict[str, Any], **rest: Any
) -> list[ServiceCall]:
    """Set up an automation for each trigger; returns the calls of what they do.

    Each call's data holds the whole payload of its trigger.
    """
    calls = async_mock_service(hass, "test", "automation")
    assert await async_setup_component(
        hass,
        "automation",
        {
            "automation": [
                {
                    "triggers": [trigger],
                    "actions": [
                        {"action": "test.automation", "data": {"trigger": "{{ trigger }}"}}
                    ],
                    "mode": "queued",
                    **rest,
                }
                for trigger in triggers
            ]
        },
    )
    await hass.async_block_till_done()
    return calls


def payloads(calls: list[ServiceCall]) -> list[dict[str, Any]]:
    """Return what the triggers handed to the automations."""
    return [call.data["trigger"] for call in calls]


async def pick(hass: HomeAssistant, coordinator: MeshMonitorCoordinator, *nodes: str) -> None:
    """Choose which nodes are devices, as the owner would in the options."""
    entry = coordinator.entry
    hass.config_entries.async_update_entry(
        entry, options={**entry.options, "nodes": {"mode": "favorites", "picked": list(nodes)}}
    )
    await hass.async_block_till_done()


async def device_of(hass: HomeAssistant, coordinator: MeshMonitorCoordinator, node: str) -> str:
    """Choose a node to be a device, and return the device's id."""
    await pick(hass, coordinator, node)
    device = dr.async_get(hass).async_get_device_by_identifier(
        (DOMAIN, f"{coordinator.unique_id}_{node}"), coordinator.entry.entry_id
    )
    assert device is not None
    return device.id
