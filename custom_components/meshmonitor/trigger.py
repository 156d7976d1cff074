"""Purpose-specific triggers: messages, nodes that come and go, and what could not be delivered.

They listen to the whole integration, not to one set-up of a source: an automation needs not know
that a source was reloaded, or was set up after it.
"""

from abc import abstractmethod
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Final, override

from homeassistant.const import ATTR_DEVICE_ID, CONF_OPTIONS
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.dispatcher import async_dispatcher_connect
from homeassistant.helpers.trigger import (
    Trigger,
    TriggerActionRunner,
    TriggerConfig,
    TriggerNotTriggeredReporter,
)
from homeassistant.helpers.typing import ConfigType
import probatio

from .automation import (
    SIGNAL_DELIVERY_FAILED,
    SIGNAL_MESSAGE,
    SIGNAL_PRESENCE,
    iso_time,
    source_data,
)
from .coordinator import MeshMonitorCoordinator
from .mesh.model import MessageKind, Origin
from .presence import PresenceChanged
from .targets import ATTR_NODE_ID, async_device_target, async_validated_devices, device_id_of

CONF_CHANNEL: Final = "channel"
CONF_KIND: Final = "kind"
CONF_ORIGIN: Final = "origin"
CONF_SENDER: Final = "sender"
CONF_TEXT: Final = "text"


type Fields = dict[probatio.Marker, Any]


def _one_of(values: Iterable[str]) -> Any:
    return probatio.All(probatio.EnsureList(), [probatio.In(list(values))])


_TEXTS: Final = probatio.All(probatio.EnsureList(), [cv.string])
_DEVICES: Final = {probatio.Optional(ATTR_DEVICE_ID, default=list): _TEXTS}
_KINDS: Final = [kind.value for kind in MessageKind]
_ORIGINS: Final = [origin.value for origin in Origin]


class MeshTrigger(Trigger):
    """A trigger that can be limited to some radios or nodes."""

    _fields: ClassVar[Fields]

    @classmethod
    @override
    async def async_validate_config(cls, hass: HomeAssistant, config: ConfigType) -> ConfigType:
        """Check what was configured.

        Raises:
            probatio.Invalid: It makes no sense.
        """
        schema = probatio.Schema(
            {probatio.Required(CONF_OPTIONS, default=dict): {**_DEVICES, **cls._fields}}
        )
        checked: ConfigType = schema(config)
        async_validated_devices(hass, checked[CONF_OPTIONS][ATTR_DEVICE_ID])
        return checked

    def __init__(self, hass: HomeAssistant, config: TriggerConfig) -> None:
        """Take over what was configured."""
        super().__init__(hass, config)
        assert config.options is not None
        self._options: dict[str, Any] = config.options

    @override
    async def async_attach_runner(
        self,
        run_action: TriggerActionRunner,
        did_not_trigger: TriggerNotTriggeredReporter | None = None,
    ) -> CALLBACK_TYPE:
        """Listen until the returned function is called."""
        return self._listen(run_action)

    @abstractmethod
    def _listen(self, run_action: TriggerActionRunner) -> CALLBACK_TYPE:
        """Run an action for everything that fits."""

    @callback
    def _is_of_device(self, coordinator: MeshMonitorCoordinator, *node_ids: str | None) -> bool:
        """Return whether something concerns one of the chosen devices.

        Args:
            coordinator: In whose mesh it happened.
            node_ids: The nodes that it is about.
        """
        wanted = self._options[ATTR_DEVICE_ID]
        for device_id in wanted:
            target = async_device_target(self._hass, device_id)
            if target is None or target.entry_id != coordinator.entry.entry_id:
                continue
            if target.node_id is None or target.node_id in node_ids:
                return True
        return not wanted


class MessageReceivedTrigger(MeshTrigger):
    """Triggers when a message comes, by default from the mesh."""

    _fields: ClassVar[Fields] = {
        probatio.Optional(CONF_SENDER, default=list): _TEXTS,
        probatio.Optional(CONF_CHANNEL, default=list): _TEXTS,
        probatio.Optional(CONF_TEXT, default=""): cv.string,
        probatio.Optional(CONF_KIND, default=list): _one_of(_KINDS),
        # Its own messages would set off an automation that answers, and this for ever.
        probatio.Optional(CONF_ORIGIN, default=lambda: [Origin.RADIO.value]): _one_of(_ORIGINS),
    }

    @override
    def _listen(self, run_action: TriggerActionRunner) -> CALLBACK_TYPE:
        @callback
        def message_received(coordinator: MeshMonitorCoordinator, data: dict[str, Any]) -> None:
            nodes = [data["sender_id"]]
            if data["kind"] == MessageKind.ROOM:
                # The room has sent what its members wrote.
                nodes.append(data["recipient_id"])
            if self._is_wanted(data) and self._is_of_device(coordinator, *nodes):
                sender = data["sender_name"] or data["sender_id"] or "somebody"
                run_action(dict(data), f"message from {sender}")

        return async_dispatcher_connect(self._hass, SIGNAL_MESSAGE, message_received)

    def _is_wanted(self, data: dict[str, Any]) -> bool:
        options = self._options
        return (
            _allows(options[CONF_ORIGIN], data["origin"])
            and _allows(options[CONF_KIND], data["kind"])
            and _allows(options[CONF_SENDER], data["sender_id"], data["sender_name"])
            and _allows(options[CONF_CHANNEL], *_channel(data))
            and _fits(options[CONF_TEXT], data["text"])
        )


class PresenceTrigger(MeshTrigger):
    """Triggers when a node comes online or goes offline."""

    _fields: ClassVar[Fields] = {probatio.Optional(ATTR_NODE_ID, default=list): _TEXTS}
    _is_online: ClassVar[bool]
    _happened: ClassVar[str]

    @override
    def _listen(self, run_action: TriggerActionRunner) -> CALLBACK_TYPE:
        @callback
        def presence_changed(coordinator: MeshMonitorCoordinator, event: PresenceChanged) -> None:
            if event.is_online is not self._is_online:
                return
            # A large mesh has much coming and going: look at the node only if it may be wanted.
            if self._is_of_device(coordinator, event.node_id):
                self._node_changed(coordinator, event.node_id, run_action)

        return async_dispatcher_connect(self._hass, SIGNAL_PRESENCE, presence_changed)

    @callback
    def _node_changed(
        self, coordinator: MeshMonitorCoordinator, node_id: str, run_action: TriggerActionRunner
    ) -> None:
        node = coordinator.source.node(node_id)
        name = None if node is None else node.name
        if not _allows(self._options[ATTR_NODE_ID], node_id, name):
            return
        data = {
            **source_data(coordinator),
            "node_id": node_id,
            "node_name": name,
            "node_device_id": device_id_of(coordinator, node_id),
            "last_heard": None if node is None else iso_time(node.last_heard),
        }
        run_action(data, f"{name or node_id} {self._happened}")


class NodeOnlineTrigger(PresenceTrigger):
    """Triggers when a node comes online."""

    _is_online = True
    _happened = "came online"


class NodeOfflineTrigger(PresenceTrigger):
    """Triggers when a node goes offline."""

    _is_online = False
    _happened = "went offline"


class DeliveryFailedTrigger(MeshTrigger):
    """Triggers when a message that was sent from here did not arrive."""

    _fields: ClassVar[Fields] = {
        probatio.Optional(CONF_ORIGIN, default=list): _one_of(
            origin for origin in _ORIGINS if origin != Origin.RADIO
        )
    }

    @override
    def _listen(self, run_action: TriggerActionRunner) -> CALLBACK_TYPE:
        @callback
        def delivery_failed(coordinator: MeshMonitorCoordinator, data: dict[str, Any]) -> None:
            if not _allows(self._options[CONF_ORIGIN], data["origin"]):
                return
            if self._is_of_device(coordinator, data["recipient_id"]):
                recipient = data["recipient_name"] or data["recipient_id"] or data["channel_name"]
                run_action(dict(data), f"message to {recipient} not delivered")

        return async_dispatcher_connect(self._hass, SIGNAL_DELIVERY_FAILED, delivery_failed)


def _channel(data: dict[str, Any]) -> tuple[object, ...]:
    """Return index and name of a message's channel; direct messages are on none."""
    return () if data["recipient_id"] is not None else (data["channel"], data["channel_name"])


def _allows(wanted: list[str], *values: object) -> bool:
    """Return whether one of the wanted texts is one of some values; none wanted allows all.

    A field that was left empty in a form is nothing wanted.
    """
    asked = {text.strip().casefold() for text in wanted} - {""}
    found = {str(value).casefold() for value in values if value is not None}
    return not asked or bool(asked & found)


def _fits(pattern: str, text: str) -> bool:
    """Return whether a text fits a pattern with ``*`` and ``?``, whatever its case.

    Not a regular expression: the text is a stranger's, and must not be able to keep us busy.
    """
    plain = pattern.strip().casefold().replace("[", "[[]")
    return not plain or fnmatchcase(text.strip().casefold(), plain)


TRIGGERS: dict[str, type[Trigger]] = {
    "delivery_failed": DeliveryFailedTrigger,
    "message_received": MessageReceivedTrigger,
    "node_offline": NodeOfflineTrigger,
    "node_online": NodeOnlineTrigger,
}


async def async_get_triggers(hass: HomeAssistant) -> dict[str, type[Trigger]]:
    """Return the triggers of this integration."""
    return TRIGGERS
