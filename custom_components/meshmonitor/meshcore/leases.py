"""Who waits for which push: acknowledgements, answers of other nodes, traces.

The device has one place for a pending request. A further request to another node overwrites it,
and the answer to the first is then thrown away, so for as long as an answer may come nobody else
may ask. Only who asked himself may ask again: that is how the device treats its one app.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from .codes import Cmd, Push, Resp
from .commands import SLOT_PUSHES, Slot

TIMEOUT_FACTOR: Final = 1.25
"""Apps wait the device's estimate divided by 0.8 for an answer."""
TIMEOUT_MARGIN: Final = 1.0
TIMEOUT_LIMIT: Final = 60.0
SIGN_TIMEOUT: Final = 10.0
REMEMBERED: Final = 64
"""Acknowledgements and traces that are awaited; the device itself remembers eight."""


@dataclass(slots=True)
class _Pending:
    slot: Slot
    owner: Hashable
    key: bytes
    busy_until: float
    is_background: bool


class Leases:
    """What the device will answer later, and to whom."""

    def __init__(self) -> None:
        """Start with nothing awaited."""
        self._pending: _Pending | None = None
        self._traces: deque[tuple[bytes, Hashable]] = deque(maxlen=REMEMBERED)
        self._acks: OrderedDict[bytes, list[Hashable]] = OrderedDict()
        self._confirmed: deque[bytes] = deque(maxlen=REMEMBERED)
        self._signer: Hashable | None = None
        self._signer_until = 0.0

    @property
    def busy_until(self) -> list[float]:
        """When what is taken now becomes free, some of it in the past perhaps."""
        times = [self._pending.busy_until] if self._pending else []
        return [*times, self._signer_until] if self._signer is not None else times

    def may_take(self, slot: Slot, owner: Hashable, now: float, *, background: bool) -> bool:
        """Return whether an owner may send such a request now.

        Args:
            slot: What kind of request.
            owner: Who wants to.
            now: The clock.
            background: Whether it is one that can wait for everybody else.
        """
        if slot is Slot.SIGN:
            return self._signer in (None, owner) or now >= self._signer_until
        pending = self._pending
        if not slot.is_shared or pending is None or now >= pending.busy_until:
            return True
        return pending.owner == owner or (pending.is_background and not background)

    def take(
        self,
        slot: Slot,
        owner: Hashable,
        key: bytes,
        now: float,
        *,
        timeout: float,
        background: bool = False,
    ) -> None:
        """Take note of a request that the device sent.

        Args:
            slot: What kind of request.
            owner: Who asked; None is gone by now, and does not make others wait.
            key: Six key bytes or the tag, as the answer will carry it.
            now: The clock.
            timeout: How long an answer may take, in seconds, as the device estimates it.
            background: Whether it gives way to somebody else's request.
        """
        if slot is Slot.TRACE:
            self._traces.append((key, owner))
            return
        wait = min(timeout * TIMEOUT_FACTOR + TIMEOUT_MARGIN, TIMEOUT_LIMIT)
        until = 0.0 if owner is None else now + wait
        self._pending = _Pending(slot, owner, key, until, background)

    def signed(self, owner: Hashable, command: int, reply: bytes, now: float) -> None:
        """Follow the three steps of a signature, which belong to one owner."""
        if command == Cmd.SIGN_FINISH or reply[0] == Resp.ERR:
            self._signer = None
        else:
            self._signer, self._signer_until = owner, now + SIGN_TIMEOUT

    def expect_ack(self, ack: bytes, owner: Hashable) -> None:
        """Take note of who waits for an acknowledgement; two may wait for the same."""
        owners = self._acks.setdefault(ack, [])
        if owner not in owners:
            owners.append(owner)
        self._acks.move_to_end(ack)
        if ack in self._confirmed:
            self._confirmed.remove(ack)
        while len(self._acks) > REMEMBERED:
            self._acks.popitem(last=False)

    def owners_of(self, push: bytes) -> tuple[Hashable, ...] | None:
        """Return who a push belongs to, and count it as delivered; None means everyone.

        An answer that came late still goes to who asked, as long as nobody has asked since.
        """
        code = push[0]
        if code == Push.SEND_CONFIRMED:
            return self._acknowledged(push[1:5])
        if code == Push.TRACE_DATA:
            tag = push[4:8]
            owners = tuple(dict.fromkeys(owner for known, owner in self._traces if known == tag))
            self._traces = deque(
                (item for item in self._traces if item[0] != tag), maxlen=REMEMBERED
            )
            return owners or None
        pending = self._pending
        if pending is None or code not in SLOT_PUSHES[pending.slot]:
            return None
        key = push[2:6] if pending.slot is Slot.BINARY else push[2:8]
        if key != pending.key:
            return None
        self._pending = None
        return () if pending.owner is None else (pending.owner,)

    def drop_owner(self, owner: Hashable) -> None:
        """Forget everything that an owner waits for."""
        if self._pending is not None and self._pending.owner == owner:
            # Its answer is still nobody else's.
            self._pending.owner = None
            self._pending.busy_until = 0.0
        if self._signer == owner:
            self._signer = None
        self._traces = deque((item for item in self._traces if item[1] != owner), maxlen=REMEMBERED)
        for ack, owners in tuple(self._acks.items()):
            if owner in owners:
                owners.remove(owner)
                if not owners:
                    del self._acks[ack]

    def clear(self) -> None:
        """Forget pending requests, because the device is gone; acknowledgements may still come."""
        self._pending = None
        self._signer = None

    def _acknowledged(self, ack: bytes) -> tuple[Hashable, ...] | None:
        owners = self._acks.pop(ack, None)
        if owners is not None:
            self._confirmed.append(ack)
            return tuple(owners)
        # The same acknowledgement again, for a text that two had sent: both were told already.
        return () if ack in self._confirmed else None
