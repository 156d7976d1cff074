"""What actions answer with: the model's values as plain data."""

from collections.abc import Iterable
from typing import Any

from homeassistant.core import callback

from .automation import iso_time, message_data
from .coordinator import MeshMonitorCoordinator
from .mesh.model import Node, Position, RouteHop, Telemetry, Traceroute, Waypoint
from .mesh.source import NeighborList, RequestAnswer
from .messages import LoggedMessage
from .targets import device_id_of


@callback
def request_data(
    coordinator: MeshMonitorCoordinator, node_id: str, answer: RequestAnswer
) -> dict[str, Any]:
    """Return what a node answered.

    Args:
        coordinator: Who asked.
        node_id: Who was asked.
        answer: What came.
    """
    data: dict[str, Any]
    match answer:
        case Traceroute():
            data = {
                "towards": _hops(coordinator, answer.towards),
                "back": _hops(coordinator, answer.back),
            }
        case NeighborList():
            data = {"neighbors": _hops(coordinator, answer.neighbors)}
        case Position():
            data = position_data(answer)
        case Telemetry():
            data = {"kind": answer.kind, **telemetry_data(answer)}
        case Node():
            data = node_data(coordinator, answer)
    return {"node_id": node_id, **data}


@callback
def node_data(coordinator: MeshMonitorCoordinator, node: Node) -> dict[str, Any]:
    """Return what is known of a node."""
    is_online = (
        coordinator.is_available if node.is_own else coordinator.presence.is_online(node.node_id)
    )
    return {
        "node_id": node.node_id,
        "device_id": device_id_of(coordinator, node.node_id),
        "name": node.name,
        "short_name": node.short_name,
        "hardware": node.hardware,
        "role": node.role,
        "status": node.status,
        "is_online": is_online,
        "is_own": node.is_own,
        "is_favorite": node.is_favorite,
        "last_heard": iso_time(node.last_heard),
        "snr": node.snr,
        "rssi": node.rssi,
        "hops_away": node.hops_away,
        "relay": node.relay,
        "via_mqtt": node.via_mqtt,
        "position": None if node.position is None else position_data(node.position),
        "telemetry": {kind: telemetry_data(known) for kind, known in node.telemetry.items()},
    }


def position_data(position: Position) -> dict[str, Any]:
    """Return where a node is; lengths in metres, speed in metres per second."""
    return {
        "latitude": position.latitude,
        "longitude": position.longitude,
        "altitude": position.altitude,
        "accuracy": position.accuracy,
        "speed": position.speed,
        "course": position.course,
        "satellites": position.satellites,
        "time": iso_time(position.time),
    }


def telemetry_data(telemetry: Telemetry) -> dict[str, Any]:
    """Return what a node measured, in the units of its protocol."""
    # Not "values": that is a method of every mapping in a template.
    return {"readings": dict(telemetry.values), "time": iso_time(telemetry.time)}


def waypoint_data(waypoint: Waypoint) -> dict[str, Any]:
    """Return a marked place."""
    return {
        "waypoint_id": waypoint.waypoint_id,
        "name": waypoint.name,
        "latitude": waypoint.latitude,
        "longitude": waypoint.longitude,
        "description": waypoint.description,
        "icon": waypoint.icon,
        "expires": iso_time(waypoint.expires),
    }


@callback
def logged_message_data(
    coordinator: MeshMonitorCoordinator, logged: LoggedMessage
) -> dict[str, Any]:
    """Return a message, and how far it came if it was sent from here."""
    delivery = logged.delivery
    return {
        **message_data(coordinator, logged.message),
        "is_history": logged.message.is_history,
        "delivery": None if delivery is None else delivery.state.value,
        "reason": None if delivery is None else delivery.reason,
    }


def _hops(coordinator: MeshMonitorCoordinator, hops: Iterable[RouteHop]) -> list[dict[str, Any]]:
    found = []
    for hop in hops:
        node = coordinator.source.node(hop.node_id)
        found.append(
            {
                "node_id": hop.node_id,
                "name": None if node is None else node.name,
                "snr": hop.snr,
            }
        )
    return found
