"""The integration's actions."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, Final

from homeassistant.const import (
    ATTR_CONFIG_ENTRY_ID,
    ATTR_DEVICE_ID,
    ATTR_LATITUDE,
    ATTR_LONGITUDE,
    ATTR_NAME,
    CONF_PASSWORD,
)
from homeassistant.core import (
    HomeAssistant,
    ServiceCall,
    ServiceResponse,
    SupportsResponse,
    callback,
)
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import config_validation as cv
from homeassistant.util import dt as dt_util
import probatio

from .answers import logged_message_data, node_data, request_data, waypoint_data
from .const import DOMAIN
from .coordinator import MeshMonitorCoordinator
from .mesh.model import Channel, Delivery, DeliveryState, Message, Waypoint
from .mesh.source import DeliveryChanged, OutgoingText, RequestKind
from .messages import MAX_MESSAGES
from .status import virtual_node_status
from .targets import ATTR_NODE_ID, async_target

ATTR_CHANNEL: Final = "channel"
ATTR_DESCRIPTION: Final = "description"
ATTR_EXPIRES: Final = "expires"
ATTR_FLOOD: Final = "flood"
ATTR_ICON: Final = "icon"
ATTR_KIND: Final = "kind"
ATTR_LIMIT: Final = "limit"
ATTR_MESSAGE: Final = "message"
ATTR_ONLINE: Final = "online"
ATTR_REACTION: Final = "reaction"
ATTR_RECIPIENT: Final = "recipient"
ATTR_REPLY: Final = "reply_id"
ATTR_TIMEOUT: Final = "timeout"
ATTR_WAIT: Final = "wait_for_ack"
ATTR_WAYPOINT_ID: Final = "waypoint_id"

DEFAULT_TIMEOUT: Final = 60
"""Seconds: a text may be repeated three times on its way to a node some hops away."""

type Handler = Callable[[ServiceCall], Coroutine[Any, Any, ServiceResponse]]

_RADIO: Final[dict[probatio.Marker, Any]] = {
    probatio.Optional(ATTR_CONFIG_ENTRY_ID): cv.string,
    probatio.Optional(ATTR_DEVICE_ID): cv.string,
}
_NODE: Final[dict[probatio.Marker, Any]] = {**_RADIO, probatio.Optional(ATTR_NODE_ID): cv.string}
_SCHEMAS: Final[dict[str, dict[probatio.Marker, Any]]] = {
    "get_virtual_node_status": {},
    "list_messages": {
        **_NODE,
        probatio.Optional(ATTR_CHANNEL): cv.string,
        probatio.Optional(ATTR_LIMIT, default=MAX_MESSAGES): probatio.All(
            probatio.Coerce(int), probatio.Range(min=1, max=MAX_MESSAGES)
        ),
    },
    "list_nodes": {**_RADIO, probatio.Optional(ATTR_ONLINE): cv.boolean},
    "login": {**_NODE, probatio.Required(CONF_PASSWORD): cv.string},
    "request_neighbors": _NODE,
    "request_node_info": _NODE,
    "request_position": _NODE,
    "request_status": _NODE,
    "request_telemetry": {**_NODE, probatio.Optional(ATTR_KIND): cv.string},
    "send_advert": {**_RADIO, probatio.Optional(ATTR_FLOOD, default=False): cv.boolean},
    "send_text": {
        **_RADIO,
        probatio.Required(ATTR_MESSAGE): cv.string,
        probatio.Optional(ATTR_CHANNEL): cv.string,
        probatio.Optional(ATTR_RECIPIENT): cv.string,
        probatio.Optional(ATTR_REPLY): cv.string,
        probatio.Optional(ATTR_REACTION, default=False): cv.boolean,
        probatio.Optional(ATTR_WAIT, default=False): cv.boolean,
        probatio.Optional(ATTR_TIMEOUT, default=DEFAULT_TIMEOUT): probatio.All(
            probatio.Coerce(float), probatio.Range(min=1, max=600)
        ),
    },
    "send_waypoint": {
        **_RADIO,
        probatio.Optional(ATTR_CHANNEL): cv.string,
        probatio.Optional(ATTR_NAME, default=""): cv.string,
        probatio.Inclusive(ATTR_LATITUDE, "place"): cv.latitude,
        probatio.Inclusive(ATTR_LONGITUDE, "place"): cv.longitude,
        probatio.Optional(ATTR_DESCRIPTION, default=""): cv.string,
        probatio.Optional(ATTR_ICON): cv.string,
        probatio.Optional(ATTR_EXPIRES): cv.datetime,
        probatio.Optional(ATTR_WAYPOINT_ID, default=""): cv.string,
    },
    "traceroute": _NODE,
}


@callback
def async_setup_services(hass: HomeAssistant) -> None:
    """Register the actions."""
    handlers: Mapping[str, tuple[Handler, SupportsResponse]] = {
        "get_virtual_node_status": (_async_get_status, SupportsResponse.ONLY),
        "list_messages": (_async_list_messages, SupportsResponse.ONLY),
        "list_nodes": (_async_list_nodes, SupportsResponse.ONLY),
        "login": (_async_login, SupportsResponse.NONE),
        "send_advert": (_async_send_advert, SupportsResponse.NONE),
        "send_text": (_async_send_text, SupportsResponse.OPTIONAL),
        "send_waypoint": (_async_send_waypoint, SupportsResponse.OPTIONAL),
        **{
            action: (partial(_async_request, kind), SupportsResponse.OPTIONAL)
            for action, kind in (
                ("request_neighbors", RequestKind.NEIGHBORS),
                ("request_node_info", RequestKind.NODE_INFO),
                ("request_position", RequestKind.POSITION),
                ("request_status", RequestKind.STATUS),
                ("request_telemetry", RequestKind.TELEMETRY),
                ("traceroute", RequestKind.TRACEROUTE),
            )
        },
    }
    for action, (handler, supports_response) in handlers.items():
        hass.services.async_register(
            DOMAIN,
            action,
            handler,
            schema=probatio.Schema(_SCHEMAS[action]),
            supports_response=supports_response,
        )


async def _async_send_text(call: ServiceCall) -> ServiceResponse:
    """Send a text to a channel or to one node, and tell how far it came."""
    target = async_target(call.hass, call.data, node=call.data.get(ATTR_RECIPIENT))
    coordinator = target.coordinator
    if call.data[ATTR_REACTION] and ATTR_REPLY not in call.data:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="reaction_to_nothing",
            translation_placeholders={"name": coordinator.entry.title},
        )
    outgoing = OutgoingText(
        text=call.data[ATTR_MESSAGE],
        channel=_channel_index(coordinator, call),
        recipient_id=target.node_id,
        reply_id=call.data.get(ATTR_REPLY),
        is_reaction=call.data[ATTR_REACTION],
    )
    changed = asyncio.Event()
    # From before it is sent: the answer may come at once.
    end = coordinator.subscribe(DeliveryChanged, lambda event: changed.set())
    try:
        message = await coordinator.async_send_text(outgoing)
        if call.data[ATTR_WAIT]:
            # That nothing is heard of it until then is an answer, too.
            with suppress(TimeoutError):
                async with asyncio.timeout(call.data[ATTR_TIMEOUT]):
                    while not _has_arrived(coordinator.source.delivery(message.message_id)):
                        changed.clear()
                        await changed.wait()
    finally:
        end()
    delivery = coordinator.source.delivery(message.message_id)
    return {
        "message_id": message.message_id,
        "delivery": DeliveryState.QUEUED.value if delivery is None else delivery.state.value,
        "reason": None if delivery is None else delivery.reason,
    }


def _has_arrived(delivery: Delivery | None) -> bool:
    """Return whether nothing better than this can come.

    On a channel nobody acknowledges: that a neighbour repeated it is the most there is to hear.
    """
    if delivery is None or delivery.is_final:
        return True
    return delivery.recipient_id is None and delivery.state is DeliveryState.RELAYED


async def _async_request(kind: RequestKind, call: ServiceCall) -> ServiceResponse:
    """Ask a node over the air, and return what it answered."""
    coordinator, node_id = _target_node(call)
    with coordinator.translated_errors():
        answer = await coordinator.source.request(kind, node_id, detail=call.data.get(ATTR_KIND))
    return request_data(coordinator, node_id, answer)


async def _async_login(call: ServiceCall) -> None:
    """Log in at a repeater or a room server."""
    coordinator, node_id = _target_node(call)
    with coordinator.translated_errors():
        await coordinator.source.login(node_id, call.data[CONF_PASSWORD])


async def _async_send_advert(call: ServiceCall) -> None:
    """Announce the own node."""
    coordinator = async_target(call.hass, call.data, node=None).coordinator
    with coordinator.translated_errors():
        await coordinator.source.send_advert(flood=call.data[ATTR_FLOOD])


async def _async_send_waypoint(call: ServiceCall) -> ServiceResponse:
    """Share a place, or withdraw one."""
    coordinator = async_target(call.hass, call.data, node=None).coordinator
    data = call.data
    if ATTR_LATITUDE not in data and not data[ATTR_WAYPOINT_ID]:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="waypoint_without_place",
            translation_placeholders={"name": coordinator.entry.title},
        )
    expires: datetime | None = data.get(ATTR_EXPIRES)
    waypoint = Waypoint(
        waypoint_id=data[ATTR_WAYPOINT_ID],
        name=data[ATTR_NAME],
        latitude=data.get(ATTR_LATITUDE),
        longitude=data.get(ATTR_LONGITUDE),
        description=data[ATTR_DESCRIPTION],
        # One code point: what apps append to choose an emoji's looks is left out.
        icon=data.get(ATTR_ICON, "")[:1] or None,
        expires=None if expires is None else dt_util.as_utc(expires).timestamp(),
    )
    with coordinator.translated_errors():
        sent = await coordinator.source.send_waypoint(
            waypoint, channel=_channel_index(coordinator, call) or 0
        )
    return waypoint_data(sent)


async def _async_list_nodes(call: ServiceCall) -> ServiceResponse:
    """Tell what is known of all nodes."""
    coordinator = async_target(call.hass, call.data, node=None).coordinator
    nodes = [node_data(coordinator, node) for node in coordinator.source.nodes.values()]
    online = call.data.get(ATTR_ONLINE)
    return {"nodes": [node for node in nodes if online in {None, node["is_online"]}]}


async def _async_list_messages(call: ServiceCall) -> ServiceResponse:
    """Tell the last messages, the oldest first."""
    target = async_target(call.hass, call.data, node=call.data.get(ATTR_NODE_ID))
    channel = _channel_index(target.coordinator, call)
    found = [
        logged
        for logged in target.coordinator.messages
        if target.node_id in {None, logged.message.sender_id, logged.message.recipient_id}
        and (channel is None or _is_on_channel(logged.message, channel))
    ]
    return {
        "messages": [
            logged_message_data(target.coordinator, logged)
            for logged in found[-call.data[ATTR_LIMIT] :]
        ]
    }


async def _async_get_status(call: ServiceCall) -> ServiceResponse:
    """Tell what every virtual node is doing."""
    return virtual_node_status(call.hass)


def _target_node(call: ServiceCall) -> tuple[MeshMonitorCoordinator, str]:
    """Return whom an action asks for, and by whom.

    Raises:
        ServiceValidationError: It names no node.
    """
    target = async_target(call.hass, call.data, node=call.data.get(ATTR_NODE_ID))
    if target.node_id is None:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="no_node",
            translation_placeholders={"name": target.coordinator.entry.title},
        )
    return target.coordinator, target.node_id


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


def _is_on_channel(message: Message, channel: int) -> bool:
    return message.recipient_id is None and message.channel == channel
