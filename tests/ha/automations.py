"""Automations as a person would write them, and what they were given."""

from typing import Any

from homeassistant.core import HomeAssistant, ServiceCall
from homeassistant.setup import async_setup_component
from pytest_homeassistant_custom_component.common import async_mock_service


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
