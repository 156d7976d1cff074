"""What a client sends, read on the wire, without I/O.

Every payload of a client's frame is one ``ToRadio`` (protobufs ``meshtastic/mesh.proto``). It is
read field by field and never re-serialised, so that what passes, passes as it came.
"""

from dataclasses import dataclass, field, replace
from typing import Final

from . import wire
from .strict import MAX_UINT32, Violation, find_violations

MAX_DATA_PAYLOAD: Final = 233
"""``Constants.DATA_PAYLOAD_LEN``: the radio's parser refuses a longer ``Data.payload`` whole."""
MAX_PACKET: Final = 480
"""The longest ``MeshPacket`` that still fits a frame when it is echoed with its added fields."""

_PACKET: Final = 1
_WANT_CONFIG_ID: Final = 3
_DISCONNECT: Final = 4
_XMODEM: Final = 5
_MQTT_PROXY: Final = 6
_HEARTBEAT: Final = 7
_TO_RADIO: Final = {
    _PACKET: wire.BYTES,
    _WANT_CONFIG_ID: wire.VARINT,
    _DISCONNECT: wire.VARINT,
    _XMODEM: wire.BYTES,
    _MQTT_PROXY: wire.BYTES,
    _HEARTBEAT: wire.BYTES,
}

_HEARTBEAT_FIELDS: Final = {1: wire.VARINT}

_FROM: Final = 1
_TO: Final = 2
_CHANNEL: Final = 3
_DECODED: Final = 4
_ENCRYPTED: Final = 5
_ID: Final = 6
_HOP_LIMIT: Final = 9
_WANT_ACK: Final = 10
_RX_RSSI: Final = 12
_PKI_ENCRYPTED: Final = 17
_MESH_PACKET: Final = {
    _FROM: wire.FIXED32,
    _TO: wire.FIXED32,
    _CHANNEL: wire.VARINT,
    _DECODED: wire.BYTES,
    _ENCRYPTED: wire.BYTES,
    _ID: wire.FIXED32,
    7: wire.FIXED32,  # rx_time
    8: wire.FIXED32,  # rx_snr
    _HOP_LIMIT: wire.VARINT,
    _WANT_ACK: wire.VARINT,
    11: wire.VARINT,  # priority
    _RX_RSSI: wire.VARINT,
    13: wire.VARINT,  # delayed
    14: wire.VARINT,  # via_mqtt
    15: wire.VARINT,  # hop_start
    16: wire.BYTES,  # public_key
    _PKI_ENCRYPTED: wire.VARINT,
    18: wire.VARINT,  # next_hop
    19: wire.VARINT,  # relay_node
    20: wire.VARINT,  # tx_after
    21: wire.VARINT,  # transport_mechanism
    22: wire.VARINT,  # xeddsa_signed
}

_PORTNUM: Final = 1
_PAYLOAD: Final = 2
_WANT_RESPONSE: Final = 3
_REQUEST_ID: Final = 6
_REPLY_ID: Final = 7
_EMOJI: Final = 8
_DATA: Final = {
    _PORTNUM: wire.VARINT,
    _PAYLOAD: wire.BYTES,
    _WANT_RESPONSE: wire.VARINT,
    4: wire.FIXED32,  # dest
    5: wire.FIXED32,  # source
    _REQUEST_ID: wire.FIXED32,
    _REPLY_ID: wire.FIXED32,
    _EMOJI: wire.FIXED32,
    9: wire.VARINT,  # bitfield
    10: wire.BYTES,  # xeddsa_signature
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientPacket:
    """One ``MeshPacket`` that a client wants to have sent."""

    raw: bytes = field(repr=False)
    """The packet as it came, without the ``ToRadio`` around it."""
    id: int
    """0 where the client left it to the node to choose one."""
    sender: int
    """The field ``from``: clients leave it 0 or write the node's own number."""
    destination: int
    """The field ``to``."""
    channel: int
    hop_limit: int
    want_ack: bool
    pki_encrypted: bool
    portnum: int
    payload: bytes = field(repr=False)
    """``Data.payload``."""
    want_response: bool
    request_id: int
    reply_id: int
    emoji: int
    """Not 0: the text is a reaction to the message `reply_id`."""
    encrypted: bool
    """It came encrypted, so nothing of its ``Data`` is known."""
    violations: frozenset[Violation]
    """Why it cannot be judged; empty for everything that official clients send."""


@dataclass(frozen=True, slots=True)
class WantConfig:
    """The client asks for the configuration, the nodes, or both."""

    nonce: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The client says that it is still there."""

    nonce: int


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The client wants its connection closed."""


@dataclass(frozen=True, slots=True)
class Xmodem:
    """A step of a file transfer from or to the radio's file system."""

    raw: bytes = field(repr=False)
    """The whole ``ToRadio`` as it came."""


@dataclass(frozen=True, slots=True)
class MqttProxy:
    """What an MQTT broker said, brought by a client that proxies for the radio."""

    raw: bytes = field(repr=False)
    """The whole ``ToRadio`` as it came."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet to send."""

    packet: ClientPacket


@dataclass(frozen=True, slots=True)
class Unknown:
    """An empty message or a variant that is newer than this program."""

    reason: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """A message that the radio's parser would drop, or might read otherwise than this one."""

    reason: str


type ClientFrame = (
    WantConfig | Heartbeat | Disconnect | Xmodem | MqttProxy | Packet | Unknown | Malformed
)


def parse(payload: bytes) -> ClientFrame:
    """Read the payload of one frame that a client sent. Any bytes will do; nothing is raised."""
    try:
        fields = wire.scan(payload)
    except wire.WireError as error:
        return Malformed(str(error))
    last_packet = wire.last(fields, _PACKET)
    if last_packet is not None and last_packet.wire_type == wire.BYTES:
        return _parse_packet(wire.value_bytes(payload, last_packet), alone=len(fields) == 1)
    if not fields:
        return Unknown("empty message")
    if len(fields) > 1:
        return Malformed("more than one variant")
    only = fields[0]
    number = only.number
    if number not in _TO_RADIO:
        return Unknown(f"variant {number}")
    if only.wire_type != _TO_RADIO[number] or only.number_value > MAX_UINT32:
        return Malformed(f"impossible value of variant {number}")
    if number == _WANT_CONFIG_ID:
        return WantConfig(only.number_value)
    if number == _HEARTBEAT:
        return _parse_heartbeat(wire.value_bytes(payload, only))
    if number == _XMODEM:
        return Xmodem(payload)
    if number == _MQTT_PROXY:
        return MqttProxy(payload)
    return Disconnect()


def _parse_heartbeat(raw: bytes) -> Heartbeat | Malformed:
    try:
        fields = wire.scan(raw)
    except wire.WireError as error:
        return Malformed(str(error))
    if find_violations(fields, _HEARTBEAT_FIELDS):
        return Malformed("impossible heartbeat")
    return Heartbeat(wire.value_int(wire.last(fields, 1)))


def _parse_packet(raw: bytes, *, alone: bool) -> Packet | Malformed:
    """Read a ``MeshPacket``; `alone` says that nothing else stood in the ``ToRadio``."""
    try:
        fields = wire.scan(raw)
    except wire.WireError as error:
        return Malformed(str(error))
    violations = find_violations(fields, _MESH_PACKET, (_DECODED, _ENCRYPTED), (_RX_RSSI,))
    if not alone:
        violations.add(Violation.SEVERAL_VARIANTS)
    if len(raw) > MAX_PACKET:
        violations.add(Violation.TOO_LARGE)

    data = b""
    data_fields: list[wire.Field] = []
    decoded = wire.last(fields, _DECODED)
    if decoded is not None:
        data = wire.value_bytes(raw, decoded)
        try:
            data_fields = wire.scan(data)
        except wire.WireError:
            violations.add(Violation.MALFORMED)
        else:
            violations |= find_violations(data_fields, _DATA)
    content = wire.value_bytes(data, wire.last(data_fields, _PAYLOAD))
    if len(content) > MAX_DATA_PAYLOAD:
        violations.add(Violation.TOO_LARGE)

    def number(number: int) -> int:
        return wire.value_int(wire.last(fields, number)) & MAX_UINT32

    def data_number(number: int) -> int:
        return wire.value_int(wire.last(data_fields, number)) & MAX_UINT32

    return Packet(
        ClientPacket(
            raw=raw,
            id=number(_ID),
            sender=number(_FROM),
            destination=number(_TO),
            channel=number(_CHANNEL),
            hop_limit=number(_HOP_LIMIT),
            want_ack=bool(number(_WANT_ACK)),
            pki_encrypted=bool(number(_PKI_ENCRYPTED)),
            portnum=data_number(_PORTNUM),
            payload=content,
            want_response=bool(data_number(_WANT_RESPONSE)),
            request_id=data_number(_REQUEST_ID),
            reply_id=data_number(_REPLY_ID),
            emoji=data_number(_EMOJI),
            encrypted=any(field.number == _ENCRYPTED for field in fields),
            violations=frozenset(violations),
        )
    )


def with_payload(packet: ClientPacket, payload: bytes) -> ClientPacket:
    """Return a packet that carries another ``Data.payload`` and is the same in all else.

    Args:
        packet: A decoded packet without violations.
        payload: The new payload, at most `MAX_DATA_PAYLOAD` bytes.
    """
    decoded = wire.last(wire.scan(packet.raw), _DECODED)
    data = wire.value_bytes(packet.raw, decoded)
    data = wire.replace_field(data, _PAYLOAD, wire.bytes_field(_PAYLOAD, payload))
    raw = wire.replace_field(packet.raw, _DECODED, wire.bytes_field(_DECODED, data))
    return replace(packet, raw=raw, payload=payload)
