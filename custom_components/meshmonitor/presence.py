"""Which nodes are there: one rule, and one timer for all nodes of a source."""

from collections.abc import Callable, Iterable
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


class Presence:
    """Knows which nodes of one source are online, the own radio left out.

    Silence counts only while there is a radio to hear: a link that is lost makes nobody offline,
    and what the radio knows when it is back counts first.
    """

    def __init__(
        self, hass: HomeAssistant, on_change: Callable[[PresenceChanged], None], limit: float
    ) -> None:
        """Start without nodes.

        Args:
            hass: Home Assistant.
            on_change: Is told of every node that comes or goes, but not of those that are there
                when the radio is read for the first time.
            limit: After how many seconds of silence a node is offline.
        """
        self._hass = hass
        self._limit = limit
        self._on_change = on_change
        self._until: dict[str, float] = {}
        self._away_since: float | None = None
        self._is_watching = False
        self._timer: CALLBACK_TYPE | None = None

    def is_online(self, node_id: str) -> bool:
        """Return whether a node is online."""
        return node_id in self._until

    @property
    def online(self) -> frozenset[str]:
        """The ids of all nodes that are online."""
        return frozenset(self._until)

    @callback
    def restore(self, nodes: Iterable[Node]) -> None:
        """Take over who was heard before the start; nobody is told."""
        now = time.time()
        for node in nodes:
            self._heard(node, now)

    @callback
    def radio_ready(self, nodes: Iterable[Node]) -> None:
        """The radio is there and has told whom it knows."""
        now = time.time()
        if self._away_since is not None:
            away = now - self._away_since
            self._until = {node_id: until + away for node_id, until in self._until.items()}
            self._away_since = None
        came = [node.node_id for node in nodes if self._heard(node, now)]
        is_first = not self._is_watching
        self._is_watching = True
        self._schedule(now)
        if not is_first:
            for node_id in came:
                self._on_change(PresenceChanged(node_id, is_online=True))

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
        now = time.time()
        if self._heard(node, now):
            if self._timer is None:
                self._schedule(now)
            self._on_change(PresenceChanged(node.node_id, is_online=True))

    @callback
    def node_removed(self, node_id: str) -> None:
        """The radio forgot a node."""
        self._until.pop(node_id, None)

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
        now = time.time()
        silent = [node_id for node_id, until in self._until.items() if until <= now]
        for node_id in silent:
            del self._until[node_id]
        self._schedule(now)
        for node_id in silent:
            self._on_change(PresenceChanged(node_id, is_online=False))
