"""Sends texts: one notify entity for each channel of a radio."""

from typing import override

from homeassistant.components.notify import NotifyEntity
from homeassistant.components.notify.const import NotifyEntityFeature
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import CoordinatorEvent, MeshMonitorConfigEntry, MeshMonitorCoordinator
from .entity import GatewayEntity
from .mesh.model import Channel
from .mesh.source import ChannelsChanged, OutgoingText

# A radio sends one after the other.
PARALLEL_UPDATES = 1


async def async_setup_entry(
    hass: HomeAssistant,
    entry: MeshMonitorConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up a notify entity for each channel, also for those that come later."""
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
        """Whether the radio is there, and has the channel."""
        return super().available and self._channel is not None

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
