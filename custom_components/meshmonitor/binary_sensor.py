"""Whether the radio is connected, and whether its virtual node serves."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, override

from homeassistant.components.binary_sensor import BinarySensorEntity, BinarySensorEntityDescription
from homeassistant.components.binary_sensor.const import BinarySensorDeviceClass
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import CoordinatorEvent, MeshMonitorConfigEntry, MeshMonitorCoordinator
from .entity import GatewayEntity, MeshMonitorEntity, VirtualNodeEntity
from .mesh.source import LinkChanged, MeshSource, VirtualNodeChanged

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class MeshMonitorBinarySensorDescription(BinarySensorEntityDescription):
    """A yes or no about a source."""

    is_on_fn: Callable[[MeshSource], bool]
    attributes_fn: Callable[[MeshSource], Mapping[str, Any]]
    update_on: type[CoordinatorEvent]


LINK = MeshMonitorBinarySensorDescription(
    key="link",
    translation_key="link",
    device_class=BinarySensorDeviceClass.CONNECTIVITY,
    entity_category=EntityCategory.DIAGNOSTIC,
    is_on_fn=lambda source: source.link.is_ready,
    attributes_fn=lambda source: {
        "link_state": source.link.state.value,
        "last_error": source.link.last_error,
    },
    update_on=LinkChanged,
)
VIRTUAL_NODE = MeshMonitorBinarySensorDescription(
    key="virtual_node",
    translation_key="virtual_node",
    name=None,
    device_class=BinarySensorDeviceClass.CONNECTIVITY,
    entity_category=EntityCategory.DIAGNOSTIC,
    is_on_fn=lambda source: source.virtual_node.is_running,
    attributes_fn=lambda source: {
        "port": source.virtual_node.status.port,
        "last_error": source.virtual_node.bind_error,
    },
    update_on=VirtualNodeChanged,
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: MeshMonitorConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the binary sensors of a source."""
    coordinator = entry.runtime_data
    async_add_entities(
        [
            LinkBinarySensor(coordinator, LINK),
            VirtualNodeBinarySensor(coordinator, VIRTUAL_NODE),
        ]
    )


class _SourceBinarySensor(MeshMonitorEntity, BinarySensorEntity):
    """A binary sensor that reads from the source."""

    entity_description: MeshMonitorBinarySensorDescription
    _unrecorded_attributes = frozenset({"link_state", "last_error"})

    def __init__(
        self,
        coordinator: MeshMonitorCoordinator,
        description: MeshMonitorBinarySensorDescription,
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
        return self.entity_description.is_on_fn(self.coordinator.source)

    @property
    @override
    def extra_state_attributes(self) -> Mapping[str, Any]:
        """What there is to say about it."""
        return self.entity_description.attributes_fn(self.coordinator.source)


class LinkBinarySensor(_SourceBinarySensor, GatewayEntity):
    """Whether the radio is connected."""


class VirtualNodeBinarySensor(_SourceBinarySensor, VirtualNodeEntity):
    """Whether apps can connect to the virtual node."""
