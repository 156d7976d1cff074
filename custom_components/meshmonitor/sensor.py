"""Figures about a source."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, override

from homeassistant.components.sensor import SensorEntity, SensorEntityDescription
from homeassistant.components.sensor.const import SensorStateClass
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.typing import StateType
from homeassistant.util import dt as dt_util

from .coordinator import CoordinatorEvent, MeshMonitorConfigEntry, MeshMonitorCoordinator
from .entity import GatewayEntity, MeshMonitorEntity, VirtualNodeEntity
from .mesh.source import CountersChanged, MeshSource, VirtualNodeChanged

PARALLEL_UPDATES = 0
SCAN_INTERVAL = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class MeshMonitorSensorDescription(SensorEntityDescription):
    """A figure about a source."""

    value_fn: Callable[[MeshSource], StateType]
    attributes_fn: Callable[[MeshSource], Mapping[str, Any]] | None = None


def _clients(source: MeshSource) -> Mapping[str, Any]:
    return {
        "clients": [
            {
                "id": client.client_id,
                "ip": client.ip,
                "label": client.label,
                "connected_at": dt_util.utc_from_timestamp(client.connected_at).isoformat(),
                "last_activity": dt_util.utc_from_timestamp(client.last_activity).isoformat(),
            }
            for client in source.virtual_node.status.clients
        ]
    }


GATEWAY_SENSORS = (
    MeshMonitorSensorDescription(
        key="packets_received",
        translation_key="packets_received",
        state_class=SensorStateClass.TOTAL_INCREASING,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=lambda source: source.counters.get("packets_received", 0),
    ),
    MeshMonitorSensorDescription(
        key="packets_sent",
        translation_key="packets_sent",
        state_class=SensorStateClass.TOTAL_INCREASING,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=lambda source: source.counters.get("sent", 0),
    ),
    MeshMonitorSensorDescription(
        key="queue_length",
        translation_key="queue_length",
        state_class=SensorStateClass.MEASUREMENT,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=lambda source: source.counters.get("queue_length", 0),
    ),
)
CLIENTS = MeshMonitorSensorDescription(
    key="clients",
    translation_key="clients",
    state_class=SensorStateClass.MEASUREMENT,
    entity_category=EntityCategory.DIAGNOSTIC,
    value_fn=lambda source: len(source.virtual_node.clients),
    attributes_fn=_clients,
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: MeshMonitorConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the sensors of a source."""
    coordinator = entry.runtime_data
    async_add_entities(
        [
            ClientsSensor(coordinator, CLIENTS, VirtualNodeChanged),
            *(
                GatewaySensor(coordinator, description, CountersChanged)
                for description in GATEWAY_SENSORS
            ),
        ]
    )


class _SourceSensor(MeshMonitorEntity, SensorEntity):
    """A sensor that reads from the source."""

    entity_description: MeshMonitorSensorDescription

    def __init__(
        self,
        coordinator: MeshMonitorCoordinator,
        description: MeshMonitorSensorDescription,
        *update_on: type[CoordinatorEvent],
    ) -> None:
        """Prepare the sensor."""
        super().__init__(coordinator, description.key, *update_on)
        self.entity_description = description

    @property
    @override
    def native_value(self) -> StateType:
        """The figure at this moment."""
        return self.entity_description.value_fn(self.coordinator.source)

    @property
    @override
    def extra_state_attributes(self) -> Mapping[str, Any] | None:
        """What the figure is made of."""
        attributes_fn = self.entity_description.attributes_fn
        return None if attributes_fn is None else attributes_fn(self.coordinator.source)


class GatewaySensor(_SourceSensor, GatewayEntity):
    """A figure about a radio."""


class ClientsSensor(_SourceSensor, VirtualNodeEntity):
    """How many clients a virtual node has, and which."""

    _unrecorded_attributes = frozenset({"clients"})
    # When a client was last active changes all the time: a look a minute is enough.
    _attr_should_poll = True

    async def async_update(self) -> None:
        """Nothing has to be fetched: the state is read anew when it is written."""
