"""Which nodes of a mesh are devices: their owner's choice, kept to as the mesh changes."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
import time
from typing import Any, Final, Self

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.event import async_track_time_interval

from .const import CONF_EXPIRE_DAYS, CONF_MODE, CONF_NODES, CONF_PICKED, CONF_VIRTUAL_NODE, DOMAIN
from .mesh.model import Node
from .mesh.source import MeshSource

DEFAULT_EXPIRE_DAYS: Final = 30
MOST_EXPIRE_DAYS: Final = 3650
TIDY_INTERVAL: Final = timedelta(days=1)
_DAY: Final = 86400.0


def node_identifier(source_id: str, node_id: str) -> tuple[str, str]:
    """Return the device identifier of a mesh node.

    Args:
        source_id: The unique id of the source that hears it: another source has its own device.
        node_id: The node's id.
    """
    return DOMAIN, f"{source_id}_{node_id}"


class NodeMode(StrEnum):
    """Which nodes become devices, beside those that were picked one by one."""

    ALL = "all"
    FAVORITES = "favorites"
    """Those that are favourites at the radio, as apps set them."""
    GATEWAY = "gateway"
    """None but the radio itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeChoice:
    """What the owner chose."""

    mode: NodeMode = NodeMode.FAVORITES
    picked: frozenset[str] = frozenset()
    expire_days: int = DEFAULT_EXPIRE_DAYS
    """Days after which a node that was not heard is no device any more; 0 for never. Whoever was
    picked stays."""

    @classmethod
    def from_options(cls, entry_options: Mapping[str, Any]) -> Self:
        """Return the choice in the options of a config entry; what is missing has its default.

        Raises:
            ValueError: A value is none of those that are allowed.
        """
        options: Mapping[str, Any] = entry_options.get(CONF_NODES, {})
        return cls(
            mode=NodeMode(options.get(CONF_MODE, NodeMode.FAVORITES)),
            picked=frozenset(options.get(CONF_PICKED, ())),
            expire_days=int(options.get(CONF_EXPIRE_DAYS, DEFAULT_EXPIRE_DAYS)),
        )

    def wants(self, node: Node, now: float) -> bool:
        """Return whether a node is to be a device.

        Args:
            node: What is known of it.
            now: The present, Unix seconds.
        """
        if self.mode is NodeMode.GATEWAY:
            return False
        if node.node_id in self.picked:
            return True
        if self.mode is NodeMode.FAVORITES and not node.is_favorite:
            return False
        silent_for = 0.0 if node.last_heard is None else now - node.last_heard
        return not self.expire_days or silent_for < self.expire_days * _DAY


@dataclass(frozen=True, slots=True)
class NodeShown:
    """A node became a device."""

    node_id: str


@dataclass(frozen=True, slots=True)
class NodeHidden:
    """A node is no device any more."""

    node_id: str


@dataclass(slots=True)
class _Shown:
    """A node that is a device."""

    device_id: str
    node: Node | None
    """What is known of it; None for one that the radio has forgotten."""


class NodeDevices:
    """Keeps the devices of a source's nodes, and what is known of those nodes.

    The own radio is always among them: its device is there anyway.
    """

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry[Any],
        source: MeshSource,
        manufacturer: str,
        do: Callable[[Iterable[object]], None],
        on_change: Callable[[NodeShown | NodeHidden], None],
    ) -> None:
        """Start without any.

        Args:
            hass: Home Assistant.
            entry: The source's entry, with the owner's choice in its options.
            source: Knows the nodes.
            manufacturer: What the devices say of their origin.
            do: Has long work done in pieces, as `Turns.add`.
            on_change: Is told of every node that becomes a device, or ceases to be one.

        Raises:
            ValueError: The choice in the options is damaged.
        """
        self._hass = hass
        self._entry = entry
        self._source = source
        self._source_id = entry.unique_id or entry.entry_id
        self._manufacturer = manufacturer
        self._do = do
        self._on_change = on_change
        self._choice = NodeChoice.from_options(entry.options)
        self._registry = dr.async_get(hass)
        self._gateway_device_id = ""
        self._shown: dict[str, _Shown] = {}
        self._known: set[str] = set()
        self._forgotten: dict[str, float] = {}
        self._timer: CALLBACK_TYPE | None = None

    @property
    def known(self) -> int:
        """How many nodes the radio knows, itself included."""
        return len(self._known)

    @property
    def shown(self) -> frozenset[str]:
        """The ids of the nodes that are devices, the radio's own among them."""
        return frozenset(self._shown)

    def node(self, node_id: str) -> Node | None:
        """Return what is known of a node that is a device."""
        shown = self._shown.get(node_id)
        return None if shown is None else shown.node

    def restore(self, snapshot: Any) -> None:
        """Take over what was kept before the last stop.

        Raises:
            ValueError: It is damaged.
        """
        try:
            self._forgotten = {
                str(node_id): float(heard) for node_id, heard in snapshot["forgotten"].items()
            }
        except (AttributeError, KeyError, TypeError) as err:
            raise ValueError("damaged list of devices") from err

    def snapshot(self) -> dict[str, Any]:
        """Return what is worth keeping."""
        return {"forgotten": dict(self._forgotten)}

    @callback
    def start(self, gateway_device_id: str) -> None:
        """Make the devices of the nodes that are known from before.

        Args:
            gateway_device_id: The device of the radio, over which all nodes are reached.
        """
        self._gateway_device_id = gateway_device_id
        self.look_again()
        self._timer = async_track_time_interval(
            self._hass, self._tidy, TIDY_INTERVAL, cancel_on_shutdown=True
        )

    @callback
    def stop(self) -> None:
        """Leave no timer behind."""
        if self._timer is not None:
            self._timer()
            self._timer = None

    @callback
    def look_again(self) -> None:
        """Bring the devices to what the owner chose and the radio knows now, piece by piece."""
        self._choice = NodeChoice.from_options(self._entry.options)
        node_ids = tuple(self._source.node_ids)
        self._known = set(node_ids)
        for node_id, shown in self._shown.items():
            if node_id not in self._known:
                shown.node = None
        self._do(self._look_at(node_ids))

    def _look_at(self, node_ids: Iterable[str]) -> Iterator[None]:
        for node_id in node_ids:
            if (node := self._source.node(node_id)) is not None:
                self._look(node, time.time())
            yield
        # Such as were devices before the start, and are not chosen now.
        for node_id, device_id in tuple(self._leftovers()):
            if node_id in self._known:
                self._remove_leftover(node_id, device_id)
                yield

    @callback
    def node_changed(self, node: Node) -> None:
        """Something about a node is new."""
        self._known.add(node.node_id)
        # As long as the radio is being read, many come at once: `look_again` follows.
        if node.node_id in self._shown or self._source.link.is_ready:
            self._look(node, time.time())

    @callback
    def node_removed(self, node_id: str) -> None:
        """The radio forgot a node. Radios do that when they are full, and hear it again later."""
        self._known.discard(node_id)
        if node_id in self._shown:
            self._shown[node_id].node = None

    @callback
    def may_delete(self, device: dr.AnyDeviceEntry) -> bool:
        """Return whether a device may be deleted by hand; the node is then a stranger.

        A stranger becomes a device again when it is heard again and is still chosen.
        """
        for node_id, _ in self._nodes_of(device):
            node = self.node(node_id)
            last_heard = None if node is None else node.last_heard
            self._forgotten[node_id] = last_heard or time.time()
            self._hide(node_id)
            return True
        return False

    @callback
    def _look(self, node: Node, now: float) -> None:
        """See whether a node is to be a device, and that the device is called like it."""
        shown = self._shown.get(node.node_id)
        if shown is None:
            if node.node_id == self._source_id:
                self._shown[node.node_id] = _Shown(self._gateway_device_id, node)
            elif self._is_wanted(node, now):
                self._shown[node.node_id] = _Shown(self._make_device(node), node)
            else:
                return
            self._on_change(NodeShown(node.node_id))
        elif node.node_id == self._source_id:
            shown.node = node
        elif self._is_wanted(node, now):
            before, shown.node = shown.node, node
            if before is None or _traits(before) != _traits(node):
                self._make_device(node)
        else:
            self._remove(node.node_id)

    def _is_wanted(self, node: Node, now: float) -> bool:
        if node.is_own or not self._choice.wants(node, now):
            return False
        forgotten = self._forgotten.get(node.node_id)
        if forgotten is None:
            return True
        if (node.last_heard or 0.0) <= forgotten:
            return False
        del self._forgotten[node.node_id]
        return True

    def _make_device(self, node: Node) -> str:
        """Make a node's device, or bring it up to date; returns its id."""
        return self._registry.async_get_or_create(
            config_entry_id=self._entry.entry_id,
            identifiers={node_identifier(self._source_id, node.node_id)},
            manufacturer=self._manufacturer,
            model=node.hardware,
            name=node.name or node.short_name or node.node_id,
            serial_number=node.node_id,
            via_device_id=self._gateway_device_id,
        ).id

    def _remove(self, node_id: str) -> None:
        device_id = self._shown[node_id].device_id
        self._hide(node_id)
        if self._registry.async_get(device_id) is not None:
            self._registry.async_remove_device(device_id)

    def _hide(self, node_id: str) -> None:
        if self._shown.pop(node_id, None) is not None:
            self._on_change(NodeHidden(node_id))

    @callback
    def _tidy(self, _: datetime) -> None:
        """Remove the devices of nodes that were not heard for long, or that the radio forgot."""
        # Without a radio nobody can be heard.
        if self._source.link.is_ready:
            self._do(self._tidy_up())

    def _tidy_up(self) -> Iterator[None]:
        for node_id in tuple(self._shown):
            node = self._source.node(node_id)
            is_wanted = node is not None and self._is_wanted(node, time.time())
            if node_id != self._source_id and node_id in self._shown and not is_wanted:
                self._remove(node_id)
            yield
        for node_id, device_id in tuple(self._leftovers()):
            self._remove_leftover(node_id, device_id)
            yield
        for node_id in tuple(self._forgotten):
            if node_id not in self._known:
                del self._forgotten[node_id]

    def _remove_leftover(self, node_id: str, device_id: str) -> None:
        # The node may have become a device meanwhile, and that one be gone.
        if node_id not in self._shown and self._registry.async_get(device_id) is not None:
            self._registry.async_remove_device(device_id)

    def _leftovers(self) -> Iterator[tuple[str, str]]:
        """Yield node id and device id for the devices of nodes that are not shown."""
        for device in dr.async_entries_for_config_entry(self._registry, self._entry.entry_id):
            for node_id, device_id in self._nodes_of(device):
                if node_id not in self._shown:
                    yield node_id, device_id

    def _nodes_of(self, device: dr.AnyDeviceEntry) -> Iterator[tuple[str, str]]:
        """Yield node id and device id, if the device is that of a node other than the radio."""
        prefix = f"{self._source_id}_"
        for domain, name in device.identifiers:
            node_id = name.removeprefix(prefix)
            if domain == DOMAIN and name.startswith(prefix) and node_id != CONF_VIRTUAL_NODE:
                yield node_id, device.id


def _traits(node: Node) -> tuple[str | None, ...]:
    """Return what the device of a node shows of it."""
    return node.name, node.short_name, node.hardware
