"""Filling in forms as a person would."""

from typing import Any

from homeassistant.config_entries import SOURCE_USER, ConfigEntry, ConfigFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType

from custom_components.meshmonitor.const import DOMAIN


async def start(hass: HomeAssistant, step: str) -> ConfigFlowResult:
    """Open the form of one kind of radio, as a person would from the menu."""
    menu = await hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_USER})
    assert menu["type"] is FlowResultType.MENU
    form = await hass.config_entries.flow.async_configure(menu["flow_id"], {"next_step_id": step})
    assert form["type"] is FlowResultType.FORM
    assert form["step_id"] == step
    assert not form["errors"]
    return form


async def submit(
    hass: HomeAssistant, form: ConfigFlowResult, user_input: dict[str, Any]
) -> ConfigFlowResult:
    """Send a form's fields, and agree to what the last step proposes."""
    result = await submit_one(hass, form, user_input)
    if result.get("step_id") == "nodes":
        result = await submit_one(hass, result, {})
    return result


async def submit_one(
    hass: HomeAssistant, form: ConfigFlowResult, user_input: dict[str, Any]
) -> ConfigFlowResult:
    """Send the fields of one form."""
    result = await hass.config_entries.flow.async_configure(form["flow_id"], user_input)
    await hass.async_block_till_done()
    return result


async def open_options(hass: HomeAssistant, entry: ConfigEntry[Any], part: str) -> ConfigFlowResult:
    """Open one part of an entry's options, as a person would from the menu."""
    menu = await hass.config_entries.options.async_init(entry.entry_id)
    assert menu["type"] is FlowResultType.MENU
    form = await hass.config_entries.options.async_configure(
        menu["flow_id"], {"next_step_id": part}
    )
    assert form["type"] is FlowResultType.FORM
    assert form["step_id"] == part
    return form


def suggested(form: ConfigFlowResult) -> dict[str, Any]:
    """Return what a form's fields show."""
    shown: dict[str, Any] = {}
    assert form["data_schema"] is not None
    for key, value in form["data_schema"].schema.items():
        if hasattr(value, "options") and hasattr(value, "schema"):
            shown[key.schema] = {
                inner.schema: (inner.description or {}).get("suggested_value")
                for inner in value.schema.schema
            }
        else:
            shown[key.schema] = (key.description or {}).get("suggested_value")
    return shown
