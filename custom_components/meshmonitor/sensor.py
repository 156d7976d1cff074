"""Figures about a source, and what the nodes of its mesh say and measure."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, override

from homeassistant.components.sensor import DOMAIN as SENSOR_DOMAIN, SensorEntity
from homeassistant.const import MATCH_ALL
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.typing import StateType

from .automation import iso_time
from .coordinator import CoordinatorEvent, MeshMonitorConfigEntry, MeshMonitorCoordinator
from .entity import GatewayEntity, MeshMonitorEntity, VirtualNodeEntity
from .mesh.model import Node, Telemetry
from .mesh.source import NodeChanged
from .node_entity import NodeEntity, NodeEntityOffer, async_follow_nodes
from .presence import PresenceChanged
from .readings import NODE_SENSORS, NodeSensorDescription, ReadingDescription, SensorValue
from .readings_environment import SAME_READINGS, reading_description
from .source_sensors import CLIENTS, GATEWAY_SENSORS, SourceSensorDescription

PARALLEL_UPDATES = 0
SCAN_INTERVAL = timedelta(minutes=1)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: MeshMonitorConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the sensors of a source and of its nodes, also of those that come later."""
    coordinator = entry.runtime_data
    async_add_entities(
        [
            ClientsSensor(coordinator, CLIENTS),
            *(GatewaySensor(coordinator, description) for description in GATEWAY_SENSORS),
        ]
    )

    def offers(node: Node) -> Iterator[NodeEntityOffer]:
        for known in NODE_SENSORS:
            if known.exists_fn(node):
                yield known.key, partial(NodeSensor, coordinator, node.node_id, known)
        for telemetry in node.telemetry.values():
            for name in telemetry.values:
                reading = reading_description(telemetry.kind, name)
                if reading is not None:
                    yield reading.key, partial(ReadingSensor, coordinator, node.node_id, reading)

    async_follow_nodes(entry, async_add_entities, offers)


class _SourceSensor(MeshMonitorEntity, SensorEntity):
    """A sensor that reads from the source."""

    entity_description: SourceSensorDescription
    # What a figure is made of moves with it, and is of use only now.
    _unrecorded_attributes = frozenset({MATCH_ALL})

    def __init__(
        self, coordinator: MeshMonitorCoordinator, description: SourceSensorDescription
    ) -> None:
        """Prepare the sensor."""
        super().__init__(coordinator, description.key, *description.update_on)
        self.entity_description = description

    @property
    @override
    def native_value(self) -> StateType:
        """The figure at this moment."""
        return self.entity_description.value_fn(self.coordinator)

    @property
    @override
    def extra_state_attributes(self) -> Mapping[str, Any] | None:
        """What the figure is made of."""
        attributes_fn = self.entity_description.attributes_fn
        return None if attributes_fn is None else attributes_fn(self.coordinator)

    @property
    @override
    def shows(self) -> object:
        """The figure, and what it is made of."""
        return self.native_value, self.extra_state_attributes


class GatewaySensor(_SourceSensor, GatewayEntity):
    """A figure about a radio."""

    @callback
    @override
    def _async_update_state(self, event: CoordinatorEvent) -> None:
        """Show what has changed; most of what is heard of nodes changes no figure."""
        if isinstance(event, NodeChanged) and not event.is_new:
            return
        # Each of many nodes that come at once would be a new figure.
        if isinstance(event, PresenceChanged) and self.coordinator.presence.is_reading:
            return
        super()._async_update_state(event)


class ClientsSensor(_SourceSensor, VirtualNodeEntity):
    """How many clients a virtual node has, and which."""

    platform_domain = SENSOR_DOMAIN
    # When a client was last active changes all the time: a look a minute is enough.
    _attr_should_poll = True

    async def async_update(self) -> None:
        """Nothing has to be fetched: the state is read anew when it is written."""


class NodeSensor(NodeEntity, SensorEntity):
    """Something that the radio knows of a node."""

    entity_description: NodeSensorDescription

    def __init__(
        self,
        coordinator: MeshMonitorCoordinator,
        node_id: str,
        description: NodeSensorDescription,
    ) -> None:
        """Prepare the sensor."""
        super().__init__(coordinator, node_id, description.key)
        self.entity_description = description

    @property
    @override
    def native_value(self) -> SensorValue:
        """What the radio knows."""
        node = self.node
        return None if node is None else self.entity_description.value_fn(node)

    @property
    @override
    def shows(self) -> object:
        """What the radio knows."""
        return self.native_value


class ReadingSensor(NodeEntity, SensorEntity):
    """Something that a node measured, and when it did."""

    entity_description: ReadingDescription
    _unrecorded_attributes = frozenset({"measured_at"})

    def __init__(
        self, coordinator: MeshMonitorCoordinator, node_id: str, description: ReadingDescription
    ) -> None:
        """Prepare the sensor."""
        super().__init__(coordinator, node_id, description.key)
        self.entity_description = description

    @property
    def _telemetry(self) -> Telemetry | None:
        """The newest telemetry that has the reading."""
        node, reading = self.node, self.entity_description
        if node is None:
            return None
        found = node.telemetry.get(reading.kind)
        if reading.kind == "device" and reading.reading in SAME_READINGS:
            other = node.telemetry.get("local_stats")
            candidates = [one for one in (found, other) if one and reading.reading in one.values]
            return max(candidates, key=lambda one: one.time or 0.0, default=None)
        return found

    @property
    @override
    def native_value(self) -> SensorValue:
        """What was measured last; None where the node leaves it out now."""
        telemetry, reading = self._telemetry, self.entity_description
        value = None if telemetry is None else telemetry.values.get(reading.reading)
        if telemetry is None or value is None:
            return None
        return reading.value_fn(telemetry, value)

    @property
    @override
    def extra_state_attributes(self) -> Mapping[str, Any]:
        """When it was measured."""
        telemetry = self._telemetry
        return {"measured_at": None if telemetry is None else iso_time(telemetry.time)}

    @property
    @override
    def shows(self) -> object:
        """What was measured, and when."""
        telemetry = self._telemetry
        if telemetry is None:
            return None
        return telemetry.values.get(self.entity_description.reading), telemetry.time
