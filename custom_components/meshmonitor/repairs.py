"""Puts right, from Home Assistant's list of repairs, what can be put right there."""

from typing import override

from homeassistant.components.repairs import ConfirmRepairFlow, RepairsFlow, RepairsFlowResult
from homeassistant.core import HomeAssistant

from .const import CONF_ALLOW_ADMIN, CONF_VIRTUAL_NODE


class AdminOpenRepairFlow(ConfirmRepairFlow):
    """Takes the right to configure the radio from all clients."""

    def __init__(self, entry_id: str) -> None:
        """Take note of the source's entry."""
        super().__init__()
        self._entry_id = entry_id

    @override
    async def async_step_confirm(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Ask, then switch it off; the virtual node goes on with the clients it has."""
        entry = self.hass.config_entries.async_get_entry(self._entry_id)
        if user_input is not None and entry is not None:
            virtual_node = {**entry.options.get(CONF_VIRTUAL_NODE, {}), CONF_ALLOW_ADMIN: False}
            self.hass.config_entries.async_update_entry(
                entry, options={**entry.options, CONF_VIRTUAL_NODE: virtual_node}
            )
        return await super().async_step_confirm(user_input)


async def async_create_fix_flow(
    hass: HomeAssistant, issue_id: str, data: dict[str, str | int | float | None] | None
) -> RepairsFlow:
    """Return what puts an issue right; only those of `issues.FIXABLE` ask for it."""
    return AdminOpenRepairFlow(str((data or {}).get("entry_id")))
