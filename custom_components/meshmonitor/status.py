"""What every virtual node is doing, in the form that MeshMonitor's own status page has."""

from collections.abc import Mapping
from typing import Any

from homeassistant.const import CONF_PORT
from homeassistant.core import HomeAssistant, callback
from homeassistant.util import dt as dt_util

from .const import CONF_ENABLED, CONF_PROTOCOL, CONF_VIRTUAL_NODE, DOMAIN
from .coordinator import MeshMonitorConfigEntry
from .mesh.virtual_node import VirtualNodeStatus
from .protocols import PROTOCOLS


@callback
def virtual_node_status(hass: HomeAssistant) -> dict[str, Any]:
    """Return the state of the virtual node of every source, set up or not.

    Times are ISO 8601 in UTC. There are no keys, positions or messages in it.
    """
    entries: list[MeshMonitorConfigEntry] = hass.config_entries.async_entries(
        DOMAIN, include_ignore=False
    )
    return {"sources": [_source_status(entry) for entry in entries]}


def _source_status(entry: MeshMonitorConfigEntry) -> dict[str, Any]:
    status = (
        entry.runtime_data.source.virtual_node.status
        # Apps are served some time before all entities of a large mesh are there.
        if hasattr(entry, "runtime_data")
        else _status_at_rest(entry)
    )
    return {
        "sourceId": entry.entry_id,
        "sourceName": entry.title,
        "enabled": status.is_enabled,
        "isRunning": status.is_running,
        "port": status.port,
        "clientCount": len(status.clients),
        "clients": [
            {
                "id": client.client_id,
                "ip": client.ip,
                "connectedAt": _iso(client.connected_at),
                "lastActivity": _iso(client.last_activity),
            }
            for client in status.clients
        ],
    }


def _status_at_rest(entry: MeshMonitorConfigEntry) -> VirtualNodeStatus:
    """Return what there is to say of a source that is not set up."""
    protocol = PROTOCOLS.get(entry.data.get(CONF_PROTOCOL, ""))
    options: Mapping[str, Any] = entry.options.get(CONF_VIRTUAL_NODE, {})
    return VirtualNodeStatus(
        is_enabled=options.get(CONF_ENABLED, False),
        is_running=False,
        # A damaged entry names no protocol, and none means no usual port.
        port=options.get(CONF_PORT, 0 if protocol is None else protocol.virtual_node_port),
        bind_error=None,
        clients=(),
    )


def _iso(timestamp: float) -> str:
    return dt_util.utc_from_timestamp(timestamp).isoformat(timespec="milliseconds")
