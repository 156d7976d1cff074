"""What packets say beside messages, waypoints and routes."""

from dataclasses import dataclass, field

from ..mesh.model import Message, Position, RouteHop, Telemetry, Traceroute, Waypoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """What became of a packet that was sent."""

    request_id: int
    """The packet's id."""
    sender: int
    """Who says it: the recipient, or the own radio where it heard a relay or gave up."""
    recipient: int
    error: str | None
    """None for success, else the name of a ``Routing.Error`` in lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionReport:
    """A node said where it is."""

    node_id: str
    position: Position = field(repr=False)
    is_history: bool = False
    """Whether the radio only repeats what it had stored."""
    request_id: int = 0
    """The packet that it answers; 0 for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryReport:
    """A node said what it measures."""

    node_id: str
    telemetry: Telemetry
    is_history: bool = False
    """Whether the radio only repeats what it had stored."""
    request_id: int = 0
    """The packet that it answers; 0 for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport:
    """A node said a line of text about itself."""

    node_id: str
    status: str = field(repr=False)
    is_history: bool = False
    """Whether the radio only repeats what it had stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighborReport:
    """A node said whom it hears directly, and how well."""

    node_id: str
    neighbors: tuple[RouteHop, ...]


type Decoded = (
    Message
    | Waypoint
    | Traceroute
    | Acknowledgement
    | PositionReport
    | TelemetryReport
    | StatusReport
    | NeighborReport
)
