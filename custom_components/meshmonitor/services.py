"""The integration's actions."""

from collections.abc import Sequence
from typing import Final

from homeassistant.core import (
    HomeAssistant,
    ServiceCall,
    ServiceResponse,
    SupportsResponse,
    callback,
)
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import config_validation as cv, service
import probatio

from .const import DOMAIN
from .coordinator import MeshMonitorConfigEntry, MeshMonitorCoordinator
from .mesh.model import Channel, DeliveryState
from .mesh.source import OutgoingText
from .status import virtual_node_status

SERVICE_SEND_TEXT: Final = "send_text"
SERVICE_GET_STATUS: Final = "get_virtual_node_status"
ATTR_CONFIG_ENTRY: Final = "config_entry_id"
ATTR_MESSAGE: Final = "message"
ATTR_CHANNEL: Final = "channel"
ATTR_RECIPIENT: Final = "recipient"
ATTR_REPLY: Final = "reply_id"

SEND_TEXT_SCHEMA: Final = probatio.Schema(
    {
        probatio.Optional(ATTR_CONFIG_ENTRY): cv.string,
        probatio.Required(ATTR_MESSAGE): cv.string,
        probatio.Optional(ATTR_CHANNEL): cv.string,
        probatio.Optional(ATTR_RECIPIENT): cv.string,
        probatio.Optional(ATTR_REPLY): cv.string,
    }
)
GET_STATUS_SCHEMA: Final = probatio.Schema({})


@callback
def async_setup_services(hass: HomeAssistant) -> None:
    """Register the actions."""
    hass.services.async_register(
        DOMAIN,
        SERVICE_SEND_TEXT,
        _async_send_text,
        schema=SEND_TEXT_SCHEMA,
        supports_response=SupportsResponse.OPTIONAL,
    )
    hass.services.async_register(
        DOMAIN,
        SERVICE_GET_STATUS,
        _async_get_status,
        schema=GET_STATUS_SCHEMA,
        supports_response=SupportsResponse.ONLY,
    )


async def _async_send_text(call: ServiceCall) -> ServiceResponse:
    """Send a text to a channel or to one node."""
    entry: MeshMonitorConfigEntry = service.async_get_config_entry(
        call.hass, DOMAIN, call.data.get(ATTR_CONFIG_ENTRY)
    )
    coordinator = entry.runtime_data
    message = await coordinator.async_send_text(
        OutgoingText(
            text=call.data[ATTR_MESSAGE],
            channel=_channel_index(coordinator, call),
            recipient_id=call.data.get(ATTR_RECIPIENT),
            reply_id=call.data.get(ATTR_REPLY),
        )
    )
    delivery = coordinator.source.delivery(message.message_id)
    return {
        "message_id": message.message_id,
        "delivery": DeliveryState.QUEUED.value if delivery is None else delivery.state.value,
    }


def _channel_index(coordinator: MeshMonitorCoordinator, call: ServiceCall) -> int | None:
    """Return the index of the channel that an action names, by name or by index."""
    wanted: str | None = call.data.get(ATTR_CHANNEL)
    if wanted is None:
        return None
    channels: Sequence[Channel] = coordinator.source.channels
    for channel in channels:
        if channel.name.casefold() == wanted.casefold():
            return channel.index
    for channel in channels:
        if str(channel.index) == wanted:
            return channel.index
    raise ServiceValidationError(
        translation_domain=DOMAIN,
        translation_key="send_unknown_channel",
        translation_placeholders={"name": coordinator.entry.title},
    )


async def _async_get_status(call: ServiceCall) -> ServiceResponse:
    """Tell what every virtual node is doing."""
    return virtual_node_status(call.hass)
