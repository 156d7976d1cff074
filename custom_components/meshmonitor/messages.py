"""The last messages of a source, and what became of those that were sent."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from .mesh.model import Delivery, Message, Origin
from .storage import restored

MAX_MESSAGES: Final = 200
"""So many are kept; the oldest make room."""


@dataclass(frozen=True, slots=True)
class LoggedMessage:
    """A message, and how far it came."""

    message: Message
    delivery: Delivery | None
    """None for what others sent."""


class MessageLog:
    """Remembers messages in the order in which they were taken over."""

    def __init__(self) -> None:
        """Start empty."""
        self._messages: OrderedDict[tuple[str | None, str], Message] = OrderedDict()
        self._deliveries: dict[str, Delivery] = {}

    def __len__(self) -> int:
        """Return how many messages are remembered."""
        return len(self._messages)

    def __iter__(self) -> Iterator[LoggedMessage]:
        """Go through the messages, the oldest first."""
        for message in self._messages.values():
            yield LoggedMessage(message, self._delivery(message))

    def add(self, message: Message) -> None:
        """Remember a message; one that is known already stays where it is."""
        key = (message.sender_id, message.message_id)
        if key in self._messages:
            return
        self._messages[key] = message
        if len(self._messages) > MAX_MESSAGES:
            _, oldest = self._messages.popitem(last=False)
            if oldest.origin is not Origin.RADIO:
                self._deliveries.pop(oldest.message_id, None)

    def note(self, delivery: Delivery) -> None:
        """Remember how far a message came, if it is a known one."""
        if self.sent(delivery.message_id) is not None:
            self._deliveries[delivery.message_id] = delivery

    def sent(self, message_id: str) -> Message | None:
        """Return a message that was sent from here, if it is remembered."""
        for message in reversed(self._messages.values()):
            if message.message_id == message_id and message.origin is not Origin.RADIO:
                return message
        return None

    def snapshot(self) -> list[dict[str, Any]]:
        """Return everything, ready for JSON."""
        return [
            {
                "message": asdict(logged.message),
                "delivery": None if logged.delivery is None else asdict(logged.delivery),
            }
            for logged in self
        ]

    def restore(self, snapshot: object) -> None:
        """Take over an earlier snapshot.

        Raises:
            ValueError: It is damaged; the log is empty.
        """
        self._messages.clear()
        self._deliveries.clear()
        try:
            for kept in snapshot:  # type: ignore[attr-defined]
                self.add(restored(Message, kept["message"]))
                if kept["delivery"] is not None:
                    self.note(restored(Delivery, kept["delivery"]))
        except (KeyError, TypeError, ValueError) as err:
            self._messages.clear()
            self._deliveries.clear()
            raise ValueError("damaged message log") from err

    def _delivery(self, message: Message) -> Delivery | None:
        if message.origin is Origin.RADIO:
            return None
        return self._deliveries.get(message.message_id)
