"""Sends texts: a notify entity for each channel of a radio, and for each chosen contact.

Home Assistant skips an entity that is unavailable without a word, and the message with it. So they
are available while the radio is away, too: what cannot be sent is then an error that says why.
"""

from typing import Final, override

from homeassistant.components.notify import NotifyEntity
from homeassistant.components.notify.const import NotifyEntityFeature
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .const import CONF_NOTIFY_CONTACTS
from .coordinator import (
    CoordinatorEvent,
    MeshMonitorConfigEntry,
    MeshMonitorCoordinator,
    OptionsChanged,
)
from .entity import GatewayEntity
from .mesh.model import Channel
from .mesh.source import ChannelsChanged, NodeChanged, NodeRemoved, OutgoingText

# A radio sends one after the other.
PARALLEL_UPDATES = 1
_CONTACT: Final = "contact"


async def async_setup_entry(
    hass: HomeAssistant,
    entry: MeshMonitorConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up a notify entity for each channel and contact, also for those that come later."""
    coordinator = entry.runtime_data
    known: set[int] = set()

    @callback
    def _async_add_new_channels(event: ChannelsChanged | None = None) -> None:
        new = [channel for channel in coordinator.source.channels if channel.index not in known]
        known.update(channel.index for channel in new)
        if new:
            async_add_entities(ChannelNotify(coordinator, channel) for channel in new)

    _async_add_new_channels()
    entry.async_on_unload(coordinator.subscribe(ChannelsChanged, _async_add_new_channels))

    contacts: set[str] = set()

    @callback
    def _async_follow_contacts(event: OptionsChanged | None = None) -> None:
        chosen: list[str] = entry.options.get(CONF_NOTIFY_CONTACTS, [])
        _async_forget_contacts(hass, coordinator, chosen)
        new = [node_id for node_id in dict.fromkeys(chosen) if node_id not in contacts]
        contacts.clear()
        contacts.update(chosen)
        if new:
            async_add_entities(ContactNotify(coordinator, node_id) for node_id in new)

    _async_follow_contacts()
    entry.async_on_unload(coordinator.subscribe(OptionsChanged, _async_follow_contacts))


@callback
def _async_forget_contacts(
    hass: HomeAssistant, coordinator: MeshMonitorCoordinator, chosen: list[str]
) -> None:
    """Remove the entities of contacts that are not chosen any more."""
    registry = er.async_get(hass)
    prefix = f"{coordinator.unique_id}_{_CONTACT}_"
    for known in er.async_entries_for_config_entry(registry, coordinator.entry.entry_id):
        # There may be thousands, hardly any of this domain.
        if (
            known.domain == Platform.NOTIFY
            and known.unique_id.startswith(prefix)
            and known.unique_id.removeprefix(prefix) not in chosen
        ):
            registry.async_remove(known.entity_id)


class ChannelNotify(GatewayEntity, NotifyEntity):
    """Sends a text to everyone on a channel."""

    _attr_translation_key = "channel"
    _attr_supported_features = NotifyEntityFeature.TITLE

    def __init__(self, coordinator: MeshMonitorCoordinator, channel: Channel) -> None:
        """Prepare the notify entity."""
        super().__init__(coordinator, f"channel_{channel.index}", ChannelsChanged)
        self._index = channel.index
        # A channel is called what the owner calls it: there is nothing to translate.
        self._attr_name = channel.name

    @property
    @override
    def available(self) -> bool:
        """Whether the radio has the channel, as far as is known."""
        return self._channel is not None

    @property
    @override
    def shows(self) -> object:
        """What it is called."""
        return self._attr_name

    @property
    def _channel(self) -> Channel | None:
        channels = self.coordinator.source.channels
        return next((channel for channel in channels if channel.index == self._index), None)

    @callback
    @override
    def _async_update_state(self, event: CoordinatorEvent) -> None:
        """Follow the channel's name, too."""
        if (channel := self._channel) is not None:
            self._attr_name = channel.name
        super()._async_update_state(event)

    @override
    async def async_send_message(self, message: str, title: str | None = None) -> None:
        """Send a text; a title stands before it, as in a chat.

        Raises:
            HomeAssistantError: It could not be sent.
        """
        text = f"{title}: {message}" if title else message
        await self.coordinator.async_send_text(OutgoingText(text=text, channel=self._index))


class ContactNotify(GatewayEntity, NotifyEntity):
    """Sends a text to one node alone."""

    _attr_translation_key = _CONTACT
    _attr_supported_features = NotifyEntityFeature.TITLE

    def __init__(self, coordinator: MeshMonitorCoordinator, node_id: str) -> None:
        """Prepare the notify entity."""
        super().__init__(coordinator, f"{_CONTACT}_{node_id}")
        self._node_id = node_id
        self._attr_name = node_id
        self._async_look()

    @override
    async def async_added_to_hass(self) -> None:
        """Listen to what concerns this contact."""
        await super().async_added_to_hass()
        subscribe, changed = self.coordinator.subscribe, self._async_node_changed
        self.async_on_remove(subscribe(NodeChanged, changed, node_id=self._node_id))
        self.async_on_remove(subscribe(NodeRemoved, changed, node_id=self._node_id))

    @property
    @override
    def available(self) -> bool:
        """Always: the owner chose the contact, and the radio may forget it for a while."""
        return True

    @property
    @override
    def shows(self) -> object:
        """What it is called."""
        return self._attr_name

    @callback
    def _async_look(self) -> None:
        node = self.coordinator.source.node(self._node_id)
        if node is not None and node.name:
            # A contact is called what its owner calls it: there is nothing to translate.
            self._attr_name = node.name

    @callback
    def _async_node_changed(self, event: NodeChanged | NodeRemoved) -> None:
        """Follow the contact's name, but not whatever is heard of it."""
        before = self._attr_name
        self._async_look()
        if before != self._attr_name:
            self.async_write_ha_state()

    @callback
    @override
    def _async_update_state(self, event: CoordinatorEvent) -> None:
        """See what the contact is called when the radio comes back."""
        self._async_look()
        super()._async_update_state(event)

    @override
    async def async_send_message(self, message: str, title: str | None = None) -> None:
        """Send a text; a title stands before it, as in a chat.

        Raises:
            HomeAssistantError: It could not be sent.
        """
        text = f"{title}: {message}" if title else message
        await self.coordinator.async_send_text(OutgoingText(text=text, recipient_id=self._node_id))
