"""What a source knows, kept over a restart."""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
import logging
from typing import Any, Final, get_type_hints

from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.event import async_call_later
from homeassistant.helpers.storage import Store

from .const import DOMAIN

_LOGGER = logging.getLogger(__name__)

VERSION: Final = 1
SAVE_DELAY: Final = 60.0
"""Seconds from the first change to the file: a busy mesh changes all the time."""

_MEMBERS: Final[dict[type[object], dict[str, Any]]] = {}
"""The types of the members of each class: to ask for them takes longer than to read a value."""


def restored[ValueT](kind: type[ValueT], kept: Any) -> ValueT:
    """Return a value of the model from what `dataclasses.asdict` made of it.

    Args:
        kind: Its class: a dataclass of numbers, texts and names from a list.
        kept: What was read from a file.

    Raises:
        ValueError: It is none: a member is missing, unknown, or of another type.
    """
    if kind not in _MEMBERS:
        _MEMBERS[kind] = get_type_hints(kind)
    hints = _MEMBERS[kind]
    try:
        return kind(**{name: _as(hints[name], value) for name, value in kept.items()})
    except (AttributeError, KeyError, TypeError, ValueError) as err:
        raise ValueError(f"no {kind.__name__}") from err


def _as(hint: Any, value: Any) -> object:
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint(value)
    if type(value) is int and isinstance(0.0, hint):
        return float(value)
    if not isinstance(value, hint):
        raise TypeError(hint)
    return value


class SnapshotStore:
    """The file of one config entry."""

    def __init__(self, hass: HomeAssistant, entry_id: str) -> None:
        """Name the file; it is neither read nor written yet."""
        self._hass = hass
        self._store: Store[dict[str, Any]] = Store(
            hass, VERSION, f"{DOMAIN}.{entry_id}", private=True, atomic_writes=True
        )
        self._timer: CALLBACK_TYPE | None = None

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
    def async_delay_save(self, save: Callable[[], None]) -> None:
        """Have it saved soon; further calls until then change nothing, so that it does happen."""
        if self._timer is not None:
            return

        @callback
        def due(_: datetime) -> None:
            self._timer = None
            save()

        self._timer = async_call_later(
            self._hass, SAVE_DELAY, HassJob(due, cancel_on_shutdown=True)
        )

    @callback
    def stop(self) -> None:
        """Leave no timer behind."""
        if self._timer is not None:
            self._timer()
            self._timer = None

    async def async_save(self, snapshot: dict[str, Any]) -> None:
        """Write now."""
        await self._store.async_save(snapshot)

    async def async_remove(self) -> None:
        """Delete the file."""
        await self._store.async_remove()
