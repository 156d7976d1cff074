"""The messages of the mesh on their way to every phone, those that are away included."""

from collections.abc import Callable, Iterable
import time
from typing import Any, Final

from ..mesh.backlog import Backlog
from ..mesh.handler import Worth
from . import packets, wire
from .framing import HEADER_SIZE, encode
from .pacing import PORT
from .virtual_node import Phone

KEPT: Final = frozenset({PORT.TEXT_MESSAGE_APP, PORT.ALERT_APP})
"""What is kept for clients that are away: texts, reactions among them, and alerts."""


class Messages:
    """Hands out messages, and keeps them in a log of what clients have missed."""

    def __init__(
        self, phones: Callable[[], Iterable[Phone]], is_wanted: Callable[[], bool]
    ) -> None:
        """Start with nothing kept.

        Args:
            phones: Returns all connected phones.
            is_wanted: Returns whether messages are to be kept.
        """
        self.backlog = Backlog()
        self._phones = phones
        self._is_wanted = is_wanted

    def tell(self, payload: bytes, num: int, packet_id: int, *, sender: str | None = None) -> None:
        """Hand a message to every phone but its sender, and keep it for those that are not there.

        Args:
            payload: The ``FromRadio``.
            num: The node that sent it.
            packet_id: The packet's id; 0 for none.
            sender: The client that sent it, where it was one.
        """
        frame = encode(payload)
        if not self._is_wanted():
            self.backlog.clear()
            for phone in self._phones():
                if phone.name != sender:
                    phone.deliver(frame, Worth.VITAL)
            return
        entry = self.backlog.add(
            frame, time.time(), identity=_identity(num, packet_id), sender=sender
        )
        for phone in self._phones():
            if entry is not None:
                phone.deliver_kept(entry)
            elif phone.reader.is_open and phone.name != sender:
                # The radio says it again, as it would to its one phone.
                phone.deliver(frame, Worth.VITAL)

    def snapshot(self) -> dict[str, Any]:
        """Return what is kept, ready for JSON."""
        if not self._is_wanted():
            self.backlog.clear()
        return self.backlog.snapshot(time.time())

    def restore(self, snapshot: object) -> None:
        """Take over what `snapshot` returned.

        Raises:
            ValueError: It is damaged; nothing is kept then.
        """
        self.backlog.restore(snapshot, time.time(), _identify)


def _identity(num: int, packet_id: int) -> tuple[int, int] | None:
    return (num, packet_id) if packet_id else None


def _identify(frame: bytes) -> tuple[int, int] | None:
    """Return what makes a kept frame the same message when it comes again.

    Raises:
        ValueError: It is no frame with a packet.
    """
    payload = frame[HEADER_SIZE:]
    if frame != encode(payload):
        raise ValueError("no frame")
    try:
        number, value = packets.variant(payload)
        packet = packets.parse_packet(value)
    except wire.WireError as err:
        raise ValueError("no packet") from err
    if number != packets.PACKET:
        raise ValueError("no packet")
    return _identity(packet.sender, packet.id)
