"""The radio's own limits, shared fairly between all who send through it. Without I/O.

The firmware keeps, for each connection and port number, the time of the last packet that it
accepted, and refuses the next one inside a window: texts with an error, positions, waypoints,
alerts and telemetry without a word (firmware ``src/mesh/PhoneAPI.cpp``, ``handleToRadioPacket``).
All clients of the virtual node and Home Assistant share these windows, so what would be refused
waits here for its turn instead.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from meshtastic.protobuf import portnums_pb2

PORT: Final = portnums_pb2.PortNum

WINDOWS: Final[Mapping[int, float]] = {
    PORT.TEXT_MESSAGE_APP: 2.0,
    PORT.POSITION_APP: 10.0,
    PORT.WAYPOINT_APP: 10.0,
    PORT.ALERT_APP: 10.0,
    PORT.TELEMETRY_APP: 10.0,
    PORT.TRACEROUTE_APP: 30.0,
}
"""Seconds from one accepted packet of a port number to the next."""
WINDOW_MARGIN: Final = 0.25
"""The radio measures by a clock of its own."""
LEAST_GAP: Final = 0.010
"""Seconds between any two packets."""

MAX_QUEUED: Final = 1024
MAX_QUEUED_PER_SENDER: Final = 256

PATIENCE: Final[Mapping[int, float]] = {
    PORT.TEXT_MESSAGE_APP: 600.0,
    PORT.ALERT_APP: 120.0,
    PORT.TRACEROUTE_APP: 120.0,
    PORT.POSITION_APP: 60.0,
    PORT.TELEMETRY_APP: 60.0,
}
"""Seconds that a packet may wait, by port number, until its sender is told that it was not sent."""
DEFAULT_PATIENCE: Final = 120.0

QUEUE_LENGTH: Final = 16
"""``maxlen`` of the firmware's QueueStatus: `MAX_TX_QUEUE` packets wait for the air."""
FULL_QUEUE_RETRY: Final = 5.0
"""After so long with a full queue one packet is tried: its QueueStatus tells the present state."""


class Urgency(IntEnum):
    """Who goes first when several may."""

    CONVERSATION = 0
    """Texts, alerts and acknowledgements: somebody is waiting."""
    REQUEST = 1
    ROUTINE = 2


URGENCY: Final[Mapping[int, Urgency]] = {
    PORT.TEXT_MESSAGE_APP: Urgency.CONVERSATION,
    PORT.ALERT_APP: Urgency.CONVERSATION,
    PORT.ROUTING_APP: Urgency.CONVERSATION,
    PORT.POSITION_APP: Urgency.ROUTINE,
    PORT.TELEMETRY_APP: Urgency.ROUTINE,
    PORT.NODEINFO_APP: Urgency.ROUTINE,
}


@dataclass(slots=True, kw_only=True)
class Parcel:
    """One packet on its way to the radio."""

    packet_id: int
    portnum: int
    sender: str
    """Who sent it: a client's id, or Home Assistant. Senders take turns."""
    payload: bytes = field(repr=False)
    """The ``ToRadio`` message."""
    queued_at: float = 0.0

    @property
    def urgency(self) -> Urgency:
        """Who goes first when several may."""
        return URGENCY.get(self.portnum, Urgency.REQUEST)

    @property
    def expires_at(self) -> float:
        """When its sender is to be told that it was not sent."""
        return self.queued_at + PATIENCE.get(self.portnum, DEFAULT_PATIENCE)


class Pacer:
    """Decides which packet may go to the radio next, and when."""

    def __init__(self) -> None:
        """Start with nothing queued and a radio that never took anything."""
        self._queues: OrderedDict[str, deque[Parcel]] = OrderedDict()
        self._queued = 0
        self._by_port: Counter[int] = Counter()
        self._last_by_port: dict[int, float] = {}
        self._unreported: dict[int, int] = {}
        self._last_sent = float("-inf")
        self._free = QUEUE_LENGTH
        self._free_known_at = float("-inf")

    def __len__(self) -> int:
        """Return how many packets wait."""
        return self._queued

    def room_for(self, sender: str) -> int:
        """Return how many more packets a sender may queue."""
        queue = self._queues.get(sender)
        own = MAX_QUEUED_PER_SENDER - (len(queue) if queue else 0)
        return max(0, min(own, MAX_QUEUED - self._queued))

    def accepts(self, sender: str, portnum: int, now: float) -> bool:
        """Return whether one more packet has room, and can leave before its time is over."""
        return self.room_for(sender) > 0 and self._leaves_in_time(
            portnum, self._by_port[portnum], now
        )

    def make_room(self, sender: str, portnum: int, now: float) -> Parcel | None:
        """Remove and return a packet that gives way to one that `accepts` has no room for.

        It is the last one of whoever has the most waiting: who sends much may use what the others
        leave, and keeps nobody out. None where that would be no fairer than before.
        """
        if len(self._queues.get(sender, ())) >= MAX_QUEUED_PER_SENDER:
            return None
        is_late = not self._leaves_in_time(portnum, self._by_port[portnum], now)
        if is_late and not self._leaves_in_time(portnum, self._by_port[portnum] - 1, now):
            return None
        waiting = {
            name: [parcel for parcel in queue if not is_late or parcel.portnum == portnum]
            for name, queue in self._queues.items()
        }
        most = max(waiting.values(), key=len, default=[])
        if len(most) <= len(waiting.get(sender, ())) + 1:
            return None
        self._remove(most[-1:])
        return most[-1]

    def put(self, parcel: Parcel, now: float) -> None:
        """Queue a packet that `accepts` has room for."""
        parcel.queued_at = now
        self._queues.setdefault(parcel.sender, deque()).append(parcel)
        self._count(parcel, 1)

    def waiting(self, sender: str, portnum: int) -> list[int]:
        """Return the ids of a sender's packets of a port number, the first to leave first."""
        queue = self._queues.get(sender, ())
        return [parcel.packet_id for parcel in queue if parcel.portnum == portnum]

    def replace(self, packet_id: int, parcel: Parcel, now: float) -> None:
        """Let a packet take the place of a waiting one of its sender and port number."""
        queue = self._queues[parcel.sender]
        place = next(at for at, waiting in enumerate(queue) if waiting.packet_id == packet_id)
        parcel.queued_at = now
        queue[place] = parcel

    def put_back(self, parcel: Parcel) -> None:
        """Queue a packet again, before all others of its sender: the radio never answered for it.

        The packet keeps its id, by which the mesh recognises a repetition, and its deadline.
        """
        self._queues.setdefault(parcel.sender, deque()).appendleft(parcel)
        self._count(parcel, 1)

    def take(self, now: float) -> Parcel | None:
        """Return the packet that goes next, counted as sent; None where none may go yet."""
        if self._delay(now) > 0:
            return None
        best: Parcel | None = None
        for queue in self._queues.values():
            for parcel in self._ready(queue, now):
                if best is None or parcel.urgency < best.urgency:
                    best = parcel
        if best is None:
            return None
        queue = self._queues[best.sender]
        queue.remove(best)
        self._count(best, -1)
        # The next turn is everybody else's first.
        self._queues.move_to_end(best.sender)
        if not queue:
            del self._queues[best.sender]
        if best.portnum in WINDOWS:
            self._last_by_port[best.portnum] = now
        self._last_sent = now
        if best.packet_id:
            # What is no packet takes no place in the radio's queue, and is never reported on.
            self._free -= 1
        return best

    def next_due(self, now: float, *, can_send: bool) -> float | None:
        """Return after how many seconds `take` or `expired` may have something; None for never.

        Args:
            now: The clock, in seconds.
            can_send: Whether there is a radio that would take a packet.
        """
        if not self._queued:
            return None
        soonest = float("inf")
        common = self._delay(now)
        for queue in self._queues.values():
            seen: set[int] = set()
            for parcel in queue:
                soonest = min(soonest, parcel.expires_at - now)
                if can_send and parcel.portnum not in seen:
                    seen.add(parcel.portnum)
                    soonest = min(soonest, max(common, self._window_left(parcel.portnum, now)))
        return max(soonest, 0.0)

    def expired(self, now: float) -> list[Parcel]:
        """Remove and return the packets that waited too long."""
        late = [p for queue in self._queues.values() for p in queue if p.expires_at <= now]
        self._remove(late)
        return late

    def clear(self) -> list[Parcel]:
        """Remove and return everything."""
        parcels = [parcel for queue in self._queues.values() for parcel in queue]
        self._remove(parcels)
        return parcels

    def queue_status(self, free: int, now: float) -> None:
        """Note how much room the radio's own queue has."""
        self._free = free
        self._free_known_at = now

    def await_report(self, parcel: Parcel) -> None:
        """Let the window of what was sent count from its report on, `reported`.

        A radio that reads late, because it transmits or its network was away, would otherwise read
        two packets at once and drop the second.
        """
        if parcel.portnum in WINDOWS:
            self._unreported[parcel.portnum] = parcel.packet_id

    def reported(self, packet_id: int, now: float) -> None:
        """The radio has taken a packet, or nothing more will be heard of it."""
        for portnum, unreported in self._unreported.items():
            if unreported == packet_id:
                del self._unreported[portnum]
                self._last_by_port[portnum] = now
                return

    def session_started(self, now: float) -> None:
        """A new connection begins with an empty queue.

        The windows stay: firmware that keeps them over a connection would refuse without a word.
        """
        self._unreported.clear()
        self.queue_status(QUEUE_LENGTH, now)

    def remove(self, packet_id: int) -> None:
        """Forget a packet that need not be sent any more, if it waits."""
        parcels = [parcel for queue in self._queues.values() for parcel in queue]
        self._remove([parcel for parcel in parcels if parcel.packet_id == packet_id])

    def _ready(self, queue: deque[Parcel], now: float) -> list[Parcel]:
        """Return the first packet of each port number whose window is open."""
        ready: list[Parcel] = []
        seen: set[int] = set()
        for parcel in queue:
            if parcel.portnum in seen:
                continue
            seen.add(parcel.portnum)
            if self._window_left(parcel.portnum, now) <= 0:
                ready.append(parcel)
        return ready

    def _leaves_in_time(self, portnum: int, waiting: int, now: float) -> bool:
        """Return whether a packet can leave behind so many others of its port number."""
        window = WINDOWS.get(portnum)
        if window is None:
            return True
        wait = max(self._opens_in(portnum, now), 0.0) + waiting * (window + WINDOW_MARGIN)
        return wait < PATIENCE.get(portnum, DEFAULT_PATIENCE)

    def _window_left(self, portnum: int, now: float) -> float:
        return float("inf") if portnum in self._unreported else self._opens_in(portnum, now)

    def _opens_in(self, portnum: int, now: float) -> float:
        """Return after how many seconds a port's window opens if it counts already."""
        window = WINDOWS.get(portnum)
        last = self._last_by_port.get(portnum)
        if window is None or last is None:
            return 0.0
        return last + window + WINDOW_MARGIN - now

    def _delay(self, now: float) -> float:
        """Return how long everything has to wait."""
        delay = self._last_sent + LEAST_GAP - now
        if self._free <= 0:
            delay = max(delay, max(self._free_known_at, self._last_sent) + FULL_QUEUE_RETRY - now)
        return delay

    def _count(self, parcel: Parcel, change: int) -> None:
        self._queued += change
        if parcel.portnum in WINDOWS:
            self._by_port[parcel.portnum] += change

    def _remove(self, parcels: list[Parcel]) -> None:
        for parcel in parcels:
            queue = self._queues[parcel.sender]
            queue.remove(parcel)
            self._count(parcel, -1)
            if not queue:
                del self._queues[parcel.sender]
