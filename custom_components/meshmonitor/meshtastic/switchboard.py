"""Connects the phones of a virtual node with their radio and with each other."""

import asyncio
from collections import Counter
from collections.abc import Callable
import random
import time
from typing import Final, cast, override

from ..mesh.handler import Worth
from ..mesh.model import DeliveryState
from ..mesh.virtual_node import VirtualNode
from . import admin, packets, replies, wire
from .admin import AdminQuery
from .client_frame import ClientPacket
from .decision import Forward, RoutingError
from .fetches import Fetches
from .framing import encode
from .messages import KEPT, Messages
from .mirror import Mirror
from .mirror_state import NO_CHANGE, MirrorChange
from .options import MeshtasticVirtualNodeOptions, SharedPosition
from .outbox import Admission, Outbox, Outgoing
from .pacing import PORT, QUEUE_LENGTH
from .packets import MeshPacket
from .policy import ClientRights
from .replay import ReplayKind
from .virtual_node import Desk, Phone

LENDER_TIMEOUT: Final = 600.0
"""A phone that has not lent its position for so long makes room for another."""
RESYNC_DELAY: Final = 2.0
"""Settings are saved in bursts; the other phones read them anew once, behind the last."""
_ROUTING_ERROR_REASON: Final = 3
_MAX_PACKET_ID: Final = 0xFFFFFFFF

_ROUTINE: Final = frozenset(
    {
        PORT.POSITION_APP,
        PORT.TELEMETRY_APP,
        PORT.NODEINFO_APP,
        PORT.NEIGHBORINFO_APP,
        PORT.PAXCOUNTER_APP,
        PORT.RANGE_TEST_APP,
        PORT.MAP_REPORT_APP,
    }
)
_VITAL: Final = replies.ECHOED | KEPT | {PORT.ROUTING_APP, PORT.ADMIN_APP, PORT.TRACEROUTE_APP}


def worth_of(packet: MeshPacket) -> Worth:
    """Return what a packet is worth to a client that reads too slowly."""
    if not packet.is_decoded or packet.portnum in _ROUTINE:
        return Worth.ROUTINE
    return Worth.VITAL if packet.portnum in _VITAL else Worth.NEWS


class Switchboard(Desk):
    """Knows all phones, and which of them a frame of the radio is for."""

    def __init__(
        self,
        mirror: Mirror,
        outbox: Outbox,
        reread: Callable[[], None],
    ) -> None:
        """Prepare a switchboard without phones.

        Args:
            mirror: What is known of the radio.
            outbox: The way to the radio.
            reread: Has the radio's configuration read anew.
        """
        self.mirror = mirror
        self.messages = Messages(self.phones, lambda: self.options.keep_missed_messages)
        self.backlog = self.messages.backlog
        self.refusals: Counter[str] = Counter()
        self.virtual_node: VirtualNode | None = None
        self.reread = reread
        """Has the radio's configuration read anew."""
        self._outbox = outbox
        self._lender: str | None = None
        self._lent_at = float("-inf")
        self._delegate: str | None = None
        self._mqtt_speakers: set[str] = set()
        self._apps: set[str] = set()
        self._xmodem_user: str | None = None
        self._fetches = Fetches(mirror, outbox, self.new_packet_id)
        self._resync_timer: asyncio.TimerHandle | None = None
        self._resync_but: set[str] = set()
        self._changed_at = float("-inf")
        self._reread_timer: asyncio.TimerHandle | None = None
        self._lockdown: bytes | None = None

    def stop(self) -> None:
        """Leave no timer behind."""
        self._fetches.stop()
        if self._resync_timer is not None:
            self._resync_timer.cancel()
            self._resync_timer = None
        self._cancel_reread()

    @property
    def options(self) -> MeshtasticVirtualNodeOptions:
        """How the virtual node serves."""
        assert self.virtual_node is not None
        options = self.virtual_node.options
        assert isinstance(options, MeshtasticVirtualNodeOptions)
        return options

    def phones(self) -> tuple[Phone, ...]:
        """Return all connected phones, the longest connected first."""
        if self.virtual_node is None:
            return ()
        # The source has it make nothing else.
        return cast("tuple[Phone, ...]", self.virtual_node.handlers)

    def phone(self, name: str) -> Phone | None:
        """Return a connected phone."""
        client = self.virtual_node.clients.get(name) if self.virtual_node is not None else None
        handler = client.handler if client is not None else None
        return handler if isinstance(handler, Phone) else None

    # What phones ask

    @override
    def rights(self, phone: Phone) -> ClientRights:
        options = self.options
        is_admin = phone.client.is_admin
        return ClientRights(
            admin=is_admin,
            destructive=is_admin and options.allow_destructive_commands,
            mqtt_delegate=self._delegate == phone.name,
            position=self._may_lend_position(phone),
            secrets=not options.hide_secrets,
        )

    @override
    def offers_mqtt(self, phone: Phone) -> None:
        if phone.is_live and phone.name not in self._mqtt_speakers:
            self._mqtt_speakers.add(phone.name)
            self._propose_delegate(phone)

    @override
    def new_packet_id(self) -> int:
        return random.randint(1, _MAX_PACKET_ID)

    @override
    def free_slots(self, phone: Phone) -> int:
        return min(QUEUE_LENGTH, self._outbox.room_for(phone.name))

    @override
    def submit(self, phone: Phone, forward: Forward) -> None:
        packet = forward.packet
        outgoing = Outgoing(
            packet_id=packet.id,
            portnum=packet.portnum,
            sender=phone.name,
            destination=packet.destination,
            channel=packet.channel,
            raw=packet.raw,
            payload=packet.payload,
            want_ack=packet.want_ack,
            mutates=forward.mutates,
            repeatable=forward.repeatable,
        )
        admission = self._outbox.submit(outgoing, replies.for_radio(packet.raw, packet.id))
        match admission:
            case Admission.QUEUED | Admission.REPEATED:
                if forward.lends_position:
                    self._lender, self._lent_at = phone.name, time.monotonic()
                phone.queue_status(packet.id)
                known = self._outbox.find(packet.id)
                if packet.want_ack and known is not None and known.verdict is not None:
                    # The client has missed that, and repeats the packet.
                    phone.fail(packet.id, known.verdict)
            case Admission.ID_IN_USE:
                phone.refuse(
                    packet,
                    "id_in_use",
                    RoutingError.BAD_REQUEST,
                    "Not sent: another packet with the same number is on its way",
                )
            case Admission.FULL:
                phone.refuse(
                    packet,
                    "outbox_full",
                    RoutingError.RATE_LIMIT_EXCEEDED,
                    "Not sent: too much is waiting for the radio already",
                )

    @override
    def submit_raw(self, phone: Phone, payload: bytes, *, is_xmodem: bool) -> None:
        if is_xmodem:
            self._xmodem_user = phone.name
        if not self._outbox.submit_raw(phone.name, payload):
            phone.refuse(
                None,
                "outbox_full",
                RoutingError.RATE_LIMIT_EXCEEDED,
                "Not sent: the radio is not there or too much is waiting for it",
            )

    @override
    def fetch(self, phone: Phone, packet: ClientPacket, query: AdminQuery) -> None:
        self._fetches.fetch(phone, packet, query)

    @override
    def handshake_complete(self, phone: Phone, kind: ReplayKind) -> None:
        if kind is not ReplayKind.FULL:
            self._apps.add(phone.name)
        self._propose_delegate(phone)
        if self._lockdown is not None and kind is not ReplayKind.CONFIG:
            phone.reply(self._lockdown)

    @override
    def gone(self, phone: Phone) -> None:
        name = phone.name
        self._mqtt_speakers.discard(name)
        self._apps.discard(name)
        if self._delegate == name:
            others = [other for other in self.phones() if other is not phone and other.is_live]
            best = max(others, key=self._serves_mqtt, default=None)
            self._delegate = best.name if best is not None else None
        if self._lender == name:
            self._lender = None
        if self._xmodem_user == name:
            self._xmodem_user = None
        self._fetches.gone(phone)

    @override
    def count_refusal(self, reason: str) -> None:
        self.refusals[reason] += 1

    # What the radio says

    def packet_from_radio(self, payload: bytes, packet: MeshPacket) -> None:
        """Hand a packet to the phones that it is for."""
        if packet.portnum == admin.PORTNUM and packet.is_decoded:
            self._admin_from_radio(payload, packet)
            return
        if (
            packet.portnum == packets.ROUTING
            and packet.is_decoded
            and packet.request_id in self._fetches
        ):
            # The radio has no more to say to this: what it was asked for is switched off in it.
            error = wire.value_int(wire.last(wire.scan(packet.payload), _ROUTING_ERROR_REASON))
            self._fetches.failed(packet.request_id, error)
            return
        if packet.is_decoded and packet.portnum in KEPT:
            self.messages.tell(payload, packet.sender, packet.id)
        else:
            self.to_all(payload, worth_of(packet))

    def replayed_from_radio(self, payload: bytes, since: float) -> None:
        """Hand a stored reading to the phones that read the radio's state in this session.

        Args:
            payload: The ``FromRadio``.
            since: When the session's dump was complete, by the monotonic clock.
        """
        frame = encode(payload)
        for phone in self.phones():
            if phone.is_live and phone.handshake_at >= since:
                phone.deliver(frame, Worth.ROUTINE)

    def notification_from_radio(self, payload: bytes, reply_id: int) -> None:
        """Hand a notification to the phone whose packet it is about, or to all."""
        outgoing = self._outbox.find(reply_id) if reply_id else None
        phone = self.phone(outgoing.sender) if outgoing is not None else None
        if phone is not None:
            phone.deliver(encode(payload), Worth.VITAL)
        elif outgoing is None:
            self.to_all(payload, Worth.NEWS)

    def mqtt_from_radio(self, payload: bytes) -> None:
        """Hand what the radio has for its MQTT broker to the one phone that carries it."""
        phone = self.phone(self._delegate) if self._delegate is not None else None
        if phone is not None:
            phone.deliver(encode(payload), Worth.NEWS)
        else:
            self.count_refusal("mqtt_without_delegate")

    def xmodem_from_radio(self, payload: bytes) -> None:
        """Hand a step of a file transfer to the phone that does it."""
        phone = self.phone(self._xmodem_user) if self._xmodem_user is not None else None
        if phone is not None:
            phone.reply(payload)

    def lockdown_from_radio(self, payload: bytes) -> None:
        """Hand the radio's lock state to all, also to those who come later."""
        self._lockdown = payload
        self.to_all(payload, Worth.NEWS)

    def to_all(self, payload: bytes, worth: Worth, *, but: str | None = None) -> None:
        """Hand a ``FromRadio`` to every phone, framed once for all."""
        frame = encode(payload)
        for phone in self.phones():
            if phone.name != but:
                phone.deliver(frame, worth)

    # What becomes of what was sent

    def packet_changed(self, outgoing: Outgoing, *, by_mesh: bool) -> MirrorChange:
        """Tell those who have to know about a packet's fate.

        Returns:
            What is known to be different at the radio, now that it has taken the packet.
        """
        if outgoing.state is not DeliveryState.QUEUED:
            self._tell_of_room()
        match outgoing.state:
            case outgoing.state.SENT:
                return self._taken_by_radio(outgoing)
            case outgoing.state.FAILED if not by_mesh:
                phone = self.phone(outgoing.sender)
                if phone is not None:
                    phone.fail(outgoing.packet_id, outgoing.error)
        return NO_CHANGE

    def _tell_of_room(self) -> None:
        """Tell the phones that were told of a full queue when it is full no more.

        A radio does so (``MeshService::loop``, firmware ``src/mesh/MeshService.cpp``), and the
        Python client sends nothing before it has heard of room.
        """
        for phone in self.phones():
            if phone.awaits_room and self.free_slots(phone):
                phone.queue_status(0)

    def _taken_by_radio(self, outgoing: Outgoing) -> MirrorChange:
        own = self.mirror.my_node_num
        if own is None:
            return NO_CHANGE
        if outgoing.portnum in replies.ECHOED:
            echo = replies.echo(own, outgoing.raw, outgoing.packet_id, int(time.time()))
            if outgoing.portnum in KEPT:
                self.messages.tell(echo, own, outgoing.packet_id, sender=outgoing.sender)
            else:
                self.to_all(echo, Worth.VITAL, but=outgoing.sender)
        if not outgoing.mutates:
            return NO_CHANGE
        change = self.mirror.apply_admin(outgoing.payload)
        if change:
            self.resync(but=outgoing.sender)
        if change.needs_reread and self._reread_timer is None:
            # Not at once: the radio's acknowledgement is still on its way.
            self._reread_timer = asyncio.get_running_loop().call_later(
                RESYNC_DELAY, self._reread_now
            )
        return change

    def _reread_now(self) -> None:
        self._reread_timer = None
        self.reread()

    def _cancel_reread(self) -> None:
        if self._reread_timer is not None:
            self._reread_timer.cancel()
            self._reread_timer = None

    # Phones read anew

    def snapshot_complete(self) -> None:
        """Answer the phones that have been waiting for a configuration."""
        self._lockdown = None
        self._cancel_reread()
        for phone in self.phones():
            phone.snapshot_ready()

    def resync(self, *, but: str | None = None) -> None:
        """Have all phones read the configuration anew that have read it before, soon and once.

        Every client answers ``rebooted`` by asking again, and none is hurt by it, while stray
        ``channel`` or ``config_complete_id`` frames spoil what some of them know.
        """
        if self._resync_timer is None:
            self._resync_but = set() if but is None else {but}
        else:
            self._resync_timer.cancel()
            self._resync_but &= {but} if but is not None else set()
        self._changed_at = time.monotonic()
        self._resync_timer = asyncio.get_running_loop().call_later(RESYNC_DELAY, self._resync)

    def _resync(self) -> None:
        self._resync_timer = None
        for phone in self.phones():
            has_old = phone.is_live and phone.config_at <= self._changed_at
            if has_old and phone.name not in self._resync_but:
                phone.reply(replies.rebooted())

    def _admin_from_radio(self, payload: bytes, packet: MeshPacket) -> None:
        if packet.request_id in self._fetches:
            self._fetches.answered(packet.request_id, packet.payload)
            return
        outgoing = self._outbox.find(packet.request_id) if packet.request_id else None
        phone = self.phone(outgoing.sender) if outgoing is not None else None
        if phone is not None:
            phone.deliver(encode(payload), Worth.VITAL)

    def _may_lend_position(self, phone: Phone) -> bool:
        match self.options.shared_position:
            case SharedPosition.ALL:
                return True
            case SharedPosition.NONE:
                return False
        is_free = self._lender is None or time.monotonic() - self._lent_at > LENDER_TIMEOUT
        return is_free or self._lender == phone.name

    def _propose_delegate(self, phone: Phone) -> None:
        """Let a phone carry MQTT if it serves that better than who does; who was seen to stays.

        Who has spoken for a broker is at one. Who asks for the configuration in two halves is an
        app, which goes there by itself, as scripts do not; and without the password it may get no
        further. Among equals it is who was here first.
        """
        present = self.phone(self._delegate) if self._delegate is not None else None
        if present is None or self._serves_mqtt(phone) > self._serves_mqtt(present):
            self._delegate = phone.name

    def _serves_mqtt(self, phone: Phone) -> tuple[bool, ...]:
        """Return what speaks for a phone, the weightiest first."""
        speaks = phone.name in self._mqtt_speakers
        speaks_already = speaks and phone.name == self._delegate
        is_app = phone.name in self._apps
        has_password = phone.client.is_admin or not self.options.hide_secrets
        return speaks, speaks_already, is_app, is_app and has_password
