"""How what a radio says while it is in use changes what is mirrored of it."""

from typing import Final

from . import admin, mirror_admin, packets, wire
from .mirror_state import LORA_CONFIG, NO_CHANGE, MirrorChange, MirrorState, number_field, slot_key
from .nodes import NodeRecord, Reading, ReadingKey, reading_key, says_the_same, telemetry_variant
from .packets import MeshPacket, sane_time

REPLAYED: Final[tuple[ReadingKey, ...]] = (
    (packets.POSITION, 0),
    (packets.TELEMETRY, 2),
    (packets.TELEMETRY, 3),
    (packets.NODE_STATUS, 0),
)
"""What firmware 2.8 tells of other nodes after a dump, in its order (``popReplayPacket``)."""


def follow(state: MirrorState, payload: bytes, now: float) -> MirrorChange:
    """Follow one frame.

    Args:
        state: What is mirrored.
        payload: A ``FromRadio`` as it came.
        now: When it came, Unix seconds.

    Raises:
        wire.WireError: It is malformed; nothing was changed.
    """
    number, value = packets.variant(payload)
    if number == packets.PACKET:
        return follow_packet(state, packets.parse_packet(value), payload, now)
    if number == packets.NODE_INFO:
        return _node_info(state, payload)
    key = slot_key(number, value)
    if key is None:
        return NO_CHANGE
    if number == packets.MY_INFO and number_field(value, 1) != state.my_node_num:
        return MirrorChange(identity=True)
    if not state.set_payload(key, payload):
        return NO_CHANGE
    is_channel = number == packets.CHANNEL
    # The modem preset names a channel that has no name of its own.
    renames = key == (packets.CONFIG, LORA_CONFIG)
    return MirrorChange(channels=is_channel or renames, config=not is_channel)


def follow_packet(
    state: MirrorState, packet: MeshPacket, payload: bytes, now: float
) -> MirrorChange:
    """Follow a packet.

    Args:
        state: What is mirrored.
        packet: What the frame holds.
        payload: The ``FromRadio`` as it came.
        now: When it came, Unix seconds.

    Raises:
        wire.WireError: It is malformed; nothing was changed.
    """
    num = packet.sender
    if not packet.is_decoded or num in packets.NOT_A_NODE:
        return NO_CHANGE
    is_own = num == state.my_node_num
    if packet.is_replay and not is_own:
        return _remember(state, packet, payload, now)
    if is_own and packet.portnum == admin.PORTNUM and packet.destination == num:
        return mirror_admin.take_answer(state, packet.payload)
    record = state.nodes.get(num)
    is_new = record is None
    if record is None:
        record = NodeRecord.create(num)
        if not state.add_node(record):
            return NO_CHANGE
    if not is_own:
        record.heard(packet, now)
    says_something = _take_content(state, record, packet, now)
    if is_own and not says_something:
        return NO_CHANGE
    if is_own:
        record.spoke(packet, now)
    state.touch(record)
    return _changed(num, is_new=is_new)


def _node_info(state: MirrorState, payload: bytes) -> MirrorChange:
    record = NodeRecord(payload)
    if record.num in packets.NOT_A_NODE:
        return NO_CHANGE
    known = state.nodes.get(record.num)
    if known is None:
        if not state.add_node(record):
            return NO_CHANGE
    elif known.payload == payload:
        return NO_CHANGE
    else:
        known.replace(payload)
        state.touch(known)
    return _changed(record.num, is_new=known is None)


def _take_content(state: MirrorState, record: NodeRecord, packet: MeshPacket, now: float) -> bool:
    """Take over what a packet says of its sender. Returns whether it says anything."""
    is_own = record is state.own
    changed = False
    if packet.portnum == packets.NODE_INFO_APP:
        changed = record.take_user(packet.payload, None if is_own else packet.channel)
    elif is_own or not state.stores_readings:
        if packet.portnum == packets.POSITION:
            changed = record.take_position(packet.payload)
        elif packet.portnum == packets.TELEMETRY:
            changed = record.take_telemetry(packet.payload)
    key = reading_key(packet)
    if key is not None:
        time = sane_time(packet.rx_time, now)
        arrived = now if time is None else time
        reading = Reading(packet.payload, arrived, now, snr=packet.rx_snr, hops=packet.hops)
        record.keep(key, reading)
    return changed or key is not None


def _remember(state: MirrorState, packet: MeshPacket, payload: bytes, now: float) -> MirrorChange:
    wire.scan(packet.payload)
    variant = 0
    if packet.portnum == packets.TELEMETRY:
        variant, _ = telemetry_variant(packet.payload)
    key = packet.portnum, variant
    record = state.nodes.get(packet.sender)
    if record is None or key not in REPLAYED:
        state.counters["replays_dropped"] += 1
        return NO_CHANGE
    state.stores_readings = True
    known = record.readings.get(key)
    stated = sane_time(packet.rx_time, now)
    if known is not None and (
        says_the_same(key, packet.payload, known.payload)
        if stated is None
        else stated <= known.time
    ):
        # What was heard here is the same, and more of it: the radio stores only a part.
        known.frame = payload
        return NO_CHANGE
    reading = Reading(
        packet.payload,
        stated or 0.0,
        now,
        snr=packet.rx_snr,
        hops=packet.hops,
        frame=payload,
    )
    record.keep(key, reading)
    return MirrorChange(nodes=frozenset({packet.sender}), is_replay=True)


def _changed(num: int, *, is_new: bool) -> MirrorChange:
    nums = frozenset({num})
    return MirrorChange(nodes=nums, new_nodes=nums if is_new else frozenset())
