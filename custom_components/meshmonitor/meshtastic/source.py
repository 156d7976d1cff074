"""A Meshtastic radio, its mesh and its virtual node, as Home Assistant sees them."""

import asyncio
from collections import Counter
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import replace
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
    Waypoint,
)
from ..mesh.source import (
    CountersChanged,
    DeliveryChanged,
    MeshSource,
    MessageReceived,
    OutgoingText,
    RequestAnswer,
    RequestKind,
    SendError,
    SendReason,
    VirtualNodeChanged,
)
from ..mesh.transport import Endpoint
from ..mesh.virtual_node import VirtualNode
from . import mirror_store, names, packets, replies
from .composer import MAX_TEXT_BYTES, SUPPORTED_REQUESTS, Composer
from .decode import Decoder
from .intake import Intake
from .mirror import Mirror
from .options import MeshtasticVirtualNodeOptions
from .outbox import HOME_ASSISTANT, Admission, Outbox, Outgoing
from .pacing import PORT
from .radio import Radio
from .requests import ANSWER_TIMEOUT, Requests
from .session import HEARTBEAT_INTERVAL
from .switchboard import Switchboard
from .virtual_node import Phone

IDLE_LIMIT: Final = 1200.0
"""Seconds after which a client without a byte is closed. The radio itself allows 900, and the
Python client sends a heartbeat each 300."""
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
        self._mirror = Mirror()
        self._decoder = Decoder(self._mirror)
        self._outbox = Outbox(self._write, self._packet_changed, time.monotonic)
        self._switchboard = Switchboard(self._mirror, self._outbox, self._reread)
        self._composer = Composer(self._mirror, self._decoder)
        self._requests = Requests(self._decoder)
        self._virtual_node = VirtualNode(
            name,
            options,
            lambda client: Phone(client, self._switchboard),
            lambda: self.emit(VirtualNodeChanged()),
            idle_limit=IDLE_LIMIT,
        )
        self._switchboard.virtual_node = self._virtual_node
        self._intake = Intake(
            self._mirror,
            self._decoder,
            self._outbox,
            self._switchboard,
            self._requests,
            self._virtual_node,
            self.emit,
            self._report_counters,
            name=name,
            expected_node_id=expected_node_id,
        )
        self._radio = Radio(
            endpoint, self._mirror, self._intake, name=name, heartbeat_interval=heartbeat_interval
        )
        self._reported_counters: dict[str, int] = {}

    @override
    async def start(self) -> None:
        self._radio.link.start()
        await self._virtual_node.start()

    @override
    async def stop(self) -> None:
        await self._virtual_node.stop()
        await self._radio.link.stop()
        self._intake.stop()
        self._requests.stop()
        self._switchboard.stop()
        self._outbox.stop()

    @property
    @override
    def identity(self) -> Identity | None:
        return self._intake.identity

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
    def node_ids(self) -> Collection[str]:
        return self._decoder.node_ids()

    @override
    def node(self, node_id: str) -> Node | None:
        try:
            return self._decoder.node(names.node_num(node_id), time.time())
        except ValueError:
            return None

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
        counters = Counter(self._mirror.counters)
        counters["malformed_frames"] += self._radio.malformed_frames
        return {
            "packets_received": self._intake.received,
            "packets_repeated": self._intake.repeated,
            "queue_length": len(self._outbox),
            **self._outbox.counters,
            **counters,
            **{f"unread_{key}": count for key, count in self._decoder.counters.items()},
            **{f"refused_{key}": count for key, count in self._switchboard.refusals.items()},
        }

    @property
    @override
    def max_text_bytes(self) -> int:
        return MAX_TEXT_BYTES

    @override
    async def send_text(self, outgoing: OutgoingText) -> Message:
        packet_id = self._switchboard.new_packet_id()
        raw = self._composer.text(outgoing, packet_id)
        message = self._own_message(self._submit(raw, packet_id))
        assert message is not None
        return message

    @property
    @override
    def supported_requests(self) -> frozenset[RequestKind]:
        return SUPPORTED_REQUESTS

    @override
    async def request(
        self, kind: RequestKind, node_id: str, *, detail: str | None = None
    ) -> RequestAnswer:
        packet_id = self._switchboard.new_packet_id()
        raw = self._composer.request(kind, node_id, packet_id, detail)
        answer = self._requests.ask(packet_id, kind, node_id)
        try:
            self._submit(raw, packet_id)
            async with asyncio.timeout(ANSWER_TIMEOUT):
                return await answer
        except TimeoutError:
            raise SendError(SendReason.NO_ANSWER) from None
        finally:
            answer.cancel()
            # No air time for what nobody waits for any more.
            self._outbox.withdraw(packet_id)

    @override
    async def send_waypoint(self, waypoint: Waypoint, *, channel: int) -> Waypoint:
        packet_id = self._switchboard.new_packet_id()
        if not waypoint.waypoint_id:
            waypoint_id = names.packet_id_to_message_id(self._switchboard.new_packet_id())
            waypoint = replace(waypoint, waypoint_id=waypoint_id)
        self._submit(self._composer.waypoint(waypoint, channel, packet_id), packet_id)
        return replace(waypoint, sender_id=names.node_id(self._mirror.my_node_num or 0))

    @override
    async def send_advert(self, *, flood: bool) -> None:
        packet_id = self._switchboard.new_packet_id()
        self._submit(self._composer.node_info(packet_id), packet_id)

    @override
    async def login(self, node_id: str, password: str) -> None:
        raise SendError(SendReason.NOT_SUPPORTED)

    @override
    def delivery(self, message_id: str) -> Delivery | None:
        try:
            outgoing = self._outbox.find(names.message_id_to_packet_id(message_id))
        except ValueError:
            return None
        return None if outgoing is None else _delivery(outgoing)

    @override
    def snapshot(self) -> dict[str, Any]:
        return {
            "mirror": self._mirror.snapshot(),
            "messages": self._switchboard.messages.snapshot(),
        }

    @override
    def snapshot_in_pieces(self) -> Generator[None, None, dict[str, Any]]:
        mirror = yield from mirror_store.dump_in_pieces(self._mirror.state)
        return {"mirror": mirror, "messages": self._switchboard.messages.snapshot()}

    @override
    def restore(self, snapshot: Mapping[str, Any]) -> None:
        try:
            mirror, messages = snapshot["mirror"], snapshot["messages"]
        except (KeyError, TypeError) as err:
            raise ValueError("a snapshot of another version") from err
        self._switchboard.messages.restore(messages)
        try:
            self._mirror.restore(mirror)
        except ValueError:
            self._switchboard.backlog.clear()
            raise
        if not self._intake.restored():
            self._mirror.clear()
            self._switchboard.backlog.clear()

    def _write(self, frame: bytes) -> bool:
        return self._radio.write(frame)

    def _reread(self) -> None:
        self._radio.reread()

    def _report_counters(self) -> None:
        """Tell of counters that moved."""
        counters = dict(self.counters)
        if counters != self._reported_counters:
            self._reported_counters = counters
            self.emit(CountersChanged())

    def _packet_changed(self, outgoing: Outgoing, by_mesh: bool) -> None:
        if outgoing.mutates and outgoing.state is DeliveryState.SENT:
            self._radio.link.expect_restart()
        self._intake.changed(self._switchboard.packet_changed(outgoing, by_mesh=by_mesh))
        if outgoing.state is DeliveryState.FAILED:
            self._requests.failed(outgoing.packet_id, outgoing.error)
        if outgoing.portnum == PORT.WAYPOINT_APP and outgoing.state is DeliveryState.SENT:
            self._intake.tell(self._decoder.packet(outgoing.raw, time.time(), origin=Origin.PHONE))
        if outgoing.portnum not in _TEXTS:
            return
        message: Message | None = None
        if outgoing.state in (DeliveryState.QUEUED, DeliveryState.SENT):
            message = self._own_message(outgoing)
        if outgoing.state is DeliveryState.SENT and message is not None:
            self.emit(MessageReceived(message))
        self.emit(DeliveryChanged(_delivery(outgoing), message))

    def _submit(self, raw: bytes, packet_id: int) -> Outgoing:
        """Hand a packet of Home Assistant's to the outbox.

        Raises:
            SendError: It has no room.
        """
        packet = packets.parse_packet(raw)
        outgoing = Outgoing(
            packet_id=packet_id,
            portnum=packet.portnum,
            sender=HOME_ASSISTANT,
            destination=packet.destination,
            channel=packet.channel,
            raw=raw,
            payload=packet.payload,
        )
        admission = self._outbox.submit(outgoing, replies.for_radio(raw, packet_id))
        if admission is not Admission.QUEUED:
            raise SendError(SendReason.QUEUE_FULL)
        return outgoing

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
