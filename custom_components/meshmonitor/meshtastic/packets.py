"""What comes from a radio, read on the wire, without I/O.

A ``FromRadio`` holds one variant; the commonest is a ``MeshPacket`` (protobufs
``meshtastic/mesh.proto``). Both are read field by field: strings that are no UTF-8, fields newer
than the schema and explicit zeros are nothing special here.
"""

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
_LAST_KNOWN: Final = 18

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

_MAX_UINT32: Final = 0xFFFFFFFF
_CLOCK_FLOOR: Final = 1_577_836_800.0
"""2020: a node whose clock was never set counts from 1970."""
_CLOCK_TOLERANCE: Final = 300.0
"""How far a node's clock may be ahead before it is taken for wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshPacket:
    """One ``MeshPacket`` as the radio handed it over."""

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

    A known variant counts before an unknown one: any reader would see the known one.

    Returns:
        The field's number, 0 for an empty message; and its bytes, empty for a number or flag.

    Raises:
        wire.WireError: The message is malformed.
    """
    found = None
    for item in wire.scan(payload):
        if item.number == ID:
            continue
        if found is None or item.number <= _LAST_KNOWN or found.number > _LAST_KNOWN:
            found = item
    if found is None:
        return 0, b""
    return found.number, wire.value_bytes(payload, found)


def parse_packet(raw: bytes) -> MeshPacket:
    """Read a ``MeshPacket``.

    Raises:
        wire.WireError: It is malformed.
    """
    fields = {item.number: item for item in wire.scan(raw)}
    decoded = fields.get(4)
    data = wire.value_bytes(raw, decoded)
    inner = {item.number: item for item in wire.scan(data)}
    number = {index: item.number_value & _MAX_UINT32 for index, item in fields.items()}.get
    inner_number = {index: item.number_value & _MAX_UINT32 for index, item in inner.items()}.get
    rssi = _int32(fields.get(12))
    # A plain float of 0 is not written at all; what LoRa brought was measured all the same.
    snr = float32(fields[8]) if 8 in fields else 0.0 if rssi else None
    return MeshPacket(
        sender=number(1, 0),
        destination=number(2, 0),
        channel=number(3, 0),
        id=number(6, 0),
        rx_time=number(7, 0),
        rx_snr=snr,
        rx_rssi=rssi,
        hop_limit=number(9, 0),
        hop_start=number(15, 0),
        priority=number(11, 0),
        via_mqtt=bool(number(14, 0)),
        pki_encrypted=bool(number(17, 0)),
        relay_node=number(19, 0),
        transport=number(21, 0),
        is_decoded=decoded is not None and 5 not in fields,
        portnum=inner_number(1, 0),
        payload=wire.value_bytes(data, inner.get(2)),
        want_response=bool(inner_number(3, 0)),
        request_id=inner_number(6, 0),
        reply_id=inner_number(7, 0),
        emoji=inner_number(8, 0),
        bitfield=inner_number(9),
    )


def is_replay(packet: bytes) -> bool:
    """Return whether a ``MeshPacket`` is history that the radio repeats; False for garbage."""
    try:
        return parse_packet(packet).is_replay
    except wire.WireError:
        return False


def float32(item: wire.Field | None) -> float | None:
    """Return the value of a ``float`` field; None where it is absent, or no finite number."""
    if item is None or item.wire_type != wire.FIXED32:
        return None
    value: float = struct.unpack("<f", item.number_value.to_bytes(4, "little"))[0]
    return value if value - value == 0 else None


def sane_time(seconds: float, now: float) -> float | None:
    """Return a time that a node stated, or None where its clock was not set or runs ahead.

    Args:
        seconds: The stated time, Unix seconds.
        now: The present, Unix seconds.
    """
    return seconds if _CLOCK_FLOOR <= seconds <= now + _CLOCK_TOLERANCE else None


def _int32(item: wire.Field | None) -> int | None:
    if item is None or item.wire_type != wire.VARINT:
        return None
    value = item.number_value & _MAX_UINT32
    return value - (1 << 32) if value >= 1 << 31 else value
