"""What the radio says, handed to all who have to know: mirror, phones, and Home Assistant."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
import hashlib
import itertools
import logging
import time
from typing import Final

from ..mesh.handler import Worth
from ..mesh.model import Identity, LinkStatus, Message, Traceroute, Waypoint
from ..mesh.source import (
    ChannelsChanged,
    IdentityChanged,
    LinkChanged,
    MeshEvent,
    MessageReceived,
    NodeChanged,
    NodeRemoved,
    Problem,
    ProblemChanged,
    TracerouteReceived,
    WaypointChanged,
)
from ..mesh.virtual_node import VirtualNode
from . import admin, clock, names, packets, wire
from .decision import RoutingError
from .decode import Decoder
from .mirror import CaptureResult, Mirror
from .mirror_state import MirrorChange
from .outbox import Outbox
from .packets import MeshPacket
from .redaction import redact
from .replay import Slot
from .reports import Decoded
from .requests import Requests
from .switchboard import Switchboard

_LOGGER = logging.getLogger(__name__)

REMEMBERED_PACKETS: Final = 2048
"""A retransmission that the radio did not recognise comes within minutes, if at all."""
TOLD_AT_ONCE: Final = 16
"""So many nodes are described before everybody else has had a turn."""
_ROUTING_ERROR_REASON: Final = 3

_PACKET: Final = 2
_LOG_RECORD: Final = 6
_QUEUE_STATUS: Final = 11
_XMODEM: Final = 12
_MQTT_PROXY: Final = 14
_CLIENT_NOTIFICATION: Final = 16
_LOCKDOWN_STATUS: Final = 18
_MESSAGES: Final = frozenset(
    {
        _PACKET,
        packets.NODE_INFO,
        _LOG_RECORD,
        _QUEUE_STATUS,
        _XMODEM,
        _MQTT_PROXY,
        _CLIENT_NOTIFICATION,
        _LOCKDOWN_STATUS,
    }
    | packets.CONFIGURATION
)
"""The variants that hold a message. What else there is may hold anything."""
_RESYNC_VARIANTS: Final = packets.CONFIGURATION - {packets.MY_INFO, packets.FILE_INFO}
"""What clients have to read anew when it differs from what they were given."""


class Intake:
    """Takes everything that comes from the radio; a `radio.RadioListener`."""

    def __init__(
        self,
        mirror: Mirror,
        decoder: Decoder,
        outbox: Outbox,
        switchboard: Switchboard,
        requests: Requests,
        virtual_node: VirtualNode,
        emit: Callable[[MeshEvent], None],
        on_tick: Callable[[], None],
        *,
        name: str,
        expected_node_id: str | None,
    ) -> None:
        """Prepare for a radio.

        Args:
            mirror: Is kept current.
            decoder: Reads packets with the mirror's help.
            outbox: Is told what became of what was sent.
            switchboard: Hands frames to the phones.
            requests: The open questions of Home Assistant.
            virtual_node: Loses its clients when the radio is another one.
            emit: Takes the events for Home Assistant.
            on_tick: Is called every few seconds while there is a connection.
            name: What log lines call the source.
            expected_node_id: Which radio it has always been; another one is a problem to report.
        """
        self.identity: Identity | None = None
        """Who the radio is, as soon as that is known."""
        self.received = 0
        """How many packets came."""
        self.repeated = 0
        """How many of them had come before."""
        self._mirror = mirror
        self._decoder = decoder
        self._outbox = outbox
        self._switchboard = switchboard
        self._requests = requests
        self._virtual_node = virtual_node
        self._emit = emit
        self._on_tick = on_tick
        self._name = name
        self._expected_node_id = expected_node_id
        self._problems: set[Problem] = set()
        self._heard: OrderedDict[tuple[int, int], None] = OrderedDict()
        self._fingerprint = b""
        self._live_since = float("inf")
        self._unfollowed: list[tuple[MeshPacket, bytes, float]] = []
        self._untold: dict[int, bool] = {}
        self._telling: asyncio.Handle | None = None

    def stop(self) -> None:
        """Tell nothing any more."""
        self._untold.clear()
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None

    def restored(self) -> bool:
        """The mirror was filled from an earlier run; returns whether it is of this radio."""
        if not self._is_expected():
            return False
        self.identity = self._decoder.identity()
        self._fingerprint = self._config_fingerprint()
        return True

    def link_status(self, status: LinkStatus) -> None:
        """The link changed its state."""
        self._emit(LinkChanged(status))
        self._set_problem(Problem.CONTENDED, status.is_contended, {})

    def caught_up(self) -> None:
        """Let the clients have what came, and then see what it says."""
        self._virtual_node.flush()
        self._follow()

    def session_lost(self) -> None:
        """Hold back what is to be sent."""
        self._follow()
        self._live_since = float("inf")
        self._outbox.close()

    def dump_complete(self, result: CaptureResult) -> None:
        """Serve what the radio has told of itself."""
        self._follow()
        change = result.change
        if result.identity_changed:
            _LOGGER.warning("%s: another radio answers at its address", self._name)
            # Whoever waits for a packet is told first: nothing reaches a client that is closed.
            self._outbox.fail_all(RoutingError.NO_INTERFACE)
            self._virtual_node.close_clients("the radio is another one")
            self._switchboard.backlog.clear()
            change = self._mirror.adopt_capture()
        state = self._mirror.state
        assert state is not None
        _LOGGER.info("%s: config capture complete, %s nodes", self._name, len(state.nodes))
        self._live_since = time.monotonic()
        self._check_identity()
        before, self._fingerprint = self._fingerprint, self._config_fingerprint()
        self._outbox.open()
        now = time.time()
        if clock.is_behind(state, now):
            packet_id = self._switchboard.new_packet_id()
            clock.tell(self._outbox, state.my_node_num, packet_id, now)
        is_other = before != self._fingerprint or change.new_nodes or change.removed_nodes
        if before and is_other and not result.identity_changed:
            self._switchboard.resync()
        self._switchboard.snapshot_complete()
        self._tell(change)

    def frame(self, payload: bytes, variant: wire.Field) -> None:
        """Take what the radio says while it is in use.

        Raises:
            wire.WireError: It is malformed inside.
        """
        value = wire.value_bytes(payload, variant)
        if variant.number != _PACKET:
            self._follow()
        if variant.number in _MESSAGES and variant.number != _PACKET:
            wire.scan(value)
        match variant.number:
            case number if number == _PACKET:
                self._packet(payload, value)
            case number if number == _QUEUE_STATUS:
                self._queue_status(value)
            case number if number == _CLIENT_NOTIFICATION:
                reply_id = wire.value_int(wire.last(wire.scan(value), 1))
                self._switchboard.notification_from_radio(payload, reply_id)
            case number if number == _MQTT_PROXY:
                self._switchboard.mqtt_from_radio(payload)
            case number if number == _XMODEM:
                self._switchboard.xmodem_from_radio(payload)
            case number if number == _LOCKDOWN_STATUS:
                self._switchboard.lockdown_from_radio(payload)
            case number if number == _LOG_RECORD:
                self._switchboard.to_all(payload, Worth.ROUTINE)
            case number if number in packets.CONFIGURATION:
                self._configuration(payload)
            case number:
                if number == packets.NODE_INFO:
                    self._tell(self._mirror.live(payload, time.time()))
                self._switchboard.to_all(payload, Worth.NEWS)

    def changed(self, change: MirrorChange) -> None:
        """Take note of what a command changed, of which the clients are told already."""
        if change:
            self._fingerprint = self._config_fingerprint()
            self._tell(change)

    def tick(self) -> None:
        """Some seconds have passed."""
        self._on_tick()

    def tell(self, values: Iterable[Decoded]) -> None:
        """Tell Home Assistant what a packet says."""
        for value in values:
            match value:
                case Message():
                    self._emit(MessageReceived(value))
                case Waypoint():
                    self._emit(WaypointChanged(value))
                case Traceroute():
                    self._emit(TracerouteReceived(value))

    def _packet(self, payload: bytes, raw: bytes) -> None:
        packet = packets.parse_packet(raw)
        now = time.time()
        self.received += 1
        if packet.sender == self._mirror.my_node_num and self._outbox.find(packet.id) is not None:
            # A repeater's copy of what was sent from here, which firmware 2.8 hands over: everybody
            # has it already, and now it is known to have been relayed.
            self.repeated += 1
            self._outbox.acknowledge(packet.id, 0, by_recipient=False)
            return
        self._unfollowed.append((packet, payload, now))
        if packet.portnum == packets.ROUTING and packet.is_decoded and packet.request_id:
            self._acknowledged(packet)
        if packet.portnum == admin.PORTNUM:
            # What it says of the radio is what its answer to a client is made of.
            self._follow()
        if packet.is_replay:
            self._switchboard.replayed_from_radio(payload, self._live_since)
        else:
            self._switchboard.packet_from_radio(payload, packet)

    def _follow(self) -> None:
        """Take over what packets say that the clients have by now: nobody waits for that."""
        heard, self._unfollowed = self._unfollowed, []
        for packet, payload, now in heard:
            try:
                self._tell(self._mirror.packet(packet, payload, now))
                if not self._is_repetition(packet):
                    values = self._decoder.read(packet, now)
                    self._requests.packet(packet, values)
                    self.tell(values)
            except Exception:
                # One packet must never cost the link, and with it everybody's connection.
                _LOGGER.exception("%s: error in following a packet", self._name)

    def _acknowledged(self, packet: MeshPacket) -> None:
        outgoing = self._outbox.find(packet.request_id)
        if outgoing is not None:
            error = wire.value_int(wire.last(wire.scan(packet.payload), _ROUTING_ERROR_REASON))
            self._outbox.acknowledge(
                packet.request_id, error, by_recipient=packet.sender == outgoing.destination
            )

    def _queue_status(self, value: bytes) -> None:
        fields = wire.scan(value)
        self._outbox.queue_status(
            wire.value_int(wire.last(fields, 1)),
            wire.value_int(wire.last(fields, 2)),
            wire.value_int(wire.last(fields, 4)),
        )

    def _configuration(self, payload: bytes) -> None:
        change = self._mirror.live(payload, time.time())
        if change.identity:
            self._switchboard.reread()
        elif change:
            self.changed(change)
            self._switchboard.resync()

    def _is_repetition(self, packet: MeshPacket) -> bool:
        """Return whether this packet was told before: radios forget what they have heard."""
        if not packet.id:
            return False
        key = (packet.sender, packet.id)
        if key in self._heard:
            self.repeated += 1
            return True
        self._heard[key] = None
        if len(self._heard) > REMEMBERED_PACKETS:
            self._heard.popitem(last=False)
        return False

    def _tell(self, change: MirrorChange) -> None:
        for num in change.nodes:
            self._untold[num] = num in change.new_nodes or self._untold.get(num, False)
        if self._telling is None:
            self._tell_nodes()
        for num in change.removed_nodes:
            self._emit(NodeRemoved(names.node_id(num)))
        if change.channels:
            self._emit(ChannelsChanged())
        own = self._mirror.my_node_num
        if own in change.nodes or change.config:
            self._check_identity()

    def _tell_nodes(self) -> None:
        """Tell of some nodes now and of more in the next turn: a dump brings a thousand."""
        self._telling = None
        now = time.time()
        for num in list(itertools.islice(self._untold, TOLD_AT_ONCE)):
            is_new = self._untold.pop(num)
            node = self._decoder.node(num, now)
            if node is not None:
                self._emit(NodeChanged(node, is_new=is_new))
        if self._untold:
            self._telling = asyncio.get_running_loop().call_soon(self._tell_nodes)

    def _check_identity(self) -> None:
        identity = self._decoder.identity()
        if identity is not None and identity != self.identity:
            self.identity = identity
            self._emit(IdentityChanged(identity))
        self._set_problem(
            Problem.OTHER_IDENTITY,
            not self._is_expected(),
            {
                "expected": self._expected_node_id or "",
                "found": identity.node_id if identity is not None else "",
            },
        )

    def _is_expected(self) -> bool:
        own = self._mirror.my_node_num
        expected = self._expected_node_id
        return own is None or expected is None or names.node_id(own) == expected

    def _set_problem(
        self, problem: Problem, is_active: bool, placeholders: Mapping[str, str]
    ) -> None:
        if is_active != (problem in self._problems):
            (self._problems.add if is_active else self._problems.discard)(problem)
            self._emit(ProblemChanged(problem, is_active, placeholders))

    def _config_fingerprint(self) -> bytes:
        """Return what changes when clients have to read the configuration anew."""
        digest = hashlib.sha256()
        state = self._mirror.state
        for item in state.layout if state is not None else ():
            number = packets.variant(item.payload)[0] if isinstance(item, Slot) else 0
            if number in _RESYNC_VARIANTS:
                digest.update(redact(item.payload))
        digest.update(self._mirror.own_user() or b"")
        return digest.digest()
