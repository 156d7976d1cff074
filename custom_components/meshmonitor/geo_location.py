"""The places that the members of a mesh have marked, on the map."""

from collections.abc import Mapping
from typing import Any, override

from homeassistant.components.geo_location import GeolocationEvent
from homeassistant.const import UnitOfLength
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.util.location import distance

from .automation import iso_time
from .const import DOMAIN
from .coordinator import MeshMonitorConfigEntry, MeshMonitorCoordinator
from .mesh.model import Waypoint
from .waypoints import WaypointsChanged

PARALLEL_UPDATES = 0


async def async_setup_entry(
    hass: HomeAssistant,
    entry: MeshMonitorConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up an entity for every waypoint, which comes and goes with it."""
    coordinator = entry.runtime_data
    known: dict[str, WaypointLocation] = {}

    @callback
    def changed(event: WaypointsChanged) -> None:
        waypoint = coordinator.waypoints.get(event.waypoint_id)
        entity = known.get(event.waypoint_id)
        if waypoint is None:
            if entity is not None:
                del known[event.waypoint_id]
                entity.withdraw()
        elif entity is None:
            known[event.waypoint_id] = entity = WaypointLocation(coordinator, waypoint)
            async_add_entities([entity])
        else:
            entity.show(waypoint)

    for waypoint in coordinator.waypoints:
        changed(WaypointsChanged(waypoint.waypoint_id))
    entry.async_on_unload(coordinator.subscribe(WaypointsChanged, changed))


class WaypointLocation(GeolocationEvent):
    """A marked place. It has no unique id: nothing of it is left when it is no more."""

    _attr_should_poll = False
    _attr_source = DOMAIN
    _attr_unit_of_measurement = UnitOfLength.KILOMETERS
    # Translated icons are for entities of the registry alone.
    _attr_icon = "mdi:map-marker-star-outline"
    _unrecorded_attributes = frozenset({"description", "expires"})

    def __init__(self, coordinator: MeshMonitorCoordinator, waypoint: Waypoint) -> None:
        """Prepare the entity."""
        self._coordinator = coordinator
        self._is_added = False
        self._is_withdrawn = False
        self._take(waypoint)

    @override
    async def async_added_to_hass(self) -> None:
        """See what became of the waypoint meanwhile."""
        self._is_added = True
        if self._is_withdrawn:
            # Its state is written first, right after this.
            self.hass.loop.call_soon(self.withdraw)

    @callback
    def show(self, waypoint: Waypoint) -> None:
        """Show what the waypoint is now."""
        self._take(waypoint)
        # One that is about to be added shows it then.
        if self._is_added:
            self.async_write_ha_state()

    @callback
    def withdraw(self) -> None:
        """Vanish with the waypoint."""
        self._is_withdrawn = True
        if self._is_added:
            self.hass.async_create_task(self.async_remove(force_remove=True))

    @callback
    def _take(self, waypoint: Waypoint) -> None:
        assert waypoint.latitude is not None
        assert waypoint.longitude is not None
        self._waypoint = waypoint
        self._attr_name = waypoint.name or waypoint.waypoint_id
        self._attr_latitude = waypoint.latitude
        self._attr_longitude = waypoint.longitude
        home = self._coordinator.hass.config
        metres = distance(home.latitude, home.longitude, waypoint.latitude, waypoint.longitude)
        self._attr_distance = None if metres is None else metres / 1000

    @property
    @override
    def extra_state_attributes(self) -> Mapping[str, Any]:
        """What else there is to say of the place."""
        waypoint = self._waypoint
        return {
            "waypoint_id": waypoint.waypoint_id,
            "description": waypoint.description,
            "symbol": waypoint.icon,
            "sender_id": waypoint.sender_id,
            "expires": iso_time(waypoint.expires),
            "config_entry_id": self._coordinator.entry.entry_id,
        }
