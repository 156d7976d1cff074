"""Everything that goes to the radio goes through here: one way out, paced and remembered.

A packet is *queued* here, *sent* when the radio's ``QueueStatus`` says that it took it, and then
relayed, delivered or failed by the ``ROUTING_APP`` packets that name it.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from ..mesh.model import DeliveryState
from . import packets
from .admin import AdminQuery
from .decision import RoutingError
from .framing import encode
from .pacing import PORT, Pacer, Parcel
from .session import HEARTBEAT

HOME_ASSISTANT: Final = "home_assistant"
"""The sender's name of what does not come from a client."""
REMEMBERED: Final = 1024
"""So many packets are remembered for the acknowledgements that may still come."""
ANSWER_TIMEOUT: Final = 10.0
"""A radio that has not said a word about a packet for so long never got it, or lost it."""
ASK_AFTER: Final = 3.0
"""A radio keeps two reports for its client and forgets the rest. What it answers a heartbeat with,
behind a packet that it said nothing of, proves that it has read the packet all the same. Sending
the packet again would prove nothing: it drops a number that it knows without a word."""
RADIO_MEMORY: Final = 20
"""The firmware silently drops a packet whose id is among the last so many of a connection."""
_ACCEPTED: Final = frozenset({0, 35})
"""``QueueStatus.res``: ``ERRNO_OK``, and ``ERRNO_SHOULD_RELEASE`` for packets to the own node."""
_QUEUE_ERRORS: Final = {
    32: RoutingError.RATE_LIMIT_EXCEEDED,
    33: RoutingError.NO_INTERFACE,
    34: RoutingError.NO_INTERFACE,
}
"""What ``QueueStatus.res`` says in numbers of its own (firmware ``src/mesh/MeshTypes.h``: the queue
is full, there is no interface, sending is disabled). Others are ``Routing.Error``."""
_RAW: Final = -1
"""The port number, for pacing, of frames that are no packets."""


@dataclass(slots=True, kw_only=True)
class Outgoing:
    """One packet that was taken over from a client or from Home Assistant."""

    packet_id: int
    portnum: int
    sender: str
    """A client's id, or `HOME_ASSISTANT`."""
    destination: int
    channel: int
    raw: bytes = field(repr=False)
    """The ``MeshPacket`` as its sender wrote it."""
    payload: bytes = field(repr=False)
    """``Data.payload``."""
    want_ack: bool = True
    mutates: bool = False
    """Whether it changes the radio's configuration or node database."""
    repeatable: bool = True
    """Whether it may be sent again when the radio went away without a word about it."""
    query: AdminQuery | None = None
    """What is read from the radio for the mirror."""
    state: DeliveryState = DeliveryState.QUEUED
    error: RoutingError | int = RoutingError.NONE

    @property
    def verdict(self) -> int | None:
        """The ``Routing.Error`` that was heard of it last; None as long as nothing was."""
        match self.state:
            case DeliveryState.FAILED:
                return self.error
            case DeliveryState.RELAYED | DeliveryState.DELIVERED:
                return RoutingError.NONE
        return None


class Admission(Enum):
    """What became of a packet that was handed in."""

    QUEUED = auto()
    REPEATED = auto()
    """The same packet of the same sender is on its way already."""
    ID_IN_USE = auto()
    """Another packet has this id; the radio would drop this one without a word."""
    FULL = auto()
    """It could not leave in time."""


@dataclass(slots=True)
class _InFlight:
    parcel: Parcel
    sent_at: float
    is_asked: bool = False
    """Whether a heartbeat was sent behind it."""


class Outbox:
    """The bounded queue of all senders, and the memory of what was sent."""

    def __init__(
        self,
        write: Callable[[bytes], bool],
        on_change: Callable[[Outgoing, bool], None],
        clock: Callable[[], float],
    ) -> None:
        """Prepare an outbox without a radio.

        Args:
            write: Sends bytes to the radio; returns whether there is one to take them.
            on_change: Is told of every state of a packet, from the first on, and whether the mesh
                said so itself, in a packet that everybody sees.
            clock: Seconds that only grow.
        """
        self.counters: Counter[str] = Counter()
        self._write = write
        self._on_change = on_change
        self._clock = clock
        self._pacer = Pacer()
        self._known: OrderedDict[int, Outgoing] = OrderedDict()
        self._in_flight: dict[int, _InFlight] = {}
        self._recent: deque[int] = deque(maxlen=RADIO_MEMORY)
        self._is_open = False
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Return how many packets wait here."""
        return len(self._pacer)

    def open(self) -> None:
        """A radio is there and has been read: send."""
        self._is_open = True
        self._recent.clear()
        self._pacer.session_started(self._clock())
        self._pump()

    def close(self) -> None:
        """The radio is gone: hold everything back, also what it never answered for.

        The mesh recognises a repeated packet by its id, so repeating is safe and losing is not. A
        command to the radio itself is no packet of the mesh: a restart that was carried out before
        the radio could say so would be carried out at each connection.
        """
        self._is_open = False
        given_up: list[int] = []
        for flight in reversed(self._in_flight.values()):
            outgoing = self._known.get(flight.parcel.packet_id)
            if outgoing is None or outgoing.repeatable:
                self._pacer.put_back(flight.parcel)
            else:
                given_up.append(outgoing.packet_id)
        self._in_flight.clear()
        for packet_id in given_up:
            self._fail(packet_id, RoutingError.TIMEOUT)
        self._pump()

    def stop(self) -> None:
        """Forget everything; no timer is left."""
        self._is_open = False
        self._in_flight.clear()
        self._pacer.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def fail_all(self, error: RoutingError) -> None:
        """Give up everything that waits: it was meant for another radio."""
        parcels = [flight.parcel for flight in self._in_flight.values()] + self._pacer.clear()
        self._in_flight.clear()
        for parcel in parcels:
            self._fail(parcel.packet_id, error)

    def room_for(self, sender: str) -> int:
        """Return how many more packets a sender may queue."""
        return self._pacer.room_for(sender)

    def find(self, packet_id: int) -> Outgoing | None:
        """Return a packet that is remembered."""
        return self._known.get(packet_id)

    def submit(self, outgoing: Outgoing, payload: bytes) -> Admission:
        """Take a packet over.

        Args:
            outgoing: The packet; its id is not 0.
            payload: The ``ToRadio`` message to send.
        """
        packet_id = outgoing.packet_id
        known = self._known.get(packet_id)
        if known is not None and (known.state is DeliveryState.QUEUED or packet_id in self._recent):
            return self._submit_again(known, outgoing)
        parcel = Parcel(
            packet_id=packet_id, portnum=outgoing.portnum, sender=outgoing.sender, payload=payload
        )
        now = self._clock()
        gives_way: int | None = self._outdated_by(outgoing)
        if gives_way is not None:
            self.counters["outdated"] += 1
            self._pacer.replace(gives_way, parcel, now)
        else:
            if not self._pacer.accepts(outgoing.sender, outgoing.portnum, now):
                displaced = self._pacer.make_room(outgoing.sender, outgoing.portnum, now)
                if displaced is None:
                    self.counters["outbox_full"] += 1
                    return Admission.FULL
                self.counters["displaced"] += 1
                gives_way = displaced.packet_id
            self._pacer.put(parcel, now)
        self._known[packet_id] = outgoing
        self._known.move_to_end(packet_id)
        self._forget_old()
        self._pump()
        # Behind all that: who is told may send at once.
        self._on_change(outgoing, False)
        if gives_way is not None:
            self._fail(gives_way, RoutingError.RATE_LIMIT_EXCEEDED)
        return Admission.QUEUED

    def _submit_again(self, known: Outgoing, outgoing: Outgoing) -> Admission:
        """Take a packet whose id the radio has just seen, or is about to see."""
        if known.raw != outgoing.raw or HOME_ASSISTANT in {known.sender, outgoing.sender}:
            self.counters["id_in_use"] += 1
            return Admission.ID_IN_USE
        # A client whose connection broke off repeats by the next what it had no report of.
        known.sender = outgoing.sender
        self.counters["repeated"] += 1
        return Admission.REPEATED

    def _outdated_by(self, outgoing: Outgoing) -> int | None:
        """Return the waiting packet of the same sender that is needless with this one.

        A phone that lends its position tells it more often than the radio takes it: what waits
        would only be late.
        """
        if outgoing.portnum != PORT.POSITION_APP:
            return None
        for packet_id in self._pacer.waiting(outgoing.sender, outgoing.portnum):
            earlier = self._known[packet_id]
            is_elsewhere = (earlier.destination, earlier.channel) != (
                outgoing.destination,
                outgoing.channel,
            )
            if not (is_elsewhere or _asks(earlier) or _asks(outgoing)):
                return packet_id
        return None

    def is_waiting(self, packet_id: int) -> bool:
        """Return whether a packet has not left yet."""
        outgoing = self._known.get(packet_id)
        is_queued = outgoing is not None and outgoing.state is DeliveryState.QUEUED
        return is_queued and packet_id not in self._in_flight

    def withdraw(self, packet_id: int) -> bool:
        """Forget a packet that nobody waits for any more; returns whether it had not left yet."""
        if not self.is_waiting(packet_id):
            return False
        self._pacer.remove(packet_id)
        self._fail(packet_id, RoutingError.NO_INTERFACE)
        return True

    def submit_raw(self, sender: str, payload: bytes) -> bool:
        """Take over a ``ToRadio`` that is no packet; returns whether there was room for it."""
        if not self._is_open or not self._pacer.accepts(sender, _RAW, self._clock()):
            return False
        parcel = Parcel(packet_id=0, portnum=_RAW, sender=sender, payload=payload)
        self._pacer.put(parcel, self._clock())
        self._pump()
        return True

    def queue_status(self, result: int, free: int, packet_id: int) -> None:
        """Take the radio's word about its queue and, with an id, about a packet."""
        self._pacer.queue_status(free, self._clock())
        # The radio works in order, and keeps only two reports: where that of an earlier packet is
        # missing, a later one has pushed it out.
        sent = list(self._in_flight)
        if packet_id in self._in_flight:
            proven = sent[: sent.index(packet_id) + 1]
        elif packet_id == 0:
            proven = [known for known in sent if self._in_flight[known].is_asked]
        else:
            proven = []
        for earlier in proven:
            # All of them before anybody is told: who is told may send at once.
            del self._in_flight[earlier]
            self._pacer.reported(earlier, self._clock())
        for outgoing in [self._known[known] for known in proven if known in self._known]:
            if outgoing.packet_id != packet_id or result in _ACCEPTED:
                self._taken(outgoing)
            else:
                outgoing.error = _QUEUE_ERRORS.get(result, result)
                self.counters["refused_by_radio"] += 1
                self._change(outgoing, DeliveryState.FAILED)
        self._pump()

    def acknowledge(self, packet_id: int, error: int, *, by_recipient: bool) -> None:
        """Take the mesh's word about a packet.

        Args:
            packet_id: The acknowledged packet.
            error: ``Routing.Error``, 0 for none.
            by_recipient: Whether its recipient said so; else a relay was heard.
        """
        outgoing = self._known.get(packet_id)
        if outgoing is None or outgoing.state is DeliveryState.DELIVERED:
            return
        if outgoing.state is DeliveryState.QUEUED:
            # A new connection may be about to repeat it, which is needless now.
            self._pacer.remove(packet_id)
        if self._in_flight.pop(packet_id, None) is not None:
            self._pacer.reported(packet_id, self._clock())
            if not error:
                self._taken(outgoing)
        if error:
            outgoing.error = error
            self._change(outgoing, DeliveryState.FAILED, by_mesh=True)
        elif by_recipient:
            self._change(outgoing, DeliveryState.DELIVERED, by_mesh=True)
        elif outgoing.state is not DeliveryState.FAILED:
            self._change(outgoing, DeliveryState.RELAYED, by_mesh=True)

    def _pump(self) -> None:
        """Send what may be sent, give up what waited too long, and see when to come again."""
        now = self._clock()
        for parcel in self._pacer.expired(now):
            self.counters["expired"] += 1
            self._fail(
                parcel.packet_id,
                RoutingError.RATE_LIMIT_EXCEEDED if self._is_open else RoutingError.NO_INTERFACE,
            )
        self._ask_for_unanswered(now)
        while self._is_open and (ready := self._pacer.take(now)) is not None:
            if not self._write(encode(ready.payload)):
                self._pacer.put_back(ready)
                break
            self._sent(ready, now)
        self._schedule(now)

    def _sent(self, parcel: Parcel, now: float) -> None:
        self.counters["sent"] += 1
        if parcel.packet_id:
            self._recent.append(parcel.packet_id)
            self._pacer.await_report(parcel)
            self._in_flight[parcel.packet_id] = _InFlight(parcel, now)

    def _ask_for_unanswered(self, now: float) -> None:
        """Ask the radio whether it has read what it says nothing of; give up what it never read."""
        late = [
            flight for flight in self._in_flight.values() if now - flight.sent_at >= ANSWER_TIMEOUT
        ]
        for flight in late:
            # All of them before anybody is told: who is told may send at once.
            del self._in_flight[flight.parcel.packet_id]
            self._pacer.reported(flight.parcel.packet_id, now)
        for flight in late:
            self.counters["unanswered"] += 1
            self._fail(flight.parcel.packet_id, RoutingError.TIMEOUT)
        silent = [
            flight
            for flight in self._in_flight.values()
            if not flight.is_asked and now - flight.sent_at >= ASK_AFTER
        ]
        for flight in silent:
            flight.is_asked = True
        if silent:
            self._write(encode(HEARTBEAT))

    def _schedule(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._pacer.next_due(now, can_send=self._is_open)
        for flight in self._in_flight.values():
            patience = ANSWER_TIMEOUT if flight.is_asked else ASK_AFTER
            left = max(flight.sent_at + patience - now, 0.0)
            due = left if due is None else min(due, left)
        if due is not None:
            self._timer = asyncio.get_running_loop().call_later(due, self._pump)

    def _taken(self, outgoing: Outgoing) -> None:
        if outgoing.state is DeliveryState.QUEUED:
            self._change(outgoing, DeliveryState.SENT)

    def _fail(self, packet_id: int, error: RoutingError) -> None:
        outgoing = self._known.get(packet_id)
        if outgoing is not None and outgoing.state is DeliveryState.QUEUED:
            outgoing.error = error
            self._change(outgoing, DeliveryState.FAILED)

    def _change(self, outgoing: Outgoing, state: DeliveryState, *, by_mesh: bool = False) -> None:
        if outgoing.state is not state:
            outgoing.state = state
            self._on_change(outgoing, by_mesh)

    def _forget_old(self) -> None:
        for packet_id in tuple(self._known):
            if len(self._known) <= REMEMBERED:
                break
            if self._known[packet_id].state is not DeliveryState.QUEUED:
                del self._known[packet_id]


def _asks(outgoing: Outgoing) -> bool:
    """Return whether an answer is expected to a packet."""
    return packets.parse_packet(outgoing.raw).want_response
