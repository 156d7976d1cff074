"""Figures about a radio and its virtual node."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from homeassistant.components.sensor import SensorEntityDescription
from homeassistant.components.sensor.const import SensorStateClass
from homeassistant.const import EntityCategory
from homeassistant.helpers.typing import StateType
from homeassistant.util import dt as dt_util

from .coordinator import CoordinatorEvent, MeshMonitorCoordinator
from .mesh.model import DeliveryState
from .mesh.source import (
    CountersChanged,
    DeliveryChanged,
    NodeChanged,
    NodeRemoved,
    VirtualNodeChanged,
)
from .presence import PresenceChanged, PresenceRead

_REFUSED: Final = "refused_"


@dataclass(frozen=True, kw_only=True)
class SourceSensorDescription(SensorEntityDescription):
    """A figure about a source."""

    value_fn: Callable[[MeshMonitorCoordinator], StateType]
    attributes_fn: Callable[[MeshMonitorCoordinator], Mapping[str, Any]] | None = None
    update_on: tuple[type[CoordinatorEvent], ...]


def _clients(coordinator: MeshMonitorCoordinator) -> Mapping[str, Any]:
    return {
        "clients": [
            {
                "id": client.client_id,
                "ip": client.ip,
                "label": client.label,
                "connected_at": dt_util.utc_from_timestamp(client.connected_at).isoformat(),
                "last_activity": dt_util.utc_from_timestamp(client.last_activity).isoformat(),
            }
            for client in coordinator.source.virtual_node.status.clients
        ]
    }


def _refusals(coordinator: MeshMonitorCoordinator) -> dict[str, int]:
    return {
        key.removeprefix(_REFUSED): count
        for key, count in coordinator.source.counters.items()
        if key.startswith(_REFUSED)
    }


def _faults(coordinator: MeshMonitorCoordinator) -> dict[str, int]:
    """Return all counters but those that have a sensor of their own."""
    shown = {"packets_received", "sent", "queue_length"}
    return {
        key: count
        for key, count in coordinator.source.counters.items()
        if key not in shown and not key.startswith(_REFUSED)
    }


def _deliveries(coordinator: MeshMonitorCoordinator) -> dict[str, int]:
    return {state.value: coordinator.deliveries[state] for state in DeliveryState}


def _counter(
    key: str,
    value_fn: Callable[[MeshMonitorCoordinator], StateType],
    update_on: type[CoordinatorEvent] = CountersChanged,
    attributes_fn: Callable[[MeshMonitorCoordinator], Mapping[str, Any]] | None = None,
) -> SourceSensorDescription:
    return SourceSensorDescription(
        key=key,
        translation_key=key,
        state_class=SensorStateClass.TOTAL_INCREASING,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=value_fn,
        attributes_fn=attributes_fn,
        update_on=(update_on,),
    )


GATEWAY_SENSORS: Final = (
    SourceSensorDescription(
        key="nodes_known",
        translation_key="nodes_known",
        state_class=SensorStateClass.MEASUREMENT,
        entity_category=EntityCategory.DIAGNOSTIC,
        value_fn=lambda coordinator: coordinator.devices.known,
        update_on=(NodeChanged, NodeRemoved),
    ),
    SourceSensorDescription(
        key="nodes_online",
        translation_key="nodes_online",
        state_class=SensorStateClass.MEASUREMENT,
        value_fn=lambda coordinator: coordinator.presence.count,
        update_on=(PresenceChanged, PresenceRead),
    ),
    _counter(
        "packets_received",
        lambda coordinator: coordinator.source.counters.get("packets_received", 0),
        attributes_fn=_faults,
    ),
    _counter("packets_sent", lambda coordinator: coordinator.source.counters.get("sent", 0)),
    _counter(
        "refusals",
        lambda coordinator: sum(_refusals(coordinator).values()),
        attributes_fn=_refusals,
    ),
    _counter(
        "messages_delivered",
        lambda coordinator: coordinator.deliveries[DeliveryState.DELIVERED],
        DeliveryChanged,
        _deliveries,
    ),
    _counter(
        "messages_failed",
        lambda coordinator: coordinator.deliveries[DeliveryState.FAILED],
        DeliveryChanged,
    ),
    SourceSensorDescription(
        key="queue_length",
        translation_key="queue_length",
        state_class=SensorStateClass.MEASUREMENT,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=lambda coordinator: coordinator.source.counters.get("queue_length", 0),
        update_on=(CountersChanged,),
    ),
)
CLIENTS: Final = SourceSensorDescription(
    key="clients",
    translation_key="clients",
    state_class=SensorStateClass.MEASUREMENT,
    entity_category=EntityCategory.DIAGNOSTIC,
    value_fn=lambda coordinator: len(coordinator.source.virtual_node.clients),
    attributes_fn=_clients,
    update_on=(VirtualNodeChanged,),
)
