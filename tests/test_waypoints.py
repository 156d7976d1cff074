"""Which waypoints hold, and for how long."""

from datetime import timedelta
import time
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import MockEntityPlatform, async_fire_time_changed

from custom_components.meshmonitor.geo_location import WaypointLocation
from custom_components.meshmonitor.mesh.model import Waypoint
from custom_components.meshmonitor.mesh.source import WaypointChanged
from custom_components.meshmonitor.waypoints import MAX_WAYPOINTS, Waypoints, WaypointsChanged
from tests.ha import make_entry, set_up, wait_until
from tests.simulators.meshtastic_node import SimulatedNode


def place(number: int, **values: Any) -> Waypoint:
    """Return a waypoint."""
    return Waypoint(
        **{"waypoint_id": str(number), "name": "Camp", "latitude": 1.0, "longitude": 2.0, **values}
    )


async def test_bounds(hass: HomeAssistant) -> None:
    """The oldest make room; what is said again is no news."""
    told: list[WaypointsChanged] = []
    waypoints = Waypoints(hass, told.append)
    for number in range(MAX_WAYPOINTS + 1):
        waypoints.set(place(number))
    assert len(list(waypoints)) == MAX_WAYPOINTS
    assert waypoints.get("0") is None
    assert told[-1] == WaypointsChanged("0")
    told.clear()
    waypoints.set(place(1))
    waypoints.set(place(0, latitude=None))
    assert told == []
    waypoints.set(place(1, name="Hut"))
    assert told == [WaypointsChanged("1")]


async def test_expiry(hass: HomeAssistant) -> None:
    """Each ends at its time, the others stay."""
    told: list[WaypointsChanged] = []
    waypoints = Waypoints(hass, told.append)
    now = time.time()
    for number, expires in ((1, now + 0.05), (2, now + 7200), (3, None), (4, now - 1)):
        waypoints.set(place(number, expires=expires))
    assert {waypoint.waypoint_id for waypoint in waypoints} == {"1", "2", "3"}
    await wait_until(lambda: time.time() > now + 0.05, "the time")
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=1))
    await hass.async_block_till_done()
    assert {waypoint.waypoint_id for waypoint in waypoints} == {"2", "3"}
    assert told[-1] == WaypointsChanged("1")
    waypoints.stop()


async def test_kept(hass: HomeAssistant) -> None:
    """What was kept is there again; what is damaged says so."""
    waypoints = Waypoints(hass, lambda _: None)
    waypoints.set(place(1, description="here", icon="⛺", sender_id="!00000001"))
    again = Waypoints(hass, lambda _: None)
    again.restore(waypoints.snapshot())
    assert list(again) == list(waypoints)
    with pytest.raises(ValueError, match="no Waypoint"):
        again.restore([{"waypoint_id": "2", "planet": "Mars"}])


@pytest.mark.usefixtures("unload")
async def test_gone_before_it_was_there(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A waypoint that changes and is withdrawn at once leaves nothing."""
    coordinator = await set_up(hass, make_entry(node))
    for waypoint in (place(1), place(1, name="Hut"), place(1, latitude=None), place(2)):
        coordinator.source.emit(WaypointChanged(waypoint))
    coordinator.source.emit(WaypointChanged(place(2, name="", latitude=3.0)))
    await hass.async_block_till_done()
    [state] = hass.states.async_all("geo_location")
    assert state.name == "2"
    assert state.attributes["latitude"] == 3.0


@pytest.mark.usefixtures("unload")
async def test_withdrawn_while_it_is_added(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Who comes too late goes at once."""
    coordinator = await set_up(hass, make_entry(node))
    late, moved = WaypointLocation(coordinator, place(1)), WaypointLocation(coordinator, place(2))
    late.withdraw()
    moved.show(place(2, name="Hut"))
    await MockEntityPlatform(hass, domain="geo_location").async_add_entities([late, moved])
    await hass.async_block_till_done()
    [state] = hass.states.async_all("geo_location")
    assert state.name == "Hut"
