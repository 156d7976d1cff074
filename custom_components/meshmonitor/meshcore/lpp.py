"""Sensor readings in the Cayenne LPP format, as MeshCore nodes send them.

Each reading is a channel byte, a type byte and a big-endian value. Channel 1 is the node itself;
channel 0, or what is left of a block cipher's padding, ends the list.
Source: MeshCore firmware v1.17.1, src/helpers/sensors/LPPDataHelpers.h.
"""

from dataclasses import dataclass
from typing import Final

SELF_CHANNEL: Final = 1


@dataclass(frozen=True, slots=True)
class LppType:
    """One type of reading: its fields in order, each of the same size."""

    name: str
    size: int
    """Bytes of each field."""
    divisor: int = 1
    is_signed: bool = False
    fields: tuple[str, ...] = ("",)
    """What tells several values apart; one empty name for a single value."""


TYPES: Final = {
    0: LppType("digital_input", 1),
    1: LppType("digital_output", 1),
    2: LppType("analog_input", 2, 100, is_signed=True),
    3: LppType("analog_output", 2, 100, is_signed=True),
    100: LppType("generic", 4),
    101: LppType("luminosity", 2),
    102: LppType("presence", 1),
    103: LppType("temperature", 2, 10, is_signed=True),
    104: LppType("humidity", 1, 2),
    113: LppType("acceleration", 2, 1000, is_signed=True, fields=("_x", "_y", "_z")),
    115: LppType("pressure", 2, 10),
    116: LppType("voltage", 2, 100),
    # The firmware's own reader takes a current as signed: it flows out of a battery, too.
    117: LppType("current", 2, 1000, is_signed=True),
    118: LppType("frequency", 4),
    120: LppType("percentage", 1),
    121: LppType("altitude", 2, is_signed=True),
    122: LppType("load", 3, 1000, is_signed=True),
    125: LppType("concentration", 2),
    128: LppType("power", 2),
    130: LppType("distance", 4, 1000),
    131: LppType("energy", 4, 1000),
    132: LppType("direction", 2),
    133: LppType("time", 4),
    134: LppType("rotation", 2, 100, is_signed=True, fields=("_x", "_y", "_z")),
    135: LppType("colour", 1, fields=("_red", "_green", "_blue")),
    142: LppType("switch", 1),
}
"""Units: V, A, W, kWh, °C, %, hPa, lx, ppm, m, °, Hz, Unix seconds, g, °/s."""

_GPS: Final = 136
_GPS_SIZE: Final = 9


@dataclass(frozen=True, slots=True)
class Reading:
    """One value."""

    channel: int
    name: str
    value: float


def decode(data: bytes) -> list[Reading]:
    """Return the readings of a telemetry answer, up to the first that cannot be read.

    A position gives three readings: ``latitude`` and ``longitude`` in degrees, ``altitude`` in
    metres.
    """
    readings: list[Reading] = []
    at = 0
    while at + 2 < len(data) and data[at] != 0:
        channel, kind = data[at], data[at + 1]
        at += 2
        if kind == _GPS:
            if at + _GPS_SIZE > len(data):
                break
            for name, divisor in (("latitude", 10000), ("longitude", 10000), ("altitude", 100)):
                value = int.from_bytes(data[at : at + 3], signed=True)
                readings.append(Reading(channel, name, value / divisor))
                at += 3
            continue
        known = TYPES.get(kind)
        if known is None or at + known.size * len(known.fields) > len(data):
            # Without the type's size nothing behind it can be found.
            break
        for suffix in known.fields:
            raw = int.from_bytes(data[at : at + known.size], signed=known.is_signed)
            scaled = raw / known.divisor if known.divisor != 1 else raw
            readings.append(Reading(channel, known.name + suffix, scaled))
            at += known.size
    return readings
