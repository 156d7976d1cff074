"""How far the texts that went out have come."""

from collections import OrderedDict, deque
from dataclasses import dataclass, replace
from typing import Final

from ..mesh.model import Delivery, DeliveryState, Message
from .leases import TIMEOUT_FACTOR, TIMEOUT_MARGIN

REMEMBERED: Final = 256
"""Texts whose state can be asked for."""
_ACKS: Final = 64


@dataclass(slots=True)
class _Awaited:
    ack: bytes
    message_id: str
    until: float
    is_last: bool
    is_over: bool = False


class Deliveries:
    """The states of outgoing texts, by the message's id. No I/O, the clock handed in."""

    def __init__(self) -> None:
        """Start with none."""
        self._states: OrderedDict[str, Delivery] = OrderedDict()
        self._awaited: deque[_Awaited] = deque(maxlen=_ACKS)

    def get(self, message_id: str) -> Delivery | None:
        """Return the state of a text, while it is remembered."""
        return self._states.get(message_id)

    def began(self, message: Message) -> Delivery:
        """A text waits for its turn; one that is sent again begins anew."""
        delivery = Delivery(
            message_id=message.message_id,
            state=DeliveryState.QUEUED,
            origin=message.origin,
            recipient_id=message.recipient_id,
            channel=message.channel,
        )
        self._states[message.message_id] = delivery
        self._states.move_to_end(message.message_id)
        while len(self._states) > REMEMBERED:
            self._states.popitem(last=False)
        return delivery

    def moved(
        self, message_id: str, state: DeliveryState, reason: str | None = None
    ) -> Delivery | None:
        """A text came further; returns its new state, or None where that is no news."""
        known = self._states.get(message_id)
        if known is None or known.state is DeliveryState.DELIVERED or known.state is state:
            return None
        delivery = replace(known, state=state, reason=reason)
        self._states[message_id] = delivery
        return delivery

    def expect(
        self, ack: bytes, message_id: str, timeout: float, now: float, *, is_last: bool
    ) -> None:
        """The radio sent a direct text.

        Args:
            ack: The acknowledgement that will come.
            message_id: The text's id.
            timeout: How long it may take, in seconds, as the radio estimates it.
            now: The clock.
            is_last: Whether the text has failed when none comes.
        """
        for item in self._awaited:
            if item.message_id == message_id:
                # It was sent again: only the last attempt can fail. Each can still succeed.
                item.is_over = True
        until = now + timeout * TIMEOUT_FACTOR + TIMEOUT_MARGIN
        self._awaited.append(_Awaited(ack, message_id, until, is_last))

    def acknowledged(self, ack: bytes) -> list[Delivery]:
        """An acknowledgement came; returns what is delivered now."""
        ids = [item.message_id for item in self._awaited if item.ack == ack]
        moved = [self.moved(message_id, DeliveryState.DELIVERED) for message_id in ids]
        return [delivery for delivery in moved if delivery is not None]

    def unacknowledged(self, message_id: str) -> Delivery | None:
        """A text is given up; returns its new state, or None where that is no news."""
        return self.moved(message_id, DeliveryState.FAILED, "no_acknowledgement")

    def tick(self, now: float) -> tuple[list[Delivery], list[str]]:
        """Return what has failed for want of an acknowledgement, and what to send once more.

        An acknowledgement that comes later all the same still counts.
        """
        failed: list[Delivery] = []
        again: list[str] = []
        for item in self._awaited:
            if item.is_over or now < item.until:
                continue
            item.is_over = True
            known = self._states.get(item.message_id)
            if known is None or known.state is not DeliveryState.SENT:
                continue
            if not item.is_last:
                again.append(item.message_id)
                continue
            delivery = self.unacknowledged(item.message_id)
            if delivery is not None:
                failed.append(delivery)
        return failed, again
