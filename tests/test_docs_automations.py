"""What the page on automations shows works as it stands there."""

from collections.abc import Iterator
from pathlib import Path
import re
from typing import Any, Final

from homeassistant.core import HomeAssistant
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.condition import async_validate_condition_config
from homeassistant.helpers.trigger import async_validate_trigger_config
from homeassistant.setup import async_setup_component
from homeassistant.util.yaml import parse_yaml
import probatio
import pytest

from custom_components.meshmonitor.automation import EVENT_MESSAGE
from custom_components.meshmonitor.condition import CONDITIONS
from custom_components.meshmonitor.const import DOMAIN
from custom_components.meshmonitor.trigger import TRIGGERS
from tests.ha import entity_id, make_entry, set_up, wait_until
from tests.ha.automations import automate
from tests.simulators.meshtastic_node import SimulatedNode

PAGE: Final = (Path(__file__).resolve().parent.parent / "docs/automations.md").read_text()
EXAMPLES: Final[list[Any]] = [
    parse_yaml(text.replace("!secret ", ""))
    for text in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
]


def parts(key: str) -> list[Any]:
    """Return all triggers, conditions or actions that the page shows."""
    return [part for example in EXAMPLES for part in example.get(key, ())]


def actions(found: Any = None) -> Iterator[dict[str, Any]]:
    """Yield all actions that the page shows, also those inside others."""
    for action in parts("actions") if found is None else found:
        yield from actions(action.get("then", []))
        if "action" in action:
            yield action


@pytest.fixture(autouse=True)
async def _set_up(hass: HomeAssistant, _load_custom_integrations: None) -> None:
    assert await async_setup_component(hass, DOMAIN, {})


async def test_triggers_and_conditions(hass: HomeAssistant) -> None:
    """All that are shown are valid, and all that there are are shown or named."""
    await async_validate_trigger_config(hass, cv.TRIGGER_SCHEMA(parts("triggers")))
    for condition in parts("conditions"):
        await async_validate_condition_config(hass, cv.CONDITION_SCHEMA(condition))
    shown = {trigger["trigger"] for trigger in parts("triggers")}
    for key, trigger in TRIGGERS.items():
        assert f"{DOMAIN}.{key}" in shown or key == "node_online"
        for field in trigger._fields:  # type: ignore[attr-defined]
            assert f"`{field.schema}`" in PAGE, field.schema
    assert {condition["condition"] for condition in parts("conditions")} == {
        f"{DOMAIN}.{key}" for key in CONDITIONS
    }


async def test_actions(hass: HomeAssistant) -> None:
    """Every action is shown in an example that it accepts, and its fields are named."""
    services = hass.services.async_services_internal()[DOMAIN]
    shown = {}
    for action in actions():
        domain, name = action["action"].split(".")
        if domain == DOMAIN:
            shown[name] = action
            schema = services[name].schema
            assert schema is not None
            schema(action.get("data", {}))
    assert set(shown) == set(services)
    for name, service in services.items():
        assert isinstance(service.schema, probatio.Schema)
        for field in service.schema.schema:
            assert re.search(rf"\b{field.schema}\b", PAGE), (name, field.schema)


@pytest.mark.usefixtures("unload")
async def test_own_triggers_of_home_assistant(hass: HomeAssistant, node: SimulatedNode) -> None:
    """What is shown for event entities and the event bus starts an automation."""
    coordinator = await set_up(hass, make_entry(node))
    event = entity_id(hass, "event", f"{coordinator.unique_id}_message")
    shown = [
        {**trigger, **({"target": {"entity_id": event}} if "target" in trigger else {})}
        for trigger in parts("triggers")
        if trigger["trigger"].startswith("event")
    ]
    await automate(hass, *shown)

    def started() -> set[str]:
        """Return what has started something."""
        return {
            trigger.get("event_type", trigger["trigger"])
            for number, trigger in enumerate(shown)
            if (automation := hass.states.get(f"automation.automation_{number}")) is not None
            and automation.attributes["last_triggered"] is not None
        }

    await node.say(node.peer(0).num, "hello", to=node.state.num)
    expected = {"event.received", EVENT_MESSAGE}
    await wait_until(lambda: started() >= expected, "the event entity and the event")
    assert started() == expected
