"""What one complete capture holds: every frame in its place, the nodes, and what is known of them.

`mirror.Mirror` decides when a state is replaced; here is what can be read from one and how it is
changed.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from ..mesh.model import Channel
from . import nodes, packets, wire
from .nodes import NodeRecord
from .replay import Layout, Slot

LORA_CONFIG: Final = 6
"""``Config.lora``."""
SECURITY_CONFIG: Final = 8
"""``Config.security``."""

_MY_NODE_NUM: Final = 1
_NODEDB_COUNT: Final = 15
_FIRMWARE_VERSION: Final = 1
_LORA_HOP_LIMIT: Final = 8
_DEFAULT_HOP_LIMIT: Final = 3
"""``HOP_RELIABLE``, firmware ``src/mesh/MeshTypes.h``."""
_MAX_HOP_LIMIT: Final = 7

_INDEXED: Final = frozenset(
    {
        packets.MY_INFO,
        packets.CONFIG,
        packets.MODULE_CONFIG,
        packets.CHANNEL,
        packets.METADATA,
        packets.UI_CONFIG,
    }
)

type SlotKey = tuple[int, int]
"""Number of the ``FromRadio`` variant, and index of the channel or tag of the configuration."""


class IncompleteError(ValueError):
    """A capture lacks what no client can do without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorChange:
    """What an event changed in the mirror."""

    nodes: frozenset[int] = frozenset()
    """Numbers of the nodes of which something is new, the new ones included."""
    new_nodes: frozenset[int] = frozenset()
    """Numbers of the nodes that were not known before."""
    removed_nodes: frozenset[int] = frozenset()
    channels: bool = False
    config: bool = False
    """Configuration, module configuration, metadata or user interface configuration."""
    identity: bool = False
    """The radio says that it is another node. Nothing was changed."""
    is_replay: bool = False
    """The radio told something old again."""
    needs_reread: bool = False
    """The radio changed in a way that only reading it again can tell."""

    def __bool__(self) -> bool:
        """Whether there is anything to tell."""
        return self != NO_CHANGE


NO_CHANGE: Final = MirrorChange()


class Captured(NamedTuple):
    """One frame of a capture, read when it comes: all of them at its end would block the loop."""

    payload: bytes
    """The ``FromRadio`` as it came."""
    number: int
    """Of its variant."""
    value: bytes
    """What the variant holds."""
    record: NodeRecord | None
    """The node, where it is a readable node info."""


def read_captured(payload: bytes) -> Captured:
    """Read a frame of a capture.

    Raises:
        wire.WireError: It is malformed.
    """
    number, value = packets.variant(payload)
    record = None
    if number == packets.NODE_INFO:
        with suppress(wire.WireError):
            record = NodeRecord(payload, value)
    return Captured(payload, number, value, record)


class MirrorState:
    """One complete capture, and what was heard since."""

    def __init__(
        self,
        captured: Collection[Captured],
        redact: Callable[[bytes], bytes],
        max_nodes: int,
        counters: Counter[str],
    ) -> None:
        """Lay out a capture.

        Args:
            captured: The radio's messages in the order in which it sent them.
            redact: Returns a ``FromRadio`` without what a client may not see.
            max_nodes: How many nodes are kept at most when new ones are heard.
            counters: Where is counted what finds no room.

        Raises:
            IncompleteError: It does not say who the radio is.
        """
        self.nodes: dict[int, NodeRecord] = {}
        self._by_end: dict[int, list[NodeRecord]] | None = None
        """All nodes by number, the own one included."""
        self.layout = Layout(redact)
        self.counters = counters
        self.described_channels: dict[int, Channel | None] = {}
        """What `describe` made of channels, as long as the configuration is what it was."""
        self._redact = redact
        self._slots: dict[SlotKey, Slot] = {}
        self._max_nodes = max_nodes
        self.my_node_num = _own_number(captured)
        for item in captured:
            if item.record is not None:
                self._place_node(item.payload, item.record)
            elif item.number != packets.NODE_INFO:
                self._place(item)
        own = self.nodes.get(self.my_node_num)
        if own is None:
            raise IncompleteError("no node info of the radio itself")
        self.own: NodeRecord = own
        self.stores_readings = self._stores_readings()
        """Whether the radio tells positions and measurements of other nodes apart from their
        node info, after the dump: firmware 2.8 and later."""

    def _place(self, item: Captured) -> None:
        slot = Slot(item.payload)
        self.layout.append(slot, is_node=False)
        key = slot_key(item.number, item.value)
        if key is not None:
            self._slots[key] = slot

    def _place_node(self, payload: bytes, record: NodeRecord) -> None:
        known = self.nodes.get(record.num)
        if known is not None:
            known.replace(payload)
        elif record.num not in packets.NOT_A_NODE:
            self.nodes[record.num] = record
            self.layout.append(record, is_node=record.num != self.my_node_num)

    def inherit(self, earlier: Self) -> None:
        """Take over what was heard of nodes that are still known."""
        for num, record in self.nodes.items():
            before = earlier.nodes.get(num)
            if before is not None:
                record.readings = before.readings
                record.rssi = before.rssi
                record.relay = before.relay
                record.heard_at = before.heard_at
                if record.message(nodes.DEVICE_METRICS) == before.message(nodes.DEVICE_METRICS):
                    record.metrics_heard = before.metrics_heard
                if record.payload == before.payload:
                    record.described = before.described

    def payload(self, variant: int, index: int = 0) -> bytes | None:
        """Return the ``FromRadio`` of a variant, tag or channel; None where there is none."""
        slot = self._slots.get((variant, index))
        return slot.payload if slot else None

    def message(self, variant: int, index: int = 0) -> bytes | None:
        """Return what such a ``FromRadio`` holds: a ``Channel``, ``Config``, ``DeviceMetadata``."""
        payload = self.payload(variant, index)
        return None if payload is None else packets.variant(payload)[1]

    def inner(self, variant: int, tag: int) -> bytes | None:
        """Return one configuration itself: a ``LoRaConfig``, an ``MQTTConfig``."""
        message = self.message(variant, tag)
        return None if message is None else member(message)[1]

    @property
    def channel_indices(self) -> list[int]:
        """The indices of all slots of the channel table, disabled ones included."""
        return sorted(index for variant, index in self._slots if variant == packets.CHANNEL)

    @property
    def hop_limit(self) -> int:
        """How many hops the radio gives its own packets."""
        lora = self.inner(packets.CONFIG, LORA_CONFIG)
        return min(number_field(lora, _LORA_HOP_LIMIT) or _DEFAULT_HOP_LIMIT, _MAX_HOP_LIMIT)

    def set_payload(self, key: SlotKey, payload: bytes) -> bool:
        """Replace a frame. Returns whether it differs.

        A frame that never was in a capture has no place and is not taken.

        Raises:
            wire.WireError: It is malformed where a secret might be.
        """
        slot = self._slots.get(key)
        if slot is None or slot.payload == payload:
            return False
        self._redact(payload)
        slot.payload = payload
        self.described_channels.clear()
        self.layout.changed(slot)
        if key[0] == packets.METADATA:
            self.stores_readings = self._stores_readings()
        return True

    def set_message(self, key: SlotKey, message: bytes) -> bool:
        """Replace what a frame holds. Returns whether it differs.

        Raises:
            wire.WireError: It is malformed where a secret might be.
        """
        return self.set_payload(key, wire.bytes_field(key[0], message))

    def touch(self, record: NodeRecord) -> None:
        """Take note that a node's record was changed."""
        self.layout.changed(record)

    def ending(self, end: int) -> list[NodeRecord]:
        """Return the nodes whose number ends so, as a relay is told on the air.

        Args:
            end: The last byte of the number.
        """
        if self._by_end is None:
            self._by_end = {}
            for num, record in self.nodes.items():
                self._by_end.setdefault(num & 0xFF, []).append(record)
        return self._by_end.get(end, [])

    def add_node(self, record: NodeRecord) -> bool:
        """Take up a new node, in place of the least recently heard one if there are too many.

        Returns:
            Whether there was room.
        """
        if len(self.nodes) >= self._max_nodes:
            boring = [
                other
                for other in self.nodes.values()
                if other is not self.own and not other.number(nodes.IS_FAVORITE)
            ]
            if not boring:
                self.counters["nodes_refused"] += 1
                return False
            self.remove_node(min(boring, key=_last_heard).num)
            self.counters["nodes_evicted"] += 1
        self.nodes[record.num] = record
        self._by_end = None
        self.layout.insert_node(record)
        self._count_nodes()
        return True

    def remove_node(self, num: int) -> bool:
        """Forget another node. Returns whether it was known."""
        if num == self.my_node_num or num not in self.nodes:
            return False
        self.layout.remove(self.nodes.pop(num))
        self._by_end = None
        self._count_nodes()
        return True

    def _count_nodes(self) -> None:
        """Let the radio's own count say how many nodes there are, where it has one."""
        info = self.message(packets.MY_INFO)
        if info and wire.last(wire.scan(info), _NODEDB_COUNT) is not None:
            count = wire.varint_field(_NODEDB_COUNT, len(self.nodes))
            info = wire.replace_field(info, _NODEDB_COUNT, count)
            self.set_message((packets.MY_INFO, 0), info)

    def _stores_readings(self) -> bool:
        metadata = self.message(packets.METADATA) or b""
        try:
            version = wire.value_bytes(metadata, wire.last(wire.scan(metadata), _FIRMWARE_VERSION))
        except wire.WireError:
            return False
        parts = version.split(b".")
        if len(parts) < 2 or not (parts[0].isdigit() and parts[1].isdigit()):
            return False
        return (int(parts[0]), int(parts[1])) >= (2, 8)


def slot_key(number: int, value: bytes) -> SlotKey | None:
    """Return under which key a ``FromRadio`` is found again; None for one that is not.

    Args:
        number: The variant's number.
        value: What it holds.
    """
    if number not in _INDEXED:
        return None
    try:
        if number == packets.CHANNEL:
            return number, wire.value_int(wire.last(wire.scan(value), 1))
        if number in (packets.CONFIG, packets.MODULE_CONFIG):
            tag, _ = member(value)
            return (number, tag) if tag else None
    except wire.WireError:
        return None
    return number, 0


def member(message: bytes) -> tuple[int, bytes]:
    """Return tag and bytes of what a ``Config`` or ``ModuleConfig`` holds; 0 for an empty one.

    Raises:
        wire.WireError: It is malformed.
    """
    fields = wire.scan(message)
    if not fields:
        return 0, b""
    return fields[-1].number, wire.value_bytes(message, fields[-1])


def number_field(message: bytes | None, number: int) -> int:
    """Return a number field of a message; 0 where there is none."""
    try:
        return wire.value_int(wire.last(wire.scan(message or b""), number)) & 0xFFFFFFFF
    except wire.WireError:
        return 0


def text_field(message: bytes | None, number: int) -> str:
    """Return a string field of a message, whatever bytes it has; empty where there is none."""
    data = message or b""
    try:
        return wire.value_bytes(data, wire.last(wire.scan(data), number)).decode(errors="replace")
    except wire.WireError:
        return ""


def _own_number(captured: Iterable[Captured]) -> int:
    num = 0
    for item in captured:
        if item.number == packets.MY_INFO:
            num = number_field(item.value, _MY_NODE_NUM)
    if num in packets.NOT_A_NODE:
        raise IncompleteError("no my_info that names a node")
    return num


def _last_heard(record: NodeRecord) -> float:
    return max(record.number(nodes.LAST_HEARD), record.heard_at)
