"""What Home Assistant wants sent, as the packets of a Meshtastic client. Without I/O."""

from typing import Final

from meshtastic.protobuf import mesh_pb2

from ..mesh.model import Waypoint
from ..mesh.source import OutgoingText, RequestKind, SendError, SendReason
from . import names, packets, replies, telemetry, wire
from .decode import Decoder
from .mirror import Mirror
from .mirror_state import MirrorState

MAX_TEXT_BYTES: Final = 200
"""What the apps allow: 233 would fit a packet, but not with a reply's id and encryption."""
_MAX_NAME_BYTES: Final = 29
_MAX_DESCRIPTION_BYTES: Final = 99
"""``Waypoint.name`` and ``description`` in the firmware, without their closing NUL
(protobufs ``meshtastic/mesh.options``)."""
_NODE_INFO_CHANNEL: Final = 7
_WITHDRAWN: Final = 1
"""``Waypoint.expire`` of one that is withdrawn, as the apps send it: a time long past."""

_REQUEST_PORTS: Final = {
    RequestKind.TRACEROUTE: packets.TRACEROUTE,
    RequestKind.POSITION: packets.POSITION,
    RequestKind.TELEMETRY: packets.TELEMETRY,
    RequestKind.NODE_INFO: packets.NODE_INFO_APP,
    RequestKind.NEIGHBORS: packets.NEIGHBOR_INFO,
}
SUPPORTED_REQUESTS: Final = frozenset(_REQUEST_PORTS)


class Composer:
    """Writes packets that fit the radio's present channels and nodes.

    All methods raise `SendError` where something cannot be sent.
    """

    def __init__(self, mirror: Mirror, decoder: Decoder) -> None:
        """Write for the radio that a mirror shows."""
        self._mirror = mirror
        self._decoder = decoder

    def text(self, outgoing: OutgoingText, packet_id: int) -> bytes:
        """Return the ``MeshPacket`` of a text."""
        state = self._state()
        payload = outgoing.text.encode()
        if not payload:
            raise SendError(SendReason.EMPTY)
        if len(payload) > MAX_TEXT_BYTES:
            raise SendError(SendReason.TOO_LONG, str(MAX_TEXT_BYTES))
        destination, channel = packets.BROADCAST, outgoing.channel or 0
        if outgoing.recipient_id is not None:
            destination, usual = self._recipient(state, outgoing.recipient_id)
            channel = usual if outgoing.channel is None else outgoing.channel
        self._check_channel(channel)
        return replies.own_packet(
            destination=destination,
            portnum=packets.TEXT_MESSAGE,
            payload=payload,
            packet_id=packet_id,
            channel=channel,
            hop_limit=state.hop_limit,
            want_ack=outgoing.want_ack,
            reply_id=_packet_id(outgoing.reply_id) if outgoing.reply_id else 0,
            emoji=1 if outgoing.is_reaction else 0,
        )

    def request(self, kind: RequestKind, node_id: str, packet_id: int, detail: str | None) -> bytes:
        """Return the ``MeshPacket`` that asks a node for something."""
        state = self._state()
        portnum = _REQUEST_PORTS.get(kind)
        if portnum is None:
            raise SendError(SendReason.NOT_SUPPORTED)
        destination, channel = self._recipient(state, node_id)
        payload = b""
        if kind is RequestKind.TELEMETRY:
            tag = telemetry.variant_of(detail or "device")
            if tag is None:
                raise SendError(SendReason.NOT_SUPPORTED, detail or "")
            payload = wire.bytes_field(tag, b"")
        elif kind is RequestKind.NODE_INFO:
            payload = self._mirror.own_user() or b""
        return replies.own_packet(
            destination=destination,
            portnum=portnum,
            payload=payload,
            packet_id=packet_id,
            channel=channel,
            hop_limit=state.hop_limit,
            want_ack=True,
            want_response=True,
        )

    def waypoint(self, waypoint: Waypoint, channel: int, packet_id: int) -> bytes:
        """Return the ``MeshPacket`` of a waypoint that has an id."""
        state = self._state()
        self._check_channel(channel)
        for text, limit in (
            (waypoint.name, _MAX_NAME_BYTES),
            (waypoint.description, _MAX_DESCRIPTION_BYTES),
        ):
            if len(text.encode()) > limit:
                raise SendError(SendReason.TOO_LONG, str(limit))
        message = mesh_pb2.Waypoint(
            id=_packet_id(waypoint.waypoint_id),
            name=waypoint.name,
            description=waypoint.description,
            icon=ord(waypoint.icon) if waypoint.icon else 0,
            expire=int(waypoint.expires or 0),
        )
        if waypoint.latitude is None or waypoint.longitude is None:
            message.expire = _WITHDRAWN
        else:
            message.latitude_i = round(waypoint.latitude * 1e7)
            message.longitude_i = round(waypoint.longitude * 1e7)
        return replies.own_packet(
            destination=packets.BROADCAST,
            portnum=packets.WAYPOINT,
            payload=message.SerializeToString(),
            packet_id=packet_id,
            channel=channel,
            hop_limit=state.hop_limit,
        )

    def node_info(self, packet_id: int) -> bytes:
        """Return the ``MeshPacket`` that announces the own node to the mesh."""
        state = self._state()
        return replies.own_packet(
            destination=packets.BROADCAST,
            portnum=packets.NODE_INFO_APP,
            payload=self._mirror.own_user() or b"",
            packet_id=packet_id,
            hop_limit=state.hop_limit,
        )

    def _state(self) -> MirrorState:
        state = self._mirror.state
        if state is None:
            raise SendError(SendReason.NOT_CONNECTED)
        return state

    def _recipient(self, state: MirrorState, node_id: str) -> tuple[int, int]:
        """Return a node's number, and the channel on which it is usually heard."""
        try:
            num = names.node_num(node_id)
        except ValueError:
            raise SendError(SendReason.UNKNOWN_NODE) from None
        record = state.nodes.get(num)
        if record is None or num == state.my_node_num:
            raise SendError(SendReason.UNKNOWN_NODE)
        return num, record.number(_NODE_INFO_CHANNEL)

    def _check_channel(self, channel: int) -> None:
        if channel not in {known.index for known in self._decoder.channels()}:
            raise SendError(SendReason.UNKNOWN_CHANNEL, str(channel))


def _packet_id(message_id: str) -> int:
    try:
        return names.message_id_to_packet_id(message_id)
    except ValueError:
        raise SendError(SendReason.INVALID_ID) from None
