"""What a source knows, kept over a restart."""

from collections.abc import Callable
import logging
from typing import Any, Final

from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.storage import Store

from .const import DOMAIN

_LOGGER = logging.getLogger(__name__)

VERSION: Final = 1
SAVE_DELAY: Final = 60.0
"""Seconds from the first change to the file: a busy mesh changes all the time."""


class SnapshotStore:
    """The file of one config entry."""

    def __init__(self, hass: HomeAssistant, entry_id: str) -> None:
        """Name the file; it is neither read nor written yet."""
        self._store: Store[dict[str, Any]] = Store(
            hass, VERSION, f"{DOMAIN}.{entry_id}", private=True, atomic_writes=True
        )
        self._is_due = False

    async def async_load(self) -> dict[str, Any] | None:
        """Return what was kept; None when there is nothing, or nothing that can be read."""
        try:
            kept: object = await self._store.async_load()
        except HomeAssistantError, NotImplementedError, LookupError, TypeError, ValueError:
            kept = ()
        if kept is None or isinstance(kept, dict):
            return kept
        _LOGGER.warning("The stored state of a source is damaged; starting empty")
        return None

    @callback
    def async_delay_save(self, snapshot: Callable[[], dict[str, Any]]) -> None:
        """Write soon; further calls until then change nothing, so that it does happen."""
        if self._is_due:
            return
        self._is_due = True

        def take() -> dict[str, Any]:
            self._is_due = False
            return snapshot()

        self._store.async_delay_save(take, SAVE_DELAY)

    async def async_save(self, snapshot: dict[str, Any]) -> None:
        """Write now."""
        self._is_due = False
        await self._store.async_save(snapshot)

    async def async_remove(self) -> None:
        """Delete the file."""
        await self._store.async_remove()
