"""What a Meshtastic node does with one client connection.

Source: `src/mesh/PhoneAPI.cpp` of the firmware. No I/O: received payloads go in, payloads to send
come out.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Final

from google.protobuf.message import DecodeError
from meshtastic.protobuf import mesh_pb2

from .meshtastic_config import Clock, NodeConfig
from .meshtastic_dump import ONLY_CONFIG, complete_frame, dump, replay
from .meshtastic_mesh import PORTS, Port
from .meshtastic_queues import PhoneQueues
from .meshtastic_router import Router
from .meshtastic_state import BROADCAST, NodeState

REMEMBERED_IDS: Final = 20
"""How many packet ids of its client a connection remembers; a repeated one is dropped unseen."""
MAX_DATA: Final = 233
"""Bytes in the largest `Data.payload`; the firmware cannot decode a larger one."""
NODEINFO_PING: Final = 1
"""The heartbeat nonce that makes the firmware broadcast its node info (since 2.7.23). Such a
heartbeat is not answered."""

WINDOWS: Final[dict[Port, float]] = {
    PORTS.TRACEROUTE_APP: 30.0,
    PORTS.POSITION_APP: 10.0,
    PORTS.WAYPOINT_APP: 10.0,
    PORTS.ALERT_APP: 10.0,
    PORTS.TELEMETRY_APP: 10.0,
    PORTS.TEXT_MESSAGE_APP: 2.0,
}
"""Seconds that must lie between two accepted packets of a port."""


class PhoneApi:
    """One connection's state: handshake, remembered ids, rate limits."""

    def __init__(
        self,
        config: NodeConfig,
        state: NodeState,
        router: Router,
        queues: PhoneQueues,
        tally: Counter[str],
        clock: Clock,
        now: Callable[[], int],
    ) -> None:
        """Work with the node's parts.

        `clock` measures the rate limits, `now` gives seconds since 1970.
        """
        self._config = config
        self._state = state
        self._router = router
        self._queues = queues
        self._tally = tally
        self._clock = clock
        self._now = now
        self._recent_ids: deque[int] = deque(maxlen=REMEMBERED_IDS)
        self._last_accepted: dict[Port, float] = {}
        self._dump: Iterator[bytes] | None = None
        self._replay: Iterator[bytes] | None = None
        self._nonce = 0
        self._heartbeat = False
        self.sends_packets = False
        """Whether the handshake is done and live frames flow."""
        self.disconnected = False
        """Whether the client asked to be disconnected."""

    @property
    def dumping(self) -> bool:
        """Whether the answer to `want_config_id` is still under way."""
        return self._dump is not None

    def reset(self) -> None:
        """Go back to the state before a handshake, as closing the connection does."""
        self._dump = self._replay = None
        self._heartbeat = self.sends_packets = self.disconnected = False
        self._last_accepted.clear()

    # From the client.

    def receive(self, payload: bytes) -> None:
        """Act on one `ToRadio` payload. What cannot be decoded is counted and ignored."""
        try:
            message = mesh_pb2.ToRadio.FromString(payload)
        except DecodeError:
            self._tally["malformed"] += 1
            return
        match message.WhichOneof("payload_variant"):
            case "packet":
                self._receive_packet(message.packet)
            case "want_config_id":
                self._start_dump(message.want_config_id)
            case "heartbeat":
                self._receive_heartbeat(message.heartbeat.nonce)
            case "disconnect":
                self._tally["disconnects"] += 1
                self.disconnected = True
            case "xmodemPacket":
                self._tally["xmodem"] += 1
            case "mqttClientProxyMessage":
                mqtt = self._state.modules["mqtt"].mqtt
                wanted = self.sends_packets and mqtt.enabled and mqtt.proxy_to_client_enabled
                self._tally["mqtt_accepted" if wanted else "mqtt_ignored"] += 1
            case None:
                self._tally["empty_or_unknown"] += 1

    def _start_dump(self, nonce: int) -> None:
        if self.dumping:
            self._tally["overlapping_requests"] += 1
        self._nonce = nonce
        self.sends_packets = False
        self._replay = None
        self._dump = dump(self._state, self._config.flavour, nonce, self._now())

    def _receive_heartbeat(self, nonce: int) -> None:
        if nonce == NODEINFO_PING:
            self._tally["nodeinfo_pings"] += 1
        elif self._config.answers_heartbeat:
            self._heartbeat = True

    def _receive_packet(self, packet: mesh_pb2.MeshPacket) -> None:
        if len(packet.decoded.payload) > MAX_DATA:
            self._tally["malformed"] += 1
            return
        if packet.HasField("encrypted"):
            self._tally["encrypted"] += 1
        if packet.id:
            if packet.id in self._recent_ids:
                self._tally["duplicates"] += 1
                return
            # Noted before the limits are checked: to send a refused packet again is in vain.
            self._recent_ids.append(packet.id)
        port = packet.decoded.portnum
        if self._is_too_soon(port):
            self._tally[f"rate_limited_{PORTS.Name(port)}"] += 1
            self._router.report(packet.id)
            if port == PORTS.TRACEROUTE_APP:
                self._notify(packet.id, "TraceRoute can only be sent once every 30 seconds")
            elif port == PORTS.TEXT_MESSAGE_APP:
                self._router.refuse_rate(packet)
            return
        if port == PORTS.TRACEROUTE_APP:
            if packet.to == BROADCAST and packet.hop_limit:
                self._tally["broadcast_traceroutes"] += 1
                self._router.report(packet.id)
                self._notify(packet.id, "Multi-hop traceroute to broadcast address is not allowed")
                return
            packet.want_ack = packet.want_ack or packet.to != BROADCAST
        self._last_accepted[port] = self._clock()
        self._router.from_phone(packet)

    def _is_too_soon(self, port: Port) -> bool:
        window, last = WINDOWS.get(port), self._last_accepted.get(port)
        return window is not None and last is not None and self._clock() - last < window

    def _notify(self, packet_id: int, message: str) -> None:
        self._queues.put_notification(
            mesh_pb2.ClientNotification(
                reply_id=packet_id,
                time=self._now() if self._state.time_known else 0,
                level=mesh_pb2.LogRecord.Level.WARNING,
                message=message,
            )
        )

    # To the client.

    def next_payload(self) -> bytes | None:
        """Return the `FromRadio` payload that goes next, or `None` when there is none for now."""
        if self._heartbeat:
            # Answered in any state, even before a handshake.
            self._heartbeat = False
            return mesh_pb2.FromRadio(queueStatus=self._router.queue_status()).SerializeToString()
        if self._dump is not None:
            if (payload := next(self._dump, None)) is not None:
                return payload
            self._dump = None
            self.sends_packets = True
            if self._config.flavour == "2.8" and self._nonce != ONLY_CONFIG:
                self._replay = replay(self._state)
            return complete_frame(self._nonce)
        if not self.sends_packets:
            return None
        if (payload := self._queues.take()) is not None:
            return payload
        return next(self._replay, None) if self._replay is not None else None
