"""What a bug report needs, without anything that is private."""

from dataclasses import asdict
from typing import Any, Final

from homeassistant.components.diagnostics import async_redact_data
from homeassistant.const import CONF_DEVICE, CONF_HOST
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr

from .const import (
    CONF_ADMIN_NETWORKS,
    CONF_ALLOWED_NETWORKS,
    CONF_BIND_ADDRESS,
    CONF_NOTIFY_CONTACTS,
    CONF_PICKED,
)
from .coordinator import MeshMonitorConfigEntry
from .mesh.model import Node
from .mesh.virtual_node import VirtualNodeStatus
from .targets import async_device_target

TO_REDACT: Final = {
    CONF_ADMIN_NETWORKS,
    CONF_ALLOWED_NETWORKS,
    CONF_BIND_ADDRESS,
    CONF_DEVICE,
    CONF_HOST,
    CONF_NOTIFY_CONTACTS,
    CONF_PICKED,
}

_TEXTS: Final = {"user_string"}
"""Readings that a person wrote."""


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
        "mesh": {"nodes": len(source.node_ids), "channels": len(source.channels)},
        "counters": dict(source.counters),
        "virtual_node": _virtual_node(source.virtual_node.status),
    }


async def async_get_device_diagnostics(
    hass: HomeAssistant, entry: MeshMonitorConfigEntry, device: dr.AnyDeviceEntry
) -> dict[str, Any]:
    """Return the diagnostics of the device of a radio, of its virtual node, or of a node."""
    target = async_device_target(hass, device.id)
    node_id = None if target is None else target.node_id
    if node_id is None:
        return await async_get_config_entry_diagnostics(hass, entry)
    node = entry.runtime_data.source.node(node_id)
    return {"node": None if node is None else _node(node)}


def _node(node: Node) -> dict[str, Any]:
    """Return what is known of a node, but not which one it is, where it is, or what it wrote."""
    return {
        "hardware": node.hardware,
        "role": node.role,
        "last_heard": node.last_heard,
        "snr": node.snr,
        "rssi": node.rssi,
        "hops_away": node.hops_away,
        "via_mqtt": node.via_mqtt,
        "is_favorite": node.is_favorite,
        "is_ignored": node.is_ignored,
        "is_licensed": node.is_licensed,
        "is_messageable": node.is_messageable,
        "has_public_key": node.public_key is not None,
        "has_position": node.position is not None,
        "telemetry": {
            kind: {
                "time": telemetry.time,
                "values": async_redact_data(dict(telemetry.values), _TEXTS),
            }
            for kind, telemetry in node.telemetry.items()
        },
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
