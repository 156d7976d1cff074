"""What the entities of a radio and of its virtual node have in common."""

from typing import ClassVar, override

from homeassistant.core import callback
from homeassistant.helpers.device_registry import ChildDeviceInfo, DeviceInfo
from homeassistant.helpers.entity import Entity
from homeassistant.util import slugify

from .const import CONF_VIRTUAL_NODE, DOMAIN
from .coordinator import AvailabilityChanged, CoordinatorEvent, MeshMonitorCoordinator


class MeshMonitorEntity(Entity):
    """An entity of a source: reads from it, keeps nothing, is told when to look again."""

    _attr_has_entity_name = True
    _attr_should_poll = False

    def __init__(
        self, coordinator: MeshMonitorCoordinator, key: str, *update_on: type[CoordinatorEvent]
    ) -> None:
        """Prepare an entity.

        Args:
            coordinator: Where everything comes from.
            key: What tells it from the source's other entities of its platform.
            update_on: The events that can change its state.
        """
        self.coordinator = coordinator
        self._attr_unique_id = f"{coordinator.unique_id}_{key}"
        self._update_on = update_on
        self._shown: tuple[bool, object] | None = None

    @override
    async def async_added_to_hass(self) -> None:
        """Listen to what concerns this entity."""
        await super().async_added_to_hass()
        for kind in self._update_on:
            self.async_on_remove(self.coordinator.subscribe(kind, self._async_update_state))

    @property
    def shows(self) -> object:
        """All that its state is made of and that can change, beside whether it is available."""
        return None

    @callback
    def _async_update_state(self, event: CoordinatorEvent) -> None:
        """Show what has changed, if it has: most of what is heard changes few entities."""
        if self._shown != (self.available, self.shows):
            self.async_write_ha_state()

    @callback
    @override
    def _async_write_ha_state(self) -> None:
        """Remember what is shown from now on, whoever has it shown."""
        self._shown = self.available, self.shows
        super()._async_write_ha_state()


class GatewayEntity(MeshMonitorEntity):
    """An entity of the radio itself; there while the radio is."""

    def __init__(
        self, coordinator: MeshMonitorCoordinator, key: str, *update_on: type[CoordinatorEvent]
    ) -> None:
        """Belong to the radio's device."""
        super().__init__(coordinator, key, AvailabilityChanged, *update_on)
        self._attr_device_info = DeviceInfo(identifiers={(DOMAIN, coordinator.unique_id)})

    @property
    @override
    def available(self) -> bool:
        """Whether the radio is there."""
        return self.coordinator.is_available


class VirtualNodeEntity(MeshMonitorEntity):
    """An entity of the virtual node, which is there whether the radio is or not."""

    platform_domain: ClassVar[str]
    """What its entity id begins with."""

    def __init__(
        self, coordinator: MeshMonitorCoordinator, key: str, *update_on: type[CoordinatorEvent]
    ) -> None:
        """Belong to the virtual node's device, a part of the radio's."""
        super().__init__(coordinator, key, *update_on)
        self._attr_device_info = ChildDeviceInfo(
            identifiers={(DOMAIN, f"{coordinator.unique_id}_{CONF_VIRTUAL_NODE}")},
            parent_device_id=coordinator.device_id,
        )
        # Left alone, Home Assistant would take the radio's name into the id twice: as that of the
        # device, and as that of the device which it is a part of.
        parts = dict.fromkeys((coordinator.entry.title, CONF_VIRTUAL_NODE, key))
        self.entity_id = f"{self.platform_domain}.{slugify(' '.join(parts))}"
