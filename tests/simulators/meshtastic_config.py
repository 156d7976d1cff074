"""What a simulated Meshtastic node is like, chosen once when it is made."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

type Flavour = Literal["2.7", "2.8"]
"""The firmware whose habits are followed."""

type Clock = Callable[[], float]
"""Seconds from any starting point, never going back: `time.monotonic` or a `ManualClock`."""

FIRMWARE_VERSIONS: Final[dict[Flavour, str]] = {"2.7": "2.7.26.54e0d8d", "2.8": "2.8.0.7754068"}

IDLE_TIMEOUT: Final = 15 * 60.0
"""Seconds without a `ToRadio` message after which the firmware ends a session (since 2.7.21)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """The traits of one simulated node. All times are seconds."""

    flavour: Flavour = "2.7"
    seed: int = 1
    """Everything that looks random (node numbers, keys, names, signal) follows from this."""

    num: int | None = None
    """Own node number; `None` derives it as the flavour's firmware does."""
    long_name: str = "Simulated Base"
    short_name: str = "SIMB"
    nodes: int = 12
    """Entries in the node database, the own node included."""
    latitude: float = 52.0907
    longitude: float = 5.1214

    answers_heartbeat: bool = True
    """False: firmware before 2.7.4, which keeps silent."""
    time_known: bool = True
    """False: the node has no clock until a client sets it, and leaves `rx_time` out."""
    really_reboots: bool = False
    """Reboot for real after an admin message that makes the firmware reboot, instead of only
    recording it."""
    reboot_down_for: float = 0.05
    """How long nobody listens during a reboot that an admin message asked for."""

    frame_delay: float = 0.0
    """Pause after each frame to the client (0: as fast as the client reads)."""
    poll_interval: float = 0.0
    """How long received bytes wait before they are read; the firmware's own is up to 0.25."""
    ack_delay: float = 0.0
    """How long the air takes until an acknowledgement or answer comes back."""
    idle_timeout: float = IDLE_TIMEOUT

    tx_queue: int = 16
    """Packets that may wait for the air (`QueueStatus.maxlen`)."""
    to_phone_queue: int = 32
    """Packets that may wait for a client (8 on the ESP32, 16 on the nRF52840, 32 elsewhere)."""
    queue_status_queue: int = 2
    """`QueueStatus` reports that may wait for a client; a further one evicts the oldest."""
    notification_queue: int = 2
    mqtt_proxy_queue: int = 8


class ManualClock:
    """A clock that a test moves by hand."""

    def __init__(self, now: float = 1000.0) -> None:
        """Start at `now` seconds."""
        self.now = now

    def __call__(self) -> float:
        """Return the present time in seconds."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`."""
        self.now += seconds
