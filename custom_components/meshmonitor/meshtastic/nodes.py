"""One node of the radio's database, as its ``NodeInfo`` frame and what was heard since.

Frames are changed by wire splice of single fields, and only when somebody asks for them: packets
are far more frequent than replays. What the firmware does with a packet it has heard is followed
here (``updateFrom``, ``updateUser``, ``updatePosition``, ``src/mesh/NodeDB.cpp``), so that a
replay is what the radio itself would have answered.
"""

from collections.abc import Mapping
import struct
from typing import Final

from ..mesh.model import Node
from . import packets, wire
from .framing import MAX_PAYLOAD
from .names import node_id
from .packets import MeshPacket, sane_time

# NodeInfo
NUM: Final = 1
USER: Final = 2
POSITION: Final = 3
SNR: Final = 4
LAST_HEARD: Final = 5
DEVICE_METRICS: Final = 6
CHANNEL: Final = 7
VIA_MQTT: Final = 8
HOPS_AWAY: Final = 9
IS_FAVORITE: Final = 10
IS_IGNORED: Final = 11
IS_KEY_VERIFIED: Final = 12
IS_MUTED: Final = 13

# User
USER_ID: Final = 1
LONG_NAME: Final = 2
SHORT_NAME: Final = 3
MAC_ADDRESS: Final = 4
PUBLIC_KEY: Final = 8
_KEY_SIZE: Final = 32

# Position: what the firmware keeps of one (`ConvertToPositionLite`)
_POSITION_TIME: Final = 4
_KEPT_OF_POSITION: Final = {
    1: wire.FIXED32,  # latitude_i
    2: wire.FIXED32,  # longitude_i
    3: wire.VARINT,  # altitude
    _POSITION_TIME: wire.FIXED32,
    5: wire.VARINT,  # location_source
    23: wire.VARINT,  # precision_bits
}

_PLACE: Final = (1, 2, 3)
"""Of a ``Position``: latitude, longitude, altitude."""

_TELEMETRY_DEVICE: Final = 2
# Far above what exists, so that a stranger's packets cannot fill the store of readings.
_TELEMETRY_VARIANTS: Final = range(2, 32)

type ReadingKey = tuple[int, int]
"""Port number, and for telemetry the number of its variant, else 0."""
KEPT: Final[frozenset[ReadingKey]] = frozenset(
    {(port, 0) for port in (packets.POSITION, packets.NODE_STATUS, packets.PAXCOUNTER)}
    | {(packets.TELEMETRY, number) for number in _TELEMETRY_VARIANTS}
)
"""What is kept of a node: the newest of each."""


def splice(data: bytes, replacements: Mapping[int, bytes]) -> bytes:
    """Return a message with some of its fields replaced by ready-made ones.

    A field that was not there is put where the order of numbers wants it, which is how the
    firmware writes; empty bytes remove a field. All else stays byte for byte.

    Raises:
        wire.WireError: The message is malformed.
    """
    parts: list[bytes] = []
    waiting = sorted(replacements)
    for item in wire.scan(data):
        while waiting and waiting[0] <= item.number:
            parts.append(replacements[waiting.pop(0)])
        if item.number not in replacements:
            parts.append(data[item.start : item.end])
    parts += [replacements[number] for number in waiting]
    return b"".join(parts)


class Reading:
    """The newest packet of one kind that a node sent."""

    __slots__ = ("arrived", "frame", "hops", "payload", "snr", "time")

    def __init__(
        self,
        payload: bytes,
        time: float,
        arrived: float,
        *,
        snr: float | None = None,
        hops: int | None = None,
        frame: bytes | None = None,
    ) -> None:
        """Keep one.

        Args:
            payload: The packet's ``Data.payload``.
            time: When the radio heard it, Unix seconds; 0 where the radio does not know.
            arrived: When it arrived here, Unix seconds.
            snr: In dB, of the packet.
            hops: How many nodes repeated the packet.
            frame: The ``FromRadio`` that tells it to a client, where it exists already.
        """
        self.payload = payload
        self.time = time
        self.arrived = arrived
        self.snr = snr
        self.hops = hops
        self.frame = frame


class NodeRecord:
    """A node's ``NodeInfo`` and its newest readings."""

    __slots__ = (
        "_base",
        "_changed",
        "_fields",
        "described",
        "heard_at",
        "metrics_heard",
        "num",
        "readings",
        "relay",
        "rssi",
    )

    def __init__(self, payload: bytes, info: bytes | None = None) -> None:
        """Take a ``FromRadio`` with a ``NodeInfo``, as it came.

        Args:
            payload: The ``FromRadio``.
            info: The ``NodeInfo`` in it, where it was looked for already.

        Raises:
            wire.WireError: It is malformed, or has no node number.
        """
        self._changed: set[int] = set()
        self._fields: dict[int, bytes] = {}
        self.metrics_heard = 0
        """When the device metrics that the radio told had come at the latest, Unix seconds; 0 where
        it does not know. What was heard of the node since says nothing about them."""
        self._read(payload, info)
        self.readings: dict[ReadingKey, Reading] = {}
        self.heard_at = 0.0
        """When a packet of the node last arrived here, Unix seconds; 0 for never. A radio without a
        clock does not say."""
        self.described: Node | None = None
        """What was last told of the node; None once anything about it is new."""
        self.rssi: int | None = None
        """In dBm, of the last packet that was heard from the node itself."""
        self.relay = 0
        """The last byte of the number of the node that handed on the last packet; 0 for nobody."""

    def _read(self, payload: bytes, info: bytes | None = None) -> None:
        if info is None:
            number, value = packets.variant(payload)
            info = value if number == packets.NODE_INFO else b""
        fields = {item.number: info[item.start : item.end] for item in wire.scan(info)}
        if NUM not in fields:
            raise wire.WireError("no node info")
        has_new_metrics = fields.get(DEVICE_METRICS) != self._fields.get(DEVICE_METRICS)
        self._base = payload
        self._fields = fields
        self.described = None
        if has_new_metrics:
            self.metrics_heard = self.number(LAST_HEARD)
        self.num = self.number(NUM)
        self._changed.clear()

    @classmethod
    def create(cls, num: int) -> NodeRecord:
        """Make the record of a node that was heard for the first time."""
        info = wire.varint_field(NUM, num)
        return cls(wire.bytes_field(packets.NODE_INFO, info))

    @property
    def payload(self) -> bytes:
        """The ``FromRadio`` as the radio would send it now."""
        if self._changed:
            changes = {number: self._fields.get(number, b"") for number in self._changed}
            _, info = packets.variant(self._base)
            info = wire.bytes_field(packets.NODE_INFO, splice(info, changes))
            rebuilt = wire.replace_field(self._base, packets.NODE_INFO, info)
            if len(rebuilt) <= MAX_PAYLOAD:
                self._base = rebuilt
            self._changed.clear()
        return self._base

    def replace(self, payload: bytes) -> None:
        """Take a newer ``NodeInfo`` of the same node as it came.

        Raises:
            wire.WireError: It is malformed, or has no node number.
        """
        self._read(payload)

    def number(self, field: int) -> int:
        """Return a number field, 0 where it is absent."""
        encoded = self._fields.get(field)
        return wire.lone_number(encoded) & 0xFFFFFFFF if encoded else 0

    def message(self, field: int) -> bytes | None:
        """Return the bytes of a field that is a message; None where it is absent."""
        encoded = self._fields.get(field)
        # All fields of a node info have tags of one byte.
        if not encoded or encoded[0] & 7 != wire.BYTES:
            return None
        return wire.lone_bytes(encoded)

    def has(self, field: int) -> bool:
        """Return whether a field is there, be it with a zero."""
        return field in self._fields

    @property
    def snr(self) -> float | None:
        """In dB, of the last packet that was heard from the node itself."""
        encoded = self._fields.get(SNR)
        if not encoded or self.number(HOPS_AWAY):
            return None
        return packets.float32(wire.scan(encoded)[0])

    def set_field(self, field: int, encoded: bytes) -> bool:
        """Set a field to its ready-made form; empty bytes remove it. Returns whether it differs."""
        if self._fields.get(field, b"") == encoded:
            return False
        if encoded:
            self._fields[field] = encoded
        else:
            self._fields.pop(field, None)
        self._changed.add(field)
        self.described = None
        return True

    def keep(self, key: ReadingKey, reading: Reading) -> None:
        """Keep the newest reading of a kind."""
        self.readings[key] = reading
        self.described = None

    def set_flag(self, field: int, *, value: bool) -> bool:
        """Set a plain ``bool``, which is written only when true."""
        return self.set_field(field, wire.varint_field(field, 1) if value else b"")

    def set_message(self, field: int, value: bytes | None) -> bool:
        """Set or remove a field that is a message."""
        return self.set_field(field, b"" if value is None else wire.bytes_field(field, value))

    def heard(self, packet: MeshPacket, now: float) -> None:
        """Take over when, how far away and how well a packet of this node was heard."""
        stated = sane_time(packet.rx_time, now)
        last_heard = int(now if stated is None else stated)
        self.heard_at = max(self.heard_at, last_heard)
        self.described = None
        before = self.number(LAST_HEARD)
        if last_heard > before or sane_time(before, now) is None:
            self.set_field(LAST_HEARD, wire.fixed32_field(LAST_HEARD, last_heard))
        if packet.hops is not None:
            self.set_field(HOPS_AWAY, wire.varint_field(HOPS_AWAY, packet.hops))
        self.set_flag(VIA_MQTT, value=packet.via_mqtt)
        self.relay = packet.relay_node & 0xFF if packet.hops and not packet.via_mqtt else 0
        # Figures of a relayed packet are the last relay's, and only LoRa has a signal strength.
        if packet.is_direct and packet.rx_rssi:
            self.rssi = packet.rx_rssi
            if packet.rx_snr is not None:
                bits = int.from_bytes(struct.pack("<f", packet.rx_snr), "little")
                self.set_field(SNR, wire.fixed32_field(SNR, bits) if bits else b"")

    def spoke(self, packet: MeshPacket, now: float) -> None:
        """Take over when the own node told something of itself, if it has a clock.

        It never hears itself, but says of itself that it was heard just now, whenever asked
        (``refreshLocalMeshNode``, firmware ``src/mesh/MeshService.cpp``).
        """
        stated = sane_time(packet.rx_time, now)
        if stated is not None:
            self.set_field(LAST_HEARD, wire.fixed32_field(LAST_HEARD, int(stated)))

    def take_user(self, user: bytes, channel: int | None) -> bool:
        """Take over a ``User`` that the node sent of itself.

        A key of another node that is known is never replaced by another one: as in the firmware,
        such a packet changes nothing.

        Args:
            user: The message as it came.
            channel: Index of the channel that it came over; None for the own node.

        Returns:
            Whether anything differs.
        """
        try:
            fields = wire.scan(user)
        except wire.WireError:
            return False
        if not fields:
            return False
        known = None if channel is None else self.public_key
        if known is not None and wire.value_bytes(user, wire.last(fields, PUBLIC_KEY)) != known:
            return False
        own_id = wire.bytes_field(USER_ID, node_id(self.num).encode())
        changes = {USER_ID: own_id}
        for number in (LONG_NAME, SHORT_NAME):
            name = wire.value_bytes(user, wire.last(fields, number))
            if name:
                changes[number] = wire.bytes_field(number, printable(name))
        told_before = self.message(USER)
        if told_before is not None:
            # Firmware 2.8 tells zeros in node infos, and the address elsewhere.
            changes[MAC_ADDRESS] = _field(told_before, MAC_ADDRESS)
        differs = self.set_message(USER, splice(user, changes))
        if channel is not None:
            value = wire.varint_field(CHANNEL, channel) if channel else b""
            differs |= self.set_field(CHANNEL, value)
        return differs

    @property
    def public_key(self) -> bytes | None:
        """The node's key, where it is known."""
        return public_key(self.message(USER))

    def take_position(self, position: bytes) -> bool:
        """Take over a ``Position``, reduced to what the firmware keeps of one."""
        kept = lite_position(position)
        if not kept:
            return False
        before = self.message(POSITION) or b""
        try:
            if set(kept) == {_POSITION_TIME}:
                # Only the time: the place is still the one that was known.
                return self.set_message(POSITION, splice(before, kept))
            if _POSITION_TIME not in kept:
                time = wire.last(wire.scan(before), _POSITION_TIME)
                if time is not None:
                    kept[_POSITION_TIME] = before[time.start : time.end]
        except wire.WireError:
            kept.setdefault(_POSITION_TIME, b"")
        return self.set_message(POSITION, b"".join(kept[number] for number in sorted(kept)))

    def take_telemetry(self, telemetry: bytes) -> bool:
        """Take over the device metrics of a ``Telemetry``; other variants are no part of it."""
        number, metrics = telemetry_variant(telemetry)
        return number == _TELEMETRY_DEVICE and self.set_message(DEVICE_METRICS, metrics)


def public_key(user: bytes | None) -> bytes | None:
    """Return the key in a ``User``; None where there is none, or what is there is none."""
    try:
        key = wire.value_bytes(user or b"", wire.last(wire.scan(user or b""), PUBLIC_KEY))
    except wire.WireError:
        return None
    return key if len(key) == _KEY_SIZE else None


def _field(message: bytes, number: int) -> bytes:
    """Return a whole field as it stands; nothing where it is absent."""
    try:
        item = wire.last(wire.scan(message), number)
    except wire.WireError:
        return b""
    return message[item.start : item.end] if item else b""


def lite_position(position: bytes) -> dict[int, bytes]:
    """Return those fields of a ``Position`` that the firmware keeps; none of a malformed one."""
    try:
        fields = wire.scan(position)
    except wire.WireError:
        return {}
    return {
        item.number: position[item.start : item.end]
        for item in fields
        if _KEPT_OF_POSITION.get(item.number) == item.wire_type
    }


def telemetry_variant(telemetry: bytes) -> tuple[int, bytes]:
    """Return number and bytes of what a ``Telemetry`` measured; 0 where there is nothing in it."""
    try:
        for item in reversed(wire.scan(telemetry)):
            if item.wire_type == wire.BYTES and item.number in _TELEMETRY_VARIANTS:
                value = wire.value_bytes(telemetry, item)
                return (item.number, value) if wire.scan(value) else (0, b"")
    except wire.WireError:
        pass
    return 0, b""


def reading_key(packet: MeshPacket) -> ReadingKey | None:
    """Return under which key a packet's content is kept; None for what is not kept."""
    if packet.portnum == packets.TELEMETRY:
        number, _ = telemetry_variant(packet.payload)
        return (packets.TELEMETRY, number) if number else None
    if packet.portnum == packets.POSITION:
        return (packets.POSITION, 0) if has_place(packet.payload) else None
    if packet.portnum in (packets.NODE_STATUS, packets.PAXCOUNTER):
        return (packet.portnum, 0) if _is_message(packet.payload) else None
    return None


def _is_message(payload: bytes) -> bool:
    """Return whether something well-formed is there."""
    try:
        return bool(wire.scan(payload))
    except wire.WireError:
        return False


def says_the_same(key: ReadingKey, payload: bytes, other: bytes) -> bool:
    """Return whether two payloads tell the same of what a radio stores.

    It stores no time of a measurement, and not all of a position.
    """
    portnum, _ = key
    if portnum == packets.TELEMETRY:
        return telemetry_variant(payload) == telemetry_variant(other)
    if portnum == packets.POSITION:
        place, same = lite_position(payload), lite_position(other)
        return all(place.get(number) == same.get(number) for number in _PLACE)
    return payload == other


def has_place(position: bytes) -> bool:
    """Return whether a ``Position`` says where; some only tell the time."""
    kept = lite_position(position)
    return any(wire.value_int(wire.scan(kept[number])[0]) for number in (1, 2) if number in kept)


def printable(text: bytes) -> bytes:
    """Return a text in which every byte that is no UTF-8 became a question mark.

    Firmware 2.8 does the same (``sanitizeUtf8``); clients drop a whole frame for one such byte.
    """
    try:
        text.decode()
    except UnicodeDecodeError:
        # One mark for one byte: a replacement character would be longer than the radio's fields.
        decoded = text.decode(errors="surrogateescape")
        return "".join("?" if "\udc80" <= char <= "\udcff" else char for char in decoded).encode()
    return text
