"""What comes from a radio, read on the wire, without I/O.

A ``FromRadio`` holds one variant; the commonest is a ``MeshPacket`` (protobufs
``meshtastic/mesh.proto``). Both are read field by field: strings that are no UTF-8, fields newer
than the schema and explicit zeros are nothing special here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
import struct
from typing import Final

from . import wire

BROADCAST: Final = 0xFFFFFFFF
BROADCAST_NO_LORA: Final = 1
"""To everyone, but never over LoRa (firmware ``src/mesh/MeshTypes.h``): not a node's number."""
NOT_A_NODE: Final = frozenset({0, BROADCAST_NO_LORA, BROADCAST})

# FromRadio
ID: Final = 1
PACKET: Final = 2
MY_INFO: Final = 3
NODE_INFO: Final = 4
CONFIG: Final = 5
MODULE_CONFIG: Final = 9
CHANNEL: Final = 10
METADATA: Final = 13
FILE_INFO: Final = 15
UI_CONFIG: Final = 17
LAST_KNOWN: Final = 18
"""The newest variant of the schema; its numbers are the same in every version."""

CONFIGURATION: Final = frozenset(
    {MY_INFO, CONFIG, MODULE_CONFIG, CHANNEL, METADATA, FILE_INFO, UI_CONFIG}
)
"""What tells of the radio itself. Clients take it amiss outside a handshake."""

# PortNum
TEXT_MESSAGE: Final = 1
POSITION: Final = 3
NODE_INFO_APP: Final = 4
ROUTING: Final = 5
TEXT_MESSAGE_COMPRESSED: Final = 7
WAYPOINT: Final = 8
DETECTION_SENSOR: Final = 10
ALERT: Final = 11
PAXCOUNTER: Final = 34
NODE_STATUS: Final = 36
STORE_FORWARD: Final = 65
TELEMETRY: Final = 67
TRACEROUTE: Final = 70
NEIGHBOR_INFO: Final = 71

PRIORITY_BACKGROUND: Final = 10
TRANSPORT_LORA: Final = 1

# The tags of MeshPacket, and of the Data in it
_FROM: Final = wire.tag(1, wire.FIXED32)
_TO: Final = wire.tag(2, wire.FIXED32)
_CHANNEL: Final = wire.tag(3, wire.VARINT)
_DECODED: Final = wire.tag(4, wire.BYTES)
_ENCRYPTED: Final = wire.tag(5, wire.BYTES)
_PACKET_ID: Final = wire.tag(6, wire.FIXED32)
_RX_TIME: Final = wire.tag(7, wire.FIXED32)
_RX_SNR: Final = wire.tag(8, wire.FIXED32)
_HOP_LIMIT: Final = wire.tag(9, wire.VARINT)
_PRIORITY: Final = wire.tag(11, wire.VARINT)
_RX_RSSI: Final = wire.tag(12, wire.VARINT)
_VIA_MQTT: Final = wire.tag(14, wire.VARINT)
_HOP_START: Final = wire.tag(15, wire.VARINT)
_PKI_ENCRYPTED: Final = wire.tag(17, wire.VARINT)
_RELAY_NODE: Final = wire.tag(19, wire.VARINT)
_TRANSPORT: Final = wire.tag(21, wire.VARINT)
_PORTNUM: Final = wire.tag(1, wire.VARINT)
_PAYLOAD: Final = wire.tag(2, wire.BYTES)
_WANT_RESPONSE: Final = wire.tag(3, wire.VARINT)
_REQUEST_ID: Final = wire.tag(6, wire.FIXED32)
_REPLY_ID: Final = wire.tag(7, wire.FIXED32)
_EMOJI: Final = wire.tag(8, wire.FIXED32)
_BITFIELD: Final = wire.tag(9, wire.VARINT)

_MAX_UINT32: Final = 0xFFFFFFFF
_CLOCK_FLOOR: Final = 1_577_836_800.0
"""2020: a node whose clock was never set counts from 1970."""
_CLOCK_TOLERANCE: Final = 300.0
"""How far a node's clock may be ahead before it is taken for wrong."""


@dataclass(slots=True, kw_only=True)
class MeshPacket:
    """One ``MeshPacket`` as the radio handed it over.

    Nobody changes one; a frozen class would take five times as long to make, for every packet.
    """

    sender: int
    """The field ``from``."""
    destination: int
    """The field ``to``."""
    channel: int
    """The index of a channel; a hash of it while the packet is encrypted."""
    id: int
    rx_time: int
    """Unix seconds by the radio's clock; 0 where it has none."""
    rx_snr: float | None
    """In dB."""
    rx_rssi: int | None
    """In dBm. Firmware before 2.8 writes nothing, later firmware a 0, for what no radio heard."""
    hop_limit: int
    hop_start: int
    priority: int
    via_mqtt: bool
    pki_encrypted: bool
    relay_node: int
    transport: int
    is_decoded: bool
    portnum: int
    payload: bytes = field(repr=False)
    """``Data.payload``."""
    want_response: bool
    request_id: int
    reply_id: int
    emoji: int
    bitfield: int | None

    @property
    def hops(self) -> int | None:
        """How many nodes repeated the packet; None where the sender does not say.

        Firmware before 2.3 has no ``hop_start``; firmware since 2.5 always sends ``bitfield``,
        which makes a 0 a true 0 (firmware ``getHopsAway``, ``src/mesh/NodeDB.cpp``).
        """
        if (self.hop_start == 0 and self.bitfield is None) or self.hop_start < self.hop_limit:
            return None
        return self.hop_start - self.hop_limit

    @property
    def is_direct(self) -> bool:
        """Whether our radio heard the sender itself, so that signal figures are the sender's."""
        return self.hops == 0 and not self.via_mqtt

    @property
    def is_replay(self) -> bool:
        """Whether the radio tells again what it had stored, directly after a configuration dump.

        Firmware 2.8 sends stored positions, device and environment telemetry and status lines of
        other nodes as broadcasts of priority BACKGROUND that claim LoRa, but carry neither signal
        strength nor relay node nor bitfield (``makeReplay...Packet``, ``src/mesh/PhoneAPI.cpp``).
        A packet that LoRa did bring has a signal strength and no priority: that is not on the air.
        """
        return (
            self.portnum in (POSITION, TELEMETRY, NODE_STATUS)
            and self.destination == BROADCAST
            and self.priority == PRIORITY_BACKGROUND
            and self.transport == TRANSPORT_LORA
            and not self.rx_rssi
            and not self.relay_node
            and self.bitfield is None
            and not self.via_mqtt
        )


def variant(payload: bytes) -> tuple[int, bytes]:
    """Return number and value of the variant that a ``FromRadio`` holds.

    Returns:
        The field's number, 0 for an empty message; and its bytes, empty for a number or flag.

    Raises:
        wire.WireError: The message is malformed.
    """
    found = variant_of(wire.scan(payload))
    if found is None:
        return 0, b""
    return found.number, wire.value_bytes(payload, found)


def variant_of(fields: Iterable[wire.Field]) -> wire.Field | None:
    """Return which field of a ``FromRadio`` is its variant; None for an empty one.

    A known variant counts before an unknown one: any reader would see the known one.

    Args:
        fields: Those of the whole message.
    """
    found = None
    for item in fields:
        if item.number == ID:
            continue
        if found is None or item.number <= LAST_KNOWN or found.number > LAST_KNOWN:
            found = item
    return found


def parse_packet(raw: bytes) -> MeshPacket:
    """Read a ``MeshPacket``.

    Raises:
        wire.WireError: It is malformed.
    """
    numbers, strings = wire.values(raw)
    data = strings.get(_DECODED)
    inner, inner_strings = wire.values(data) if data else ({}, {})
    number, inner_number = numbers.get, inner.get
    rssi = _int32(number(_RX_RSSI))
    snr = number(_RX_SNR)
    bitfield = inner_number(_BITFIELD)
    return MeshPacket(
        sender=number(_FROM, 0),
        destination=number(_TO, 0),
        channel=number(_CHANNEL, 0) & _MAX_UINT32,
        id=number(_PACKET_ID, 0),
        rx_time=number(_RX_TIME, 0),
        # A plain float of 0 is not written at all; what LoRa brought was measured all the same.
        rx_snr=_float(snr) if snr is not None else 0.0 if rssi else None,
        rx_rssi=rssi,
        hop_limit=number(_HOP_LIMIT, 0) & _MAX_UINT32,
        hop_start=number(_HOP_START, 0) & _MAX_UINT32,
        priority=number(_PRIORITY, 0) & _MAX_UINT32,
        via_mqtt=bool(number(_VIA_MQTT)),
        pki_encrypted=bool(number(_PKI_ENCRYPTED)),
        relay_node=number(_RELAY_NODE, 0) & _MAX_UINT32,
        transport=number(_TRANSPORT, 0) & _MAX_UINT32,
        is_decoded=data is not None and _ENCRYPTED not in strings,
        portnum=inner_number(_PORTNUM, 0) & _MAX_UINT32,
        payload=inner_strings.get(_PAYLOAD, b""),
        want_response=bool(inner_number(_WANT_RESPONSE)),
        request_id=inner_number(_REQUEST_ID, 0),
        reply_id=inner_number(_REPLY_ID, 0),
        emoji=inner_number(_EMOJI, 0),
        bitfield=None if bitfield is None else bitfield & _MAX_UINT32,
    )


def is_replay(packet: bytes) -> bool:
    """Return whether a ``MeshPacket`` is history that the radio repeats; False for garbage."""
    try:
        return parse_packet(packet).is_replay
    except wire.WireError:
        return False


def float32(item: wire.Field | None) -> float | None:
    """Return the value of a ``float`` field; None where it is absent, or no finite number."""
    return None if item is None or item.wire_type != wire.FIXED32 else _float(item.number_value)


def sane_time(seconds: float, now: float) -> float | None:
    """Return a time that a node stated, or None where its clock was not set or runs ahead.

    Args:
        seconds: The stated time, Unix seconds.
        now: The present, Unix seconds.
    """
    return seconds if _CLOCK_FLOOR <= seconds <= now + _CLOCK_TOLERANCE else None


def _float(bits: int) -> float | None:
    value: float = struct.unpack("<f", bits.to_bytes(4, "little"))[0]
    return value if value - value == 0 else None


def _int32(value: int | None) -> int | None:
    if value is None:
        return None
    value &= _MAX_UINT32
    return value - (1 << 32) if value >= 1 << 31 else value
