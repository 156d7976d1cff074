"""A mirror's state as what JSON can hold, and back."""

import binascii
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from typing import Any, Final

from . import packets, wire
from .mirror_state import MirrorState, read_captured
from .nodes import KEPT, NodeRecord, Reading
from .redaction import without_private_key

VERSION: Final = 1

_LARGEST_FLOAT32: Final = (2 - 2**-23) * 2.0**127


def dump(state: MirrorState | None) -> dict[str, object]:
    """Return a state, ready for JSON; the radio's private key is left out.

    Args:
        state: What to keep; None gives an empty mapping.
    """
    pieces = dump_in_pieces(state)
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            found: dict[str, object] = end.value
            return found


def dump_in_pieces(state: MirrorState | None) -> Generator[None, None, dict[str, object]]:
    """Return what `dump` returns.

    At each yield the state may change. Those nodes are kept that were there at first, each as
    it was before or after that.
    """
    if state is None:
        return {}
    frames: list[str] = []
    nodes: list[object] = []
    items, records = tuple(state.layout), tuple(state.nodes.values())
    for item in items:
        frames.append(_text(without_private_key(item.payload)))
        yield
    for record in records:
        if record.readings or record.heard_at:
            nodes.append(_node(record))
            yield
    return {"version": VERSION, "frames": frames, "nodes": nodes}


def _node(record: NodeRecord) -> list[object]:
    return [
        record.num,
        record.rssi,
        record.heard_at,
        [
            [
                *key,
                _text(reading.payload),
                reading.time,
                reading.arrived,
                reading.snr,
                reading.hops,
                None if reading.frame is None else _text(reading.frame),
            ]
            for key, reading in record.readings.items()
        ],
        record.metrics_heard,
        record.relay,
    ]


def load(
    snapshot: object,
    redact: Callable[[bytes], bytes],
    max_nodes: int,
    counters: Counter[str],
) -> MirrorState | None:
    """Return the state that `dump` was given.

    Args:
        snapshot: What `dump` returned.
        redact: As for `MirrorState`.
        max_nodes: As for `MirrorState`.
        counters: As for `MirrorState`.

    Raises:
        ValueError: It is damaged, or of another version.
    """
    if snapshot == {}:
        return None
    if not isinstance(snapshot, Mapping) or snapshot.get("version") != VERSION:
        raise ValueError("a snapshot of another version")
    try:
        return _load(snapshot, redact, max_nodes, counters)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError("a damaged snapshot") from error


def _load(
    snapshot: Mapping[str, Any],
    redact: Callable[[bytes], bytes],
    max_nodes: int,
    counters: Counter[str],
) -> MirrorState:
    frames = [_bytes(frame) for frame in snapshot["frames"]]
    for frame in frames:
        redact(frame)
    captured = [read_captured(frame) for frame in frames]
    state = MirrorState(captured, redact, max_nodes, counters)
    for num, rssi, heard_at, readings, *later in snapshot["nodes"]:
        record = state.nodes[int(num)]
        record.rssi = None if rssi is None else int(rssi)
        record.heard_at = _time(heard_at)
        # The first snapshots did not have these.
        if later:
            record.metrics_heard = int(_time(later[0]))
        if later[1:]:
            record.relay = int(later[1]) & 0xFF
        for portnum, variant, *reading in readings:
            key = int(portnum), int(variant)
            if key not in KEPT:
                raise ValueError("no reading that is kept")
            record.keep(key, _reading(*reading))
    return state


def _reading(
    payload: object,
    time: float,
    arrived: float,
    snr: float | None,
    hops: int | None,
    frame: object,
) -> Reading:
    data = _bytes(payload)
    wire.scan(data)
    if (snr is not None and not abs(snr) <= _LARGEST_FLOAT32) or (hops is not None and hops < 0):
        raise ValueError("no signal figures")
    return Reading(
        data,
        _time(time),
        _time(arrived),
        snr=snr,
        hops=hops,
        frame=None if frame is None else _packet(frame),
    )


def _time(value: float) -> float:
    if not 0 <= value < 1 << 32:
        raise ValueError("no time")
    return float(value)


def _text(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


def _bytes(text: object) -> bytes:
    if not isinstance(text, str):
        raise TypeError("base64 is expected")
    return binascii.a2b_base64(text, strict_mode=True)


def _packet(text: object) -> bytes:
    frame = _bytes(text)
    number, value = packets.variant(frame)
    if number != packets.PACKET or not wire.scan(value):
        raise ValueError("no packet")
    return frame
