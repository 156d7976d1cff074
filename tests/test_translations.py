"""Every text that the code asks for exists, and none stands there that nothing asks for."""

import ast
from collections.abc import Iterator, Mapping
import json
from pathlib import Path
import re
from typing import Any, Final

from homeassistant.core import HomeAssistant
from homeassistant.helpers.selector import NumberSelector, SelectSelector
from homeassistant.setup import async_setup_component
from homeassistant.util.yaml import load_yaml_dict
import probatio
import pytest

from custom_components.meshmonitor import PLATFORMS
from custom_components.meshmonitor.config_flow import MeshMonitorConfigFlow, connection_fields
from custom_components.meshmonitor.const import CONF_NOTIFY_CONTACTS, CONF_VIRTUAL_NODE, DOMAIN
from custom_components.meshmonitor.event import EVENTS
from custom_components.meshmonitor.issues import FIXABLE, SEVERITIES
from custom_components.meshmonitor.mesh.source import ProbeReason, Problem, SendReason
from custom_components.meshmonitor.meshcore import lpp
from custom_components.meshmonitor.meshcore.decode import ENVIRONMENT_NAMES
from custom_components.meshmonitor.node_form import node_fields, picked_field
from custom_components.meshmonitor.options_flow import MeshMonitorOptionsFlow
from custom_components.meshmonitor.ports import PORT_ERRORS
from custom_components.meshmonitor.protocols import PROTOCOLS, RadioProtocol
from custom_components.meshmonitor.readings import NODE_SENSORS, ROLES
from custom_components.meshmonitor.readings_environment import READINGS, reading_description
from custom_components.meshmonitor.source_sensors import CLIENTS, GATEWAY_SENSORS
from custom_components.meshmonitor.virtual_node_form import virtual_node_section

INTEGRATION: Final = Path(__file__).resolve().parent.parent / "custom_components" / "meshmonitor"
ENGLISH: Final[dict[str, Any]] = json.loads((INTEGRATION / "translations/en.json").read_text())
ICONS: Final[dict[str, Any]] = json.loads((INTEGRATION / "icons.json").read_text())
# Home Assistant ends flows for these reasons by itself, on our behalf.
CORE_ABORTS: Final = {
    "already_configured",
    "already_in_progress",
    "reconfigure_successful",
    "unique_id_mismatch",
}
CONNECTIONS: Final = ("tcp", "serial")


def trees() -> Iterator[tuple[str, ast.Module]]:
    """Yield name and content of every module of Home Assistant's side."""
    for file in sorted(INTEGRATION.glob("*.py")):
        yield file.stem, ast.parse(file.read_text())


def constants(tree: ast.Module) -> dict[str, str]:
    """Return the module's own names for texts."""
    found = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            target, value = statement.targets[0], statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            target, value = statement.target, statement.value
        else:
            continue
        if isinstance(target, ast.Name) and isinstance(value, ast.Constant):
            found[target.id] = str(value.value)
    return found


def keywords(name: str) -> Iterator[tuple[str, str]]:
    """Yield file and text for every argument, field or attribute of this name that is a text."""
    for file, tree in trees():
        known = constants(tree)
        for statement in ast.walk(tree):
            if isinstance(statement, ast.keyword) and statement.arg == name:
                value: ast.expr | None = statement.value
            elif isinstance(statement, ast.Assign) and any(
                getattr(target, "id", None) == f"_attr_{name}" for target in statement.targets
            ):
                value = statement.value
            else:
                continue
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield file, value.value
            elif isinstance(value, ast.Name) and value.id in known:
                yield file, known[value.id]


def raised() -> Iterator[tuple[str, set[str]]]:
    """Yield the translated errors that the code raises by a fixed name, and what they name."""
    for _, tree in trees():
        for statement in ast.walk(tree):
            if isinstance(statement, ast.Call):
                given = {keyword.arg: keyword.value for keyword in statement.keywords}
                key = given.get("translation_key")
                if "translation_domain" in given and isinstance(key, ast.Constant):
                    named = given.get("translation_placeholders")
                    keys = named.keys if isinstance(named, ast.Dict) else []
                    yield (
                        str(key.value),
                        {str(k.value) for k in keys if isinstance(k, ast.Constant)},
                    )


def calls(name: str) -> Iterator[tuple[str, ast.Call]]:
    """Yield file and call for every call of a function or method of this name."""
    for file, tree in trees():
        for statement in ast.walk(tree):
            if isinstance(statement, ast.Call):
                function = statement.func
                called = getattr(function, "attr", None) or getattr(function, "id", None)
                if called == name:
                    yield file, statement


def placeholders(text: str) -> set[str]:
    """Return what a text names."""
    return set(re.findall(r"{(\w+)}", text))


def all_texts(value: Any) -> Iterator[str]:
    """Yield every text in a tree of texts."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from all_texts(item)
    else:
        yield value


def form_errors(*, of_virtual_node: bool | None = None) -> set[str]:
    """Return the errors that forms can show, all or those of one part."""
    errors = set(PORT_ERRORS.values()) | {"port_in_use"} if of_virtual_node is not False else set()
    for file, call in calls("FormError"):
        if isinstance(call.args[0], ast.Constant) and (
            of_virtual_node is None or of_virtual_node == (file != "config_flow")
        ):
            errors.add(str(call.args[0].value))
    return errors


def test_flow_errors() -> None:
    """Every error of the flows has its text, in each flow that can show it."""
    assert set(ENGLISH["config"]["error"]) == form_errors() | {
        reason.value for reason in ProbeReason
    }
    assert set(ENGLISH["options"]["error"]) == form_errors(of_virtual_node=True)
    for key, text in ENGLISH["options"]["error"].items():
        assert ENGLISH["config"]["error"][key] == text


def test_flow_aborts() -> None:
    """Every reason to end a flow has its text."""
    reasons = {text for file, text in keywords("reason") if file != "repairs"}
    assert reasons
    assert set(ENGLISH["config"]["abort"]) == reasons | CORE_ABORTS


def test_flow_steps() -> None:
    """Every step has its texts, and every text its step."""
    steps = {
        name.removeprefix("async_step_")
        for name in vars(MeshMonitorConfigFlow)
        if name.startswith("async_step_")
    }
    kinds = {f"{protocol}_{connection}" for protocol in PROTOCOLS for connection in CONNECTIONS}
    assert kinds <= steps
    texts = ENGLISH["config"]["step"]
    assert set(texts) == {"user", "reconfigure", "zeroconf_confirm", "usb_confirm", "nodes"} | kinds
    assert set(texts["user"]["menu_options"]) == kinds
    for step in texts.values():
        assert step["title"]
    assert set(texts["usb_confirm"]["menu_options"]) == {
        f"{protocol}_serial" for protocol in PROTOCOLS
    }
    parts = {
        name.removeprefix("async_step_")
        for name in vars(MeshMonitorOptionsFlow)
        if name.startswith("async_step_")
    }
    later = ENGLISH["options"]["step"]
    assert set(later) == parts
    assert set(later["init"]["menu_options"]) == parts - {"init"}
    allowed = {"name", "host", "detail", "expected", "found", "nodes", "favorites"}
    assert all(placeholders(text) <= allowed for text in all_texts(ENGLISH["config"]))
    assert all(
        placeholders(text) <= {"name", "detail", "nodes", "favorites"}
        for text in all_texts(ENGLISH["options"])
    )


def fields(schema: probatio.Schema) -> set[str]:
    """Return the names of a form's fields."""
    return {str(marker.schema) for marker in schema.schema}


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=lambda protocol: protocol.key)
def test_fields(protocol: RadioProtocol) -> None:
    """Every field of every form has a name and an explanation."""
    inner = fields(virtual_node_section(protocol, collapsed=True).schema)
    for connection in CONNECTIONS:
        step = ENGLISH["config"]["step"][f"{protocol.key}_{connection}"]
        outer = fields(probatio.Schema(connection_fields(protocol, connection)))
        assert set(step["data"]) == set(step["data_description"]) == outer
        section = step["sections"][CONF_VIRTUAL_NODE]
        assert set(section["data"]) == set(section["data_description"]) == inner
        moved = ENGLISH["config"]["step"]["reconfigure"]
        assert outer <= set(moved["data"]) == set(moved["data_description"])
    later = ENGLISH["options"]["step"]["virtual_node"]["sections"][CONF_VIRTUAL_NODE]
    assert inner <= set(later["data"]) == set(later["data_description"])


def test_options_form_has_no_text_too_many() -> None:
    """The options' form is one for all protocols: it has the texts of all of them, no more."""
    inner = set[str]().union(
        *(
            fields(virtual_node_section(protocol, collapsed=True).schema)
            for protocol in PROTOCOLS.values()
        )
    )
    section = ENGLISH["options"]["step"]["virtual_node"]["sections"][CONF_VIRTUAL_NODE]
    assert set(section["data"]) == inner


def test_node_fields() -> None:
    """The forms that ask for nodes have a name and an explanation for every field."""
    first = fields(probatio.Schema(node_fields()))
    step = ENGLISH["config"]["step"]["nodes"]
    assert set(step["data"]) == set(step["data_description"]) == first
    later = ENGLISH["options"]["step"]["nodes"]
    every = first | fields(probatio.Schema(picked_field({}, [])))
    assert set(later["data"]) == set(later["data_description"]) == every
    contacts = ENGLISH["options"]["step"]["notifications"]
    assert set(contacts["data"]) == set(contacts["data_description"]) == {CONF_NOTIFY_CONTACTS}


def choices_in(described: Any) -> Iterator[tuple[str, set[str]]]:
    """Yield the lists to choose from in a description of actions, triggers or conditions."""
    if isinstance(described, Mapping):
        select = described.get("select")
        if isinstance(select, Mapping) and "translation_key" in select:
            yield select["translation_key"], set(select["options"])
        for item in described.values():
            yield from choices_in(item)


def test_choices() -> None:
    """Every choice of every list has its text."""
    expected: dict[str, set[str]] = {}
    forms: list[Mapping[Any, Any]] = [protocol.extra_options for protocol in PROTOCOLS.values()]
    for form in (*forms, node_fields()):
        for selector in form.values():
            if isinstance(selector, SelectSelector):
                key = str(selector.config["translation_key"])
                expected[key] = {str(choice) for choice in selector.config["options"]}
    for file in INTEGRATION.glob("*.yaml"):
        for key, choices in choices_in(load_yaml_dict(str(file))):
            expected[key] = expected.get(key, set()) | choices
    units = {
        str(selector.config["translation_key"]): {selector.config["unit_of_measurement"]}
        for field in node_fields().values()
        if isinstance(field, probatio.All)
        for selector in field.validators
        if isinstance(selector, NumberSelector)
    }
    assert units
    for what, wanted in (("options", expected), ("unit_of_measurement", units)):
        told = {key: set(text[what]) for key, text in ENGLISH["selector"].items() if what in text}
        assert told == wanted


def test_counts_have_no_unit() -> None:
    """A translation cannot tell one from many: "1 nodes". The name says what is counted."""
    texts = ENGLISH["entity"]["sensor"]
    assert not [key for key, text in texts.items() if "unit_of_measurement" in text]


def entity_keys() -> dict[str, set[str]]:
    """Return the translation keys of the entities of each platform."""
    # A waypoint is called as its sender called it, and is in no registry.
    platforms = {platform.value for platform in PLATFORMS} - {"geo_location"}
    keys: dict[str, set[str]] = {platform: set() for platform in platforms}
    for file, key in keywords("translation_key"):
        if file in platforms:
            keys[file].add(key)
    keys["binary_sensor"].add("detection")
    keys["sensor"] = sensor_keys()
    return keys


def sensor_keys() -> set[str]:
    """Return the translation keys of all sensors; some are called after what they measure."""
    numbered = [("power", "ch1_voltage"), ("power", "ch1_current")]
    numbered += [("environment", "adc_voltage_ch0"), ("environment", "one_wire_temperature_ch0")]
    for kind in lpp.TYPES.values():
        for field in kind.fields:
            name = ENVIRONMENT_NAMES.get(kind.name, kind.name) + field
            numbered.append(("environment", f"{name}_2"))
    found = [reading_description(kind, name) for kind, name in numbered]
    assert None not in found
    described = (*NODE_SENSORS, *GATEWAY_SENSORS, CLIENTS, *READINGS.values(), *found)
    return {one.translation_key for one in described if one and one.translation_key}


def test_entities() -> None:
    """Every entity has a name, but those that are called after a channel or a device."""
    keys = entity_keys()
    for platform, texts in ENGLISH["entity"].items():
        assert set(texts) <= keys[platform], platform
    unnamed = {
        "binary_sensor": {"virtual_node"},
        "device_tracker": {"position"},
        "notify": {"channel", "contact"},
    }
    for platform, expected in keys.items():
        assert expected, platform
        texts = ENGLISH["entity"].get(platform, {})
        named = {key for key, text in texts.items() if text.get("name")}
        assert named == expected - unnamed.get(platform, set()), platform
    assert set(ENGLISH["entity"]["sensor"]["role"]["state"]) == set(ROLES)
    for event in EVENTS:
        assert event.translation_key is not None
        attributes = ENGLISH["entity"]["event"][event.translation_key]["state_attributes"]
        assert set(attributes["event_type"]["state"]) == set(event.event_types or ())


def test_icons() -> None:
    """Every entity and action has an icon, and no icon is left over."""
    assert {platform: set(icons) for platform, icons in ICONS["entity"].items()} == entity_keys()
    assert set(ICONS["services"]) == set(ENGLISH["services"])
    assert all(text.startswith("mdi:") for text in all_texts(ICONS))


def test_system_health() -> None:
    """Every figure has its text."""
    tree = dict(trees())["system_health"]
    [returned] = [node for node in ast.walk(tree) if isinstance(node, ast.Return)]
    assert isinstance(returned.value, ast.Dict)
    figures = {key.value for key in returned.value.keys if isinstance(key, ast.Constant)}
    assert set(ENGLISH["system_health"]["info"]) == figures


def test_devices() -> None:
    """A device that has no name of its own has a text."""
    assert set(ENGLISH["device"]) == {CONF_VIRTUAL_NODE}


def test_exceptions() -> None:
    """Every error that an action can raise has its text, which names only what there is."""
    expected = {f"send_{reason}": {"name", "limit"} for reason in SendReason}
    for key, named in raised():
        # An error that is raised in several places names what it does in each of them.
        expected[key] = expected.get(key, named) & named
    assert set(ENGLISH["exceptions"]) == set(expected)
    for key, text in ENGLISH["exceptions"].items():
        assert placeholders(text["message"]) <= expected[key], key


def test_issues() -> None:
    """Every repair issue has title and description, which name only what there is to name."""
    assert set(ENGLISH["issues"]) == set(SEVERITIES)
    assert {problem.value for problem in Problem} <= set(SEVERITIES)
    named = {
        "identity_changed": {"expected", "found"},
        "virtual_node_bind_failed": {"port", "error"},
        "firmware_too_old": {"firmware", "oldest"},
    }
    for key, texts in ENGLISH["issues"].items():
        if key in FIXABLE:
            assert set(texts) == {"title", "fix_flow"}
            assert set(texts["fix_flow"]["step"]) == {"confirm"}
            shown = texts["fix_flow"]["step"]["confirm"]
            leads_on = key != "admin_open_to_all"
            assert set(texts["fix_flow"].get("abort", {})) == ({"continued"} if leads_on else set())
        else:
            shown = {"description": texts["description"], "title": texts["title"]}
            assert set(texts) == set(shown)
        assert set(shown) == {"title", "description"}
        for text in (texts["title"], *shown.values()):
            assert placeholders(text) <= {"name"} | named.get(key, set())


async def test_services(hass: HomeAssistant) -> None:
    """Every action is described, and each of its fields."""
    assert await async_setup_component(hass, DOMAIN, {})
    actions = hass.services.async_services_for_domain(DOMAIN)
    described = load_yaml_dict(str(INTEGRATION / "services.yaml"))
    described = {key: value for key, value in described.items() if not key.startswith(".")}
    assert set(described) == set(ENGLISH["services"]) == set(actions)
    for name, action in actions.items():
        texts = ENGLISH["services"][name]
        assert texts["name"]
        assert texts["description"]
        schema = action.schema
        assert isinstance(schema, probatio.Schema)
        expected = fields(schema)
        assert set(texts.get("fields", {})) == expected, name
        assert set((described[name] or {}).get("fields", {})) == expected, name
        for field in texts.get("fields", {}).values():
            assert set(field) == {"name", "description"}


@pytest.mark.parametrize("kind", ["triggers", "conditions"])
def test_triggers_and_conditions(kind: str) -> None:
    """Every trigger and condition is described, and each of its fields."""
    described = load_yaml_dict(str(INTEGRATION / f"{kind}.yaml"))
    described = {key: value for key, value in described.items() if not key.startswith(".")}
    assert set(described) == set(ENGLISH[kind]) == set(ICONS[kind])
    for name, texts in ENGLISH[kind].items():
        assert texts["name"]
        assert texts["description"]
        assert set(texts.get("fields", {})) == set((described[name] or {}).get("fields", {}))
        for field in texts.get("fields", {}).values():
            assert set(field) == {"name", "description"}


def test_texts_are_written_alike() -> None:
    """No text is empty, padded, or quotes a placeholder as hassfest forbids."""
    for text in all_texts(ENGLISH):
        assert text
        assert text == text.strip()
        assert not re.search(r"'{\w+}'", text)
