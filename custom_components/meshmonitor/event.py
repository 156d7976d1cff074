"""Messages, and what became of those that were sent.

What happened last holds, the radio being there or not, and things do happen while it is away: what
is sent waits for it, or fails. An unavailable entity could tell of neither.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, override

from homeassistant.components.event import EventEntity, EventEntityDescription
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .automation import delivery_data, message_data
from .coordinator import CoordinatorEvent, MeshMonitorConfigEntry, MeshMonitorCoordinator
from .entity import GatewayEntity
from .mesh.model import DeliveryState, MessageKind
from .mesh.source import DeliveryChanged, MessageReceived

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class MeshMonitorEventDescription(EventEntityDescription):
    """Something that happens in a mesh."""

    happens_on: type[CoordinatorEvent]
    read_fn: Callable[[MeshMonitorCoordinator, Any], tuple[str, Mapping[str, Any]] | None]
    """Returns the event's type and attributes; None for what is no news."""


def _read_message(
    coordinator: MeshMonitorCoordinator, event: MessageReceived
) -> tuple[str, Mapping[str, Any]] | None:
    message = event.message
    if message.is_history:
        return None
    data = message_data(coordinator, message)
    # It is the event's type already.
    return data.pop("kind"), data


def _read_delivery(
    coordinator: MeshMonitorCoordinator, event: DeliveryChanged
) -> tuple[str, Mapping[str, Any]]:
    data = delivery_data(coordinator, event.delivery)
    return data.pop("state"), data


EVENTS = (
    MeshMonitorEventDescription(
        key="message",
        translation_key="message",
        event_types=[kind.value for kind in MessageKind],
        happens_on=MessageReceived,
        read_fn=_read_message,
    ),
    MeshMonitorEventDescription(
        key="delivery",
        translation_key="delivery",
        entity_category=EntityCategory.DIAGNOSTIC,
        event_types=[state.value for state in DeliveryState],
        happens_on=DeliveryChanged,
        read_fn=_read_delivery,
    ),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: MeshMonitorConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the event entities of a source."""
    coordinator = entry.runtime_data
    async_add_entities(MeshMonitorEvent(coordinator, description) for description in EVENTS)


class MeshMonitorEvent(GatewayEntity, EventEntity):
    """Something that happens in the mesh of a radio."""

    entity_description: MeshMonitorEventDescription

    def __init__(
        self, coordinator: MeshMonitorCoordinator, description: MeshMonitorEventDescription
    ) -> None:
        """Prepare the event entity."""
        super().__init__(coordinator, description.key)
        self.entity_description = description

    @property
    @override
    def available(self) -> bool:
        """Always: what happened last is known."""
        return True

    @override
    async def async_added_to_hass(self) -> None:
        """Listen to what happens."""
        await super().async_added_to_hass()
        self.async_on_remove(
            self.coordinator.subscribe(self.entity_description.happens_on, self._async_happened)
        )

    @callback
    def _async_happened(self, event: CoordinatorEvent) -> None:
        if (news := self.entity_description.read_fn(self.coordinator, event)) is not None:
            event_type, attributes = news
            self._trigger_event(event_type, dict(attributes))
            self.async_write_ha_state()
