"""A radio as the outbox sees it: it takes packets, and answers for them or does not."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from custom_components.meshmonitor.mesh.model import DeliveryState
from custom_components.meshmonitor.meshtastic.framing import FrameDecoder
from custom_components.meshmonitor.meshtastic.outbox import Admission, Outbox, Outgoing
from custom_components.meshmonitor.meshtastic.pacing import PORT, QUEUE_LENGTH
from custom_components.meshmonitor.meshtastic.session import HEARTBEAT


@dataclass
class Radio:
    """What stands at the end of the outbox: it takes every packet, and answers when told to."""

    clock: Callable[[], float]
    is_there: bool = True
    answers: bool = True
    """Whether a QueueStatus follows each packet, on the loop's next turn."""
    answers_heartbeats: bool = False
    heartbeats: int = 0
    outbox: Outbox = field(init=False)
    sent: list[tuple[float, int]] = field(default_factory=list)
    queued: list[int] = field(default_factory=list)
    """The ids of what was taken over, as it was told."""
    changes: list[tuple[int, DeliveryState, bool]] = field(default_factory=list)
    """All that was told afterwards."""
    on_change: Callable[[Outgoing], None] | None = None
    _began: float = 0.0

    def __post_init__(self) -> None:
        self._began = self.clock()
        self.outbox = Outbox(self.write, self.changed, self.clock)

    def write(self, data: bytes) -> bool:
        """Take one frame, whose payload is a packet's id here."""
        if not self.is_there:
            return False
        (payload,) = FrameDecoder().feed(data)
        if payload == HEARTBEAT:
            self.heartbeats += 1
            if self.answers_heartbeats:
                asyncio.get_running_loop().call_soon(self.outbox.queue_status, 0, QUEUE_LENGTH, 0)
            return True
        packet_id = int.from_bytes(payload)
        self.sent.append((round(self.clock() - self._began, 2), packet_id))
        if self.answers and packet_id:
            asyncio.get_running_loop().call_soon(
                self.outbox.queue_status, 0, QUEUE_LENGTH, packet_id
            )
        return True

    def changed(self, outgoing: Outgoing, by_mesh: bool) -> None:
        """Note a change."""
        if outgoing.state is DeliveryState.QUEUED:
            self.queued.append(outgoing.packet_id)
            return
        self.changes.append((outgoing.packet_id, outgoing.state, by_mesh))
        if self.on_change is not None:
            self.on_change(outgoing)

    def submit(
        self,
        packet_id: int,
        portnum: int = PORT.PRIVATE_APP,
        *,
        sender: str = "phone",
        raw: bytes = b"raw",
        destination: int = 1,
        repeatable: bool = True,
    ) -> Admission:
        """Hand a packet in."""
        outgoing = Outgoing(
            packet_id=packet_id,
            portnum=portnum,
            sender=sender,
            destination=destination,
            channel=0,
            raw=raw,
            payload=b"",
            repeatable=repeatable,
        )
        return self.outbox.submit(outgoing, packet_id.to_bytes(4))

    @property
    def ids(self) -> list[int]:
        """The ids of what was sent, in order."""
        return [packet_id for _, packet_id in self.sent]

    def state(self, packet_id: int) -> DeliveryState:
        """Return what is known of a packet."""
        outgoing = self.outbox.find(packet_id)
        assert outgoing is not None
        return outgoing.state

    def error(self, packet_id: int) -> int:
        """Return why a packet failed."""
        outgoing = self.outbox.find(packet_id)
        assert outgoing is not None
        return outgoing.error
