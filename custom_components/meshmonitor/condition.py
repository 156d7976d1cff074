"""Conditions: a link stands, a node is there."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Final, Unpack, override

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import ATTR_DEVICE_ID, CONF_OPTIONS
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.condition import (
    ATTR_BEHAVIOR,
    BEHAVIOR_ALL,
    BEHAVIOR_ANY,
    Condition,
    ConditionCheckParams,
    ConditionConfig,
)
from homeassistant.helpers.typing import ConfigType
import probatio

from .const import DOMAIN
from .coordinator import MeshMonitorConfigEntry, MeshMonitorCoordinator
from .targets import (
    ATTR_NODE_ID,
    async_device_target,
    async_validated_devices,
    nodes_called,
    own_node_id,
)

_TEXTS: Final = probatio.All(probatio.EnsureList(), [cv.string])

type Fields = dict[probatio.Marker, Any]


class MeshCondition(Condition):
    """A condition about radios or nodes."""

    _fields: ClassVar[Fields]

    @classmethod
    @override
    async def async_validate_config(cls, hass: HomeAssistant, config: ConfigType) -> ConfigType:
        """Check what was configured.

        Raises:
            probatio.Invalid: It makes no sense.
        """
        schema = probatio.Schema(
            {
                probatio.Required(CONF_OPTIONS, default=dict): {
                    probatio.Optional(ATTR_DEVICE_ID, default=list): _TEXTS,
                    probatio.Optional(ATTR_BEHAVIOR, default=BEHAVIOR_ALL): probatio.In(
                        [BEHAVIOR_ANY, BEHAVIOR_ALL]
                    ),
                    **cls._fields,
                }
            }
        )
        checked: ConfigType = schema(config)
        async_validated_devices(hass, checked[CONF_OPTIONS][ATTR_DEVICE_ID])
        return checked

    def __init__(self, hass: HomeAssistant, config: ConditionConfig) -> None:
        """Take over what was configured."""
        super().__init__(hass, config)
        assert config.options is not None
        self._options: dict[str, Any] = config.options

    @override
    def _async_check(self, **kwargs: Unpack[ConditionCheckParams]) -> bool:
        """Return whether the condition holds; it never does for nothing at all."""
        answers = list(self._answers())
        combine = all if self._options[ATTR_BEHAVIOR] == BEHAVIOR_ALL else any
        return bool(answers) and combine(answers)

    @abstractmethod
    def _answers(self) -> Iterable[bool]:
        """Return for each of what was chosen whether it is so."""

    @callback
    def _coordinators(self) -> Iterator[MeshMonitorCoordinator]:
        entries: list[MeshMonitorConfigEntry] = self._hass.config_entries.async_loaded_entries(
            DOMAIN
        )
        for entry in entries:
            yield entry.runtime_data

    @callback
    def _devices(self) -> Iterator[tuple[str | None, MeshMonitorCoordinator | None]]:
        """Go through what the chosen devices stand for: a node, or None for the radio itself.

        With it comes the source, if it is set up: None also for a device that is no more.
        """
        for device_id in self._options[ATTR_DEVICE_ID]:
            target = async_device_target(self._hass, device_id)
            if target is None:
                yield None, None
                continue
            entry: MeshMonitorConfigEntry | None = self._hass.config_entries.async_get_entry(
                target.entry_id
            )
            is_loaded = entry is not None and entry.state is ConfigEntryState.LOADED
            yield target.node_id, entry.runtime_data if entry is not None and is_loaded else None


class LinkIsUpCondition(MeshCondition):
    """Radios are connected; without any chosen, all that there are."""

    _fields: ClassVar[Fields] = {}

    @override
    def _answers(self) -> Iterable[bool]:
        if not self._options[ATTR_DEVICE_ID]:
            return (
                entry.state is ConfigEntryState.LOADED and entry.runtime_data.is_available
                for entry in self._hass.config_entries.async_entries(
                    DOMAIN, include_ignore=False, include_disabled=False
                )
            )
        return (
            coordinator is not None and coordinator.is_available
            for _, coordinator in self._devices()
        )


class NodeIsOnlineCondition(MeshCondition):
    """Nodes were heard lately; a radio counts as there while its link stands."""

    _fields: ClassVar[Fields] = {probatio.Optional(ATTR_NODE_ID, default=list): _TEXTS}

    @override
    def _answers(self) -> Iterable[bool]:
        for node_id, coordinator in self._devices():
            if coordinator is None:
                yield False
            elif node_id is None:
                yield coordinator.is_available
            else:
                yield coordinator.presence.is_online(node_id)
        for name in self._options[ATTR_NODE_ID]:
            yield any(_is_online(coordinator, name) for coordinator in self._coordinators())


def _is_online(coordinator: MeshMonitorCoordinator, name: str) -> bool:
    """Return whether a node that is called so is there, in one mesh."""
    own = own_node_id(coordinator)
    return any(
        coordinator.is_available if node_id == own else coordinator.presence.is_online(node_id)
        for node_id in nodes_called(coordinator, name)
    )


CONDITIONS: dict[str, type[Condition]] = {
    "link_is_up": LinkIsUpCondition,
    "node_is_online": NodeIsOnlineCondition,
}


async def async_get_conditions(hass: HomeAssistant) -> dict[str, type[Condition]]:
    """Return the conditions of this integration."""
    return CONDITIONS
