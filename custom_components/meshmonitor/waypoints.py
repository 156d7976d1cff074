"""The places that the members of a mesh have marked."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
import time
from typing import Any, Final

from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.helpers.event import async_call_later

from .mesh.model import Waypoint
from .storage import restored

MAX_WAYPOINTS: Final = 100
"""So many are kept; the oldest make room."""
_LONGEST_WAIT: Final = 86400.0
"""Seconds; timers much further off are not kept by every system."""


@dataclass(frozen=True, slots=True)
class WaypointsChanged:
    """A waypoint came, changed, or is no more."""

    waypoint_id: str


class Waypoints:
    """Knows the waypoints of one source that hold: neither withdrawn nor expired."""

    def __init__(self, hass: HomeAssistant, on_change: Callable[[WaypointsChanged], None]) -> None:
        """Start without any.

        Args:
            hass: Home Assistant.
            on_change: Is told of every waypoint that comes, changes or goes.
        """
        self._hass = hass
        self._on_change = on_change
        self._waypoints: OrderedDict[str, Waypoint] = OrderedDict()
        self._timer: CALLBACK_TYPE | None = None

    def __iter__(self) -> Iterator[Waypoint]:
        """Go through the waypoints, the oldest first."""
        return iter(self._waypoints.values())

    def get(self, waypoint_id: str) -> Waypoint | None:
        """Return a waypoint; None for one that does not hold."""
        return self._waypoints.get(waypoint_id)

    def snapshot(self) -> list[dict[str, Any]]:
        """Return what is worth keeping."""
        return [asdict(waypoint) for waypoint in self]

    @callback
    def restore(self, snapshot: object) -> None:
        """Take over what was kept.

        Raises:
            ValueError: It is damaged.
        """
        try:
            for kept in snapshot:  # type: ignore[attr-defined]
                self.set(restored(Waypoint, kept))
        except TypeError as err:
            raise ValueError("damaged waypoints") from err

    @callback
    def set(self, waypoint: Waypoint) -> None:
        """Take over what was said of a waypoint: that it is there, elsewhere, or no more."""
        waypoint_id = waypoint.waypoint_id
        holds = waypoint.latitude is not None and waypoint.longitude is not None
        if not holds or (waypoint.expires is not None and waypoint.expires <= time.time()):
            self._drop(waypoint_id)
        elif self._waypoints.get(waypoint_id) != waypoint:
            self._waypoints[waypoint_id] = waypoint
            self._waypoints.move_to_end(waypoint_id)
            self._on_change(WaypointsChanged(waypoint_id))
            if len(self._waypoints) > MAX_WAYPOINTS:
                self._drop(next(iter(self._waypoints)))
        self._schedule()

    @callback
    def stop(self) -> None:
        """Leave no timer behind."""
        if self._timer is not None:
            self._timer()
            self._timer = None

    def _drop(self, waypoint_id: str) -> None:
        if self._waypoints.pop(waypoint_id, None) is not None:
            self._on_change(WaypointsChanged(waypoint_id))

    def _schedule(self) -> None:
        """See again when the next one expires."""
        self.stop()
        ends = [waypoint.expires for waypoint in self if waypoint.expires is not None]
        if ends:
            wait = min(max(min(ends) - time.time(), 0.0), _LONGEST_WAIT)
            self._timer = async_call_later(
                self._hass, wait, HassJob(self._look, cancel_on_shutdown=True)
            )

    @callback
    def _look(self, _: datetime) -> None:
        self._timer = None
        now = time.time()
        for waypoint in tuple(self):
            if waypoint.expires is not None and waypoint.expires <= now:
                self._drop(waypoint.waypoint_id)
        self._schedule()
