"""Where the nodes of a mesh are."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, override

from homeassistant.components.device_tracker import TrackerEntity
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .automation import iso_time
from .coordinator import CoordinatorEvent, MeshMonitorConfigEntry, MeshMonitorCoordinator
from .mesh.model import Node, Position
from .node_entity import NodeEntity, NodeEntityOffer, async_follow_nodes

PARALLEL_UPDATES = 0


async def async_setup_entry(
    hass: HomeAssistant,
    entry: MeshMonitorConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up a tracker for every node that says where it is."""
    coordinator = entry.runtime_data

    def offers(node: Node) -> Iterator[NodeEntityOffer]:
        if node.position is not None:
            yield "position", partial(NodeTracker, coordinator, node.node_id)

    async_follow_nodes(entry, async_add_entities, offers)


class NodeTracker(NodeEntity, TrackerEntity):
    """Where a node said that it is."""

    _attr_device_info: DeviceInfo  # type: ignore[assignment]
    # Where a node is, is what it is there for.
    _attr_entity_category = None  # type: ignore[assignment]
    _attr_name = None
    _attr_translation_key = "position"
    _unrecorded_attributes = frozenset({"measured_at", "satellites"})

    def __init__(self, coordinator: MeshMonitorCoordinator, node_id: str) -> None:
        """Prepare the tracker."""
        super().__init__(coordinator, node_id, "position")
        self._position: Position | None = None
        self._async_look()

    @property
    @override
    def force_update(self) -> bool:
        """Only where a node is now somewhere else: being heard there again is no new place."""
        return False

    @property
    @override
    def shows(self) -> object:
        """Where the node is."""
        return self._position

    @property
    @override
    def extra_state_attributes(self) -> Mapping[str, Any]:
        """What else is known of the place, and since when."""
        position = self._position
        if position is None:
            return {}
        return {
            "altitude": position.altitude,
            "speed": position.speed,
            "course": position.course,
            "satellites": position.satellites,
            "measured_at": iso_time(position.time),
        }

    @callback
    @override
    def _async_update_state(self, event: CoordinatorEvent) -> None:
        """Show what has changed."""
        self._async_look()
        super()._async_update_state(event)

    @callback
    def _async_look(self) -> None:
        """Take over where the node is; who says nothing of it stays where it was."""
        node = self.node
        if node is None or node.position is None:
            return
        self._position = position = node.position
        self._attr_latitude = position.latitude
        self._attr_longitude = position.longitude
        self._attr_location_accuracy = position.accuracy or 0
