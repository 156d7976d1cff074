"""What nodes say of themselves and of their radios, as sensors.

The names of the readings, their units and pitfalls are those of Meshtastic's `telemetry.proto`;
what MeshCore nodes say of the same things is called the same.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from homeassistant.components.sensor import SensorEntityDescription
from homeassistant.components.sensor.const import SensorDeviceClass, SensorStateClass
from homeassistant.const import (
    PERCENTAGE,
    SIGNAL_STRENGTH_DECIBELS,
    SIGNAL_STRENGTH_DECIBELS_MILLIWATT,
    EntityCategory,
    UnitOfElectricPotential,
    UnitOfInformation,
    UnitOfTemperature,
    UnitOfTime,
)
from homeassistant.helpers.typing import StateType
from homeassistant.util import dt as dt_util

from .mesh.model import Node, Telemetry

type Reading = float | int | str
type SensorValue = StateType | datetime

_MAX_STATE: Final = 255
ROLES: Final = (
    *("client", "client_base", "client_hidden", "client_mute", "companion", "lost_and_found"),
    *("repeater", "room_server", "router", "router_client", "router_late", "sensor", "tak"),
    *("tak_tracker", "tracker"),
)
"""The roles of both protocols."""


@dataclass(frozen=True, kw_only=True)
class NodeSensorDescription(SensorEntityDescription):
    """Something that a radio knows of a node."""

    value_fn: Callable[[Node], SensorValue]
    exists_fn: Callable[[Node], bool]


@dataclass(frozen=True, kw_only=True)
class ReadingDescription(SensorEntityDescription):
    """Something that a node measured."""

    kind: str
    reading: str
    value_fn: Callable[[Telemetry, Reading], SensorValue] = lambda _telemetry, value: value


def boot_time(telemetry: Telemetry, uptime: Reading) -> SensorValue:
    """Return when a node started, by the seconds that it has been running since."""
    if telemetry.time is None:
        return None
    return dt_util.utc_from_timestamp(telemetry.time - float(uptime))


def _battery(_: Telemetry, level: Reading) -> SensorValue:
    """Return the charge in per cent: above 100 means that external power is there."""
    return min(float(level), 100.0)


def _hundredth(_: Telemetry, value: Reading) -> SensorValue:
    return float(value) / 100


def _text(_: Telemetry, value: Reading) -> SensorValue:
    return str(value)[:_MAX_STATE]


def timestamp(value: float | None) -> datetime | None:
    """Return Unix seconds as Home Assistant has times."""
    return None if value is None else dt_util.utc_from_timestamp(value)


NODE_SENSORS: Final = (
    NodeSensorDescription(
        key="last_heard",
        translation_key="last_heard",
        device_class=SensorDeviceClass.TIMESTAMP,
        entity_category=EntityCategory.DIAGNOSTIC,
        value_fn=lambda node: timestamp(node.last_heard),
        exists_fn=lambda node: not node.is_own,
    ),
    NodeSensorDescription(
        key="snr",
        translation_key="snr",
        device_class=SensorDeviceClass.SIGNAL_STRENGTH,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=SIGNAL_STRENGTH_DECIBELS,
        suggested_display_precision=1,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=lambda node: node.snr,
        exists_fn=lambda node: node.snr is not None,
    ),
    NodeSensorDescription(
        key="rssi",
        translation_key="rssi",
        device_class=SensorDeviceClass.SIGNAL_STRENGTH,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=SIGNAL_STRENGTH_DECIBELS_MILLIWATT,
        suggested_display_precision=0,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=lambda node: node.rssi,
        exists_fn=lambda node: node.rssi is not None,
    ),
    NodeSensorDescription(
        key="hops_away",
        translation_key="hops_away",
        state_class=SensorStateClass.MEASUREMENT,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=lambda node: node.hops_away,
        exists_fn=lambda node: not node.is_own and node.hops_away is not None,
    ),
    NodeSensorDescription(
        key="relay",
        translation_key="relay",
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=lambda node: node.relay,
        exists_fn=lambda node: node.relay is not None,
    ),
    NodeSensorDescription(
        key="role",
        translation_key="role",
        device_class=SensorDeviceClass.ENUM,
        options=list(ROLES),
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        # A role that is newer than this list is none that has a name.
        value_fn=lambda node: node.role if node.role in ROLES else None,
        exists_fn=lambda node: node.role is not None,
    ),
    NodeSensorDescription(
        key="status",
        translation_key="status",
        value_fn=lambda node: None if node.status is None else node.status[:_MAX_STATE],
        exists_fn=lambda node: node.status is not None,
    ),
)


def measured(
    kind: str,
    name: str,
    *,
    translation_key: str | None = None,
    device_class: SensorDeviceClass | None = None,
    unit: str | None = None,
    state_class: SensorStateClass | None = SensorStateClass.MEASUREMENT,
    precision: int | None = None,
    suggested_unit: str | None = None,
    category: EntityCategory | None = None,
    enabled: bool = True,
    value_fn: Callable[[Telemetry, Reading], SensorValue] | None = None,
) -> ReadingDescription:
    """Return the description of a reading; without a translation key its class names it.

    Args:
        kind: The kind of telemetry it is part of.
        name: The reading's name there.
        translation_key: Its name in the translations.
        device_class: What it measures.
        unit: In what the protocol states it.
        state_class: How statistics treat it.
        precision: How many decimals are worth showing.
        suggested_unit: In what a person wants to see it.
        category: Where it is shown.
        enabled: Whether it is of use to most.
        value_fn: Returns the state for a reading, where that is not the reading itself.
    """
    description = ReadingDescription(
        key=f"{kind}_{name}",
        kind=kind,
        reading=name,
        translation_key=translation_key,
        device_class=device_class,
        native_unit_of_measurement=unit,
        state_class=state_class,
        suggested_display_precision=precision,
        suggested_unit_of_measurement=suggested_unit,
        entity_category=category,
        entity_registry_enabled_default=enabled,
    )
    return description if value_fn is None else replace(description, value_fn=value_fn)


def diagnostic(kind: str, name: str, translation_key: str, **details: object) -> ReadingDescription:
    """Return the description of a reading for those who look after a mesh."""
    return measured(
        kind,
        name,
        translation_key=translation_key,
        category=EntityCategory.DIAGNOSTIC,
        enabled=False,
        **details,  # type: ignore[arg-type]
    )


def _counter(kind: str, name: str, translation_key: str | None = None) -> ReadingDescription:
    return diagnostic(
        kind, name, translation_key or name, state_class=SensorStateClass.TOTAL_INCREASING
    )


def _uptime(kind: str, name: str) -> ReadingDescription:
    return measured(
        kind,
        name,
        device_class=SensorDeviceClass.UPTIME,
        state_class=None,
        category=EntityCategory.DIAGNOSTIC,
        enabled=False,
        value_fn=boot_time,
    )


def _bytes(kind: str, name: str, translation_key: str, suggested: str) -> ReadingDescription:
    return diagnostic(
        kind,
        name,
        translation_key,
        device_class=SensorDeviceClass.DATA_SIZE,
        unit=UnitOfInformation.BYTES,
        suggested_unit=suggested,
        precision=1,
    )


_DEVICE: Final = (
    measured(
        "device",
        "battery_level",
        device_class=SensorDeviceClass.BATTERY,
        unit=PERCENTAGE,
        precision=0,
        category=EntityCategory.DIAGNOSTIC,
        value_fn=_battery,
    ),
    measured(
        "device",
        "voltage",
        device_class=SensorDeviceClass.VOLTAGE,
        unit=UnitOfElectricPotential.VOLT,
        precision=2,
        category=EntityCategory.DIAGNOSTIC,
        enabled=False,
    ),
    diagnostic(
        "device", "channel_utilization", "channel_utilization", unit=PERCENTAGE, precision=1
    ),
    diagnostic("device", "air_util_tx", "air_util_tx", unit=PERCENTAGE, precision=1),
    _uptime("device", "uptime_seconds"),
)
_LOCAL_STATS: Final = (
    _counter("local_stats", "num_packets_tx"),
    _counter("local_stats", "num_packets_rx"),
    _counter("local_stats", "num_packets_rx_bad"),
    diagnostic("local_stats", "num_online_nodes", "num_online_nodes"),
    diagnostic("local_stats", "num_total_nodes", "num_total_nodes"),
    _counter("local_stats", "num_rx_dupe"),
    _counter("local_stats", "num_tx_relay"),
    _counter("local_stats", "num_tx_relay_canceled"),
    _counter("local_stats", "num_tx_dropped"),
    _bytes("local_stats", "heap_total_bytes", "heap_total", UnitOfInformation.KILOBYTES),
    _bytes("local_stats", "heap_free_bytes", "heap_free", UnitOfInformation.KILOBYTES),
    diagnostic(
        "local_stats",
        "noise_floor",
        "noise_floor",
        device_class=SensorDeviceClass.SIGNAL_STRENGTH,
        unit=SIGNAL_STRENGTH_DECIBELS_MILLIWATT,
        precision=0,
    ),
    # MeshCore's own statistics, also those that a repeater is asked for.
    diagnostic(
        "local_stats",
        "last_rssi",
        "last_rssi",
        device_class=SensorDeviceClass.SIGNAL_STRENGTH,
        unit=SIGNAL_STRENGTH_DECIBELS_MILLIWATT,
        precision=0,
    ),
    diagnostic(
        "local_stats",
        "last_snr",
        "last_snr",
        device_class=SensorDeviceClass.SIGNAL_STRENGTH,
        unit=SIGNAL_STRENGTH_DECIBELS,
        precision=1,
    ),
    diagnostic("local_stats", "tx_queue", "tx_queue"),
    diagnostic("local_stats", "error_flags", "error_flags", state_class=None),
    *(
        diagnostic(
            "local_stats",
            f"{direction}_air_seconds",
            f"{direction}_air_time",
            device_class=SensorDeviceClass.DURATION,
            unit=UnitOfTime.SECONDS,
            suggested_unit=UnitOfTime.MINUTES,
            precision=0,
            state_class=SensorStateClass.TOTAL_INCREASING,
        )
        for direction in ("tx", "rx")
    ),
    *(
        _counter("local_stats", f"num_{direction}_{route}")
        for direction in ("tx", "rx")
        for route in ("flood", "direct")
    ),
    *(
        diagnostic(
            "local_stats",
            f"storage_{part}_kb",
            f"storage_{part}",
            device_class=SensorDeviceClass.DATA_SIZE,
            unit=UnitOfInformation.KILOBYTES,
            precision=0,
        )
        for part in ("used", "total")
    ),
)
_HEALTH: Final = (
    measured("health", "heart_bpm", translation_key="heart_rate", unit="bpm", precision=0),
    measured("health", "spO2", translation_key="blood_oxygen", unit=PERCENTAGE, precision=0),
    measured(
        "health",
        "temperature",
        translation_key="body_temperature",
        device_class=SensorDeviceClass.TEMPERATURE,
        unit=UnitOfTemperature.CELSIUS,
        precision=1,
    ),
)
_HOST: Final = (
    diagnostic(
        "host",
        "uptime_seconds",
        "host_uptime",
        device_class=SensorDeviceClass.UPTIME,
        state_class=None,
        value_fn=boot_time,
    ),
    _bytes("host", "freemem_bytes", "free_memory", UnitOfInformation.MEGABYTES),
    *(
        _bytes("host", f"diskfree{disk}_bytes", f"free_disk_{disk}", UnitOfInformation.GIGABYTES)
        for disk in (1, 2, 3)
    ),
    *(
        diagnostic("host", f"load{minutes}", f"load_{minutes}", precision=2, value_fn=_hundredth)
        for minutes in (1, 5, 15)
    ),
    diagnostic("host", "user_string", "host_text", state_class=None, value_fn=_text),
)
_PAXCOUNTER: Final = (
    measured("paxcounter", "wifi", translation_key="pax_wifi"),
    measured("paxcounter", "ble", translation_key="pax_ble"),
    diagnostic(
        "paxcounter",
        "uptime",
        "pax_uptime",
        device_class=SensorDeviceClass.UPTIME,
        state_class=None,
        value_fn=boot_time,
    ),
)
_TRAFFIC: Final = tuple(
    _counter("traffic_management", name)
    for name in (
        *("packets_inspected", "position_dedup_drops", "nodeinfo_cache_hits", "rate_limit_drops"),
        *("unknown_packet_drops", "hop_exhausted_packets", "router_hops_preserved"),
    )
)
RADIO_READINGS: Final = (
    *_DEVICE,
    *_LOCAL_STATS,
    *_HEALTH,
    *_HOST,
    *_PAXCOUNTER,
    *_TRAFFIC,
)
"""What nodes say of themselves."""
