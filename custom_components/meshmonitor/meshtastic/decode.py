"""From packets and the mirror to the terms of `mesh.model`.

Nothing here raises for what came over the air: a payload that is broken gives what is safe, or
nothing, and is counted.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from ..mesh.model import (
    Channel,
    Identity,
    Message,
    MessageKind,
    Node,
    Origin,
    RouteHop,
    Traceroute,
    Waypoint,
)
from . import describe, names, packets, telemetry, wire
from .mirror import Mirror
from .mirror_state import MirrorState, number_field, text_field
from .packets import MeshPacket, sane_time
from .reports import (
    Acknowledgement,
    Decoded,
    NeighborReport,
    PositionReport,
    StatusReport,
    TelemetryReport,
)

_SNR_UNKNOWN: Final = -128
_SNR_FACTOR: Final = 4

# StoreAndForward.RequestResponse
_ROUTER_TEXT_DIRECT: Final = 8
_ROUTER_TEXT_BROADCAST: Final = 9


class Decoder:
    """Reads packets and the mirror of one radio."""

    def __init__(self, mirror: Mirror) -> None:
        """Read with the help of a mirror, which knows names and channels."""
        self._mirror = mirror
        self.counters: Counter[str] = Counter()
        """What could not be read, by a stable name."""

    def identity(self) -> Identity | None:
        """Return who the radio is; None as long as nothing was captured."""
        state = self._mirror.state
        return describe.identity(state) if state else None

    def channels(self) -> list[Channel]:
        """Return the channels that are in use, by index."""
        state = self._mirror.state
        return describe.channels(state) if state else []

    def node(self, num: int, now: float | None = None) -> Node | None:
        """Return what is known of a node; None where it is not known at all.

        Args:
            num: The node's number.
            now: The present, Unix seconds; given, times ahead of it are not believed.
        """
        state = self._mirror.state
        record = state.nodes.get(num) if state else None
        if state is None or record is None:
            return None
        if now is None:
            return describe.node(state, record)
        if record.described is None:
            record.described = describe.node(state, record, now)
        return record.described

    def node_ids(self) -> list[str]:
        """Return the ids of all nodes that are known, the own one included."""
        state = self._mirror.state
        return [names.node_id(num) for num in state.nodes] if state else []

    def nodes(self, now: float | None = None) -> dict[str, Node]:
        """Return all nodes that are known, the own one included, by node id."""
        state = self._mirror.state
        found = (self.node(num, now) for num in state.nodes) if state else ()
        return {node.node_id: node for node in found if node is not None}

    def packet(
        self,
        raw: bytes,
        now: float,
        *,
        origin: Origin = Origin.RADIO,
        client: str | None = None,
    ) -> list[Decoded]:
        """Return what a packet says.

        Args:
            raw: A ``MeshPacket`` as it came, from the radio or from a client.
            now: The present, Unix seconds.
            origin: Where it entered. Packets that did not come from the radio are its own.
            client: The virtual node's client that sent it, for `Origin.PHONE`.
        """
        try:
            packet = packets.parse_packet(raw)
        except wire.WireError:
            self.counters["malformed"] += 1
            return []
        return self.read(packet, now, origin=origin, client=client)

    def read(
        self,
        packet: MeshPacket,
        now: float,
        *,
        origin: Origin = Origin.RADIO,
        client: str | None = None,
    ) -> list[Decoded]:
        """Return what a packet says whose envelope was read already; else as `packet`."""
        state = self._mirror.state
        if state is None:
            return []
        if not packet.is_decoded:
            self.counters["encrypted"] += 1
            return []
        try:
            return _Reader(state, packet, now, origin, client, self.counters).read()
        except wire.WireError:
            self.counters["malformed"] += 1
            return []


class _Reader:
    """Reads one packet."""

    def __init__(
        self,
        state: MirrorState,
        packet: MeshPacket,
        now: float,
        origin: Origin,
        client: str | None,
        counters: Counter[str],
    ) -> None:
        self._state = state
        self._packet = packet
        self._now = now
        self._origin = origin
        self._client = client
        self._counters = counters
        own = state.my_node_num
        # A client leaves its radio's number out.
        self._sender = packet.sender if origin is Origin.RADIO else own
        self._is_broadcast = packet.destination in (packets.BROADCAST, packets.BROADCAST_NO_LORA)
        self._is_ours = self._is_broadcast or own in (self._sender, packet.destination)

    def read(self) -> list[Decoded]:
        """Return what the packet says.

        Raises:
            wire.WireError: Its payload is malformed.
        """
        packet = self._packet
        if not packet.payload or self._sender in packets.NOT_A_NODE:
            return []
        found: Decoded | None = None
        match packet.portnum:
            case packets.TEXT_MESSAGE | packets.ALERT | packets.DETECTION_SENSOR:
                found = self._text()
            case packets.STORE_FORWARD:
                found = self._stored_text()
            case packets.TEXT_MESSAGE_COMPRESSED:
                self._counters["compressed_text"] += 1
            case packets.ROUTING:
                found = self._acknowledgement()
            case packets.WAYPOINT:
                found = self._waypoint()
            case packets.TRACEROUTE:
                found = self._traceroute()
            case packets.NEIGHBOR_INFO:
                found = self._neighbors()
            case packets.POSITION | packets.TELEMETRY | packets.PAXCOUNTER | packets.NODE_STATUS:
                found = self._report()
        return [] if found is None else [found]

    # Texts

    def _text(self) -> Message | None:
        packet = self._packet
        kind = MessageKind.CHANNEL if self._is_broadcast else MessageKind.DIRECT
        if packet.portnum == packets.ALERT:
            kind = MessageKind.ALERT
        elif packet.portnum == packets.DETECTION_SENSOR:
            kind = MessageKind.DETECTION
        elif packet.emoji and packet.reply_id:
            kind = MessageKind.REACTION
        return self._message(kind, packet.payload, is_direct=not self._is_broadcast)

    def _stored_text(self) -> Message | None:
        """Return a text that a store-and-forward router kept for us."""
        payload = self._packet.payload
        fields = wire.scan(payload)
        what = wire.value_int(wire.last(fields, 1))
        text = wire.value_bytes(payload, wire.last(fields, 5))
        if what not in (_ROUTER_TEXT_DIRECT, _ROUTER_TEXT_BROADCAST) or not text:
            return None
        is_direct = what == _ROUTER_TEXT_DIRECT
        kind = MessageKind.DIRECT if is_direct else MessageKind.CHANNEL
        return self._message(kind, text, is_direct=is_direct, is_history=True)

    def _message(
        self, kind: MessageKind, text: bytes, *, is_direct: bool, is_history: bool = False
    ) -> Message | None:
        packet = self._packet
        if not self._is_ours:
            return None
        # The key pair of two nodes stands in for a channel.
        channel = None if is_direct and packet.pki_encrypted else packet.channel
        is_heard = self._origin is Origin.RADIO and self._sender != self._state.my_node_num
        return Message(
            message_id=names.packet_id_to_message_id(packet.id),
            kind=kind,
            origin=self._origin,
            text=text.decode(errors="replace"),
            sender_id=names.node_id(self._sender),
            sender_name=self._name_of(self._sender),
            recipient_id=names.node_id(packet.destination) if is_direct else None,
            channel=channel,
            channel_name=self._channel_name(channel),
            reply_id=names.packet_id_to_message_id(packet.reply_id) if packet.reply_id else None,
            hops=packet.hops if is_heard else None,
            snr=packet.rx_snr if is_heard else None,
            rssi=packet.rx_rssi or None if is_heard else None,
            via_mqtt=packet.via_mqtt,
            time=sane_time(packet.rx_time, self._now) or self._now,
            is_history=is_history,
            client=self._client,
        )

    def _name_of(self, num: int) -> str | None:
        record = self._state.nodes.get(num)
        return describe.name_of(record) if record else None

    def _channel_name(self, index: int | None) -> str | None:
        channel = None if index is None else describe.channel(self._state, index)
        return None if channel is None else channel.name

    # Answers of the mesh

    def _acknowledgement(self) -> Acknowledgement | None:
        packet = self._packet
        reason = wire.last(wire.scan(packet.payload), 3)
        if not packet.request_id or reason is None or reason.wire_type != wire.VARINT:
            return None
        error = wire.value_int(reason) & 0xFFFFFFFF
        return Acknowledgement(
            request_id=packet.request_id,
            sender=packet.sender,
            recipient=packet.destination,
            error=names.routing_error_name(error) if error else None,
        )

    def _traceroute(self) -> Traceroute | None:
        packet = self._packet
        own = self._state.my_node_num
        if not packet.request_id or packet.destination != own or self._origin is not Origin.RADIO:
            return None
        lists = _packed(packet.payload)
        route, route_back = lists.get(1, []), lists.get(3, [])
        snr_back = lists.get(4, [])
        towards = _hops([*route, packet.sender], lists.get(2, []))
        # Firmware that does not trace the way back leaves both lists empty.
        back = _hops([*route_back, own], snr_back) if route_back or snr_back else ()
        return Traceroute(
            node_id=names.node_id(packet.sender),
            towards=towards,
            back=back,
            request_id=names.packet_id_to_message_id(packet.request_id),
        )

    # What nodes say of themselves and of the world

    def _waypoint(self) -> Waypoint | None:
        payload = self._packet.payload
        fields = {item.number: item for item in wire.scan(payload)}
        number = number_field(payload, 1)
        expires = number_field(payload, 4)
        if not number:
            return None
        latitude = longitude = None
        # Apps withdraw a waypoint by sending it again with a time that is long past.
        if 2 in fields and 3 in fields and not 0 < expires <= self._now:
            latitude = _degrees(fields[2])
            longitude = _degrees(fields[3])
        return Waypoint(
            waypoint_id=names.packet_id_to_message_id(number),
            name=text_field(payload, 6),
            latitude=latitude,
            longitude=longitude,
            description=text_field(payload, 7),
            icon=_character(number_field(payload, 8)),
            expires=float(expires) if expires else None,
            sender_id=names.node_id(self._sender),
        )

    def _neighbors(self) -> NeighborReport | None:
        payload = self._packet.payload
        neighbors: list[RouteHop] = []
        for item in wire.scan(payload):
            if item.number != 4 or item.wire_type != wire.BYTES:
                continue
            neighbor = payload[item.value_start : item.end]
            num = number_field(neighbor, 1)
            if num not in packets.NOT_A_NODE:
                snr = packets.float32(wire.last(wire.scan(neighbor), 2))
                neighbors.append(RouteHop(node_id=names.node_id(num), snr=snr))
        num = number_field(payload, 1) or self._sender
        return NeighborReport(node_id=names.node_id(num), neighbors=tuple(neighbors))

    def _report(self) -> PositionReport | TelemetryReport | StatusReport | None:
        packet = self._packet
        payload = packet.payload
        node_id = names.node_id(self._sender)
        is_history = packet.is_replay and self._sender != self._state.my_node_num
        heard = sane_time(packet.rx_time, self._now) or (0.0 if is_history else self._now)
        if packet.portnum == packets.POSITION:
            position = describe.decode_position(payload, heard, self._now)
            if position is None:
                return None
            return PositionReport(
                node_id=node_id,
                position=position,
                is_history=is_history,
                request_id=packet.request_id,
            )
        if packet.portnum == packets.NODE_STATUS:
            status = text_field(payload, 1)
            return StatusReport(node_id=node_id, status=status, is_history=is_history)
        if packet.portnum == packets.PAXCOUNTER:
            readings = telemetry.decode_paxcount(payload, heard)
        else:
            readings = telemetry.decode(payload, heard, self._now)
        if readings is None:
            self._counters["telemetry_without_readings"] += 1
            return None
        return TelemetryReport(
            node_id=node_id,
            telemetry=readings,
            is_history=is_history,
            request_id=packet.request_id,
        )


def _hops(route: list[int], snrs: list[int]) -> tuple[RouteHop, ...]:
    """Return a way, with the signal of each hop where the lists match."""
    known = snrs if len(snrs) == len(route) else [_SNR_UNKNOWN] * len(route)
    return tuple(
        RouteHop(node_id=names.node_id(num), snr=None if snr == _SNR_UNKNOWN else snr / _SNR_FACTOR)
        for num, snr in zip(route, known, strict=True)
    )


def _packed(message: bytes) -> Mapping[int, list[int]]:
    """Return the numbers of a ``RouteDiscovery``'s lists, packed or not, by field number.

    Raises:
        wire.WireError: The message or a list in it is malformed.
    """
    lists: dict[int, list[int]] = {}
    for item in wire.scan(message):
        values = lists.setdefault(item.number, [])
        if item.wire_type != wire.BYTES:
            values.append(
                _signed(item.number_value) if item.number in (2, 4) else item.number_value
            )
            continue
        data = message[item.value_start : item.end]
        if item.number in (1, 3):
            if len(data) % 4:
                raise wire.WireError("a list of node numbers is cut off")
            values += [
                int.from_bytes(data[start : start + 4], "little")
                for start in range(0, len(data), 4)
            ]
            continue
        position = 0
        while position < len(data):
            value, position = wire.read_varint(data, position)
            values.append(_signed(value))
    return lists


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value


def _degrees(item: wire.Field) -> float:
    return _signed(item.number_value) / 1e7


def _character(codepoint: int) -> str | None:
    """Return a character; None for 0 and for what is none."""
    if not 0 < codepoint < 0x110000 or 0xD800 <= codepoint < 0xE000:
        return None
    return chr(codepoint)
