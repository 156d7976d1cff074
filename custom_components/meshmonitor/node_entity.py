"""What the entities of a mesh's nodes have in common, and how they come and go with the nodes."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, override

from homeassistant.core import callback
from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .const import DOMAIN
from .coordinator import (
    AvailabilityChanged,
    CoordinatorEvent,
    MeshMonitorConfigEntry,
    MeshMonitorCoordinator,
)
from .devices import NodeHidden, NodeShown, node_identifier
from .entity import MeshMonitorEntity
from .mesh.model import Node
from .mesh.source import NodeChanged, NodeRemoved

ADDED_AT_ONCE: Final = 20
"""A thousand nodes may be told of at once. Between so many entities and the next, everybody else
has a turn."""


class NodeEntity(MeshMonitorEntity):
    """An entity of a node of the mesh: there while the radio knows the node.

    What a node said holds until it says something else, be the radio connected or not; only the
    radio's own readings are there while it is.
    """

    def __init__(
        self,
        coordinator: MeshMonitorCoordinator,
        node_id: str,
        key: str,
        *update_on: type[CoordinatorEvent],
    ) -> None:
        """Belong to the node's device, which for the radio's own node is that of the radio.

        Args:
            coordinator: Where everything comes from.
            node_id: The node.
            key: What tells the entity from the node's other entities of its platform.
            update_on: Further events that can change its state, but none that packets cause.
        """
        self.node_id = node_id
        self._is_gateway = node_id == coordinator.unique_id
        further = (AvailabilityChanged, *update_on) if self._is_gateway else update_on
        super().__init__(coordinator, f"{node_id}_{key}", *further)
        identifier = (
            (DOMAIN, coordinator.unique_id)
            if self._is_gateway
            else node_identifier(coordinator.unique_id, node_id)
        )
        self._attr_device_info = DeviceInfo(identifiers={identifier})

    @override
    async def async_added_to_hass(self) -> None:
        """Listen to what is about this node, and to nothing about others."""
        await super().async_added_to_hass()
        for kind in (NodeChanged, NodeRemoved):
            self.async_on_remove(
                self.coordinator.subscribe(kind, self._async_update_state, node_id=self.node_id)
            )

    @property
    def node(self) -> Node | None:
        """What is known of the node."""
        return self.coordinator.devices.node(self.node_id)

    @property
    @override
    def available(self) -> bool:
        """Whether the node is known."""
        return self.node is not None and (not self._is_gateway or self.coordinator.is_available)


type NodeEntityOffer = tuple[str, Callable[[], NodeEntity]]
"""The key of an entity that a node can have, and what makes it."""


@callback
def async_follow_nodes(
    entry: MeshMonitorConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
    offers_fn: Callable[[Node], Iterable[NodeEntityOffer]],
) -> None:
    """Add the entities of every node that is a device, as soon as there is something to show.

    Args:
        entry: The source's entry.
        async_add_entities: What adds entities to the platform.
        offers_fn: Returns which entities a node can have by what is known of it now.
    """
    coordinator = entry.runtime_data
    follower = _Follower(coordinator, async_add_entities, offers_fn)
    for node_id in coordinator.devices.shown:
        follower.shown(NodeShown(node_id))
    follower.add_soon()
    entry.async_on_unload(coordinator.subscribe(NodeShown, follower.shown))
    entry.async_on_unload(coordinator.subscribe(NodeHidden, follower.hidden))
    entry.async_on_unload(coordinator.subscribe(NodeChanged, follower.changed))
    entry.async_on_unload(follower.end)


class _Follower:
    """Knows which entities of one platform the nodes have."""

    def __init__(
        self,
        coordinator: MeshMonitorCoordinator,
        async_add_entities: AddConfigEntryEntitiesCallback,
        offers_fn: Callable[[Node], Iterable[NodeEntityOffer]],
    ) -> None:
        self._coordinator = coordinator
        self._async_add_entities = async_add_entities
        self._offers_fn = offers_fn
        self._keys: dict[str, set[str]] = {}
        self._pending: list[NodeEntity] = []
        self._adding: asyncio.Task[None] | None = None

    @callback
    def shown(self, event: NodeShown) -> None:
        """A node became a device."""
        self._keys[event.node_id] = set()
        if (node := self._coordinator.devices.node(event.node_id)) is not None:
            self._look(node)

    @callback
    def hidden(self, event: NodeHidden) -> None:
        """A node is no device any more."""
        self._keys.pop(event.node_id, None)
        # What would be added now would bring the device back.
        self._pending = [entity for entity in self._pending if entity.node_id != event.node_id]

    @callback
    def changed(self, event: NodeChanged) -> None:
        """Something about a node is new: maybe something that it never said before."""
        if event.node.node_id in self._keys:
            self._look(event.node)

    @callback
    def add_soon(self) -> None:
        """See to it that what there is to add is added."""
        if self._pending and self._adding is None:
            self._adding = self._coordinator.entry.async_create_task(
                self._coordinator.hass, self._async_add(), f"{DOMAIN} entities of nodes"
            )

    async def _async_add(self) -> None:
        while self._pending:
            new, self._pending = self._pending[:ADDED_AT_ONCE], self._pending[ADDED_AT_ONCE:]
            self._async_add_entities(new)
            await asyncio.sleep(0)
        self._adding = None

    @callback
    def end(self) -> None:
        """Add nothing more."""
        self._pending.clear()

    def _look(self, node: Node) -> None:
        known = self._keys[node.node_id]
        for key, make in self._offers_fn(node):
            if key not in known:
                known.add(key)
                self._pending.append(make())
        self.add_soon()
