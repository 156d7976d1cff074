"""The nodes of the mesh as Home Assistant sees them: contacts, and what was heard of each."""

from collections.abc import Mapping

from ..mesh.model import Channel, Node, Position, Telemetry
from ..mesh.source import ChannelsChanged, MeshEvent, NodeChanged, NodeRemoved
from . import decode
from .codes import AdvType, Push, Resp
from .frames import ChannelInfo, Contact, FrameError
from .mirror import Mirror
from .pushes import RawReception, RemoteData


class NodeBook:
    """Keeps the nodes current, and says what changed."""

    def __init__(self, mirror: Mirror) -> None:
        """Start with what the mirror knows."""
        self.nodes: dict[str, Node] = {}
        self._mirror = mirror
        self._telemetry: dict[bytes, dict[str, Telemetry]] = {}
        self._positions: dict[bytes, Position] = {}
        self._signals: dict[bytes, tuple[float, int]] = {}
        self._channels: list[Channel] = []
        self._own_id: str | None = None
        self._own_seen: tuple[object, ...] = ()

    @property
    def channels(self) -> list[Channel]:
        """The channels that are in use."""
        infos = map(ChannelInfo.parse, self._mirror.channels.values())
        slots = sorted(map(decode.channel, infos), key=lambda channel: channel.index)
        return [channel for channel in slots if channel.is_enabled]

    def refresh(self, now: float) -> list[MeshEvent]:
        """Follow the mirror, and return what is new since the last time.

        Args:
            now: Unix time.
        """
        events: list[MeshEvent] = []
        contacts = self._mirror.contacts
        removed, contacts.removed = contacts.removed, set()
        changed, contacts.changed = contacts.changed, set()
        for key in removed:
            for memory in (self._telemetry, self._positions, self._signals):
                memory.pop(key, None)
            if self.nodes.pop(key.hex(), None) is not None:
                events.append(NodeRemoved(key.hex()))
        for key in changed:
            events += self._rebuild(key)
        events += self._own(now)
        if self._mirror.channels_changed:
            self._mirror.channels_changed = False
            before, self._channels = self._channels, self.channels
            if before != self._channels:
                events.append(ChannelsChanged())
        return events

    def heard(self, push: bytes, now: float) -> list[MeshEvent]:
        """Take over what a push tells of a node.

        Args:
            push: Any frame that the radio sent by itself.
            now: Unix time.
        """
        try:
            if push[0] in (Push.STATUS_RESPONSE, Push.TELEMETRY_RESPONSE):
                return self._measured(push[0], RemoteData.parse(push), now)
            if push[0] == Push.LOG_RX_DATA:
                key = decode.direct_advert(push[RawReception.OFFSET :])
                if key in self._mirror.contacts.frames:
                    reception = RawReception.parse(push)
                    # Shown with the next change of the node, which the advert brings.
                    self._signals[key] = (reception.snr, reception.rssi)
        except FrameError:
            pass
        return []

    def _measured(self, code: int, answer: RemoteData, now: float) -> list[MeshEvent]:
        frame = self._mirror.contacts.with_prefix(answer.sender)
        if frame is None:
            return []
        key = frame[1:33]
        if code == Push.STATUS_RESPONSE:
            is_room = Contact.parse(frame).adv_type == AdvType.ROOM
            kinds = decode.status_telemetry(answer.data, now, is_room=is_room)
        else:
            kinds, position = decode.lpp_telemetry(answer.data, now)
            if position is not None:
                self._positions[key] = position
        self._telemetry.setdefault(key, {}).update(kinds)
        return self._rebuild(key)

    def _rebuild(self, key: bytes) -> list[MeshEvent]:
        frame = self._mirror.contacts.frames.get(key)
        if frame is None:
            return []
        telemetry: Mapping[str, Telemetry] = dict(self._telemetry.get(key, {}))
        snr, rssi = self._signals.get(key, (None, None))
        built = decode.node(frame, telemetry, self._positions.get(key), snr=snr, rssi=rssi)
        before = self.nodes.get(built.node_id)
        if before == built:
            return []
        self.nodes[built.node_id] = built
        return [NodeChanged(built, before is None)]

    def _own(self, now: float) -> list[MeshEvent]:
        mirror = self._mirror
        seen = (
            mirror.info,
            mirror.device,
            mirror.kept.get(Resp.BATT_AND_STORAGE),
            *mirror.stats.values(),
        )
        if seen == self._own_seen:
            return []
        self._own_seen = seen
        own = decode.own_node(mirror, decode.own_telemetry(mirror, now))
        if own is None:
            return []
        events: list[MeshEvent] = []
        if self._own_id not in (None, own.node_id):
            assert self._own_id is not None
            if self.nodes.pop(self._own_id, None) is not None:
                events.append(NodeRemoved(self._own_id))
        self._own_id = own.node_id
        before = self.nodes.get(own.node_id)
        if before is None or _without_times(before) != _without_times(own):
            self.nodes[own.node_id] = own
            events.append(NodeChanged(own, before is None))
        return events


def _without_times(node: Node) -> tuple[object, ...]:
    """Return what makes a node's state a new one: a reading with the same values is none."""
    values = {kind: dict(telemetry.values) for kind, telemetry in node.telemetry.items()}
    return (node.name, node.hardware, node.position, values)
