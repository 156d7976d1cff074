"""The other nodes of a simulated Meshtastic mesh: who they are, and what they answer.

Nothing here knows a connection or a timer. A packet that the simulated node transmitted goes in,
the packets that come back over the air come out, dressed as the firmware hands them to a client
(recordings of 2.7.26 and 2.8.0).
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
import math
import random
from typing import Final

from google.protobuf.message import DecodeError, Message
from meshtastic.protobuf import config_pb2, mesh_pb2, portnums_pb2, telemetry_pb2

from .meshtastic_config import NodeConfig
from .meshtastic_state import BROADCAST, NodeState, node_id

type Port = portnums_pb2.PortNum.ValueType
type RoutingError = mesh_pb2.Routing.Error.ValueType

PORTS: Final = portnums_pb2.PortNum
HOP_LIMIT: Final = 3
NO_ERROR: Final = mesh_pb2.Routing.Error.NONE

NAMES: Final = (
    "Windmill", "Old Harbour", "Water Tower", "Station Roof", "Blue Bicycle", "Allotment",
    "Lighthouse", "Ferry", "Observatory", "Bakery", "Canal House", "Hilltop", "School Yard",
    "Greenhouse", "Fire Watch", "Camper", "Ridge", "Boathouse", "Orchard", "Bell Tower",
)  # fmt: skip
ROLES: Final = ("CLIENT", "CLIENT", "CLIENT", "ROUTER", "TRACKER", "CLIENT_MUTE", "SENSOR")
HARDWARE: Final = ("HELTEC_V3", "TBEAM", "RAK4631", "T_ECHO", "T_DECK", "STATION_G2")


@dataclass(slots=True)
class Peer:
    """One node of the mesh, as it really is. What the simulated node knows of it is elsewhere."""

    num: int
    user: mesh_pb2.User
    route: tuple[int, ...] = ()
    """The nodes between, nearest first; empty for a direct neighbour."""
    snr: float = 6.25
    rssi: int = -62
    position: mesh_pb2.Position | None = None
    metrics: telemetry_pb2.DeviceMetrics = field(default_factory=telemetry_pb2.DeviceMetrics)
    environment: telemetry_pb2.EnvironmentMetrics | None = None
    silent: bool = False
    """Out of reach: it neither acknowledges nor answers nor repeats."""
    refuses: RoutingError | None = None
    """Answer every packet to it with this error."""
    echoes: bool = False
    """Answer a direct text with a text."""

    @property
    def hops(self) -> int:
        """How many nodes stand between; 0 for a direct neighbour."""
        return len(self.route)


def sender(packet: mesh_pb2.MeshPacket) -> int:
    """Return the field that Python cannot name: `from`."""
    num: int = getattr(packet, "from")
    return num


def text_of(packet: mesh_pb2.MeshPacket) -> str:
    """Return a text packet's text."""
    return packet.decoded.payload.decode(errors="replace")


def make_packet(
    source: int, to: int, port: Port, payload: bytes, packet_id: int, request_id: int = 0
) -> mesh_pb2.MeshPacket:
    """Return a decoded packet with the fields that every packet has."""
    data = mesh_pb2.Data(portnum=port, payload=payload, request_id=request_id)
    packet = mesh_pb2.MeshPacket(to=to, decoded=data, id=packet_id)
    setattr(packet, "from", source)
    return packet


def routing_payload(error: RoutingError) -> bytes:
    """Return a `Routing` message with `error`, explicit even when it is NONE."""
    return mesh_pb2.Routing(error_reason=error).SerializeToString()


def decode[M: Message](kind: type[M], payload: bytes) -> M:
    """Return `payload` as a message of `kind`, an empty one if it is none."""
    message = kind()
    with suppress(DecodeError):
        message.ParseFromString(payload)
    return message


class Mesh:
    """All other nodes, and the air between them and the simulated node."""

    def __init__(self, config: NodeConfig, state: NodeState) -> None:
        """Make `config.nodes - 1` peers from the seed and enter them in the node database."""
        self._config = config
        self._state = state
        self.rng = random.Random(config.seed * 7919 + 1)
        self.peers: dict[int, Peer] = {}
        for i in range(config.nodes - 1):
            self._add_made_up_peer(i)
        for peer in self.peers.values():
            self._enter(peer)

    def next_id(self) -> int:
        """Return a fresh packet id."""
        return self.rng.randrange(1, 2**32)

    def peer(self, num: int) -> Peer:
        """Return peer `num`, a stranger without a name if there is none yet."""
        if (peer := self.peers.get(num)) is None:
            peer = self.peers[num] = Peer(num, mesh_pb2.User(id=node_id(num)))
        return peer

    def add(self, num: int, long_name: str, short_name: str) -> Peer:
        """Add a named direct neighbour that the simulated node has not heard yet."""
        peer = self.peers[num] = Peer(
            num,
            mesh_pb2.User(
                id=node_id(num),
                long_name=long_name,
                short_name=short_name,
                hw_model=mesh_pb2.HardwareModel.TBEAM,
                public_key=self.rng.randbytes(32),
                is_unmessagable=False,
            ),
        )
        return peer

    # What comes in over the air.

    def from_air(
        self,
        peer: Peer,
        port: Port,
        payload: bytes,
        *,
        now: int,
        to: int = BROADCAST,
        channel: int = 0,
        request_id: int = 0,
        packet_id: int | None = None,
    ) -> mesh_pb2.MeshPacket:
        """Return a packet of `peer` as it arrives, and note in the database that it was heard.

        `now` is the time in seconds since 1970; it is left out where the node has no clock.
        """
        packet = make_packet(peer.num, to, port, payload, packet_id or self.next_id(), request_id)
        packet.decoded.bitfield = 0
        packet.channel = channel
        # An answer is given one hop more than it needs, and knows the way back.
        packet.hop_start = min(peer.hops + 2, HOP_LIMIT) if request_id else HOP_LIMIT
        packet.hop_limit = max(packet.hop_start - peer.hops, 0)
        packet.rx_snr = peer.snr + self.rng.choice((-0.5, 0.0, 0.5))
        packet.rx_rssi = peer.rssi + self.rng.randint(-3, 3)
        packet.relay_node = (peer.route[0] if peer.route else peer.num) & 0xFF
        packet.transport_mechanism = mesh_pb2.MeshPacket.TransportMechanism.TRANSPORT_LORA
        if request_id:
            packet.next_hop = self._state.num & 0xFF
        record = self._state.heard(peer.num)
        record.snr = packet.rx_snr
        record.hops_away = peer.hops
        if self._state.time_known:
            packet.rx_time = record.last_heard = now
        self._learn(record, port, payload)
        return packet

    def _learn(self, record: mesh_pb2.NodeInfo, port: Port, payload: bytes) -> None:
        """Keep what a packet tells of its sender, as the node database does."""
        match port:
            case PORTS.NODEINFO_APP:
                record.user.CopyFrom(decode(mesh_pb2.User, payload))
            case PORTS.POSITION_APP:
                record.position.CopyFrom(decode(mesh_pb2.Position, payload))
            case PORTS.NODE_STATUS_APP:
                status = decode(mesh_pb2.StatusMessage, payload).status
                self._state.status[record.num] = status
            case PORTS.TELEMETRY_APP:
                measured = decode(telemetry_pb2.Telemetry, payload)
                match measured.WhichOneof("variant"):
                    case "device_metrics":
                        record.device_metrics.CopyFrom(measured.device_metrics)
                    case "environment_metrics":
                        self._state.environment[record.num] = measured.environment_metrics

    def direct(self, packet: mesh_pb2.MeshPacket, peer: Peer) -> mesh_pb2.MeshPacket:
        """Return `packet` marked as encrypted for this node alone, where the peer has a key."""
        if peer.user.public_key:
            packet.pki_encrypted = True
            packet.public_key = peer.user.public_key
            packet.channel = 0
        return packet

    # What a transmitted packet brings back.

    def is_heard(self) -> bool:
        """Tell whether any neighbour repeats a broadcast."""
        return any(not peer.silent for peer in self.peers.values())

    def answers(self, packet: mesh_pb2.MeshPacket, now: int) -> list[mesh_pb2.MeshPacket]:
        """Return what comes back for `packet`, which was sent to one node, in order of arrival.

        Empty when nobody answers, be it by design or because the destination is out of reach.
        """
        peer = self.peers.get(packet.to)
        if peer is None or peer.silent:
            return []
        if peer.refuses is not None:
            return [self._routing(peer, packet, peer.refuses, now)]
        if packet.HasField("decoded") and packet.decoded.portnum == PORTS.ADMIN_APP:
            refused = mesh_pb2.Routing.Error.NOT_AUTHORIZED
            return [self._routing(peer, packet, refused, now)]
        return list(self._answers_of(peer, packet, now))

    def _answers_of(
        self, peer: Peer, packet: mesh_pb2.MeshPacket, now: int
    ) -> Iterator[mesh_pb2.MeshPacket]:
        data = packet.decoded
        if data.want_response:
            reply = self._reply(peer, packet)
            if reply is None:
                yield self._routing(peer, packet, mesh_pb2.Routing.Error.NO_RESPONSE, now)
                return
            # A reply counts as the acknowledgement: no other one is sent.
            answer = self.from_air(
                peer, data.portnum, reply, now=now, to=self._state.num, request_id=packet.id
            )
            answer.want_ack = packet.want_ack
            yield self.direct(answer, peer) if data.portnum == PORTS.TELEMETRY_APP else answer
        elif packet.want_ack:
            ack = self._routing(peer, packet, NO_ERROR, now)
            ack.want_ack = data.portnum == PORTS.TEXT_MESSAGE_APP
            yield ack
        if peer.echoes and data.portnum == PORTS.TEXT_MESSAGE_APP and not data.emoji:
            text = b"Got it: " + data.payload[:200]
            echo = self.from_air(peer, PORTS.TEXT_MESSAGE_APP, text, now=now, to=self._state.num)
            echo.decoded.reply_id = packet.id
            echo.want_ack = True
            yield self.direct(echo, peer)

    def _routing(
        self, peer: Peer, packet: mesh_pb2.MeshPacket, error: RoutingError, now: int
    ) -> mesh_pb2.MeshPacket:
        return self.from_air(
            peer,
            PORTS.ROUTING_APP,
            routing_payload(error),
            now=now,
            to=self._state.num,
            request_id=packet.id,
        )

    def _reply(self, peer: Peer, packet: mesh_pb2.MeshPacket) -> bytes | None:
        """Return what the module of the packet's port replies, or `None` if it has nothing."""
        match packet.decoded.portnum:
            case PORTS.POSITION_APP:
                return None if peer.position is None else peer.position.SerializeToString()
            case PORTS.NODEINFO_APP:
                return peer.user.SerializeToString()
            case PORTS.TELEMETRY_APP:
                return self._telemetry_reply(peer, packet.decoded.payload)
            case PORTS.TRACEROUTE_APP:
                return self._traceroute_reply(peer)
        return None

    def _telemetry_reply(self, peer: Peer, request: bytes) -> bytes | None:
        asked = decode(telemetry_pb2.Telemetry, request).WhichOneof("variant")
        if asked == "environment_metrics":
            if peer.environment is None:
                return None
            measured = telemetry_pb2.Telemetry(environment_metrics=peer.environment)
        else:
            measured = telemetry_pb2.Telemetry(device_metrics=peer.metrics)
        return measured.SerializeToString()

    def _traceroute_reply(self, peer: Peer) -> bytes:
        def quarters() -> list[int]:
            """One signal-to-noise figure a hop, in quarter dB."""
            return [round(peer.snr * 4) - 3 * hop for hop in range(peer.hops + 1)]

        return mesh_pb2.RouteDiscovery(
            route=peer.route,
            snr_towards=quarters(),
            route_back=peer.route[::-1],
            snr_back=quarters(),
        ).SerializeToString()

    # Making the mesh.

    def _add_made_up_peer(self, i: int) -> None:
        rng, config = self.rng, self._config
        num = rng.randrange(0x100, BROADCAST)
        while num in self.peers or num == self._state.num:
            num = rng.randrange(0x100, BROADCAST)
        name = NAMES[i % len(NAMES)] + (f" {i // len(NAMES) + 1}" if i >= len(NAMES) else "")
        neighbours = [p.num for p in self.peers.values() if not p.route]
        hops = min((0, 0, 1, 0, 2)[i % 5], len(neighbours))
        angle, distance = rng.uniform(0, math.tau), rng.uniform(0.005, 0.08)
        peer = Peer(
            num,
            mesh_pb2.User(
                id=node_id(num),
                long_name=name,
                short_name=f"{''.join(w[0] for w in name.split())[:2]}{i % 100:02}"[-4:],
                macaddr=rng.randbytes(2) + num.to_bytes(4),
                hw_model=mesh_pb2.HardwareModel.Value(HARDWARE[i % len(HARDWARE)]),
                role=config_pb2.Config.DeviceConfig.Role.Value(ROLES[i % len(ROLES)]),
                public_key=rng.randbytes(32),
                is_unmessagable=False,
            ),
            route=tuple(rng.sample(neighbours, hops)),
            snr=rng.randint(-40, 40) / 4,
            rssi=rng.randint(-118, -55),
            metrics=telemetry_pb2.DeviceMetrics(
                battery_level=101 if i % 6 == 5 else rng.randint(15, 100),
                voltage=round(rng.uniform(3.4, 4.2), 2),
                channel_utilization=round(rng.uniform(1, 14), 2),
                air_util_tx=round(rng.uniform(0.1, 3), 2),
                uptime_seconds=rng.randint(600, 2_000_000),
            ),
        )
        if i % 4 != 3:
            peer.position = mesh_pb2.Position(
                latitude_i=round((config.latitude + distance * math.sin(angle)) * 1e7),
                longitude_i=round((config.longitude + 1.6 * distance * math.cos(angle)) * 1e7),
                altitude=rng.randint(-2, 60),
                sats_in_view=rng.randint(5, 14),
                precision_bits=(32, 32, 16, 13)[i % 4],
            )
        if i % 3 == 0:
            peer.environment = telemetry_pb2.EnvironmentMetrics(
                temperature=round(rng.uniform(4, 27), 1),
                relative_humidity=round(rng.uniform(35, 95), 1),
                barometric_pressure=round(rng.uniform(990, 1035), 1),
            )
        self.peers[num] = peer

    def _enter(self, peer: Peer) -> None:
        """Put `peer` in the node database as if it had been heard some time ago."""
        state, index = self._state, len(self._state.nodes)
        record = state.heard(peer.num)
        record.snr = peer.snr
        record.hops_away = peer.hops
        record.via_mqtt = index % 10 == 9
        record.is_favorite = index == 1
        if state.time_known:
            record.last_heard = 1_795_000_000 + 60 * index
        if index % 25 == 24:
            return  # A node of which nothing but its number was heard.
        record.user.CopyFrom(peer.user)
        record.device_metrics.CopyFrom(peer.metrics)
        if peer.position is not None:
            record.position.CopyFrom(peer.position)
            record.position.time = record.last_heard
        if peer.environment is not None:
            state.environment[peer.num] = peer.environment
