"""How the radios are, for Home Assistant's page about the system's health."""

from typing import Any

from homeassistant.components.system_health import SystemHealthRegistration
from homeassistant.core import HomeAssistant, callback

from .const import DOMAIN
from .coordinator import MeshMonitorCoordinator


@callback
def async_register(hass: HomeAssistant, register: SystemHealthRegistration) -> None:
    """Offer the figures."""
    register.async_register_info(async_system_health_info)


async def async_system_health_info(hass: HomeAssistant) -> dict[str, Any]:
    """Return the figures of all radios together."""
    entries = hass.config_entries.async_entries(DOMAIN, include_ignore=False)
    coordinators: list[MeshMonitorCoordinator] = [
        entry.runtime_data for entry in hass.config_entries.async_loaded_entries(DOMAIN)
    ]
    return {
        "sources": len(entries),
        "connected": sum(coordinator.is_available for coordinator in coordinators),
        "nodes": sum(coordinator.devices.known for coordinator in coordinators),
        "online": sum(len(coordinator.presence.online) for coordinator in coordinators),
        "virtual_nodes": sum(
            coordinator.source.virtual_node.is_running for coordinator in coordinators
        ),
        "clients": sum(
            len(coordinator.source.virtual_node.clients) for coordinator in coordinators
        ),
    }
