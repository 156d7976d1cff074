"""The damage a test can do to a simulated Meshtastic node's connections.

`Faults` holds what is wrong at present; the links look at it. What happens at one moment (end a
connection, restart, another identity) is a method of `SimulatedNode`.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

HTTP_ANSWER: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n"
    b"Connection: close\r\n\r\nBad Request"
)


class OnConnect(Enum):
    """What a new TCP connection meets."""

    SERVE = auto()
    BLACK_HOLE = auto()
    """Accepted and read, never answered."""
    RESET = auto()
    """Reset at once, as by a firewall or a host that runs no node."""
    CLOSE = auto()
    """Closed at once, without a byte."""
    HTTP = auto()
    """Another protocol: the first bytes are answered as a web server would."""


@dataclass(slots=True)
class Cut:
    """End a connection at a chosen frame."""

    after_frames: int
    """Whole frames that get through on the connection before the cut."""
    mid_frame: bool = True
    """Send half of the next frame before the end."""
    reset: bool = False
    """End with a reset in place of an orderly close."""
    times: int = 1
    """How many connections suffer it."""


@dataclass(slots=True)
class Tear:
    """Lose the end of a chosen frame and go on, as a USB port does whose buffer is full."""

    after_frames: int
    """Whole frames that get through on the connection before."""
    missing: int = 3
    """Bytes that are lost."""
    times: int = 1
    """How many connections suffer it."""


@dataclass(frozen=True, slots=True)
class Dribble:
    """Send in small pieces."""

    size: int = 1
    """Bytes a piece."""
    delay: float = 0.001
    """Seconds between two pieces."""


@dataclass(slots=True)
class Faults:
    """What is wrong at present. Set the fields at any time; the default is a sound node."""

    on_connect: OnConnect = OnConnect.SERVE
    mute: bool = False
    """The node reads but sends nothing, on connections that are open as well: a dead peer."""
    cut: Cut | None = None
    tear: Tear | None = None
    dribble: Dribble | None = None
    stolen_after: float | None = None
    """Seconds after which another program takes over each connection, again and again."""

    def due_cut(self, frames_sent: int) -> Cut | None:
        """Return the cut that falls after `frames_sent` frames of a connection, and use it up."""
        cut = self.cut
        if cut is None or cut.times == 0 or frames_sent < cut.after_frames:
            return None
        cut.times -= 1
        return cut

    def torn(self, data: bytes, frames_sent: int) -> bytes:
        """Return what gets through of the frame behind `frames_sent` others of a connection."""
        tear = self.tear
        if tear is None or tear.times == 0 or frames_sent != tear.after_frames:
            return data
        tear.times -= 1
        return data[: -tear.missing]
