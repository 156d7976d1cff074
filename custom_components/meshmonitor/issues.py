"""What only the owner can put right, in Home Assistant's list of repairs."""

from collections.abc import Mapping
from typing import Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir

from .const import DOMAIN

SEVERITIES: Final = {
    "link_contended": ir.IssueSeverity.WARNING,
    "identity_changed": ir.IssueSeverity.ERROR,
    "virtual_node_bind_failed": ir.IssueSeverity.ERROR,
    "admin_open_to_all": ir.IssueSeverity.WARNING,
    "firmware_too_old": ir.IssueSeverity.WARNING,
}
FIXABLE: Final = frozenset(
    {"admin_open_to_all", "identity_changed", "link_contended", "virtual_node_bind_failed"}
)
"""What can be put right from the list itself, see `repairs`; firmware cannot."""


class Issues:
    """The repair issues of one config entry."""

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry) -> None:
        """Start without any."""
        self._hass = hass
        self._entry = entry

    @callback
    def set(self, key: str, is_active: bool, placeholders: Mapping[str, str]) -> None:
        """Raise an issue, bring it up to date, or clear it.

        Args:
            key: Which one, as its text is called.
            is_active: Whether the problem exists.
            placeholders: What the text names, beside the entry's name.
        """
        issue_id = f"{key}_{self._entry.entry_id}"
        if not is_active:
            ir.async_delete_issue(self._hass, DOMAIN, issue_id)
            return
        ir.async_create_issue(
            self._hass,
            DOMAIN,
            issue_id,
            data={"entry_id": self._entry.entry_id},
            is_fixable=key in FIXABLE,
            severity=SEVERITIES[key],
            translation_key=key,
            translation_placeholders={"name": self._entry.title, **placeholders},
        )

    @callback
    def clear(self) -> None:
        """Clear all of them."""
        for key in SEVERITIES:
            self.set(key, False, {})
