"""Measurements by name: all kinds, presence instead of truth, nothing that is no number."""

import math
import struct
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from meshtastic.protobuf import paxcount_pb2, telemetry_pb2
import pytest

from custom_components.meshmonitor.meshtastic import telemetry, wire
from tests.meshtastic.recorded import NOW

VARIANTS = {
    "device": "device_metrics",
    "environment": "environment_metrics",
    "air_quality": "air_quality_metrics",
    "power": "power_metrics",
    "local_stats": "local_stats",
    "health": "health_metrics",
    "host": "host_metrics",
    "traffic_management": "traffic_management_stats",
}


def decoded(message: telemetry_pb2.Telemetry) -> dict[str, Any]:
    """Return the readings of a message."""
    result = telemetry.decode(message.SerializeToString(), NOW, NOW)
    return dict(result.values) if result else {}


def test_every_kind_of_the_schema_is_read() -> None:
    """A kind that the package brings newly is to be named here."""
    fields = telemetry_pb2.Telemetry.DESCRIPTOR.oneofs_by_name["variant"].fields
    assert {field.name for field in fields} == set(VARIANTS.values())


@pytest.mark.parametrize(("kind", "variant"), VARIANTS.items())
def test_every_field_is_read(kind: str, variant: str) -> None:
    """By its own name, with its own value."""
    message = telemetry_pb2.Telemetry()
    metrics = getattr(message, variant)
    expected: dict[str, Any] = {}
    for index, field in enumerate(metrics.DESCRIPTOR.fields, 1):
        if field.name == "one_wire_temperature":
            metrics.one_wire_temperature.extend([20.5, -1.25])
            expected |= {"one_wire_temperature_ch0": 20.5, "one_wire_temperature_ch1": -1.25}
            continue
        value: float | int | str = index
        if field.type == FieldDescriptor.TYPE_FLOAT:
            value = index + 0.25
        elif field.type == FieldDescriptor.TYPE_STRING:
            value = "text"
        elif field.type == FieldDescriptor.TYPE_INT32:
            value = -index
        elif field.type == FieldDescriptor.TYPE_UINT64:
            value = 1 << 40
        setattr(metrics, field.name, value)
        expected[field.name] = value
    result = telemetry.decode(message.SerializeToString(), NOW, NOW)
    assert result is not None
    assert result.kind == kind
    assert result.values == expected


@pytest.mark.parametrize("variant", ["device_metrics", "environment_metrics", "health_metrics"])
def test_zero_is_a_reading_and_absence_is_none(variant: str) -> None:
    """Nothing but what was sent is told."""
    message = telemetry_pb2.Telemetry()
    metrics = getattr(message, variant)
    name = metrics.DESCRIPTOR.fields[0].name
    setattr(metrics, name, 0)
    assert decoded(message) == {name: 0}


def test_counters_without_presence_count_from_zero() -> None:
    """A counter at 0 is not sent; what no firmware has at 0 is not told."""
    message = telemetry_pb2.Telemetry(
        local_stats=telemetry_pb2.LocalStats(uptime_seconds=60, num_packets_rx=5)
    )
    values = decoded(message)
    assert values["num_packets_rx"] == 5
    assert values["num_packets_rx_bad"] == 0
    assert values["channel_utilization"] == 0.0
    assert not values.keys() & {"noise_floor", "heap_total_bytes", "heap_free_bytes"}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_numbers_are_no_readings(value: float) -> None:
    """Unset sensors send them."""
    message = telemetry_pb2.Telemetry(
        environment_metrics=telemetry_pb2.EnvironmentMetrics(
            temperature=value, relative_humidity=50.0, one_wire_temperature=[value, 20.0]
        )
    )
    assert decoded(message) == {"relative_humidity": 50.0, "one_wire_temperature_ch1": 20.0}
    alone = telemetry_pb2.Telemetry(
        environment_metrics=telemetry_pb2.EnvironmentMetrics(temperature=value)
    )
    assert telemetry.decode(alone.SerializeToString(), NOW, NOW) is None
    stats = telemetry_pb2.Telemetry(
        local_stats=telemetry_pb2.LocalStats(uptime_seconds=1, air_util_tx=value)
    )
    assert "air_util_tx" not in decoded(stats)


def test_external_power_keeps_its_number() -> None:
    """Above 100 the node is powered; that is for the reader to say."""
    message = telemetry_pb2.Telemetry(device_metrics=telemetry_pb2.DeviceMetrics(battery_level=101))
    assert decoded(message) == {"battery_level": 101}


def test_numbers_are_as_short_as_they_were_measured() -> None:
    """A 32-bit float has seven digits, and no more are told."""
    message = telemetry_pb2.Telemetry(
        device_metrics=telemetry_pb2.DeviceMetrics(voltage=4.02, air_util_tx=0.1)
    )
    assert decoded(message) == {"voltage": 4.02, "air_util_tx": 0.1}


def test_fields_newer_than_the_schema() -> None:
    """They are read by their number; those that nobody knows are left out."""

    def number(field: int, value: float) -> bytes:
        return wire.fixed32_field(field, int.from_bytes(struct.pack("<f", value), "little"))

    environment = b"".join(
        (
            number(1, 21.5),
            number(24, 3.25),
            number(31, 0.0),
            number(33, -4.5),
            wire.varint_field(40, 7),
            wire.varint_field(41, 12),
            number(60, 1.0),
            wire.bytes_field(61, b"new"),
            number(32, math.nan),
        )
    )
    result = telemetry.decode(wire.bytes_field(3, environment), NOW, NOW)
    assert result is not None
    assert result.values == {
        "temperature": 21.5,
        "adc_voltage_ch0": 3.25,
        "adc_voltage_ch7": 0.0,
        "one_wire_temperature_ch1": -4.5,
        "lightning_strike_count_1h": 7,
        "lightning_distance_km": 12,
    }
    air = wire.varint_field(2, 8) + wire.varint_field(26, 3)
    result = telemetry.decode(wire.bytes_field(4, air), NOW, NOW)
    assert result is not None
    assert result.values == {"pm25_standard": 8, "pm_status_flags": 3}


def test_unpacked_list() -> None:
    """A parser must take both forms of a repeated number."""
    value = int.from_bytes(struct.pack("<f", 20.5), "little")
    environment = wire.fixed32_field(23, value) + wire.fixed32_field(23, value)
    result = telemetry.decode(wire.bytes_field(3, environment), NOW, NOW)
    assert result is not None
    assert result.values == {"one_wire_temperature_ch0": 20.5, "one_wire_temperature_ch1": 20.5}


@pytest.mark.parametrize(
    ("stated", "heard", "expected"),
    [
        (int(NOW) - 60, NOW, NOW - 60),
        (0, NOW, NOW),
        (1000, NOW - 5, NOW - 5),
        (int(NOW) + 86_400, NOW, NOW),
        (0, 0.0, None),
    ],
    ids=["stated", "no clock", "1970", "tomorrow", "unknown"],
)
def test_time(stated: int, heard: float, expected: float | None) -> None:
    """The sender's, where it has a clock that is right."""
    message = telemetry_pb2.Telemetry(
        time=stated, device_metrics=telemetry_pb2.DeviceMetrics(battery_level=5)
    )
    result = telemetry.decode(message.SerializeToString(), heard, NOW)
    assert result is not None
    assert result.time == expected


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x0a",
        b"\x12\x00",
        b"\x12\x02\x08",
        wire.bytes_field(30, b"\x08\x01"),
        wire.bytes_field(3, wire.bytes_field(1, b"text")),
        wire.bytes_field(2, wire.fixed32_field(1, 5)),
        wire.bytes_field(3, wire.bytes_field(23, b"\x00\x00\x00")),
    ],
)
def test_nothing_to_read(payload: bytes) -> None:
    """Requests, unknown kinds and garbage are no measurement."""
    assert telemetry.decode(payload, NOW, NOW) is None


def test_people_counter() -> None:
    """It has a port of its own, and zeros that count."""
    payload = paxcount_pb2.Paxcount(wifi=7, uptime=60).SerializeToString()
    result = telemetry.decode_paxcount(payload, NOW)
    assert result is not None
    assert result.kind == telemetry.PAXCOUNTER
    assert result.values == {"wifi": 7, "ble": 0, "uptime": 60}
    assert result.time == NOW
    assert telemetry.decode_paxcount(b"\xff", NOW) is None
    assert telemetry.decode_paxcount(b"", NOW) is None


def test_text_that_is_no_utf8() -> None:
    """It is told as far as it is one."""
    host = wire.varint_field(1, 60) + wire.bytes_field(9, b"up\xff")
    result = telemetry.decode(wire.bytes_field(8, host), NOW, NOW)
    assert result is not None
    assert result.values["user_string"] == "up\N{REPLACEMENT CHARACTER}"
