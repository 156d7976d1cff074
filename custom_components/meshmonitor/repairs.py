"""Puts right, from Home Assistant's list of repairs, what can be put right there."""

from abc import ABC, abstractmethod
from typing import Final, override

from homeassistant.components.repairs import (
    ConfirmRepairFlow,
    FlowType,
    RepairsFlow,
    RepairsFlowResult,
)
from homeassistant.config_entries import SOURCE_RECONFIGURE, ConfigEntry
from homeassistant.core import HomeAssistant

from .const import CONF_ALLOW_ADMIN, CONF_VIRTUAL_NODE, DOMAIN


class _SourceRepairFlow(ConfirmRepairFlow, ABC):
    """Asks first, then does something about the source."""

    def __init__(self, entry_id: str) -> None:
        """Take note of the source's entry."""
        super().__init__()
        self._entry_id = entry_id

    @override
    async def async_step_confirm(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Ask, then do it, unless the source has been removed meanwhile."""
        entry = self.hass.config_entries.async_get_entry(self._entry_id)
        if user_input is None or entry is None:
            return await super().async_step_confirm(user_input)
        return await self._async_repair(entry)

    @abstractmethod
    async def _async_repair(self, entry: ConfigEntry) -> RepairsFlowResult:
        """Do what the owner agreed to."""


class AdminOpenRepairFlow(_SourceRepairFlow):
    """Takes the right to configure the radio from all clients."""

    @override
    async def _async_repair(self, entry: ConfigEntry) -> RepairsFlowResult:
        """Switch it off; the virtual node goes on with the clients it has."""
        virtual_node = {**entry.options.get(CONF_VIRTUAL_NODE, {}), CONF_ALLOW_ADMIN: False}
        self.hass.config_entries.async_update_entry(
            entry, options={**entry.options, CONF_VIRTUAL_NODE: virtual_node}
        )
        return self.async_create_entry(data={})


class ReconfigureRepairFlow(_SourceRepairFlow):
    """Leads to the form that tells where the radio is. The issue ends when that radio answers."""

    @override
    async def _async_repair(self, entry: ConfigEntry) -> RepairsFlowResult:
        """Open the form."""
        flow = await self.hass.config_entries.flow.async_init(
            DOMAIN, context={"source": SOURCE_RECONFIGURE, "entry_id": entry.entry_id}
        )
        return self.async_abort(
            reason="continued", next_flow=(FlowType.CONFIG_FLOW, flow["flow_id"])
        )


class VirtualNodeRepairFlow(_SourceRepairFlow):
    """Leads to the virtual node's options. The issue ends when what it tells of does."""

    @override
    async def _async_repair(self, entry: ConfigEntry) -> RepairsFlowResult:
        """Open the form; a page that cannot go on in it begins with the menu before it."""
        menu = await self.hass.config_entries.options.async_init(entry.entry_id)
        await self.hass.config_entries.options.async_configure(
            menu["flow_id"], {"next_step_id": CONF_VIRTUAL_NODE}
        )
        return self.async_abort(
            reason="continued", next_flow=(FlowType.OPTIONS_FLOW, menu["flow_id"])
        )


_FLOWS: Final[dict[str, type[_SourceRepairFlow]]] = {
    "admin_open_to_all": AdminOpenRepairFlow,
    "identity_changed": ReconfigureRepairFlow,
    "link_contended": VirtualNodeRepairFlow,
    "virtual_node_bind_failed": VirtualNodeRepairFlow,
}


async def async_create_fix_flow(
    hass: HomeAssistant, issue_id: str, data: dict[str, str | int | float | None] | None
) -> RepairsFlow:
    """Return what puts an issue right; only those of `issues.FIXABLE` ask for it."""
    entry_id = str((data or {}).get("entry_id"))
    return _FLOWS[issue_id.removesuffix(f"_{entry_id}")](entry_id)
