"""What the detection sensors at nodes report, as binary sensors."""

from datetime import datetime
import re
from typing import Final, override

from homeassistant.components.binary_sensor import BinarySensorEntity, BinarySensorEntityDescription
from homeassistant.core import CALLBACK_TYPE, HassJob, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.event import async_call_later

from .const import DOMAIN
from .coordinator import MeshMonitorConfigEntry, MeshMonitorCoordinator
from .devices import NodeHidden, NodeShown
from .mesh.model import Message, MessageKind
from .mesh.source import MessageReceived
from .node_entity import NodeEntity

HOLD: Final = 60.0
"""Seconds that a detection lasts: firmware repeats one that goes on after 45, by default."""
DETECTION: Final = BinarySensorEntityDescription(key="detection", translation_key="detection")
_IS_QUIET: Final = re.compile(r" state: 0$")
"""How a node reports that there is nothing (firmware ``src/modules/DetectionSensorModule.cpp``)."""


@callback
def async_follow_detections(
    entry: MeshMonitorConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add a binary sensor for every node that has reported a detection once."""
    coordinator = entry.runtime_data
    registry = er.async_get(coordinator.hass)
    known: set[str] = set()

    @callback
    def shown(event: NodeShown) -> None:
        unique_id = f"{coordinator.unique_id}_{event.node_id}_{DETECTION.key}"
        if registry.async_get_entity_id("binary_sensor", DOMAIN, unique_id) is not None:
            known.add(event.node_id)
            async_add_entities([DetectionBinarySensor(coordinator, event.node_id, None)])

    @callback
    def hidden(event: NodeHidden) -> None:
        known.discard(event.node_id)

    @callback
    def received(event: MessageReceived) -> None:
        message = event.message
        node_id = message.sender_id
        if not _is_report(message) or node_id in known or node_id is None:
            return
        if coordinator.devices.node(node_id) is not None:
            known.add(node_id)
            async_add_entities([DetectionBinarySensor(coordinator, node_id, message)])

    for node_id in coordinator.devices.shown:
        shown(NodeShown(node_id))
    entry.async_on_unload(coordinator.subscribe(NodeShown, shown))
    entry.async_on_unload(coordinator.subscribe(NodeHidden, hidden))
    entry.async_on_unload(coordinator.subscribe(MessageReceived, received))


def _is_report(message: Message) -> bool:
    return message.kind is MessageKind.DETECTION and not message.is_history


class DetectionBinarySensor(NodeEntity, BinarySensorEntity):
    """Whether the sensor at a node has detected something just now."""

    def __init__(
        self, coordinator: MeshMonitorCoordinator, node_id: str, report: Message | None
    ) -> None:
        """Prepare the binary sensor.

        Args:
            coordinator: Where everything comes from.
            node_id: The node.
            report: What it has reported, if that is why the binary sensor comes into being.
        """
        super().__init__(coordinator, node_id, DETECTION.key)
        self.entity_description = DETECTION
        self._attr_is_on = False
        self._first = report
        self._timer: CALLBACK_TYPE | None = None

    @property
    @override
    def shows(self) -> object:
        """Whether something was detected."""
        return self._attr_is_on

    @override
    async def async_added_to_hass(self) -> None:
        """Listen to what the node reports."""
        await super().async_added_to_hass()
        self.async_on_remove(
            self.coordinator.subscribe(MessageReceived, self._async_received, node_id=self.node_id)
        )
        self.async_on_remove(self._stop)
        if self._first is not None:
            self._async_report(self._first)

    @callback
    def _async_received(self, event: MessageReceived) -> None:
        if _is_report(event.message):
            self._async_report(event.message)
            self.async_write_ha_state()

    @callback
    def _async_report(self, message: Message) -> None:
        self._stop()
        self._attr_is_on = _IS_QUIET.search(message.text) is None
        if self._attr_is_on:
            self._timer = async_call_later(
                self.hass, HOLD, HassJob(self._async_over, cancel_on_shutdown=True)
            )

    @callback
    def _async_over(self, _: datetime) -> None:
        self._timer = None
        self._attr_is_on = False
        self.async_write_ha_state()

    @callback
    def _stop(self) -> None:
        if self._timer is not None:
            self._timer()
            self._timer = None
