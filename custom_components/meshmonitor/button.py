"""Asks nodes of a mesh for something, and announces the own radio to them."""

from collections.abc import Iterator
from functools import partial
from typing import Final, override

from homeassistant.components.button import ButtonEntity, ButtonEntityDescription
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import AvailabilityChanged, MeshMonitorConfigEntry, MeshMonitorCoordinator
from .entity import GatewayEntity
from .mesh.model import Node
from .mesh.source import RequestKind
from .node_entity import NodeEntity, NodeEntityOffer, async_follow_nodes

# A radio sends one after the other.
PARALLEL_UPDATES = 1

ADVERT: Final = ButtonEntityDescription(
    key="send_advert",
    translation_key="send_advert",
    entity_category=EntityCategory.CONFIG,
)
REQUESTS: Final = {
    RequestKind.TRACEROUTE: ButtonEntityDescription(
        key="traceroute",
        translation_key="traceroute",
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
    ),
    RequestKind.POSITION: ButtonEntityDescription(
        key="request_position",
        translation_key="request_position",
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
    ),
    RequestKind.TELEMETRY: ButtonEntityDescription(
        key="request_telemetry",
        translation_key="request_telemetry",
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
    ),
    RequestKind.NODE_INFO: ButtonEntityDescription(
        key="request_node_info",
        translation_key="request_node_info",
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
    ),
    RequestKind.STATUS: ButtonEntityDescription(
        key="request_status",
        translation_key="request_status",
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
    ),
}
"""What a node can be asked for by a button: each of them is sent over the air."""


async def async_setup_entry(
    hass: HomeAssistant,
    entry: MeshMonitorConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the buttons of a source and of its nodes."""
    coordinator = entry.runtime_data
    async_add_entities([AdvertButton(coordinator)])
    kinds = coordinator.source.supported_requests & REQUESTS.keys()

    def offers(node: Node) -> Iterator[NodeEntityOffer]:
        if node.is_own:
            return
        for kind in kinds:
            yield kind.value, partial(RequestButton, coordinator, node.node_id, kind)

    async_follow_nodes(entry, async_add_entities, offers)


class AdvertButton(GatewayEntity, ButtonEntity):
    """Announces the own radio to the whole mesh."""

    def __init__(self, coordinator: MeshMonitorCoordinator) -> None:
        """Prepare the button."""
        super().__init__(coordinator, ADVERT.key)
        self.entity_description = ADVERT

    @override
    async def async_press(self) -> None:
        """Send the announcement.

        Raises:
            HomeAssistantError: It could not be sent.
        """
        with self.coordinator.translated_errors():
            await self.coordinator.source.send_advert(flood=True)


class RequestButton(NodeEntity, ButtonEntity):
    """Asks a node for something."""

    def __init__(
        self, coordinator: MeshMonitorCoordinator, node_id: str, kind: RequestKind
    ) -> None:
        """Prepare the button."""
        super().__init__(coordinator, node_id, REQUESTS[kind].key, AvailabilityChanged)
        self.entity_description = REQUESTS[kind]
        self._kind = kind

    @property
    @override
    def available(self) -> bool:
        """Whether the radio is there, and knows the node."""
        return super().available and self.coordinator.is_available

    @override
    async def async_press(self) -> None:
        """Ask, and wait for the answer; what it says shows in the node's other entities.

        Raises:
            HomeAssistantError: It could not be asked, or there was no answer.
        """
        with self.coordinator.translated_errors():
            await self.coordinator.source.request(self._kind, self.node_id)
