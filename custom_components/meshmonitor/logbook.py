"""Messages in the logbook, as sentences."""

from collections.abc import Callable
from typing import Any, Final

from homeassistant.components.logbook import (
    LOGBOOK_ENTRY_ICON,
    LOGBOOK_ENTRY_MESSAGE,
    LOGBOOK_ENTRY_NAME,
)
from homeassistant.const import ATTR_CONFIG_ENTRY_ID
from homeassistant.core import Event, HomeAssistant, callback

from .automation import EVENT_DELIVERY_FAILED, EVENT_MESSAGE
from .const import DOMAIN
from .mesh.model import MessageKind, Origin

_MESSAGE_ICON: Final = "mdi:message-text-outline"
_FAILURE_ICON: Final = "mdi:message-alert-outline"


@callback
def async_describe_events(
    hass: HomeAssistant,
    async_describe_event: Callable[[str, str, Callable[[Event], dict[str, str]]], None],
) -> None:
    """Tell the logbook how to word what happened."""

    @callback
    def message(event: Event) -> dict[str, str]:
        return _entry(hass, event, _message_sentence(event.data), _MESSAGE_ICON)

    @callback
    def failure(event: Event) -> dict[str, str]:
        data = event.data
        reason = f" ({data['reason'].replace('_', ' ')})" if data["reason"] else ""
        sentence = f"could not deliver a message to {_recipient(data)}{reason}"
        return _entry(hass, event, sentence, _FAILURE_ICON)

    async_describe_event(DOMAIN, EVENT_MESSAGE, message)
    async_describe_event(DOMAIN, EVENT_DELIVERY_FAILED, failure)


def _entry(hass: HomeAssistant, event: Event, sentence: str, icon: str) -> dict[str, str]:
    entry = hass.config_entries.async_get_entry(event.data[ATTR_CONFIG_ENTRY_ID])
    return {
        LOGBOOK_ENTRY_NAME: "MeshMonitor" if entry is None else entry.title,
        LOGBOOK_ENTRY_MESSAGE: sentence,
        LOGBOOK_ENTRY_ICON: icon,
    }


def _message_sentence(data: Any) -> str:
    """Return what goes after the name of the radio."""
    said = f"“{data['text']}”"
    if data["origin"] != Origin.RADIO:
        by = " for a phone" if data["origin"] == Origin.PHONE else ""
        return f"sent {said} to {_recipient(data)}{by}"
    sender = data["sender_name"] or data["sender_id"] or "somebody"
    match data["kind"]:
        case MessageKind.DIRECT:
            return f"received {said} from {sender}"
        case MessageKind.ROOM:
            return f"received {said} from {sender} in {_recipient(data)}"
        case MessageKind.REACTION:
            return f"received the reaction {said} from {sender}"
        case MessageKind.ALERT:
            return f"received the alert {said} from {sender}"
        case MessageKind.DETECTION:
            return f"received the detection {said} from {sender}"
    return f"received {said} from {sender} on {_recipient(data)}"


def _recipient(data: Any) -> str:
    """Return the name of the node, else of the channel, that a message was for."""
    if data["recipient_id"] is not None:
        return str(data["recipient_name"] or data["recipient_id"])
    return str(data["channel_name"] or f"channel {data['channel']}")
