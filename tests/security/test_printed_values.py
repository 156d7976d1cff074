"""What is printed of a value, as in a traceback or a log line, holds no text, place or key."""

import pytest

from custom_components.meshmonitor.mesh.model import (
    Message,
    MessageKind,
    Node,
    Origin,
    Position,
    Waypoint,
)
from custom_components.meshmonitor.mesh.source import (
    MessageReceived,
    NodeChanged,
    OutgoingText,
    WaypointChanged,
)
from custom_components.meshmonitor.mesh.transport import SerialEndpoint

PLACE = Position(latitude=47.1234, longitude=8.4321)
MESSAGE = Message(
    message_id="1",
    kind=MessageKind.CHANNEL,
    origin=Origin.RADIO,
    text="secret",
    sender_id=None,
    sender_name=None,
    time=0.0,
)
WAYPOINT = Waypoint(
    waypoint_id="1", name="secret", latitude=47.1234, longitude=8.4321, description="secret"
)


@pytest.mark.parametrize(
    "value",
    [
        PLACE,
        NodeChanged(Node(node_id="!1", position=PLACE, public_key="secret", status="secret"), True),
        MessageReceived(MESSAGE),
        WaypointChanged(WAYPOINT),
        OutgoingText(text="secret"),
        SerialEndpoint("esphome://board/?key=secret"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_printed_tells_nothing(value: object) -> None:
    """Neither what people write, nor where they are, nor what keeps others out."""
    for printed in (repr(value), str(value)):
        assert not any(part in printed for part in ("secret", "47.1234", "8.4321")), printed
