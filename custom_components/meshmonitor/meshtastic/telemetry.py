"""What nodes measure, as readings by name.

Read on the wire, with names and types from the published schema: so a field that is there with a 0
is a reading of 0, one that is absent is none, and fields newer than the schema are read as well.

The names are the protocol's own, and so are some pitfalls: ``battery_level`` above 100 means that
the node runs on external power; ``pm10`` is PM1.0, ``pm25`` PM2.5, ``pm40`` PM4.0 and ``pm100``
PM10; the firmware writes ``gas_resistance`` in kilo-ohms although the schema says mega-ohms.
"""

from functools import lru_cache
import struct
from typing import Final

from google.protobuf.descriptor import FieldDescriptor
from meshtastic.protobuf import paxcount_pb2, telemetry_pb2

from ..mesh.model import Telemetry
from . import packets, wire
from .nodes import telemetry_variant
from .packets import sane_time

PAXCOUNTER: Final = "paxcounter"

_TIME: Final = 1
_ONE_WIRE_TEMPERATURE: Final = "one_wire_temperature"
_KINDS: Final = {
    "device_metrics": "device",
    "environment_metrics": "environment",
    "air_quality_metrics": "air_quality",
    "power_metrics": "power",
    "local_stats": "local_stats",
    "health_metrics": "health",
    "host_metrics": "host",
    "traffic_management_stats": "traffic_management",
}
_VARIANTS: Final = {
    field.number: (_KINDS[field.name], field.message_type)
    for field in telemetry_pb2.Telemetry.DESCRIPTOR.fields
    if field.name in _KINDS
}
# Fields that are newer than the published schema (protobufs `meshtastic/telemetry.proto`).
_NEWER: Final[dict[str, dict[int, str]]] = {
    "environment": {24 + channel: f"adc_voltage_ch{channel}" for channel in range(8)}
    | {32 + channel: f"{_ONE_WIRE_TEMPERATURE}_ch{channel}" for channel in range(8)}
    | {40: "lightning_strike_count_1h", 41: "lightning_distance_km"},
    "air_quality": {26: "pm_status_flags"},
}
# Plain fields without presence that no node truly has at 0: older firmware does not know them.
_NEVER_ZERO: Final = frozenset({"heap_total_bytes", "heap_free_bytes", "noise_floor"})

_PAXCOUNTS: Final = (PAXCOUNTER, paxcount_pb2.Paxcount.DESCRIPTOR)
_PAXCOUNT: Final = 0
"""Stands for them among the numbers of variants."""
_REMEMBERED: Final = 2048
"""A node's readings are told when they come, and again with each of its other packets."""

type Value = float | int | str


def variant_of(kind: str) -> int | None:
    """Return the field number of a kind of readings in ``Telemetry``; None for none that is."""
    return next((number for number, known in _VARIANTS.items() if known[0] == kind), None)


def decode(payload: bytes, heard: float, now: float) -> Telemetry | None:
    """Return the readings of a ``Telemetry``.

    Args:
        payload: The message, as it came.
        heard: When it was heard, Unix seconds: its time where it states none; 0 for unknown.
        now: The present, Unix seconds.

    Returns:
        The readings, or None where there are none or the kind is unknown.
    """
    number, message, stated = _content(payload)
    return _telemetry(number, message, sane_time(stated, now) or heard or None)


def decode_device_metrics(message: bytes, heard: float | None) -> Telemetry | None:
    """Return the readings of a ``DeviceMetrics`` out of a ``NodeInfo``.

    Args:
        message: The message, as it came.
        heard: When they were heard at the latest; None for unknown.
    """
    return _telemetry(2, message, heard)


def decode_paxcount(payload: bytes, heard: float) -> Telemetry | None:
    """Return the readings of a ``Paxcount``.

    Args:
        payload: The message, as it came.
        heard: When it was heard, Unix seconds.
    """
    values = _values(_PAXCOUNT, payload)
    return Telemetry(kind=PAXCOUNTER, values=values, time=heard or None) if values else None


@lru_cache(maxsize=_REMEMBERED)
def _content(payload: bytes) -> tuple[int, bytes, int]:
    """Return number and bytes of what a ``Telemetry`` measured, and the time that it states."""
    number, message = telemetry_variant(payload)
    stated = wire.value_int(wire.last(wire.scan(payload), _TIME)) if number else 0
    return number, message, stated


def _telemetry(number: int, message: bytes, time: float | None) -> Telemetry | None:
    if number not in _VARIANTS:
        return None
    values = _values(number, message)
    return Telemetry(kind=_VARIANTS[number][0], values=values, time=time) if values else None


@lru_cache(maxsize=_REMEMBERED)
def _values(number: int, message: bytes) -> dict[str, Value]:
    """Return the readings of one variant; who gets them shares them, and changes nothing."""
    kind, descriptor = _VARIANTS.get(number, _PAXCOUNTS)
    assert descriptor is not None
    known = descriptor.fields_by_number
    newer = _NEWER.get(kind, {})
    try:
        items = wire.scan(message)
    except wire.WireError:
        return {}
    # A field without presence is not written when it is 0.
    values: dict[str, Value] = {
        field.name: 0.0 if field.type == FieldDescriptor.TYPE_FLOAT else 0
        for field in known.values()
        if not field.has_presence and field.name != _ONE_WIRE_TEMPERATURE
    }
    measured: dict[str, Value] = {}
    one_wire: list[float] = []
    for item in items:
        field = known.get(item.number)
        if field is None:
            name = newer.get(item.number)
            value = _untyped(item)
        elif field.name == _ONE_WIRE_TEMPERATURE:
            one_wire += _floats(message, item)
            continue
        else:
            name = field.name
            value = _typed(message, item, field.type)
            if value is None:
                # What is there but is no number, as an unset sensor's NaN, is not 0 either.
                values.pop(name, None)
        if name is not None and value is not None:
            measured[name] = value
    for index, value in enumerate(one_wire):
        if value - value == 0:
            measured.setdefault(f"{_ONE_WIRE_TEMPERATURE}_ch{index}", _short(value))
    if not measured:
        return {}
    values |= measured
    for name in _NEVER_ZERO:
        if values.get(name) == 0:
            del values[name]
    return values


def _typed(message: bytes, item: wire.Field, kind: int) -> Value | None:
    if kind == FieldDescriptor.TYPE_FLOAT:
        value = packets.float32(item)
        return None if value is None else _short(value)
    if kind == FieldDescriptor.TYPE_STRING:
        return wire.value_bytes(message, item).decode(errors="replace") or None
    if item.wire_type != wire.VARINT:
        return None
    if kind == FieldDescriptor.TYPE_UINT64:
        return item.number_value
    number = item.number_value & 0xFFFFFFFF
    if kind == FieldDescriptor.TYPE_INT32 and number >= 1 << 31:
        return number - (1 << 32)
    return number


def _untyped(item: wire.Field) -> Value | None:
    """Return a value by its wire type: all new fields are floats or unsigned numbers."""
    if item.wire_type == wire.VARINT:
        return item.number_value & 0xFFFFFFFF
    value = packets.float32(item)
    return None if value is None else _short(value)


def _floats(message: bytes, item: wire.Field) -> list[float]:
    """Return the values of a repeated ``float``, packed or not."""
    data = message[item.value_start : item.end]
    if item.wire_type not in (wire.BYTES, wire.FIXED32) or len(data) % 4:
        return []
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def _short(value: float) -> float:
    """Return the shortest number that is the same 32-bit float: 4.02, not 4.019999980926514."""
    return float(f"{value:.7g}")
