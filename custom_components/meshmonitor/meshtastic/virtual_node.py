"""One phone of a Meshtastic virtual node: what the firmware's ``PhoneAPI`` is to its one phone."""

import asyncio
from collections import deque
from dataclasses import replace
import time
from typing import Final, Protocol, override

from ..mesh.backlog import Backlog, Entry
from ..mesh.client import Client
from ..mesh.handler import ClientHandler, Worth
from . import client_frame, policy, replies
from .admin import AdminQuery
from .client_frame import ClientPacket
from .decision import (
    Answer,
    AnswerHeartbeat,
    Close,
    Decision,
    Fetch,
    Forward,
    ForwardMqttProxy,
    ForwardXmodem,
    Ignore,
    RefusalReason,
    Refuse,
    ReplayConfig,
    RoutingError,
    Swallow,
)
from .framing import FrameDecoder, encode
from .mirror import Mirror
from .pacing import QUEUE_LENGTH
from .policy import ClientRights
from .replay import ReplayKind

HOLD_TIMEOUT: Final = 9.0
"""An app gives a handshake up after twelve seconds without a byte (Android, TCP stall watchdog);
one whose connection is closed before that tries again by itself."""
PARTIAL_FRAME_TIMEOUT: Final = 10.0
NOTIFICATION_INTERVAL: Final = 5.0
"""Seconds between two notifications to a client: apps show each of them to their user."""
SELDOM_NOTIFICATION_INTERVAL: Final = 600.0
"""Seconds between two of the same about what an app sends by itself: a frame for each word of its
MQTT broker, a contact with each private text. Nobody waits for what becomes of these."""
NO_INTERFACES: Final = 33
"""``ERRNO_NO_INTERFACES``, ``QueueStatus.res`` of a radio that cannot send (firmware
``src/mesh/MeshTypes.h``)."""
MAX_EARLY: Final = 64
"""Frames that are kept for a client until its handshake is complete. The firmware keeps 8 to 32."""
NODES_TIMEOUT: Final = 10.0
"""Apps that ask for the configuration alone ask for the nodes right after it. One that does not
for so long never will, and gets its messages without those that it missed."""
_MALFORMED_COST: Final = 64
"""A malformed message counts as so many bytes of garbage."""
_REPLAY_COST: Final = 10.0
"""What a handshake costs of a client's budget (`mesh.client.WORK_LIMIT`)."""


class Desk(Protocol):
    """What a phone asks of those who know the radio and the other phones."""

    mirror: Mirror
    backlog: Backlog

    def rights(self, phone: Phone) -> ClientRights:
        """Return what a phone may do."""

    def offers_mqtt(self, phone: Phone) -> None:
        """The phone has a connection to an MQTT broker for the radio."""

    def new_packet_id(self) -> int:
        """Return an id for a packet that has none."""

    def free_slots(self, phone: Phone) -> int:
        """Return how many more packets the phone may send at once, as a radio would say it."""

    def submit(self, phone: Phone, forward: Forward) -> None:
        """Take a packet over, and tell the phone what became of it."""

    def submit_raw(self, phone: Phone, payload: bytes, *, is_xmodem: bool) -> None:
        """Take over a ``ToRadio`` that is no packet."""

    def fetch(self, phone: Phone, packet: ClientPacket, query: AdminQuery) -> None:
        """Read from the radio what the phone asked for, and let it be decided anew."""

    def handshake_complete(self, phone: Phone, kind: ReplayKind) -> None:
        """The phone has what it asked for."""

    def gone(self, phone: Phone) -> None:
        """The phone's connection ended."""

    def count_refusal(self, reason: str) -> None:
        """Count what a phone was refused, or sent in vain."""


class Phone(ClientHandler):
    """Speaks to one client as its node would."""

    def __init__(self, client: Client, desk: Desk) -> None:
        """Wait in silence for what the client wants, as a node does."""
        self.client = client
        self.is_live = False
        """Whether a handshake was completed, so that traffic goes to the client."""
        self.handshake_at = 0.0
        """When the newest handshake was completed, by the monotonic clock."""
        self.awaits_room = False
        """Whether it was told last that no more packets are taken, so that it may send none."""
        self.config_at = 0.0
        """When the configuration was last read: the second half of a handshake is nodes alone."""
        self.reader = desk.backlog.join(
            client.client_id, str(client.address), lambda: client.acknowledged
        )
        """Its place among the messages that are kept."""
        self._desk = desk
        self._decoder = FrameDecoder()
        self._early: deque[tuple[Worth, bytes]] = deque()
        self._held: deque[int] = deque(maxlen=4)
        self._hold_timer: asyncio.TimerHandle | None = None
        self._notified_at = float("-inf")
        self._notified_of: dict[str, float] = {}

    @property
    def name(self) -> str:
        """The client's id."""
        return self.client.client_id

    @override
    def data_received(self, data: bytes, now: float) -> None:
        """Take bytes from the client, cut anywhere."""
        skipped = self._decoder.skipped_bytes
        payloads = self._decoder.feed(data, now)
        if self._decoder.skipped_bytes > skipped:
            self.client.report_garbage(self._decoder.skipped_bytes - skipped)
        self._frames(payloads)

    @override
    def tick(self, now: float) -> None:
        """Give up on what does not come: the rest of a frame, or the second half of a handshake."""
        since = self._decoder.partial_since
        if since is not None and now - since > PARTIAL_FRAME_TIMEOUT:
            self._frames(self._decoder.abandon_partial())
        if self.is_live and now - self.handshake_at > NODES_TIMEOUT:
            self._give(*self._desk.backlog.waive(self.reader, time.time()))

    @override
    def rights_changed(self) -> None:
        """Nothing is kept of what a client may do: each frame asks anew."""

    @override
    def disconnected(self) -> None:
        """The client is gone."""
        self._cancel_hold()
        self._early.clear()
        self._desk.backlog.leave(self.reader)
        self._desk.gone(self)

    def deliver(self, frame: bytes, worth: Worth) -> None:
        """Send a frame of the mesh's traffic, or keep it until the handshake is complete."""
        if self.is_live:
            self.client.send(frame, worth)
            return
        if len(self._early) >= MAX_EARLY:
            self.client.dropped += 1
            least = min(self._early, key=lambda item: item[0])
            if worth < least[0]:
                return
            self._early.remove(least)
        self._early.append((worth, frame))

    def deliver_kept(self, entry: Entry) -> None:
        """Send a message that is kept, or leave it to be found when the handshake is complete."""
        if self.is_live and self._desk.backlog.is_due(self.reader, entry):
            self._give(entry)

    def reply(self, *payloads: bytes) -> None:
        """Send ``FromRadio`` messages that are for this client alone."""
        for payload in payloads:
            self.client.send(encode(payload), Worth.VITAL)

    def snapshot_ready(self) -> None:
        """Answer what was asked while there was nothing to answer with."""
        self._cancel_hold()
        while self._held:
            self._replay(self._held.popleft())

    def decide_again(self, packet: ClientPacket) -> None:
        """Carry on with a packet whose answer has been fetched; its QueueStatus is sent."""
        decision = self._decide(client_frame.Packet(packet))
        if isinstance(decision, Answer):
            self._answer(decision)
        elif isinstance(decision, Refuse):
            self._nak(packet.id, decision.error, decision.text)
        else:
            self.fail(packet.id, RoutingError.NO_RESPONSE)

    def queue_status(self, packet_id: int, result: int = 0) -> None:
        """Tell the client that a packet of its own was taken over."""
        free = self._desk.free_slots(self)
        self.awaits_room = not free
        self.reply(replies.queue_status(result, free, QUEUE_LENGTH, packet_id))

    def fail(self, packet_id: int, error: int) -> None:
        """Tell the client that a packet which was taken over could not be sent."""
        own = self._desk.mirror.my_node_num
        if own is not None:
            self.reply(replies.routing(own, packet_id, error, self._desk.new_packet_id()))

    def refuse(self, packet: ClientPacket | None, reason: str, error: int, text: str) -> None:
        """Say no, so that the client's user can see it."""
        self._desk.count_refusal(reason)
        if packet is None:
            self._notify_seldom(reason, text)
            return
        packet_id = packet.id or self._desk.new_packet_id()
        # A node that has no number yet can send no refusal: then the report has to say it.
        is_known = self._desk.mirror.my_node_num is not None
        self.queue_status(packet_id, 0 if is_known else NO_INTERFACES)
        if reason == RefusalReason.CONTACT_NOT_ALLOWED:
            self.fail(packet_id, error)
            self._notify_seldom(reason, text, packet_id)
        else:
            self._nak(packet_id, error, text)

    def _nak(self, packet_id: int, error: int, text: str) -> None:
        self.fail(packet_id, error)
        self._notify(text, packet_id)

    def _notify_seldom(self, reason: str, text: str, packet_id: int = 0) -> None:
        """Have the app show a sentence about what it does by itself, again and again."""
        now = time.monotonic()
        last = self._notified_of.get(reason, float("-inf"))
        if now - last >= SELDOM_NOTIFICATION_INTERVAL and self._notify(text, packet_id):
            self._notified_of[reason] = now

    def _notify(self, text: str, packet_id: int = 0) -> bool:
        """Have the app show a sentence, unless it has just shown one; returns whether it does."""
        now = time.monotonic()
        if not text or now - self._notified_at < NOTIFICATION_INTERVAL:
            return False
        self._notified_at = now
        self.reply(replies.client_notification(text, reply_id=packet_id, time=int(time.time())))
        return True

    def _frames(self, payloads: list[bytes]) -> None:
        for payload in payloads:
            if not self.client.is_open:
                return
            self.client.spend(1)
            frame = client_frame.parse(payload)
            if isinstance(frame, client_frame.Malformed):
                self.client.report_garbage(_MALFORMED_COST)
            if isinstance(frame, client_frame.MqttProxy):
                self._desk.offers_mqtt(self)
            self._carry_out(self._decide(frame))

    def _decide(self, frame: client_frame.ClientFrame) -> Decision:
        return policy.decide(frame, self._desk.mirror, self._desk.rights(self), time.time())

    def _carry_out(self, decision: Decision) -> None:
        match decision:
            case ReplayConfig(nonce):
                self._want_config(nonce)
            case AnswerHeartbeat():
                self.queue_status(0)
            case Close():
                self.client.close("disconnected by the app")
            case Answer(packet):
                packet = self._with_id(packet)
                self.queue_status(packet.id)
                self._answer(replace(decision, packet=packet))
            case Swallow(packet, ack, reason):
                packet = self._with_id(packet)
                self._desk.count_refusal(reason)
                self.queue_status(packet.id)
                if ack:
                    self.fail(packet.id, RoutingError.NONE)
            case Fetch(packet, query):
                packet = self._with_id(packet)
                self.queue_status(packet.id)
                self._desk.fetch(self, packet, query)
            case Forward(packet):
                self._desk.submit(self, replace(decision, packet=self._with_id(packet)))
            case ForwardMqttProxy(raw):
                self._desk.submit_raw(self, raw, is_xmodem=False)
            case ForwardXmodem(raw):
                self._desk.submit_raw(self, raw, is_xmodem=True)
            case Refuse(packet, refusal, error, text):
                self.refuse(packet, refusal.value, error, text)
            case Ignore():
                self._desk.count_refusal("ignored")

    def _with_id(self, packet: ClientPacket) -> ClientPacket:
        return packet if packet.id else replace(packet, id=self._desk.new_packet_id())

    def _answer(self, answer: Answer) -> None:
        own = self._desk.mirror.my_node_num
        if own is not None:
            self.reply(
                replies.response(
                    own, answer.packet, answer.portnum, answer.payload, self._desk.new_packet_id()
                )
            )

    def _want_config(self, nonce: int) -> None:
        if self._desk.mirror.has_snapshot:
            self._replay(nonce)
            return
        self._held.append(nonce)
        if self._hold_timer is None:
            self._hold_timer = asyncio.get_running_loop().call_later(
                HOLD_TIMEOUT, self.client.close, "no configuration to give yet"
            )

    def _replay(self, nonce: int) -> None:
        """Send what was asked for in one go, so that nothing can come in between."""
        mirror = self._desk.mirror
        kind = ReplayKind.for_nonce(nonce)
        redacted = not self._desk.rights(self).sees_secrets
        replay = mirror.replay(kind, redacted=redacted)
        if replay is None:
            return
        self.client.spend(_REPLAY_COST)
        for chunk in replay.chunks:
            self.client.send(chunk, Worth.VITAL)
        self.reply(replies.config_complete(nonce))
        for frame in mirror.after_complete(kind):
            self.client.send(frame, Worth.ROUTINE)
        self.is_live = True
        self.handshake_at = time.monotonic()
        if kind is not ReplayKind.NODES:
            self.config_at = self.handshake_at
        while self._early:
            worth, frame = self._early.popleft()
            self.client.send(frame, worth)
        backlog = self._desk.backlog
        missed = backlog.begin if kind is ReplayKind.CONFIG else backlog.open
        self._give(*missed(self.reader, time.time()))
        self._desk.handshake_complete(self, kind)

    def _give(self, *entries: Entry) -> None:
        client = self.client
        for entry in entries:
            # What is not sent stays to be found.
            if client.send(entry.frame, Worth.VITAL):
                self.reader.given(entry.number, client.position)

    def _cancel_hold(self) -> None:
        if self._hold_timer is not None:
            self._hold_timer.cancel()
            self._hold_timer = None
