"""One source in Home Assistant: owns the radio's side and tells the entities what concerns them."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
import logging
from typing import Any, Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import EVENT_HOMEASSISTANT_STOP
from homeassistant.core import CALLBACK_TYPE, Event, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import device_registry as dr

from .announce import Announcer
from .const import CONF_NODES, CONF_NOTIFY_CONTACTS, CONF_PROTOCOL, CONF_VIRTUAL_NODE, DOMAIN
from .devices import NodeDevices, NodeHidden, NodeShown
from .issues import Issues
from .mesh.model import DeliveryState, Identity, Message, Node
from .mesh.source import (
    ChannelsChanged,
    DeliveryChanged,
    IdentityChanged,
    LinkChanged,
    MeshEvent,
    MeshSource,
    MessageReceived,
    NodeChanged,
    NodeRemoved,
    OutgoingText,
    Problem,
    ProblemChanged,
    SendError,
    SendReason,
    VirtualNodeChanged,
    WaypointChanged,
)
from .messages import MessageLog
from .presence import Presence, PresenceChanged, PresenceEvent, PresenceFound
from .protocols import PROTOCOLS, endpoint_of
from .storage import SnapshotStore
from .turns import Turns
from .waypoints import Waypoints, WaypointsChanged

_LOGGER = logging.getLogger(__name__)

type MeshMonitorConfigEntry = ConfigEntry[MeshMonitorCoordinator]

_WORTH_KEEPING: Final = (
    ChannelsChanged,
    DeliveryChanged,
    IdentityChanged,
    MessageReceived,
    NodeChanged,
    NodeRemoved,
    WaypointChanged,
)
_LIVE_OPTIONS: Final = frozenset({CONF_NODES, CONF_NOTIFY_CONTACTS, CONF_VIRTUAL_NODE})
"""The options whose change takes effect without a reload."""
_USER_ERRORS: Final = frozenset(
    {
        SendReason.EMPTY,
        SendReason.TOO_LONG,
        SendReason.INVALID_ID,
        SendReason.UNKNOWN_CHANNEL,
        SendReason.UNKNOWN_NODE,
        SendReason.NOT_SUPPORTED,
    }
)


@dataclass(frozen=True, slots=True)
class AvailabilityChanged:
    """The radio became reachable, or is no longer."""

    is_available: bool


@dataclass(frozen=True, slots=True)
class OptionsChanged:
    """An option of the entry changed that takes effect without a reload."""


type CoordinatorEvent = (
    MeshEvent
    | AvailabilityChanged
    | NodeHidden
    | NodeShown
    | OptionsChanged
    | PresenceEvent
    | WaypointsChanged
)


class MeshMonitorCoordinator:
    """Owns the source of one config entry.

    Nothing is polled, and nobody is told what is not about them: a mesh of a thousand nodes sends
    many packets, and each of them concerns few entities.
    """

    def __init__(self, hass: HomeAssistant, entry: MeshMonitorConfigEntry) -> None:
        """Prepare the source; nothing is opened yet.

        Raises:
            KeyError: The entry names a protocol that there is none of, or lacks how to reach it.
            ValueError: An option of the entry is damaged.
        """
        self.hass = hass
        self.entry = entry
        self.unique_id = entry.unique_id or entry.entry_id
        self.protocol = PROTOCOLS[entry.data[CONF_PROTOCOL]]
        self.source = self.protocol.make_source(
            endpoint_of(entry.data),
            self.protocol.virtual_node_options(entry.options),
            name=entry.title,
            expected_node_id=entry.unique_id,
        )
        self.device_id = ""
        self.messages = MessageLog()
        self.turns = Turns(hass, entry)
        self.presence = Presence(hass, self.turns.add, self._dispatch, self.protocol.online_limit)
        self.devices = NodeDevices(
            hass, entry, self.source, self.protocol.name, self.turns.add, self._dispatch
        )
        self.waypoints = Waypoints(hass, self._dispatch)
        self.problems: set[Problem] = set()
        self.deliveries: Counter[DeliveryState] = Counter()
        """How many messages came how far since the start."""
        self._applied = (entry.data, entry.options)
        self._listeners: defaultdict[
            tuple[type[object], str | None], dict[CALLBACK_TYPE, Callable[[Any], None]]
        ] = defaultdict(dict)
        """By what they listen to, each under that which ends it."""
        self._issues = Issues(hass, entry)
        self._store = SnapshotStore(hass, entry.entry_id)
        self._announcer = Announcer(hass, entry, self.protocol)
        self._was_available = False
        self._unsubscribe: CALLBACK_TYPE | None = None

    @property
    def is_available(self) -> bool:
        """Whether the radio is there."""
        return self.source.link.is_ready

    async def async_load(self) -> None:
        """Take over what was known before the last stop, and make the radio's device."""
        self.entry.async_on_unload(self.waypoints.stop)
        self.entry.async_on_unload(self.turns.stop)
        snapshot = await self._store.async_load()
        if snapshot is not None:
            try:
                # Nobody else knows the source yet, and reading a thousand nodes takes a while.
                nodes = await self.hass.async_add_executor_job(
                    _restored_nodes, self.source, snapshot["source"]
                )
                self.presence.restore(nodes)
                self.messages.restore(snapshot["messages"])
                self.devices.restore(snapshot["devices"])
                self.waypoints.restore(snapshot["waypoints"])
            except KeyError, ValueError:
                _LOGGER.warning("%s: what was stored is damaged; starting empty", self.entry.title)
        self._async_update_device()
        self.entry.async_on_unload(self.devices.stop)
        self.devices.start(self.device_id)
        await self.turns.done()

    async def async_start(self) -> None:
        """Begin to hold the link and to serve the virtual node."""
        self._unsubscribe = self.source.subscribe(self._async_handle)
        self.entry.async_on_unload(
            self.hass.bus.async_listen_once(EVENT_HOMEASSISTANT_STOP, self._async_hass_stops)
        )
        await self.source.start()

    async def async_stop(self) -> None:
        """End everything, and keep what is worth it."""
        if self._unsubscribe is None:
            return
        self._unsubscribe()
        self._unsubscribe = None
        self.turns.stop()
        self._store.stop()
        await self._announcer.async_stop()
        self.presence.stop()
        await self.source.stop()
        # Only now is it known what has reached every client.
        await self._store.async_save(self._snapshot(self.source.snapshot()))
        self._issues.clear()

    async def _async_hass_stops(self, event: Event) -> None:
        await self.async_stop()

    async def async_entry_updated(self) -> None:
        """Bring the source to what the entry says now, with as little disturbance as possible."""
        data, options = self._applied
        new_data, new_options = self.entry.data, self.entry.options
        self._applied = (new_data, new_options)
        if new_data != data or _without_live(new_options) != _without_live(options):
            self.hass.config_entries.async_schedule_reload(self.entry.entry_id)
        elif new_options != options:
            await self.source.apply_virtual_node(self.protocol.virtual_node_options(new_options))
            self.devices.look_again()
            self._dispatch(OptionsChanged())

    @callback
    def subscribe[EventT: CoordinatorEvent](
        self,
        kind: type[EventT],
        listener: Callable[[EventT], None],
        *,
        node_id: str | None = None,
    ) -> CALLBACK_TYPE:
        """Hand every further event of a kind to a listener; returns what ends that.

        Args:
            kind: The event's class.
            listener: Is called in the event loop, and must return at once.
            node_id: Only events about this node.
        """
        listeners = self._listeners[kind, node_id]

        @callback
        def unsubscribe() -> None:
            del listeners[unsubscribe]
            if not listeners and self._listeners.get((kind, node_id)) is listeners:
                del self._listeners[kind, node_id]

        listeners[unsubscribe] = listener
        return unsubscribe

    async def async_send_text(self, outgoing: OutgoingText) -> Message:
        """Hand a text to the radio.

        Raises:
            ServiceValidationError: It cannot be sent as it is.
            HomeAssistantError: The radio cannot send it now.
        """
        with self.translated_errors():
            return await self.source.send_text(outgoing)

    @contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Turn the source's errors into those of Home Assistant.

        Raises:
            ServiceValidationError: What was asked for cannot be done as it is.
            HomeAssistantError: The radio, or the mesh, cannot do it now.
        """
        try:
            yield
        except SendError as err:
            error = ServiceValidationError if err.reason in _USER_ERRORS else HomeAssistantError
            limit = err.detail if err.reason is SendReason.TOO_LONG else ""
            raise error(
                translation_domain=DOMAIN,
                translation_key=f"send_{err.reason}",
                translation_placeholders={
                    "name": self.entry.title,
                    "limit": limit or str(self.source.max_text_bytes),
                },
            ) from err

    @callback
    def _async_handle(self, event: MeshEvent) -> None:
        if isinstance(event, LinkChanged):
            self._dispatch(event)
            self._async_link_changed(event)
            return
        if isinstance(event, VirtualNodeChanged):
            self._async_virtual_node_changed()
        elif isinstance(event, ProblemChanged):
            (self.problems.add if event.is_active else self.problems.discard)(event.problem)
            self._issues.set(event.problem, event.is_active, event.placeholders)
        elif isinstance(event, IdentityChanged):
            self._async_update_device()
            self._announcer.update(self.source)
            self._issues.set(
                "firmware_too_old",
                self._is_ours(event.identity) and self.protocol.is_too_old(event.identity.firmware),
                {
                    "firmware": event.identity.firmware or "",
                    "oldest": ".".join(map(str, self.protocol.oldest_firmware)),
                },
            )
        elif isinstance(event, MessageReceived):
            self.messages.add(event.message)
        elif isinstance(event, DeliveryChanged):
            if event.message is not None:
                self.messages.add(event.message)
            self.messages.note(event.delivery)
            self.deliveries[event.delivery.state] += 1
        elif isinstance(event, WaypointChanged):
            self.waypoints.set(event.waypoint)
        elif isinstance(event, NodeChanged):
            self.devices.node_changed(event.node)
        elif isinstance(event, NodeRemoved):
            self.devices.node_removed(event.node_id)
        if isinstance(event, _WORTH_KEEPING):
            self._store.async_delay_save(self._async_save_soon)
        self._dispatch(event)
        # Afterwards: who is told of a new node's coming may ask for the node's device.
        if isinstance(event, NodeChanged):
            self.presence.node_changed(event.node)
        elif isinstance(event, NodeRemoved):
            self.presence.node_removed(event.node_id)

    @callback
    def _async_save_soon(self) -> None:
        self.turns.add(self._save())

    def _save(self) -> Iterator[None]:
        snapshot = self._snapshot((yield from self.source.snapshot_in_pieces()))
        self.entry.async_create_task(
            self.hass, self._store.async_save(snapshot), f"{DOMAIN} snapshot"
        )

    def _snapshot(self, source: dict[str, Any]) -> dict[str, Any]:
        return {
            "source": source,
            "messages": self.messages.snapshot(),
            "devices": self.devices.snapshot(),
            "waypoints": self.waypoints.snapshot(),
        }

    @callback
    def _async_link_changed(self, event: LinkChanged) -> None:
        if event.status.is_ready == self._was_available:
            return
        self._was_available = event.status.is_ready
        if self._was_available:
            self._store.async_delay_save(self._async_save_soon)
            self.devices.look_again()
            self.presence.radio_ready(self.source.node_ids, self.source.node)
        else:
            self.presence.radio_lost()
        changed = AvailabilityChanged(self._was_available)
        self._dispatch(changed)
        self.turns.add(self._tell_nodes(changed))

    def _tell_nodes(self, event: AvailabilityChanged) -> Iterator[None]:
        for node_id in self.devices.shown:
            self._tell(self._listeners.get((AvailabilityChanged, node_id)), event)
            yield

    @callback
    def _async_virtual_node_changed(self) -> None:
        virtual_node = self.source.virtual_node
        self._issues.set(
            "virtual_node_bind_failed",
            virtual_node.bind_error is not None,
            {"port": str(virtual_node.options.port), "error": virtual_node.bind_error or ""},
        )
        self._issues.set("admin_open_to_all", virtual_node.options.is_admin_open, {})
        self._announcer.update(self.source)

    @callback
    def _async_update_device(self) -> None:
        """Let the device registry show the radio as it calls itself."""
        registry = dr.async_get(self.hass)
        identifier = (DOMAIN, self.unique_id)
        identity = self.source.identity
        known: dict[str, Any] = {"name": self.entry.title}
        if identity is not None and self._is_ours(identity):
            known = {
                "name": identity.name,
                "model": identity.hardware,
                "sw_version": identity.firmware,
            }
        elif device := registry.async_get_device_by_identifier(identifier, self.entry.entry_id):
            # Nobody, or somebody else, answers: what is known of the radio stays.
            self.device_id = device.id
            return
        self.device_id = registry.async_get_or_create(
            config_entry_id=self.entry.entry_id,
            identifiers={identifier},
            manufacturer=self.protocol.name,
            serial_number=self.unique_id,
            **known,
        ).id
        registry.async_get_or_create_child(
            config_entry_id=self.entry.entry_id,
            identifiers={(DOMAIN, f"{self.unique_id}_{CONF_VIRTUAL_NODE}")},
            parent_device_id=self.device_id,
            translation_key=CONF_VIRTUAL_NODE,
            translation_placeholders={"name": known["name"]},
        )

    def _is_ours(self, identity: Identity) -> bool:
        """Return whether an identity is that of the radio that was added."""
        return self.entry.unique_id in {None, identity.node_id}

    @callback
    def _dispatch(self, event: CoordinatorEvent) -> None:
        kind = type(event)
        self._tell(self._listeners.get((kind, None)), event)
        node_id: str | None = None
        if isinstance(event, NodeChanged):
            node_id = event.node.node_id
        elif isinstance(event, MessageReceived):
            node_id = event.message.sender_id
        elif isinstance(event, NodeRemoved | PresenceChanged | PresenceFound):
            node_id = event.node_id
        if node_id is not None:
            self._tell(self._listeners.get((kind, node_id)), event)

    @callback
    def _tell(
        self,
        listeners: dict[CALLBACK_TYPE, Callable[[Any], None]] | None,
        event: CoordinatorEvent,
    ) -> None:
        for listener in tuple(listeners.values()) if listeners else ():
            try:
                listener(event)
            except Exception:
                # The link's reader stands behind this call: an entity's fault must not end it.
                _LOGGER.exception("%s: error in a listener", self.entry.title)


def _restored_nodes(source: MeshSource, snapshot: Any) -> list[Node]:
    """Have a source take over what was kept, and return its nodes.

    Raises:
        ValueError: It is damaged.
    """
    source.restore(snapshot)
    return list(source.nodes.values())


def _without_live(options: Any) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key not in _LIVE_OPTIONS}
