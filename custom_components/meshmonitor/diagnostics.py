"""What a bug report needs, without anything that is private."""

from dataclasses import asdict
from typing import Any, Final

from homeassistant.components.diagnostics import async_redact_data
from homeassistant.const import CONF_DEVICE, CONF_HOST
from homeassistant.core import HomeAssistant

from .const import CONF_ADMIN_NETWORKS, CONF_ALLOWED_NETWORKS, CONF_BIND_ADDRESS
from .coordinator import MeshMonitorConfigEntry
from .mesh.virtual_node import VirtualNodeStatus

TO_REDACT: Final = {
    CONF_ADMIN_NETWORKS,
    CONF_ALLOWED_NETWORKS,
    CONF_BIND_ADDRESS,
    CONF_DEVICE,
    CONF_HOST,
}


async def async_get_config_entry_diagnostics(
    hass: HomeAssistant, entry: MeshMonitorConfigEntry
) -> dict[str, Any]:
    """Return the diagnostics of one source."""
    source = entry.runtime_data.source
    identity = source.identity
    return {
        "entry": {
            "data": async_redact_data(dict(entry.data), TO_REDACT),
            "options": async_redact_data(dict(entry.options), TO_REDACT),
        },
        "radio": None
        if identity is None
        else {"hardware": identity.hardware, "firmware": identity.firmware},
        "link": asdict(source.link),
        "mesh": {"nodes": len(source.nodes), "channels": len(source.channels)},
        "counters": dict(source.counters),
        "virtual_node": _virtual_node(source.virtual_node.status),
    }


def _virtual_node(status: VirtualNodeStatus) -> dict[str, Any]:
    return {
        "is_enabled": status.is_enabled,
        "is_running": status.is_running,
        "port": status.port,
        "bind_error": status.bind_error,
        "rejected": dict(status.rejected),
        # Neither who the clients are nor where they are.
        "clients": [
            {
                "connected_at": client.connected_at,
                "last_activity": client.last_activity,
                "is_admin": client.is_admin,
                "bytes_in": client.bytes_in,
                "bytes_out": client.bytes_out,
                "dropped": client.dropped,
            }
            for client in status.clients
        ],
    }
