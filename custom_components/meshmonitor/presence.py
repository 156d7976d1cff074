"""Which nodes are there: one rule, and one timer for all nodes of a source."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
import time
from typing import Final

from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.helpers.event import async_call_later

from .mesh.model import Node

_SHORTEST_WAIT: Final = 5.0
"""Seconds between two looks: nodes of a large mesh fall silent one after the other."""


def heard_until(node: Node, now: float, limit: float) -> float | None:
    """Return until when a node counts as online; None for one that was never heard.

    Args:
        node: What is known of the node.
        now: The present, Unix seconds; a node's time ahead of it is not believed.
        limit: For how many seconds a node counts as online from when it was last heard.
    """
    return None if node.last_heard is None else min(node.last_heard, now) + limit


@dataclass(frozen=True, slots=True)
class PresenceChanged:
    """A node came online or went offline."""

    node_id: str
    is_online: bool


@dataclass(frozen=True, slots=True)
class PresenceFound:
    """A node was found to be online when the radio was read for the first time: that is no news."""

    node_id: str


@dataclass(frozen=True, slots=True)
class PresenceRead:
    """What the radio knows of all its nodes was looked at."""


type PresenceEvent = PresenceChanged | PresenceFound | PresenceRead


class Presence:
    """Knows which nodes of one source are online, the own radio left out.

    Silence counts only while there is a radio to hear: a link that is lost makes nobody offline,
    and what the radio knows when it is back counts first.
    """

    def __init__(
        self,
        hass: HomeAssistant,
        do: Callable[[Iterable[object]], None],
        on_change: Callable[[PresenceEvent], None],
        limit: float,
    ) -> None:
        """Start without nodes.

        Args:
            hass: Home Assistant.
            do: Has long work done in pieces, as `Turns.add`.
            on_change: Is told of every node that comes or goes. Those that are there when the radio
                is read for the first time are found, and do not come.
            limit: After how many seconds of silence a node is offline.
        """
        self._hass = hass
        self._do = do
        self._limit = limit
        self._on_change = on_change
        self._until: dict[str, float] = {}
        self._away_since: float | None = None
        self._is_watching = False
        self._is_reading = False
        self._unread: set[str] = set()
        self._timer: CALLBACK_TYPE | None = None

    def is_online(self, node_id: str) -> bool:
        """Return whether a node is online."""
        return node_id in self._until

    @property
    def online(self) -> frozenset[str]:
        """The ids of all nodes that are online."""
        return frozenset(self._until)

    @property
    def count(self) -> int:
        """How many nodes are online."""
        return len(self._until)

    @property
    def is_reading(self) -> bool:
        """Whether it is being looked at what the radio knows: many come at once then."""
        return self._is_reading

    @callback
    def restore(self, nodes: Iterable[Node]) -> None:
        """Take over who was heard before the start; nobody is told."""
        now = time.time()
        for node in nodes:
            self._heard(node, now)

    @callback
    def radio_ready(self, node_ids: Iterable[str], node: Callable[[str], Node | None]) -> None:
        """The radio is there and has told whom it knows.

        Args:
            node_ids: Whom it knows.
            node: Returns what is known of a node by now.
        """
        now = time.time()
        if self._away_since is not None:
            away = now - self._away_since
            self._until = {node_id: until + away for node_id, until in self._until.items()}
            self._away_since = None
        node_ids = tuple(node_ids)
        if not self._is_watching:
            self._unread = set(node_ids)
        self._is_watching = self._is_reading = True
        self._do(self._read(node_ids, node))

    def _read(self, node_ids: Iterable[str], node: Callable[[str], Node | None]) -> Iterator[None]:
        for node_id in node_ids:
            if self._away_since is not None:
                return
            if (known := node(node_id)) is not None:
                self.node_changed(known)
            yield
        self._unread.clear()
        self._is_reading = False
        self._schedule(time.time())
        self._on_change(PresenceRead())

    @callback
    def radio_lost(self) -> None:
        """The radio is away: whoever is online stays so until it is back."""
        if self._is_watching and self._away_since is None:
            self._away_since = time.time()
        self.stop()

    @callback
    def node_changed(self, node: Node) -> None:
        """Something about a node is new: maybe that it was heard."""
        if not self._is_watching or self._away_since is not None:
            return
        is_found = node.node_id in self._unread
        now = time.time()
        if self._heard(node, now):
            # Who is silent is seen when all have been looked at: the radio may have heard them.
            if self._timer is None and not self._is_reading:
                self._schedule(now)
            found, came = PresenceFound(node.node_id), PresenceChanged(node.node_id, is_online=True)
            self._on_change(found if is_found else came)

    @callback
    def node_removed(self, node_id: str) -> None:
        """The radio forgot a node."""
        self._until.pop(node_id, None)
        self._unread.discard(node_id)

    @callback
    def stop(self) -> None:
        """Leave no timer behind."""
        if self._timer is not None:
            self._timer()
            self._timer = None

    def _heard(self, node: Node, now: float) -> bool:
        """Note when a node was heard; returns whether it is online now and was not before."""
        until = heard_until(node, now, self._limit)
        if node.is_own or until is None or until <= now:
            return False
        before = self._until.get(node.node_id)
        self._until[node.node_id] = until if before is None else max(before, until)
        return before is None

    def _schedule(self, now: float) -> None:
        """See again when the next node may fall silent; it may be heard until then."""
        self.stop()
        if self._until:
            wait = max(min(self._until.values()) - now, _SHORTEST_WAIT)
            self._timer = async_call_later(
                self._hass, wait, HassJob(self._look, cancel_on_shutdown=True)
            )

    @callback
    def _look(self, _: datetime) -> None:
        self._timer = None
        self._do(self._let_go())

    def _let_go(self) -> Iterator[None]:
        now = time.time()
        for node_id in [node_id for node_id, until in self._until.items() if until <= now]:
            if self._away_since is not None:
                return
            # It may have been heard meanwhile.
            if self._until.get(node_id, now + 1) <= now:
                del self._until[node_id]
                self._on_change(PresenceChanged(node_id, is_online=False))
            yield
        self._schedule(now)
