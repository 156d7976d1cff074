"""Where a simulated Meshtastic node sends a packet: to its own modules, or on the air.

Source: `src/mesh/Router.cpp`, `ReliableRouter.cpp` and `MeshService.cpp` of the firmware, and
recordings of 2.7.26 and 2.8.0.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from meshtastic.protobuf import admin_pb2, channel_pb2, mesh_pb2, telemetry_pb2

from .meshtastic_admin import AdminModule
from .meshtastic_config import NodeConfig
from .meshtastic_mesh import (
    HOP_LIMIT,
    NO_ERROR,
    PORTS,
    Mesh,
    Port,
    RoutingError,
    decode,
    make_packet,
    routing_payload,
    sender,
)
from .meshtastic_queues import PhoneQueues
from .meshtastic_state import BROADCAST, BROADCAST_NO_LORA, NodeState

ERROR: Final = mesh_pb2.Routing.Error
PRIORITY: Final = mesh_pb2.MeshPacket.Priority
QUEUE_FULL: Final = 32
"""`QueueStatus.res` when a packet found no room (`ERRNO_UNKNOWN`)."""


@dataclass(frozen=True, slots=True)
class _LocalAnswer:
    """A packet of the node's own for the client."""

    packet: mesh_pb2.MeshPacket
    reported: bool
    """Whether it takes the way of a sent packet, which makes a `QueueStatus` of its own."""


class Router:
    """Takes the client's packets, and the air's answers to them."""

    def __init__(
        self,
        config: NodeConfig,
        state: NodeState,
        mesh: Mesh,
        admin: AdminModule,
        queues: PhoneQueues,
        tally: Counter[str],
        later: Callable[[float, Callable[[], None]], None],
        now: Callable[[], int],
    ) -> None:
        """Work with the given parts.

        `later(seconds, call)` runs a call after a while; `now` gives seconds since 1970.
        """
        self._config = config
        self._state = state
        self._mesh = mesh
        self._admin = admin
        self._queues = queues
        self._tally = tally
        self._later = later
        self._now = now
        self._in_flight = 0
        self._last_free = config.tx_queue
        self.queue_fill = 0
        """Packets of the node's own that occupy the transmit queue; a test may set it."""
        self.accepted: list[mesh_pb2.MeshPacket] = []
        """Every packet that passed the connection's limits, as the node completed it."""
        self.on_air: list[mesh_pb2.MeshPacket] = []
        """Every packet that was transmitted."""

    # The client's side.

    def from_phone(self, packet: mesh_pb2.MeshPacket) -> None:
        """Send a client's packet on its way and report the outcome with a `QueueStatus`."""
        setattr(packet, "from", self._state.num)
        packet.id = packet.id or self._mesh.next_id()
        if self._state.time_known:
            packet.rx_time = self._now()
        self.accepted.append(packet)
        if packet.to == self._state.num:
            self._deliver_locally(packet)
            return
        if packet.to in {BROADCAST, BROADCAST_NO_LORA} and self._is(packet, PORTS.ADMIN_APP):
            # The firmware takes a broadcast for "to us" without asking which module it is for.
            for answer in self._local_answers(packet):
                self._to_phone(answer.packet)
        if packet.to == 0:
            self._tally["to_nobody"] += 1
            self.report(packet.id)
        elif packet.to == BROADCAST_NO_LORA:
            self.report(packet.id)
        elif (refusal := self._refusal(packet)) is not None:
            self.report(packet.id, refusal)
            self._to_phone(self._own_routing(packet.id, refusal))
        elif self.free == 0:
            self.report(packet.id, QUEUE_FULL)
            if packet.want_ack:
                failed = self._own_routing(packet.id, ERROR.MAX_RETRANSMIT)
                self._later(self._config.ack_delay, lambda: self._to_phone(failed))
        else:
            self._transmit(packet)

    def refuse_rate(self, packet: mesh_pb2.MeshPacket) -> None:
        """Answer a text that came too soon, addressed as the client wrote `from`.

        A client that leaves `from` at 0 never sees the refusal: it goes on the air to node 0.
        """
        to = sender(packet)
        nak = self._own_routing(packet.id, ERROR.RATE_LIMIT_EXCEEDED)
        nak.to = to
        if to == self._state.num:
            self._to_phone(nak)
        else:
            self._put_on_air(nak)

    @property
    def free(self) -> int:
        """Free places in the transmit queue."""
        return max(self._config.tx_queue - self._in_flight - self.queue_fill, 0)

    def queue_status(self, packet_id: int = 0, res: int = 0) -> mesh_pb2.QueueStatus:
        """Return the state of the transmit queue."""
        maxlen = self._config.tx_queue
        return mesh_pb2.QueueStatus(
            res=res, free=self.free, maxlen=maxlen, mesh_packet_id=packet_id
        )

    def report(self, packet_id: int, res: int = 0) -> None:
        """Tell the client what became of its packet."""
        status = self.queue_status(packet_id, res)
        self._last_free = status.free
        self._queues.put_queue_status(status)

    # Packets to the node itself.

    def _deliver_locally(self, packet: mesh_pb2.MeshPacket) -> None:
        answers = self._local_answers(packet)
        if self._config.flavour == "2.7":
            self.report(packet.id)
        for answer in answers:
            if answer.reported:
                self.report(answer.packet.id)
        if self._config.flavour == "2.8":
            self.report(packet.id)
        for answer in answers:
            self._to_phone(answer.packet)

    def _local_answers(self, packet: mesh_pb2.MeshPacket) -> list[_LocalAnswer]:
        reply = self._module_reply(packet)
        if isinstance(reply, bytes):
            answer = self._own(packet.decoded.portnum, reply, packet.id)
            answer.priority = PRIORITY.RELIABLE
            answer.channel = packet.channel
            answer.pki_encrypted = packet.pki_encrypted
            return [_LocalAnswer(answer, reported=True)]
        if reply is not None or packet.want_ack:
            error = NO_ERROR if reply is None else reply
            routing = self._own_routing(packet.id, error)
            routing.hop_limit = HOP_LIMIT
            return [_LocalAnswer(routing, reported=reply is not None)]
        return []

    def _module_reply(self, packet: mesh_pb2.MeshPacket) -> bytes | RoutingError | None:
        """Let the node's own modules see `packet` and return a reply's payload, or an error."""
        if not packet.HasField("decoded"):
            return None
        data = packet.decoded
        match data.portnum:
            case PORTS.ADMIN_APP:
                answer = self._admin.handle(data.payload, want_response=data.want_response)
                if isinstance(answer, admin_pb2.AdminMessage):
                    return answer.SerializeToString()
                return answer
            case PORTS.POSITION_APP if data.want_response:
                return self._state.position.SerializeToString()
            case PORTS.POSITION_APP:
                # A phone lends the node its own position.
                self._state.position.CopyFrom(decode(mesh_pb2.Position, data.payload))
                self._tally["own_positions"] += 1
            case PORTS.TELEMETRY_APP if data.want_response:
                return self._own_telemetry(data.payload)
            case PORTS.SIMULATOR_APP:
                self._tally["injected_by_simulator_port"] += 1
        return None

    def _own_telemetry(self, request: bytes) -> bytes | None:
        asked = decode(telemetry_pb2.Telemetry, request).WhichOneof("variant")
        measured = telemetry_pb2.Telemetry(time=self._now())
        if asked == "local_stats":
            measured.local_stats.CopyFrom(
                telemetry_pb2.LocalStats(
                    uptime_seconds=self._state.metrics.uptime_seconds,
                    channel_utilization=self._state.metrics.channel_utilization,
                    air_util_tx=self._state.metrics.air_util_tx,
                    num_packets_tx=len(self.on_air),
                    num_total_nodes=len(self._state.nodes) + 1,
                )
            )
        elif asked in {None, "device_metrics"}:
            measured.device_metrics.CopyFrom(self._state.metrics)
        else:
            return None
        return measured.SerializeToString()

    # The air's side.

    def _refusal(self, packet: mesh_pb2.MeshPacket) -> RoutingError | None:
        """Return why `packet` cannot be transmitted, or `None`."""
        channels = self._state.channels
        disabled = channel_pb2.Channel.Role.DISABLED
        if packet.channel >= len(channels) or channels[packet.channel].role == disabled:
            return ERROR.NO_CHANNEL
        known_key = self._state.public_key(packet.to)
        if packet.public_key and packet.public_key != known_key:
            return ERROR.PKI_FAILED
        if (
            self._config.flavour == "2.8"
            and packet.to != BROADCAST
            and not known_key
            and self._is(packet, PORTS.TEXT_MESSAGE_APP)
        ):
            return ERROR.PKI_SEND_FAIL_PUBLIC_KEY
        return None

    def _transmit(self, packet: mesh_pb2.MeshPacket) -> None:
        self._put_on_air(packet)
        self.report(packet.id)

    def _put_on_air(self, packet: mesh_pb2.MeshPacket) -> None:
        self._in_flight += 1
        self.on_air.append(packet)
        self._later(self._config.ack_delay, lambda: self._aired(packet))

    def _aired(self, packet: mesh_pb2.MeshPacket) -> None:
        """Let the air answer a transmitted packet."""
        self._in_flight -= 1
        if self._last_free == 0 < self.free:
            self.report(0)  # Unasked: there is room again.
        if packet.to == BROADCAST:
            if packet.want_ack:
                heard = NO_ERROR if self._mesh.is_heard() else ERROR.MAX_RETRANSMIT
                self._to_phone(self._own_routing(packet.id, heard))
            return
        answers = self._mesh.answers(packet, self._now())
        for answer in answers:
            self._to_phone(answer)
        if not answers and packet.want_ack:
            self._to_phone(self._own_routing(packet.id, ERROR.MAX_RETRANSMIT))

    def _to_phone(self, packet: mesh_pb2.MeshPacket) -> None:
        payload = mesh_pb2.FromRadio(packet=packet).SerializeToString()
        self._queues.put_packet(payload, text=self._is(packet, PORTS.TEXT_MESSAGE_APP))

    def _own(self, port: Port, payload: bytes, request_id: int) -> mesh_pb2.MeshPacket:
        """Return a packet of the node's own to its client."""
        num = self._state.num
        packet = make_packet(num, num, port, payload, self._mesh.next_id(), request_id)
        packet.hop_limit = HOP_LIMIT
        if self._state.time_known:
            packet.rx_time = self._now()
        return packet

    def _own_routing(self, request_id: int, error: RoutingError) -> mesh_pb2.MeshPacket:
        packet = self._own(PORTS.ROUTING_APP, routing_payload(error), request_id)
        packet.priority = PRIORITY.ACK
        packet.ClearField("hop_limit")
        return packet

    @staticmethod
    def _is(packet: mesh_pb2.MeshPacket, port: Port) -> bool:
        return packet.HasField("decoded") and packet.decoded.portnum == port
