"""What nodes measure around them, as sensors.

Names and units are those of Meshtastic's `telemetry.proto`, and of MeshCore's sensor readings for
what Meshtastic has no name for. The firmware writes ``gas_resistance`` in kilo-ohms; ``pm10`` is
PM1.0, ``pm25`` PM2.5, ``pm40`` PM4.0, ``pm100`` PM10.
"""

from dataclasses import replace
from functools import lru_cache
import re
from typing import Final

from homeassistant.components.sensor.const import SensorDeviceClass, SensorStateClass
from homeassistant.const import (
    DEGREE,
    LIGHT_LUX,
    PERCENTAGE,
    EntityCategory,
    UnitOfDensity,
    UnitOfElectricCurrent,
    UnitOfElectricPotential,
    UnitOfEnergy,
    UnitOfFrequency,
    UnitOfLength,
    UnitOfMass,
    UnitOfPower,
    UnitOfPrecipitationDepth,
    UnitOfPressure,
    UnitOfRatio,
    UnitOfSpeed,
    UnitOfTemperature,
)

from .mesh.model import Telemetry
from .readings import (
    RADIO_READINGS,
    Reading,
    ReadingDescription,
    SensorValue,
    diagnostic,
    measured,
    timestamp,
)

_ENVIRONMENT: Final = "environment"
_AIR: Final = "air_quality"
_POWER: Final = "power"


def _moment(_: Telemetry, value: Reading) -> SensorValue:
    return timestamp(float(value))


def _temperature(
    kind: str, name: str, key: str | None, *, enabled: bool = True
) -> ReadingDescription:
    return measured(
        kind,
        name,
        translation_key=key,
        device_class=SensorDeviceClass.TEMPERATURE,
        unit=UnitOfTemperature.CELSIUS,
        precision=1,
        enabled=enabled,
    )


def _humidity(kind: str, name: str, key: str | None, *, enabled: bool = True) -> ReadingDescription:
    return measured(
        kind,
        name,
        translation_key=key,
        device_class=SensorDeviceClass.HUMIDITY,
        unit=PERCENTAGE,
        precision=0,
        enabled=enabled,
    )


def _light(name: str, key: str | None) -> ReadingDescription:
    return measured(
        _ENVIRONMENT,
        name,
        translation_key=key,
        device_class=SensorDeviceClass.ILLUMINANCE,
        unit=LIGHT_LUX,
        precision=0,
    )


def _wind(name: str, key: str | None) -> ReadingDescription:
    return measured(
        _ENVIRONMENT,
        name,
        translation_key=key,
        device_class=SensorDeviceClass.WIND_SPEED,
        unit=UnitOfSpeed.METERS_PER_SECOND,
        precision=1,
    )


def _voltage(kind: str, name: str, key: str) -> ReadingDescription:
    return measured(
        kind,
        name,
        translation_key=key,
        device_class=SensorDeviceClass.VOLTAGE,
        unit=UnitOfElectricPotential.VOLT,
        precision=2,
    )


def _current(kind: str, name: str, key: str) -> ReadingDescription:
    return measured(
        kind,
        name,
        translation_key=key,
        device_class=SensorDeviceClass.CURRENT,
        unit=UnitOfElectricCurrent.MILLIAMPERE,
        precision=0,
    )


def _plain(name: str, unit: str | None = None, precision: int | None = None) -> ReadingDescription:
    return measured(_ENVIRONMENT, name, translation_key=name, unit=unit, precision=precision)


def _rain(name: str) -> ReadingDescription:
    return measured(
        _ENVIRONMENT,
        name,
        translation_key=name,
        device_class=SensorDeviceClass.PRECIPITATION,
        unit=UnitOfPrecipitationDepth.MILLIMETERS,
        precision=1,
    )


_SURROUNDINGS: Final = (
    _temperature(_ENVIRONMENT, "temperature", None),
    _humidity(_ENVIRONMENT, "relative_humidity", None),
    measured(
        _ENVIRONMENT,
        "barometric_pressure",
        device_class=SensorDeviceClass.ATMOSPHERIC_PRESSURE,
        unit=UnitOfPressure.HPA,
        precision=1,
    ),
    diagnostic(_ENVIRONMENT, "gas_resistance", "gas_resistance", unit="kΩ", precision=1),
    _voltage(_ENVIRONMENT, "voltage", "environment_voltage"),
    _current(_ENVIRONMENT, "current", "environment_current"),
    _plain("iaq"),
    measured(
        _ENVIRONMENT,
        "distance",
        device_class=SensorDeviceClass.DISTANCE,
        unit=UnitOfLength.MILLIMETERS,
        suggested_unit=UnitOfLength.CENTIMETERS,
        precision=1,
    ),
    _light("lux", None),
    _light("white_lux", "white_lux"),
    _light("ir_lux", "ir_lux"),
    _light("uv_lux", "uv_lux"),
    measured(
        _ENVIRONMENT,
        "wind_direction",
        device_class=SensorDeviceClass.WIND_DIRECTION,
        unit=DEGREE,
        state_class=SensorStateClass.MEASUREMENT_ANGLE,
        precision=0,
    ),
    _wind("wind_speed", None),
    _wind("wind_gust", "wind_gust"),
    _wind("wind_lull", "wind_lull"),
    measured(
        _ENVIRONMENT,
        "weight",
        device_class=SensorDeviceClass.WEIGHT,
        unit=UnitOfMass.KILOGRAMS,
        precision=2,
    ),
    _plain("radiation", "µR/h", 1),
    _rain("rainfall_1h"),
    _rain("rainfall_24h"),
    measured(
        _ENVIRONMENT,
        "soil_moisture",
        translation_key="soil_moisture",
        device_class=SensorDeviceClass.MOISTURE,
        unit=PERCENTAGE,
        precision=0,
    ),
    _temperature(_ENVIRONMENT, "soil_temperature", "soil_temperature"),
    _plain("lightning_strike_count_1h"),
    measured(
        _ENVIRONMENT,
        "lightning_distance_km",
        translation_key="lightning_distance",
        device_class=SensorDeviceClass.DISTANCE,
        unit=UnitOfLength.KILOMETERS,
        precision=0,
    ),
)
_MESHCORE: Final = (
    *(
        _plain(name)
        for name in (
            *("digital_input", "digital_output", "generic", "presence", "switch"),
            *("colour_red", "colour_green", "colour_blue"),
        )
    ),
    _plain("analog_input", None, 2),
    _plain("analog_output", None, 2),
    _plain("percentage", PERCENTAGE, 0),
    _plain("load", UnitOfMass.KILOGRAMS, 2),
    _plain("concentration", UnitOfRatio.PARTS_PER_MILLION, 0),
    _plain("direction", DEGREE, 0),
    *(_plain(f"acceleration_{axis}", "g", 3) for axis in "xyz"),
    *(_plain(f"rotation_{axis}", "°/s", 2) for axis in "xyz"),
    measured(
        _ENVIRONMENT,
        "frequency",
        device_class=SensorDeviceClass.FREQUENCY,
        unit=UnitOfFrequency.HERTZ,
    ),
    measured(
        _ENVIRONMENT,
        "altitude",
        translation_key="altitude",
        device_class=SensorDeviceClass.DISTANCE,
        unit=UnitOfLength.METERS,
        precision=0,
    ),
    measured(
        _ENVIRONMENT,
        "power",
        device_class=SensorDeviceClass.POWER,
        unit=UnitOfPower.WATT,
    ),
    measured(
        _ENVIRONMENT,
        "energy",
        device_class=SensorDeviceClass.ENERGY,
        unit=UnitOfEnergy.KILO_WATT_HOUR,
        state_class=SensorStateClass.TOTAL_INCREASING,
        precision=2,
    ),
    measured(
        _ENVIRONMENT,
        "time",
        translation_key="sensor_time",
        device_class=SensorDeviceClass.TIMESTAMP,
        state_class=None,
        category=EntityCategory.DIAGNOSTIC,
        enabled=False,
        value_fn=_moment,
    ),
)
_PARTICLES: Final = {
    "pm10": SensorDeviceClass.PM1,
    "pm25": SensorDeviceClass.PM25,
    "pm40": SensorDeviceClass.PM4,
    "pm100": SensorDeviceClass.PM10,
}
_AIR_QUALITY: Final = (
    *(
        measured(
            _AIR,
            f"{size}_standard",
            device_class=device_class,
            unit=UnitOfDensity.MICROGRAMS_PER_CUBIC_METER,
            precision=0,
        )
        for size, device_class in _PARTICLES.items()
    ),
    *(
        measured(
            _AIR,
            f"{size}_environmental",
            translation_key=f"{size}_environmental",
            device_class=_PARTICLES[size],
            unit=UnitOfDensity.MICROGRAMS_PER_CUBIC_METER,
            precision=0,
            enabled=False,
        )
        for size in ("pm10", "pm25", "pm100")
    ),
    *(
        diagnostic(_AIR, f"particles_{size}um", f"particles_{size}um", unit="/0.1 L", precision=0)
        for size in ("03", "05", "10", "25", "40", "50", "100")
    ),
    measured(
        _AIR,
        "co2",
        device_class=SensorDeviceClass.CO2,
        unit=UnitOfRatio.PARTS_PER_MILLION,
        precision=0,
    ),
    _temperature(_AIR, "co2_temperature", "co2_temperature", enabled=False),
    _humidity(_AIR, "co2_humidity", "co2_humidity", enabled=False),
    measured(
        _AIR,
        "form_formaldehyde",
        translation_key="formaldehyde",
        unit=UnitOfRatio.PARTS_PER_BILLION,
        precision=1,
    ),
    _temperature(_AIR, "form_temperature", "form_temperature", enabled=False),
    _humidity(_AIR, "form_humidity", "form_humidity", enabled=False),
    _temperature(_AIR, "pm_temperature", "pm_temperature", enabled=False),
    _humidity(_AIR, "pm_humidity", "pm_humidity", enabled=False),
    measured(_AIR, "pm_voc_idx", translation_key="voc_index", precision=0),
    measured(_AIR, "pm_nox_idx", translation_key="nox_index", precision=0),
    diagnostic(_AIR, "particles_tps", "particle_size", unit="μm", precision=2),
    diagnostic(_AIR, "pm_status_flags", "pm_status_flags", state_class=None),
)
ENVIRONMENT_READINGS: Final = (*_SURROUNDINGS, *_MESHCORE, *_AIR_QUALITY)
"""What nodes measure around them, each at one place."""

_NUMBERED: Final = {
    re.compile(r"environment_adc_voltage_ch(\d)"): _voltage(
        _ENVIRONMENT, "adc_voltage", "adc_voltage"
    ),
    re.compile(r"environment_one_wire_temperature_ch(\d)"): _temperature(
        _ENVIRONMENT, "one_wire_temperature", "one_wire_temperature"
    ),
    re.compile(r"power_ch(\d)_voltage"): _voltage(_POWER, "voltage", "channel_voltage"),
    re.compile(r"power_ch(\d)_current"): _current(_POWER, "current", "channel_current"),
}
"""Readings of several channels alike, by kind and name; what they have in common."""
_OTHER_CHANNEL: Final = re.compile(r"(\w+?)_(\d+)")
"""How MeshCore's readings are called that come from another channel than the node's own."""

READINGS: Final = {
    (description.kind, description.reading): description
    for description in (*RADIO_READINGS, *ENVIRONMENT_READINGS)
}
# The statistics repeat these three; whichever is newer counts, as one reading.
SAME_READINGS: Final = frozenset({"uptime_seconds", "channel_utilization", "air_util_tx"})


@lru_cache(maxsize=1024)
def reading_description(kind: str, name: str) -> ReadingDescription | None:
    """Return how a reading is shown; None for one that is shown elsewhere, or not at all.

    Args:
        kind: The kind of telemetry it is part of.
        name: The reading's name there.
    """
    if kind == "local_stats" and name in SAME_READINGS:
        kind = "device"
    if (known := READINGS.get((kind, name))) is not None:
        return known
    for pattern, description in _NUMBERED.items():
        if (found := pattern.fullmatch(f"{kind}_{name}")) is not None:
            return _numbered(description, kind, name, found[1])
    if kind == _ENVIRONMENT and (found := _OTHER_CHANNEL.fullmatch(name)) is not None:
        own = READINGS.get((kind, found[1]))
        if own is not None:
            key = f"{own.translation_key or own.device_class}_channel"
            return _numbered(replace(own, translation_key=key), kind, name, found[2])
    return None


def _numbered(
    description: ReadingDescription, kind: str, name: str, number: str
) -> ReadingDescription:
    return replace(
        description,
        key=f"{kind}_{name}",
        reading=name,
        translation_placeholders={"channel": number},
    )
