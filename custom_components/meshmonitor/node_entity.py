"""What the entities of a mesh's nodes have in common, and how they come and go with the nodes."""

from collections.abc import Callable, Collection, Iterable, Iterator
import itertools
from typing import Final, override

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.entity_platform import (
    AddConfigEntryEntitiesCallback,
    async_get_platforms,
)

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
from .turns import Turn

_ADDED_AT_ONCE: Final = 4
"""Of one node, before it is seen whether everybody else should have a turn."""


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
            update_on: Further events about the node that can change its state.
        """
        self.node_id = node_id
        self._is_gateway = node_id == coordinator.unique_id
        of_radio = (AvailabilityChanged,) if self._is_gateway else ()
        super().__init__(coordinator, f"{node_id}_{key}", *of_radio)
        self._update_on_node = (NodeChanged, NodeRemoved, *update_on)
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
        for kind in self._update_on_node:
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
    follower.start(coordinator.devices.shown)
    entry.async_on_unload(coordinator.subscribe(NodeShown, follower.shown))
    entry.async_on_unload(coordinator.subscribe(NodeHidden, follower.hidden))
    entry.async_on_unload(coordinator.subscribe(NodeChanged, follower.changed))


async def async_remove_node_entities(hass: HomeAssistant, entry: MeshMonitorConfigEntry) -> None:
    """Remove the nodes' entities of an entry that is unloaded: else they all go in one piece."""
    turn = Turn()
    for platform in async_get_platforms(hass, DOMAIN):
        if platform.config_entry is not entry:
            continue
        for entity in tuple(platform.entities.values()):
            if isinstance(entity, NodeEntity):
                await entity.async_remove()
                await turn.end_if_due()


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
        self._due: set[str] = set()

    @callback
    def start(self, node_ids: Collection[str]) -> None:
        """Begin with the nodes that are devices."""
        self._keys = {node_id: set() for node_id in node_ids}
        self._coordinator.turns.add(piece for node_id in node_ids for piece in self._look(node_id))

    @callback
    def shown(self, event: NodeShown) -> None:
        """A node became a device."""
        self._keys[event.node_id] = set()
        self._look_soon(event.node_id)

    @callback
    def hidden(self, event: NodeHidden) -> None:
        """A node is no device any more."""
        self._keys.pop(event.node_id, None)

    @callback
    def changed(self, event: NodeChanged) -> None:
        """Something about a node is new: maybe something that it never said before."""
        node_id = event.node.node_id
        known = self._keys.get(node_id)
        if known is None or node_id in self._due:
            return
        if any(key not in known for key, _ in self._offers_fn(event.node)):
            self._look_soon(node_id)

    def _look_soon(self, node_id: str) -> None:
        self._due.add(node_id)
        self._coordinator.turns.add(self._look(node_id))

    def _look(self, node_id: str) -> Iterator[None]:
        """Add, piece by piece, what there is to add of a node."""
        self._due.discard(node_id)
        while new := self._next_of(node_id):
            self._async_add_entities(new)
            yield

    def _next_of(self, node_id: str) -> list[NodeEntity]:
        """Return some of the entities that a node can have and has not, by what is true now."""
        known = self._keys.get(node_id)
        node = self._coordinator.devices.node(node_id)
        if known is None or node is None:
            return []
        missing = (offer for offer in self._offers_fn(node) if offer[0] not in known)
        new: list[NodeEntity] = []
        for key, make in itertools.islice(missing, _ADDED_AT_ONCE):
            known.add(key)
            new.append(make())
        return new
