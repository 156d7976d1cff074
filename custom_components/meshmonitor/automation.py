"""What automations, the logbook and other integrations are told of a mesh."""

from collections.abc import Callable
from typing import Any, Final

from homeassistant.const import ATTR_CONFIG_ENTRY_ID, ATTR_DEVICE_ID
from homeassistant.core import CALLBACK_TYPE, callback
from homeassistant.helpers.dispatcher import async_dispatcher_send
from homeassistant.util import dt as dt_util
from homeassistant.util.signal_type import SignalType

from .const import DOMAIN
from .coordinator import MeshMonitorCoordinator
from .mesh.model import Delivery, DeliveryState, Message
from .mesh.source import DeliveryChanged, MessageReceived
from .presence import PresenceChanged
from .targets import device_id_of

EVENT_MESSAGE: Final = f"{DOMAIN}_message"
EVENT_DELIVERY_FAILED: Final = f"{DOMAIN}_delivery_failed"
SIGNAL_MESSAGE: Final = SignalType[MeshMonitorCoordinator, dict[str, Any]](EVENT_MESSAGE)
SIGNAL_DELIVERY_FAILED: Final = SignalType[MeshMonitorCoordinator, dict[str, Any]](
    EVENT_DELIVERY_FAILED
)
SIGNAL_PRESENCE: Final = SignalType[MeshMonitorCoordinator, PresenceChanged](f"{DOMAIN}_presence")


def iso_time(timestamp: float | None) -> str | None:
    """Return Unix seconds as ISO 8601 in UTC."""
    if timestamp is None:
        return None
    return dt_util.utc_from_timestamp(timestamp).isoformat(timespec="milliseconds")


@callback
def message_data(coordinator: MeshMonitorCoordinator, message: Message) -> dict[str, Any]:
    """Return a message with everything that an automation needs to answer it."""
    return {
        "message_id": message.message_id,
        "kind": message.kind.value,
        "origin": message.origin.value,
        "text": message.text,
        "sender_id": message.sender_id,
        "sender_name": message.sender_name,
        "sender_device_id": device_id_of(coordinator, message.sender_id),
        "recipient_id": message.recipient_id,
        "recipient_name": _name_of(coordinator, message.recipient_id),
        "recipient_device_id": device_id_of(coordinator, message.recipient_id),
        "channel": message.channel,
        "channel_name": message.channel_name,
        "reply_id": message.reply_id,
        "hops": message.hops,
        "snr": message.snr,
        "rssi": message.rssi,
        "via_mqtt": message.via_mqtt,
        "time": iso_time(message.time),
    }


@callback
def delivery_data(coordinator: MeshMonitorCoordinator, delivery: Delivery) -> dict[str, Any]:
    """Return how far a message came, and which one it was."""
    message = coordinator.messages.sent(delivery.message_id)
    return {
        "message_id": delivery.message_id,
        "state": delivery.state.value,
        "reason": delivery.reason,
        "origin": delivery.origin.value,
        "text": None if message is None else message.text,
        "recipient_id": delivery.recipient_id,
        "recipient_name": _name_of(coordinator, delivery.recipient_id),
        "recipient_device_id": device_id_of(coordinator, delivery.recipient_id),
        "channel": delivery.channel,
        "channel_name": _channel_name(coordinator, delivery.channel),
    }


@callback
def source_data(coordinator: MeshMonitorCoordinator) -> dict[str, str]:
    """Return which source something is about."""
    return {
        ATTR_CONFIG_ENTRY_ID: coordinator.entry.entry_id,
        ATTR_DEVICE_ID: coordinator.device_id,
    }


@callback
def async_publish(coordinator: MeshMonitorCoordinator) -> Callable[[], None]:
    """Tell of what happens in the mesh of a source; returns what ends that.

    Messages and failures go to the bus as well, for the logbook: they are few. Whatever is as
    frequent as packets goes nowhere from here.
    """
    hass = coordinator.hass

    @callback
    def message_received(event: MessageReceived) -> None:
        if event.message.is_history:
            return
        data = {**source_data(coordinator), **message_data(coordinator, event.message)}
        hass.bus.async_fire(EVENT_MESSAGE, data)
        async_dispatcher_send(hass, SIGNAL_MESSAGE, coordinator, data)

    @callback
    def delivery_changed(event: DeliveryChanged) -> None:
        if event.delivery.state is not DeliveryState.FAILED:
            return
        data = {**source_data(coordinator), **delivery_data(coordinator, event.delivery)}
        hass.bus.async_fire(EVENT_DELIVERY_FAILED, data)
        async_dispatcher_send(hass, SIGNAL_DELIVERY_FAILED, coordinator, data)

    @callback
    def presence_changed(event: PresenceChanged) -> None:
        async_dispatcher_send(hass, SIGNAL_PRESENCE, coordinator, event)

    ends: list[CALLBACK_TYPE] = [
        coordinator.subscribe(MessageReceived, message_received),
        coordinator.subscribe(DeliveryChanged, delivery_changed),
        coordinator.subscribe(PresenceChanged, presence_changed),
    ]

    @callback
    def end() -> None:
        for unsubscribe in ends:
            unsubscribe()

    return end


def _name_of(coordinator: MeshMonitorCoordinator, node_id: str | None) -> str | None:
    node = None if node_id is None else coordinator.source.node(node_id)
    return None if node is None else node.name


def _channel_name(coordinator: MeshMonitorCoordinator, index: int | None) -> str | None:
    channels = coordinator.source.channels
    return next((channel.name for channel in channels if channel.index == index), None)
