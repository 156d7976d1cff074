"""A Meshtastic radio, its mesh and its virtual node, as Home Assistant sees them."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
import hashlib
import logging
import random
import time
from typing import Any, Final, override

from ..mesh.model import (
    Channel,
    Delivery,
    DeliveryState,
    Identity,
    LinkStatus,
    Message,
    Node,
    Origin,
    Traceroute,
    Waypoint,
)
from ..mesh.source import (
    ChannelsChanged,
    CountersChanged,
    DeliveryChanged,
    IdentityChanged,
    LinkChanged,
    MeshSource,
    MessageReceived,
    NodeChanged,
    NodeRemoved,
    OutgoingText,
    Problem,
    ProblemChanged,
    SendError,
    SendReason,
    TracerouteReceived,
    VirtualNodeChanged,
    WaypointChanged,
)
from ..mesh.transport import Endpoint
from ..mesh.virtual_node import VirtualNode, VirtualNodeOptions, Worth
from . import names, packets, replies, wire
from .decision import RoutingError
from .decode import Decoder
from .mirror import CaptureResult, Mirror
from .mirror_state import MirrorChange
from .options import MeshtasticVirtualNodeOptions
from .outbox import HOME_ASSISTANT, Admission, Outbox, Outgoing
from .pacing import PORT
from .packets import MeshPacket
from .radio import Radio
from .redaction import redact
from .replay import Slot
from .session import HEARTBEAT_INTERVAL
from .switchboard import Switchboard
from .virtual_node import Phone

_LOGGER = logging.getLogger(__name__)

IDLE_LIMIT: Final = 1200.0
"""Seconds after which a client without a byte is closed. The radio itself allows 900, and the
Python client sends a heartbeat each 300."""
MAX_TEXT_BYTES: Final = 200
"""What the apps allow: 233 would fit a packet, but not with a reply's id and encryption."""
REMEMBERED_PACKETS: Final = 2048
"""A retransmission that the radio did not recognise comes within minutes, if at all."""
_MAX_PACKET_ID: Final = 0xFFFFFFFF

_NODE_INFO_CHANNEL: Final = 7

_ROUTING_ERROR_REASON: Final = 3

_PACKET: Final = 2
_LOG_RECORD: Final = 6
_QUEUE_STATUS: Final = 11
_XMODEM: Final = 12
_MQTT_PROXY: Final = 14
_CLIENT_NOTIFICATION: Final = 16
_LOCKDOWN_STATUS: Final = 18
_TEXTS: Final = frozenset({PORT.TEXT_MESSAGE_APP, PORT.ALERT_APP})


class MeshtasticSource(MeshSource):
    """One Meshtastic radio: ties the rooms of this folder together."""

    protocol = "meshtastic"

    def __init__(
        self,
        endpoint: Endpoint,
        options: MeshtasticVirtualNodeOptions,
        *,
        name: str,
        expected_node_id: str | None = None,
        heartbeat_interval: float = HEARTBEAT_INTERVAL,
    ) -> None:
        """Prepare a source that is not started.

        Args:
            endpoint: Where the radio is.
            options: How the virtual node serves.
            name: What log lines call the source.
            expected_node_id: Which radio it has always been; another one is a problem to report.
            heartbeat_interval: Seconds from one heartbeat to the next.
        """
        super().__init__(name)
        self._expected_node_id = expected_node_id
        self._mirror = Mirror()
        self._decoder = Decoder(self._mirror)
        self._radio = Radio(
            endpoint, self._mirror, self, name=name, heartbeat_interval=heartbeat_interval
        )
        self._outbox = Outbox(self._radio.write, self._packet_changed, time.monotonic)
        self._switchboard = Switchboard(self._mirror, self._outbox, self._radio.reread)
        self._virtual_node = VirtualNode(
            name,
            options,
            lambda client: Phone(client, self._switchboard),
            lambda: self.emit(VirtualNodeChanged()),
            idle_limit=IDLE_LIMIT,
        )
        self._switchboard.virtual_node = self._virtual_node
        self._identity: Identity | None = None
        self._problems: set[Problem] = set()
        self._heard: OrderedDict[tuple[int, int], None] = OrderedDict()
        self._fingerprint = b""
        self._reported_counters: dict[str, int] = {}
        self._received = 0
        self._repeated = 0

    @override
    async def start(self) -> None:
        self._radio.link.start()
        await self._virtual_node.start()

    @override
    async def stop(self) -> None:
        await self._virtual_node.stop()
        await self._radio.link.stop()
        self._switchboard.stop()
        self._outbox.stop()

    @property
    @override
    def identity(self) -> Identity | None:
        return self._identity

    @property
    @override
    def link(self) -> LinkStatus:
        return self._radio.link.status

    @property
    @override
    def nodes(self) -> Mapping[str, Node]:
        return self._decoder.nodes(time.time())

    @property
    @override
    def channels(self) -> Sequence[Channel]:
        return self._decoder.channels()

    @property
    @override
    def virtual_node(self) -> VirtualNode:
        return self._virtual_node

    @property
    @override
    def counters(self) -> Mapping[str, int]:
        return {
            "packets_received": self._received,
            "packets_repeated": self._repeated,
            "malformed_frames": self._radio.malformed_frames,
            "queue_length": len(self._outbox),
            **self._outbox.counters,
            **self._mirror.counters,
            **{f"unread_{key}": count for key, count in self._decoder.counters.items()},
            **{f"refused_{key}": count for key, count in self._switchboard.refusals.items()},
        }

    @property
    @override
    def max_text_bytes(self) -> int:
        return MAX_TEXT_BYTES

    @override
    async def apply_virtual_node(self, options: VirtualNodeOptions) -> None:
        await self._virtual_node.apply(options)

    @override
    async def send_text(self, outgoing: OutgoingText) -> Message:
        if not self._mirror.has_snapshot:
            raise SendError(SendReason.NOT_CONNECTED)
        packet_id = random.randint(1, _MAX_PACKET_ID)
        raw = self._text_packet(outgoing, packet_id)
        packet = packets.parse_packet(raw)
        taken = Outgoing(
            packet_id=packet_id,
            portnum=packet.portnum,
            sender=HOME_ASSISTANT,
            destination=packet.destination,
            channel=packet.channel,
            raw=raw,
            payload=packet.payload,
            want_ack=outgoing.want_ack,
        )
        message = self._own_message(taken)
        if message is None:
            raise SendError(SendReason.REFUSED, "empty")
        if self._outbox.submit(taken, replies.for_radio(raw, packet_id)) is not Admission.QUEUED:
            raise SendError(SendReason.QUEUE_FULL)
        return message

    @override
    def delivery(self, message_id: str) -> Delivery | None:
        try:
            outgoing = self._outbox.find(names.message_id_to_packet_id(message_id))
        except ValueError:
            return None
        return None if outgoing is None else _delivery(outgoing)

    @override
    def snapshot(self) -> dict[str, Any]:
        return self._mirror.snapshot()

    @override
    def restore(self, snapshot: Mapping[str, Any]) -> None:
        self._mirror.restore(snapshot)
        if self._is_expected():
            self._identity = self._decoder.identity()
            self._fingerprint = self._config_fingerprint()
        else:
            self._mirror.clear()

    # What the radio says: a `radio.RadioListener`

    def link_status(self, status: LinkStatus) -> None:
        """The link changed its state."""
        self.emit(LinkChanged(status))
        self._set_problem(Problem.CONTENDED, status.is_contended, {})

    def session_lost(self) -> None:
        """Hold back what is to be sent."""
        self._outbox.close()

    def dump_complete(self, result: CaptureResult) -> None:
        """Serve what the radio has told of itself."""
        change = result.change
        if result.identity_changed:
            _LOGGER.warning("%s: another radio answers at its address", self.name)
            self._virtual_node.close_clients("the radio is another one")
            self._outbox.fail_all(RoutingError.NO_INTERFACE)
            change = self._mirror.adopt_capture()
        state = self._mirror.state
        assert state is not None
        _LOGGER.info("%s: config capture complete, %s nodes", self.name, len(state.nodes))
        self._check_identity()
        before, self._fingerprint = self._fingerprint, self._config_fingerprint()
        self._outbox.open()
        if before and before != self._fingerprint:
            self._switchboard.resync()
        self._switchboard.snapshot_complete()
        self._tell(change)

    def frame(self, payload: bytes, variant: wire.Field) -> None:
        """Take what the radio says while it is in use."""
        value = wire.value_bytes(payload, variant)
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

    def tick(self) -> None:
        """Report counters that moved."""
        counters = dict(self.counters)
        if counters != self._reported_counters:
            self._reported_counters = counters
            self.emit(CountersChanged())

    def _packet(self, payload: bytes, raw: bytes) -> None:
        packet = packets.parse_packet(raw)
        now = time.time()
        self._received += 1
        change = self._mirror.live(payload, now)
        if packet.portnum == PORT.ROUTING_APP and packet.is_decoded and packet.request_id:
            self._acknowledged(packet)
        if packet.is_replay:
            self._switchboard.replayed_from_radio(payload, self._radio.live_since)
        else:
            self._switchboard.packet_from_radio(payload, packet)
        self._tell(change)
        if not self._is_repetition(packet):
            for value in self._decoder.packet(raw, now):
                self._emit_decoded(value)

    def _emit_decoded(self, value: object) -> None:
        match value:
            case Message():
                self.emit(MessageReceived(value))
            case Waypoint():
                self.emit(WaypointChanged(value))
            case Traceroute():
                self.emit(TracerouteReceived(value))

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
            self._radio.reread()
        elif change:
            self._tell(change)
            self._switchboard.resync()

    def _is_repetition(self, packet: MeshPacket) -> bool:
        """Return whether this packet was told before: radios forget what they have heard."""
        if not packet.id:
            return False
        key = (packet.sender, packet.id)
        if key in self._heard:
            self._repeated += 1
            return True
        self._heard[key] = None
        if len(self._heard) > REMEMBERED_PACKETS:
            self._heard.popitem(last=False)
        return False

    def _tell(self, change: MirrorChange) -> None:
        now = time.time()
        for num in change.nodes:
            node = self._decoder.node(num, now)
            if node is not None:
                self.emit(NodeChanged(node, is_new=num in change.new_nodes))
        for num in change.removed_nodes:
            self.emit(NodeRemoved(names.node_id(num)))
        if change.channels:
            self.emit(ChannelsChanged())
        own = self._mirror.my_node_num
        if own in change.nodes or change.config:
            self._check_identity()

    def _check_identity(self) -> None:
        identity = self._decoder.identity()
        if identity is not None and identity != self._identity:
            self._identity = identity
            self.emit(IdentityChanged(identity))
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
            self.emit(ProblemChanged(problem, is_active, placeholders))

    def _config_fingerprint(self) -> bytes:
        """Return what changes when clients have to read the configuration anew."""
        digest = hashlib.sha256()
        state = self._mirror.state
        for item in state.layout if state is not None else ():
            number = packets.variant(item.payload)[0] if isinstance(item, Slot) else 0
            if number in packets.CONFIGURATION - {packets.MY_INFO, packets.FILE_INFO}:
                digest.update(redact(item.payload))
        return digest.digest()

    # What is sent

    def _packet_changed(self, outgoing: Outgoing, by_mesh: bool) -> None:
        self._switchboard.packet_changed(outgoing, by_mesh=by_mesh)
        if outgoing.portnum not in _TEXTS:
            return
        if outgoing.state is DeliveryState.SENT:
            message = self._own_message(outgoing)
            if message is not None:
                self.emit(MessageReceived(message))
        self.emit(DeliveryChanged(_delivery(outgoing)))

    def _own_message(self, outgoing: Outgoing) -> Message | None:
        """Return what was sent as a message of our own node's."""
        is_ours = outgoing.sender == HOME_ASSISTANT
        for value in self._decoder.packet(
            outgoing.raw,
            time.time(),
            origin=Origin.HOME_ASSISTANT if is_ours else Origin.PHONE,
            client=None if is_ours else outgoing.sender,
        ):
            if isinstance(value, Message):
                message_id = names.packet_id_to_message_id(outgoing.packet_id)
                return replace(value, message_id=message_id)
        return None

    def _text_packet(self, outgoing: OutgoingText, packet_id: int) -> bytes:
        """Return the ``MeshPacket`` of a text.

        Raises:
            SendError: The text, channel, recipient or reply is none that can be sent.
        """
        payload = outgoing.text.encode()
        if len(payload) > MAX_TEXT_BYTES:
            raise SendError(SendReason.TOO_LONG, str(MAX_TEXT_BYTES))
        state = self._mirror.state
        assert state is not None
        destination, channel = packets.BROADCAST, outgoing.channel or 0
        if outgoing.recipient_id is not None:
            try:
                destination = names.node_num(outgoing.recipient_id)
            except ValueError:
                raise SendError(SendReason.UNKNOWN_NODE) from None
            record = state.nodes.get(destination)
            if record is None or destination == state.my_node_num:
                raise SendError(SendReason.UNKNOWN_NODE)
            if outgoing.channel is None:
                channel = record.number(_NODE_INFO_CHANNEL)
        if channel not in {known.index for known in self.channels}:
            raise SendError(SendReason.UNKNOWN_CHANNEL, str(channel))
        try:
            reply_id = names.message_id_to_packet_id(outgoing.reply_id) if outgoing.reply_id else 0
        except ValueError:
            raise SendError(SendReason.REFUSED, "reply_id") from None
        return replies.own_packet(
            destination=destination,
            portnum=PORT.TEXT_MESSAGE_APP,
            payload=payload,
            packet_id=packet_id,
            channel=channel,
            hop_limit=state.hop_limit,
            want_ack=outgoing.want_ack,
            reply_id=reply_id,
            emoji=1 if outgoing.is_reaction else 0,
        )


def _delivery(outgoing: Outgoing) -> Delivery:
    is_direct = outgoing.destination != packets.BROADCAST
    return Delivery(
        message_id=names.packet_id_to_message_id(outgoing.packet_id),
        state=outgoing.state,
        reason=names.routing_error_name(outgoing.error)
        if outgoing.state is DeliveryState.FAILED
        else None,
        origin=Origin.HOME_ASSISTANT if outgoing.sender == HOME_ASSISTANT else Origin.PHONE,
        recipient_id=names.node_id(outgoing.destination) if is_direct else None,
        channel=outgoing.channel,
    )
