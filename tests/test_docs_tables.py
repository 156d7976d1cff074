"""The tables of the docs are those of the code."""

from collections.abc import Iterable
import json
from pathlib import Path
from typing import Any, Final

from homeassistant.components import sensor
from homeassistant.components.sensor import SensorEntityDescription
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity import EntityDescription
import pytest

from custom_components.meshmonitor import PLATFORMS
from custom_components.meshmonitor.automation import delivery_data, message_data
from custom_components.meshmonitor.binary_sensor import LINK, ONLINE, POWERED, PROBLEMS
from custom_components.meshmonitor.button import ADVERT, REQUESTS
from custom_components.meshmonitor.const import CONF_NOTIFY_CONTACTS
from custom_components.meshmonitor.detections import DETECTION
from custom_components.meshmonitor.devices import NodeChoice, NodeMode
from custom_components.meshmonitor.event import EVENTS
from custom_components.meshmonitor.issues import SEVERITIES
from custom_components.meshmonitor.mesh.model import (
    Delivery,
    DeliveryState,
    Message,
    MessageKind,
    Origin,
)
from custom_components.meshmonitor.meshcore.commands import COMMANDS, Gate
from custom_components.meshmonitor.meshtastic.admin import VARIANTS, AdminClass
from custom_components.meshmonitor.node_form import node_fields, picked_field
from custom_components.meshmonitor.protocols import HOUR, PROTOCOLS
from custom_components.meshmonitor.readings import NODE_SENSORS
from custom_components.meshmonitor.readings_environment import READINGS, reading_description
from custom_components.meshmonitor.source_sensors import CLIENTS, GATEWAY_SENSORS
from custom_components.meshmonitor.virtual_node_form import default_options
from tests.ha import make_entry, set_up_without_radio
from tests.pages import PROJECT, codes, rows, section, tables, text_of
from tests.simulators.meshtastic_node import SimulatedNode

INTEGRATION: Final = PROJECT / "custom_components/meshmonitor"
ENGLISH: Final[dict[str, Any]] = json.loads((INTEGRATION / "translations/en.json").read_text())
CLASSES: Final[dict[str, Any]] = json.loads(
    (Path(sensor.__file__).parent / "translations/en.json").read_text()
)["entity_component"]
READING_TABLES: Final = {
    "device": ("Device",),
    "local_stats": ("Radio statistics",),
    "environment": ("Surroundings", "Surroundings, from MeshCore sensors"),
    "air_quality": ("Air quality",),
    "health": ("Health",),
    "host": ("Host",),
    "paxcounter": ("Counter of people",),
    "traffic_management": ("Traffic management",),
}


def options() -> dict[str, tuple[str, Any]]:
    """Return name and default of every option, by key."""
    texts = ENGLISH["options"]["step"]
    found: dict[str, tuple[str, Any]] = {}
    for protocol in PROTOCOLS.values():
        for key, default in default_options(protocol).items():
            label = texts["virtual_node"]["sections"]["virtual_node"]["data"][key]
            found[key] = (label, default if key != "port" else None)
    choice = NodeChoice()
    for marker in (*node_fields(), *picked_field({}, ())):
        key = str(marker.schema)
        found[key] = (texts["nodes"]["data"][key], getattr(choice, key))
    found[CONF_NOTIFY_CONTACTS] = (
        texts["notifications"]["data"][CONF_NOTIFY_CONTACTS],
        (),
    )
    return found


def test_options() -> None:
    """The first page has every option, by its name in the form and its key, with its default."""
    found = rows("README.md", "Virtual node", "Nodes of the mesh", "Notifications")
    expected = options()
    assert {row[1].strip("`"): row[0] for row in found} == {
        key: label for key, (label, _) in expected.items()
    }
    for row in found:
        default = expected[row[1].strip("`")][1]
        if isinstance(default, bool):
            assert row[3] == ("yes" if default else "no"), row
        elif isinstance(default, int):
            assert row[3] == str(default), row
        elif isinstance(default, str) and default:
            assert row[3] == f"`{default}`", row
    for protocol in PROTOCOLS.values():
        port = default_options(protocol)["port"]
        assert f"{port} {protocol.name}" in next(row[3] for row in found if row[1] == "`port`")
    assert {mode.value for mode in NodeMode} <= codes(section("README.md", "Nodes of the mesh"))


def test_connection() -> None:
    """The first page has what the forms ask for to reach a radio."""
    found = {row[1].strip("`"): row[0] for row in rows("README.md", "Connection")}
    steps = ENGLISH["config"]["step"]
    assert found == {**steps["meshtastic_tcp"]["data"], **steps["meshtastic_serial"]["data"]}
    for protocol in PROTOCOLS.values():
        assert f"{protocol.radio_port} {protocol.name}" in section("README.md", "Connection")


def name_of(platform: str, description: EntityDescription) -> str:
    """Return what an entity is called."""
    if description.translation_key is not None:
        name: str = ENGLISH["entity"][platform][description.translation_key]["name"]
        return name
    of_class: str = CLASSES[str(description.device_class)]["name"]
    return of_class


def unit_of(description: SensorEntityDescription) -> str:
    """Return in what a person sees a sensor's state."""
    if description.device_class in {"timestamp", "uptime"}:
        return "a time"
    texts = ENGLISH["entity"]["sensor"].get(description.translation_key, {})
    return str(
        description.suggested_unit_of_measurement
        or description.native_unit_of_measurement
        or texts.get("unit_of_measurement", "")
    )


@pytest.mark.parametrize("kind", sorted({kind for kind, _ in READINGS}))
def test_readings(kind: str) -> None:
    """Every reading is in the table of its kind, with its unit, and nothing else is."""
    expected = [
        [
            name_of("sensor", reading),
            unit_of(reading),
            "yes" if reading.entity_registry_enabled_default else "no",
        ]
        for (of, _), reading in READINGS.items()
        if of == kind
    ]
    assert rows("docs/entities.md", *READING_TABLES[kind]) == expected


def test_numbered_readings() -> None:
    """Those of several inputs are described as well."""
    for kind, reading in (("power", "ch1_voltage"), ("power", "ch1_current")):
        description = reading_description(kind, reading)
        assert description is not None
        name = name_of("sensor", description)
        assert [name, unit_of(description), "yes"] in rows("docs/entities.md", "Power")
    for reading in ("adc_voltage_ch1", "one_wire_temperature_ch1", "temperature_3"):
        description = reading_description("environment", reading)
        assert description is not None
        placeholders = description.translation_placeholders or {}
        name = name_of("sensor", description).format(**placeholders)
        assert f"*{name}*" in text_of("docs/entities.md").replace("\n", " ")


def described(heading: str) -> set[tuple[str, str, str]]:
    """Return name, platform and default of the entities in a table."""
    return {
        (row[0], row[1].strip("`"), row[3])
        for row in rows("docs/entities.md", heading)
        if not row[0].startswith("*")
    }


def entities(platform: str, descriptions: Iterable[EntityDescription]) -> set[tuple[str, str, str]]:
    """Return the same of descriptions."""
    return {
        (
            name_of(platform, description),
            platform,
            "yes" if description.entity_registry_enabled_default else "no",
        )
        for description in descriptions
    }


def test_entities() -> None:
    """Every entity is in its table, with its default, and nothing else is."""
    assert described("Entities of the radio") == (
        entities("binary_sensor", (LINK, *PROBLEMS))
        | entities("sensor", GATEWAY_SENSORS)
        | entities("event", EVENTS)
        | entities("button", (ADVERT,))
    )
    assert described("Entities of the virtual node") == {
        (ENGLISH["device"]["virtual_node"]["name"].format(name="…"), "binary_sensor", "yes")
    } | entities("sensor", (CLIENTS,))
    assert described("Entities of a node") == (
        entities("binary_sensor", (ONLINE, POWERED, DETECTION))
        | entities("sensor", NODE_SENSORS)
        | entities("button", REQUESTS.values())
    )
    platforms = {
        row[1].strip("`")
        for row in rows(
            "docs/entities.md",
            *("Entities of the radio", "Entities of the virtual node", "Entities of a node"),
        )
    }
    assert platforms == {platform.value for platform in PLATFORMS}


async def test_events(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Every type of an event and all that it carries is described, and nothing else is."""
    coordinator = await set_up_without_radio(hass, make_entry(node))
    message = Message(
        message_id="1",
        kind=MessageKind.CHANNEL,
        origin=Origin.RADIO,
        text="",
        sender_id=None,
        sender_name=None,
        time=0.0,
    )
    delivery = Delivery(message_id="1", state=DeliveryState.SENT)
    for heading, types, data, kind in (
        ("Message", MessageKind, message_data(coordinator, message), "kind"),
        ("Delivery", DeliveryState, delivery_data(coordinator, delivery), "state"),
    ):
        text = section("docs/entities.md", heading)
        assert {member.value for member in types} <= codes(text)
        attributes = {name for row in rows("docs/entities.md", heading) for name in codes(row[0])}
        assert attributes == set(data) - {kind}
    assert await hass.config_entries.async_unload(coordinator.entry.entry_id)


def test_presence() -> None:
    """How long silence may last is said as it is, wherever it is said."""
    for protocol in PROTOCOLS.values():
        hours = f"{protocol.online_limit / HOUR:g} hours ({protocol.name}"
        for page in ("automations", "entities", "limitations", "troubleshooting"):
            assert hours in text_of(f"docs/{page}.md").replace("\n", " "), (page, hours)


def test_issues() -> None:
    """Every repair is described."""
    assert set(SEVERITIES) == {
        key for row in rows("docs/entities.md", "Repairs and diagnostics") for key in codes(row[0])
    }


def commands_in(heading: str) -> list[set[str]]:
    """Return the commands that the tables of one column below a heading list."""
    return [
        set().union(*(codes(row[0]) for row in table.rows))
        for table in tables("docs/security.md")
        if table.heading == heading and len(table.columns) == 1
    ]


def test_meshtastic_rights() -> None:
    """The tables of commands are those that decide."""
    assert commands_in("Meshtastic: what a client may do") == [
        {row.name for row in VARIANTS.values() if row.admin_class is admin_class}
        for admin_class in (AdminClass.MUTATING, AdminClass.DANGEROUS)
    ]
    benign = {row.name for row in VARIANTS.values() if row.admin_class is AdminClass.BENIGN}
    assert benign <= codes(section("docs/security.md", "Meshtastic: what a client may do"))


def test_meshcore_rights() -> None:
    """The tables of commands are those that decide."""
    by_gate = {gate: {row.name for row in COMMANDS.values() if row.gate is gate} for gate in Gate}
    heading = "MeshCore: what a client may do"
    assert commands_in(heading) == [by_gate[Gate.ADMIN]]
    others = codes(section("docs/security.md", heading))
    assert by_gate[Gate.DESTRUCTIVE] | by_gate[Gate.NEVER] <= others
