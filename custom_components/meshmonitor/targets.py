"""Who is meant: from devices, node ids and names to a source and a node, and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import ATTR_CONFIG_ENTRY_ID, ATTR_DEVICE_ID
from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import device_registry as dr, service
import probatio

from .const import CONF_VIRTUAL_NODE, DOMAIN
from .coordinator import MeshMonitorConfigEntry, MeshMonitorCoordinator
from .devices import node_identifier

ATTR_NODE_ID: Final = "node_id"


@dataclass(frozen=True, slots=True)
class Target:
    """A source and, where one is meant, a node of its mesh."""

    coordinator: MeshMonitorCoordinator
    node_id: str | None


@dataclass(frozen=True, slots=True)
class DeviceTarget:
    """What a device stands for: a radio with its whole mesh, or one node."""

    entry_id: str
    node_id: str | None


@callback
def device_id_of(coordinator: MeshMonitorCoordinator, node_id: str | None) -> str | None:
    """Return the id of a node's device; None for a node that has none."""
    if node_id is None:
        return None
    if node_id == own_node_id(coordinator):
        return coordinator.device_id
    device = dr.async_get(coordinator.hass).async_get_device_by_identifier(
        node_identifier(coordinator.unique_id, node_id), coordinator.entry.entry_id
    )
    return None if device is None else device.id


@callback
def own_node_id(coordinator: MeshMonitorCoordinator) -> str | None:
    """Return the id of the radio's own node, as soon as it is known."""
    identity = coordinator.source.identity
    return None if identity is None else identity.node_id


@callback
def async_device_target(hass: HomeAssistant, device_id: str) -> DeviceTarget | None:
    """Return what a device stands for, its source being set up or not; None for a stranger's."""
    device, entry = dr.async_get_device_and_config_entry_for_domain(hass, device_id, domain=DOMAIN)
    if device is None or entry is None:
        return None
    return DeviceTarget(entry.entry_id, _node_of(entry, device))


@callback
def async_validated_devices(hass: HomeAssistant, device_ids: list[str]) -> None:
    """See that devices are radios or nodes of this integration.

    Raises:
        probatio.Invalid: One of them is not.
    """
    for device_id in device_ids:
        if async_device_target(hass, device_id) is None:
            raise probatio.Invalid(f"Device {device_id} is neither a radio nor a node of a mesh")


@callback
def async_target(hass: HomeAssistant, data: Mapping[str, Any], *, node: str | None) -> Target:
    """Return who is meant by the data of an action.

    Args:
        hass: Home Assistant.
        data: Names the source by its config entry or its device, or a node by its device.
        node: The id, or the name, by which the data names a node.

    Raises:
        ServiceValidationError: Nobody is meant, or not one alone.
    """
    node_id: str | None = None
    entry: MeshMonitorConfigEntry
    if (device_id := data.get(ATTR_DEVICE_ID)) is not None:
        device, entry = service.async_get_device_and_config_entry(hass, DOMAIN, device_id)
        node_id = _node_of(entry, device)
    else:
        entry = service.async_get_config_entry(hass, DOMAIN, data.get(ATTR_CONFIG_ENTRY_ID))
    coordinator = entry.runtime_data
    if node is not None:
        named = _named_node(coordinator, node)
        if node_id not in {None, named}:
            raise ServiceValidationError(
                translation_domain=DOMAIN,
                translation_key="two_nodes",
                translation_placeholders={"name": entry.title},
            )
        node_id = named
    return Target(coordinator, node_id)


def _node_of(entry: ConfigEntry[Any], device: dr.AnyDeviceEntry) -> str | None:
    """Return the node that a device of an entry is; None for the radio and its parts."""
    prefix = f"{entry.unique_id or entry.entry_id}_"
    for domain, name in device.identifiers:
        if domain == DOMAIN and name.startswith(prefix):
            node_id = name.removeprefix(prefix)
            return None if node_id == CONF_VIRTUAL_NODE else node_id
    return None


@callback
def nodes_called(coordinator: MeshMonitorCoordinator, name: str) -> frozenset[str]:
    """Return the ids of the nodes that a name means, whatever its case; an id means its node."""
    node = coordinator.source.node(name)
    if node is not None:
        return frozenset({node.node_id})
    wanted = name.strip().casefold()
    return frozenset(
        known.node_id
        for known in coordinator.source.nodes.values()
        if wanted
        in {text.casefold() for text in (known.node_id, known.name, known.short_name) if text}
    )


def _named_node(coordinator: MeshMonitorCoordinator, node: str) -> str:
    """Return the id of the node that is called so; an id is returned as it is.

    Raises:
        ServiceValidationError: Several nodes are called so.
    """
    found = nodes_called(coordinator, node)
    if len(found) > 1:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="ambiguous_node",
            translation_placeholders={"name": coordinator.entry.title, "node": node},
        )
    return next(iter(found), node)
