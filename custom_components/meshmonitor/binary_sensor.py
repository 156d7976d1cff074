"""Yes or no about a source, and about the nodes of its mesh."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, override

from homeassistant.components.binary_sensor import (
    DOMAIN as BINARY_SENSOR_DOMAIN,
    BinarySensorEntity,
    BinarySensorEntityDescription,
)
from homeassistant.components.binary_sensor.const import BinarySensorDeviceClass
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import CoordinatorEvent, MeshMonitorConfigEntry, MeshMonitorCoordinator
from .detections import async_follow_detections
from .entity import GatewayEntity, MeshMonitorEntity, VirtualNodeEntity
from .mesh.model import Node
from .mesh.source import LinkChanged, MeshSource, Problem, ProblemChanged, VirtualNodeChanged
from .node_entity import NodeEntity, NodeEntityOffer, async_follow_nodes
from .presence import PresenceChanged, PresenceFound

PARALLEL_UPDATES = 0

_EXTERNAL_POWER: Final = 100
"""A battery level above this says that external power is there (Meshtastic `telemetry.proto`)."""


@dataclass(frozen=True, kw_only=True)
class SourceBinarySensorDescription(BinarySensorEntityDescription):
    """A yes or no about a source."""

    is_on_fn: Callable[[MeshMonitorCoordinator], bool]
    attributes_fn: Callable[[MeshSource], Mapping[str, Any]] | None = None
    update_on: type[CoordinatorEvent]


LINK: Final = SourceBinarySensorDescription(
    key="link",
    translation_key="link",
    device_class=BinarySensorDeviceClass.CONNECTIVITY,
    entity_category=EntityCategory.DIAGNOSTIC,
    is_on_fn=lambda coordinator: coordinator.source.link.is_ready,
    attributes_fn=lambda source: {
        "link_state": source.link.state.value,
        "last_error": source.link.last_error,
    },
    update_on=LinkChanged,
)
PROBLEMS: Final = (
    SourceBinarySensorDescription(
        key="link_contended",
        translation_key="link_contended",
        device_class=BinarySensorDeviceClass.PROBLEM,
        entity_category=EntityCategory.DIAGNOSTIC,
        is_on_fn=lambda coordinator: Problem.CONTENDED in coordinator.problems,
        update_on=ProblemChanged,
    ),
    SourceBinarySensorDescription(
        key="identity_changed",
        translation_key="identity_changed",
        device_class=BinarySensorDeviceClass.PROBLEM,
        entity_category=EntityCategory.DIAGNOSTIC,
        is_on_fn=lambda coordinator: Problem.OTHER_IDENTITY in coordinator.problems,
        update_on=ProblemChanged,
    ),
)
VIRTUAL_NODE: Final = SourceBinarySensorDescription(
    key="virtual_node",
    translation_key="virtual_node",
    name=None,
    device_class=BinarySensorDeviceClass.CONNECTIVITY,
    entity_category=EntityCategory.DIAGNOSTIC,
    is_on_fn=lambda coordinator: coordinator.source.virtual_node.is_running,
    attributes_fn=lambda source: {
        "port": source.virtual_node.status.port,
        "last_error": source.virtual_node.bind_error,
    },
    update_on=VirtualNodeChanged,
)
ONLINE: Final = BinarySensorEntityDescription(
    key="online",
    translation_key="online",
    device_class=BinarySensorDeviceClass.CONNECTIVITY,
)
POWERED: Final = BinarySensorEntityDescription(
    key="powered",
    translation_key="powered",
    device_class=BinarySensorDeviceClass.PLUG,
    entity_category=EntityCategory.DIAGNOSTIC,
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: MeshMonitorConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the binary sensors of a source and of its nodes, also of those that come later."""
    coordinator = entry.runtime_data
    async_add_entities(
        [
            *(GatewayBinarySensor(coordinator, description) for description in (LINK, *PROBLEMS)),
            VirtualNodeBinarySensor(coordinator, VIRTUAL_NODE),
        ]
    )

    def offers(node: Node) -> Iterator[NodeEntityOffer]:
        if not node.is_own:
            yield ONLINE.key, partial(OnlineBinarySensor, coordinator, node.node_id)
        if _battery_level(node) is not None:
            yield POWERED.key, partial(PoweredBinarySensor, coordinator, node.node_id)

    async_follow_nodes(entry, async_add_entities, offers)
    async_follow_detections(entry, async_add_entities)


def _battery_level(node: Node) -> float | None:
    device = node.telemetry.get("device")
    level = None if device is None else device.values.get("battery_level")
    return None if level is None else float(level)


class _SourceBinarySensor(MeshMonitorEntity, BinarySensorEntity):
    """A binary sensor that reads from the source."""

    entity_description: SourceBinarySensorDescription
    _unrecorded_attributes = frozenset({"link_state", "last_error"})

    def __init__(
        self, coordinator: MeshMonitorCoordinator, description: SourceBinarySensorDescription
    ) -> None:
        """Prepare the binary sensor."""
        super().__init__(coordinator, description.key, description.update_on)
        self.entity_description = description

    @property
    @override
    def available(self) -> bool:
        """Always: that something is away is just what this tells."""
        return True

    @property
    @override
    def is_on(self) -> bool:
        """Whether it is so."""
        return self.entity_description.is_on_fn(self.coordinator)

    @property
    @override
    def extra_state_attributes(self) -> Mapping[str, Any] | None:
        """What there is to say about it."""
        attributes_fn = self.entity_description.attributes_fn
        return None if attributes_fn is None else attributes_fn(self.coordinator.source)

    @property
    @override
    def shows(self) -> object:
        """Whether it is so, and what there is to say about it."""
        return self.is_on, self.extra_state_attributes


class GatewayBinarySensor(_SourceBinarySensor, GatewayEntity):
    """Whether the radio is connected, and what is in the way of that."""


class VirtualNodeBinarySensor(_SourceBinarySensor, VirtualNodeEntity):
    """Whether apps can connect to the virtual node."""

    platform_domain = BINARY_SENSOR_DOMAIN


class OnlineBinarySensor(NodeEntity, BinarySensorEntity):
    """Whether a node was heard not too long ago."""

    def __init__(self, coordinator: MeshMonitorCoordinator, node_id: str) -> None:
        """Prepare the binary sensor."""
        super().__init__(coordinator, node_id, ONLINE.key, PresenceChanged, PresenceFound)
        self.entity_description = ONLINE

    @property
    @override
    def is_on(self) -> bool:
        """Whether the node is online."""
        return self.coordinator.presence.is_online(self.node_id)

    @property
    @override
    def shows(self) -> object:
        """Whether the node is online."""
        return self.is_on


class PoweredBinarySensor(NodeEntity, BinarySensorEntity):
    """Whether a node says that it has external power."""

    def __init__(self, coordinator: MeshMonitorCoordinator, node_id: str) -> None:
        """Prepare the binary sensor."""
        super().__init__(coordinator, node_id, POWERED.key)
        self.entity_description = POWERED

    @property
    @override
    def is_on(self) -> bool | None:
        """Whether external power is there; None where the node says nothing of its battery."""
        node = self.node
        level = None if node is None else _battery_level(node)
        return None if level is None else level > _EXTERNAL_POWER

    @property
    @override
    def shows(self) -> object:
        """Whether external power is there."""
        return self.is_on
