"""MeshMonitor: LoRa mesh radios in Home Assistant, each shared with many apps at once."""

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ConfigEntryError
from homeassistant.helpers import config_validation as cv, device_registry as dr
from homeassistant.helpers.typing import ConfigType

from .automation import async_publish
from .const import DOMAIN
from .coordinator import MeshMonitorConfigEntry, MeshMonitorCoordinator
from .http import VirtualNodeStatusView
from .node_entity import async_remove_node_entities
from .services import async_setup_services
from .storage import SnapshotStore

CONFIG_SCHEMA = cv.config_entry_only_config_schema(DOMAIN)

PLATFORMS = [
    Platform.BINARY_SENSOR,
    Platform.BUTTON,
    Platform.DEVICE_TRACKER,
    Platform.EVENT,
    Platform.GEO_LOCATION,
    Platform.NOTIFY,
    Platform.SENSOR,
]


async def async_setup(hass: HomeAssistant, config: ConfigType) -> bool:
    """Set up what does not belong to a single radio."""
    async_setup_services(hass)
    hass.http.register_view(VirtualNodeStatusView())
    return True


async def async_setup_entry(hass: HomeAssistant, entry: MeshMonitorConfigEntry) -> bool:
    """Set up a source. Its radio may be away: the virtual node serves all the same."""
    try:
        coordinator = MeshMonitorCoordinator(hass, entry)
    except (KeyError, ValueError) as err:
        raise ConfigEntryError(
            translation_domain=DOMAIN,
            translation_key="invalid_entry",
            translation_placeholders={"name": entry.title},
        ) from err
    await coordinator.async_load()
    entry.runtime_data = coordinator
    await hass.config_entries.async_forward_entry_setups(entry, PLATFORMS)
    entry.async_on_unload(async_publish(coordinator))
    # Last, so that whoever listens does so when the first event comes.
    await coordinator.async_start()
    entry.async_on_unload(entry.add_update_listener(_async_entry_updated))
    # Apps are served meanwhile: the entities of a large mesh take seconds.
    await coordinator.turns.done()
    return True


async def async_unload_entry(hass: HomeAssistant, entry: MeshMonitorConfigEntry) -> bool:
    """End a source: afterwards no task, timer or socket is left of it."""
    entry.runtime_data.turns.stop()
    await async_remove_node_entities(hass, entry)
    if not await hass.config_entries.async_unload_platforms(entry, PLATFORMS):
        return False
    await entry.runtime_data.async_stop()
    return True


async def async_remove_entry(hass: HomeAssistant, entry: MeshMonitorConfigEntry) -> None:
    """Forget what was kept of a source."""
    await SnapshotStore(hass, entry.entry_id).async_remove()


async def async_remove_config_entry_device(
    hass: HomeAssistant, entry: MeshMonitorConfigEntry, device: dr.AnyDeviceEntry
) -> bool:
    """Let the owner delete the device of a node, but not that of the radio or of a part of it."""
    return entry.state is ConfigEntryState.LOADED and entry.runtime_data.devices.may_delete(device)


async def _async_entry_updated(hass: HomeAssistant, entry: MeshMonitorConfigEntry) -> None:
    """Apply what changed; only what reaches the radio makes a reload."""
    await entry.runtime_data.async_entry_updated()
