"""Places that members of a mesh mark, on Home Assistant's map."""

from datetime import timedelta
import time
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
from meshtastic.protobuf import mesh_pb2
import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.meshmonitor.const import DOMAIN
from tests.ha import coordinator_of, make_entry, set_up, wait_until
from tests.simulators.meshtastic_node import SimulatedNode

pytestmark = pytest.mark.usefixtures("unload")


async def test_waypoints(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Marked places are on the map until they expire or are withdrawn, also after a restart."""
    entry = make_entry(node)
    coordinator = await set_up(hass, entry)
    now = round(time.time())

    def place(number: int, **values: Any) -> mesh_pb2.Waypoint:
        return mesh_pb2.Waypoint(
            **{
                "id": number,
                "name": f"Place {number}",
                "latitude_i": 520_000_000,
                "longitude_i": 50_000_000,
                "description": "here",
                "icon": ord("⛺"),
                **values,
            }
        )

    def names() -> set[str]:
        return {state.name for state in hass.states.async_all("geo_location")}

    peer = node.peer(0)
    for waypoint in (
        place(1),
        place(2, expire=now + 3600),
        place(3),
        place(4, expire=now - 10),
    ):
        await node.send_waypoint(peer.num, waypoint)
    await wait_until(lambda: names() == {"Place 1", "Place 2", "Place 3"})
    state = hass.states.get("geo_location.place_1")
    assert state is not None
    assert float(state.state) > 1000
    assert state.attributes["latitude"] == 52.0
    assert state.attributes["source"] == DOMAIN
    assert state.attributes["symbol"] == "⛺"
    assert state.attributes["description"] == "here"
    assert state.attributes["sender_id"] == f"!{peer.num:08x}"
    assert state.attributes["unit_of_measurement"] == "km"

    await node.send_waypoint(peer.num, place(3, name="Place 5"))
    await wait_until(lambda: names() == {"Place 1", "Place 2", "Place 5"})
    await node.send_waypoint(peer.num, place(3, latitude_i=0, longitude_i=0, expire=1))
    await wait_until(lambda: names() == {"Place 1", "Place 2"})

    assert await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()
    assert names() == {"Place 1", "Place 2"}
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=3700))
    await hass.async_block_till_done()
    assert coordinator_of(entry) is not coordinator
