"""What is said to a client of a virtual node, and by whom."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import IntEnum


class Worth(IntEnum):
    """What a frame is worth when a client's queue is full: the least goes first."""

    ROUTINE = 0
    """Will be outdated by the next of its kind: telemetry, positions, raw reception."""
    NEWS = 1
    """Missed but not fatal: node information, other people's traffic."""
    VITAL = 2
    """Texts, acknowledgements, handshakes: before one of these is lost, the client is closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStatus:
    """What is known of a client, for status pages and attributes."""

    client_id: str
    ip: str
    connected_at: float
    last_activity: float
    is_admin: bool
    label: str
    """What the client says it is; empty where it does not."""
    bytes_in: int
    bytes_out: int
    dropped: int
    """Frames that were dropped because the client read too slowly."""


class ClientHandler(ABC):
    """Speaks a radio's protocol to one client."""

    label: str = ""

    @abstractmethod
    def data_received(self, data: bytes, now: float) -> None:
        """Take bytes from the client, cut anywhere. Must return at once.

        Args:
            data: What arrived.
            now: The monotonic clock, in seconds.
        """

    @abstractmethod
    def disconnected(self) -> None:
        """The client is gone; called once."""

    @abstractmethod
    def rights_changed(self) -> None:
        """The client's permissions may have changed."""

    @abstractmethod
    def tick(self, now: float) -> None:
        """Do what is due; called every few seconds."""
