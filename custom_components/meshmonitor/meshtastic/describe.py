"""The mirrored radio and its nodes, in the terms of `mesh.model`."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from ..mesh.model import Channel, Identity, Node, Position, Telemetry
from . import names, nodes, packets, telemetry, wire
from .mirror_state import LORA_CONFIG, MirrorState, number_field, text_field
from .nodes import NodeRecord, public_key
from .packets import sane_time

# User
_HW_MODEL: Final = 5
_IS_LICENSED: Final = 6
_ROLE: Final = 7
_IS_UNMESSAGABLE: Final = 9
# Channel
_CHANNEL_SETTINGS: Final = 2
_CHANNEL_ROLE: Final = 3
_CHANNEL_NAME: Final = 3
_ROLE_PRIMARY: Final = 1
# LoRaConfig
_USE_PRESET: Final = 1
_MODEM_PRESET: Final = 2
# DeviceMetadata
_FIRMWARE_VERSION: Final = 1
_METADATA_HW_MODEL: Final = 9
# StatusMessage
_STATUS: Final = 1
# Position
_LATITUDE: Final = 1
_LONGITUDE: Final = 2
_ALTITUDE: Final = 3
_POSITION_TIME: Final = 4
_TIMESTAMP: Final = 7
_GROUND_SPEED: Final = 15
_GROUND_TRACK: Final = 16
_SATELLITES: Final = 19
_PRECISION_BITS: Final = 23

_BLUR_AT_10_BITS: Final = 23345.484932
"""Metres: half the side of the square that ten bits leave, as the apps draw it."""
_FAR_FUTURE: Final = float(1 << 32)
_REMEMBERED: Final = 2048
"""A node is described at each of its packets, and hardly any of them changes who or where it is."""


def identity(state: MirrorState) -> Identity:
    """Return who the radio is."""
    own = state.own
    user = own.message(nodes.USER)
    metadata = state.message(packets.METADATA)
    node_id = names.node_id(own.num)
    hardware = number_field(user, _HW_MODEL) or number_field(metadata, _METADATA_HW_MODEL)
    return Identity(
        node_id=node_id,
        name=text_field(user, nodes.LONG_NAME) or node_id,
        short_name=text_field(user, nodes.SHORT_NAME) or None,
        hardware=names.hardware_name(hardware) if hardware else None,
        firmware=text_field(metadata, _FIRMWARE_VERSION) or None,
    )


def channels(state: MirrorState) -> list[Channel]:
    """Return the channels that are in use, by index."""
    found = (channel(state, index) for index in state.channel_indices)
    return [one for one in found if one is not None]


def channel(state: MirrorState, index: int) -> Channel | None:
    """Return a channel; None where it is disabled or there is none."""
    known = state.described_channels
    if index not in known:
        message = state.message(packets.CHANNEL, index)
        if message is None:
            return None
        known[index] = _channel(state, index, message)
    return known[index]


def _channel(state: MirrorState, index: int, message: bytes) -> Channel | None:
    role = number_field(message, _CHANNEL_ROLE)
    if not role:
        return None
    is_primary = role == _ROLE_PRIMARY
    name = _channel_name(state, message, index, is_primary=is_primary)
    return Channel(index=index, name=name, is_primary=is_primary)


def _channel_name(
    state: MirrorState, channel: bytes | None, index: int, *, is_primary: bool
) -> str:
    name = text_field(_submessage(channel or b"", _CHANNEL_SETTINGS), _CHANNEL_NAME)
    if name:
        return name
    if not is_primary:
        return f"Channel {index}"
    lora = state.inner(packets.CONFIG, LORA_CONFIG)
    if lora is not None and not number_field(lora, _USE_PRESET):
        return names.CUSTOM_PRESET_NAME
    return names.preset_name(number_field(lora, _MODEM_PRESET))


def node(state: MirrorState, record: NodeRecord, now: float = _FAR_FUTURE) -> Node:
    """Return what is known of a node.

    Args:
        state: What is mirrored.
        record: The node's part of it.
        now: The present, Unix seconds, against which times that a node stated are checked.
    """
    user = _user(record.message(nodes.USER))
    hops = record.number(nodes.HOPS_AWAY) if record.has(nodes.HOPS_AWAY) else None
    status = record.readings.get((packets.NODE_STATUS, 0))
    is_own = record is state.own
    return Node(
        node_id=names.node_id(record.num),
        name=user.name,
        short_name=user.short_name,
        hardware=user.hardware,
        role=user.role,
        last_heard=_last_heard(record, now),
        snr=None if is_own else record.snr,
        rssi=record.rssi if hops == 0 else None,
        hops_away=hops,
        relay=_relay(state, record),
        via_mqtt=bool(record.number(nodes.VIA_MQTT)),
        is_own=is_own,
        is_favorite=bool(record.number(nodes.IS_FAVORITE)),
        is_ignored=bool(record.number(nodes.IS_IGNORED)),
        is_licensed=user.is_licensed,
        is_messageable=user.is_messageable,
        public_key=user.public_key,
        position=_node_position(record, now),
        telemetry=_node_telemetry(record, now),
        status=(text_field(status.payload, _STATUS) or None) if status else None,
    )


def _relay(state: MirrorState, record: NodeRecord) -> str | None:
    """Return who handed on a node's last packet: whom the radio hears itself, if one ends so."""
    if not record.relay:
        return None
    near = [
        other.num
        for other in state.ending(record.relay)
        if other is not record and not other.number(nodes.HOPS_AWAY)
    ]
    return names.node_id(near[0]) if len(near) == 1 else f"{record.relay:02x}"


@dataclass(frozen=True, slots=True)
class _User:
    """What a ``User`` says."""

    name: str | None
    short_name: str | None
    hardware: str | None
    role: str | None
    is_licensed: bool
    is_messageable: bool
    public_key: str | None


@lru_cache(maxsize=_REMEMBERED)
def _user(user: bytes | None) -> _User:
    hardware = number_field(user, _HW_MODEL)
    key = public_key(user)
    return _User(
        name=text_field(user, nodes.LONG_NAME) or None,
        short_name=text_field(user, nodes.SHORT_NAME) or None,
        hardware=names.hardware_name(hardware) if hardware else None,
        role=None if user is None else names.role_name(number_field(user, _ROLE)),
        is_licensed=bool(number_field(user, _IS_LICENSED)),
        is_messageable=not number_field(user, _IS_UNMESSAGABLE),
        public_key=None if key is None else key.hex(),
    )


def name_of(record: NodeRecord) -> str | None:
    """Return the name that a node gives itself, where it is known."""
    return _user(record.message(nodes.USER)).name


def _last_heard(record: NodeRecord, now: float) -> float | None:
    stated = sane_time(record.number(nodes.LAST_HEARD), now) or 0.0
    return max(stated, record.heard_at) or None


def _node_position(record: NodeRecord, now: float) -> Position | None:
    reading = record.readings.get((packets.POSITION, 0))
    stored = record.message(nodes.POSITION)
    heard = decode_position(reading.payload, reading.time, now) if reading else None
    place = decode_position(stored, 0.0, now) if stored else None
    if heard is None or place is None:
        return heard or place
    # A packet says more of the same place than the radio stores of it. Where they differ, the
    # radio was read anew since the packet came.
    same = (heard.latitude, heard.longitude, heard.altitude) == (
        place.latitude,
        place.longitude,
        place.altitude,
    )
    return heard if same else place


def _node_telemetry(record: NodeRecord, now: float) -> dict[str, Telemetry]:
    found: dict[str, Telemetry] = {}
    stored = record.message(nodes.DEVICE_METRICS)
    if stored:
        device = telemetry.decode_device_metrics(stored, sane_time(record.metrics_heard, now))
        if device is not None:
            found[device.kind] = device
    for (portnum, _), reading in record.readings.items():
        readings = None
        if portnum == packets.TELEMETRY:
            readings = telemetry.decode(reading.payload, reading.time, now)
        elif portnum == packets.PAXCOUNTER:
            readings = telemetry.decode_paxcount(reading.payload, reading.time)
        if readings is None:
            continue
        # As for the position: what the radio stores differs only where it is newer.
        same_kind = found.get(readings.kind)
        if same_kind is None or same_kind.values == readings.values:
            found[readings.kind] = readings
    return found


def decode_position(position: bytes, heard: float, now: float) -> Position | None:
    """Return the place that a ``Position`` states; None where it states none that exists.

    The units are the firmware's (``src/gps/GPS.cpp``): it writes the speed in km/h and the course
    in 1e-5 degrees, whatever the schema's comments say.

    Args:
        position: The message, as it came.
        heard: When it was heard, Unix seconds: its time where it states none; 0 for unknown.
        now: The present, Unix seconds.
    """
    found = _place(position)
    if found is None:
        return None
    place, stated = found
    return Position(**place, time=sane_time(stated, now) or heard or None)


@lru_cache(maxsize=_REMEMBERED)
def _place(position: bytes) -> tuple[dict[str, Any], int] | None:
    """Return what a ``Position`` says of a place, by the model's names, and the time it states."""
    try:
        fields = {item.number: item for item in wire.scan(position)}
    except wire.WireError:
        return None

    def optional(number: int) -> int | None:
        return wire.value_int(fields[number]) & 0xFFFFFFFF if number in fields else None

    latitude = _signed(optional(_LATITUDE) or 0) / 1e7
    longitude = _signed(optional(_LONGITUDE) or 0) / 1e7
    if not (latitude or longitude) or abs(latitude) > 90 or abs(longitude) > 180:
        return None
    altitude = optional(_ALTITUDE)
    speed = optional(_GROUND_SPEED)
    course = optional(_GROUND_TRACK)
    place = {
        "latitude": latitude,
        "longitude": longitude,
        "altitude": None if altitude is None else float(_signed(altitude)),
        "accuracy": accuracy(optional(_PRECISION_BITS) or 0),
        "speed": None if speed is None else round(speed / 3.6, 2),
        "course": None if course is None or course > 360_00000 else course / 1e5,
        "satellites": optional(_SATELLITES) or None,
    }
    return place, optional(_TIMESTAMP) or optional(_POSITION_TIME) or 0


def accuracy(precision_bits: int) -> float | None:
    """Return the radius in metres of a place of which only so many bits were told.

    Args:
        precision_bits: ``Position.precision_bits``: 0 where it is not stated, 32 for all.
    """
    if not 0 < precision_bits < 32:
        return None
    return round(_BLUR_AT_10_BITS * 2.0 ** (10 - precision_bits), 2)


def _signed(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value


def _submessage(message: bytes, number: int) -> bytes:
    try:
        return wire.value_bytes(message, wire.last(wire.scan(message), number))
    except wire.WireError:
        return b""
