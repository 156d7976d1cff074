"""What a client's frame may do: answer, refuse, forward. Without I/O; default deny.

`decide` is a pure function of the frame, of what is known of the radio, of the client's rights and
of the time. It reads the wire, so that it sees what the radio will see, and it trusts no field that
a client fills in: the radio gives whatever arrives on this link its own node's full trust (firmware
``src/modules/AdminModule.cpp``, ``from == 0``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from . import admin, packets, redaction, wire
from .admin import AdminClass, AdminCommand, AdminQuery
from .client_frame import (
    ClientFrame,
    ClientPacket,
    Disconnect,
    Heartbeat,
    Malformed,
    MqttProxy,
    Packet,
    Unknown,
    WantConfig,
    Xmodem,
    with_payload,
)
from .decision import (
    REFUSALS,
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
    Swallow,
)
from .identity import Contact, is_own_identity, judge_contact
from .strict import Violation

SIMULATOR_APP: Final = 69
COMMANDING: Final[Mapping[int, AdminClass]] = {
    2: AdminClass.MUTATING,  # REMOTE_HARDWARE_APP: reads and switches a node's pins
    13: AdminClass.DANGEROUS,  # REMOTE_SHELL_APP: a command line on a node's computer
    74: AdminClass.DANGEROUS,  # POWERSTRESS_APP: sends a node to sleep
    79: AdminClass.DANGEROUS,  # LORA_OTA_APP: replaces a node's firmware
}
"""Port numbers that command a node beside ``ADMIN_APP``, and how far. The radio asks no client for
a key or a channel: what comes over this link is its owner's word."""

FRESH_TELEMETRY: Final = 300.0
"""Seconds for which telemetry of the own node answers a request. It reports each minute."""
FRESH_LOCAL_STATS: Final = 960.0
"""Seconds; the node reports these to its client each 15 minutes."""
FRESH_POSITION: Final = 300.0
"""Seconds for which all that the own node said of its position answers a request; later it is what
the radio keeps of one."""
_LOCAL_STATS: Final = 6
_TELEMETRY_VARIANTS: Final = range(2, 64)

MAX_CHANNELS: Final = 8
_MAX_CONFIG_TYPE: Final = 31
"""Higher than any that a schema knows, low enough to bound what is fetched and kept."""


class MirrorView(redaction.ConfigView, Protocol):
    """What the policy asks about the radio. All bytes are serialised messages, as they came."""

    @property
    def my_node_num(self) -> int | None:
        """The radio's own number; None until its identity is known."""

    is_restored: bool
    """Whether all this comes from an earlier run, without the radio's private key."""

    def own_user(self) -> bytes | None:
        """Return the radio's own ``User``."""

    def user_of(self, num: int) -> bytes | None:
        """Return the ``User`` of a node in the radio's memory."""

    def channel(self, index: int) -> bytes | None:
        """Return the ``Channel`` of that slot, 0 to 7."""

    def metadata(self) -> bytes | None:
        """Return the radio's ``DeviceMetadata``."""

    def admin_answer(self, query: AdminQuery) -> bytes | None:
        """Return the ``AdminMessage`` with which the radio once answered this query."""

    def recent_telemetry(self, variant: int, now: float, max_age: float) -> bytes | None:
        """Return the own node's newest ``Telemetry`` of that variant, if young enough.

        Args:
            variant: The field number in ``Telemetry``: 2 device metrics, 6 local stats, ...
            now: The time, in seconds of the caller's clock.
            max_age: Seconds since it arrived.
        """

    def recent_position(self, now: float, max_age: float) -> bytes | None:
        """Return the own node's newest ``Position``, if young enough."""

    def own_position(self) -> bytes | None:
        """Return the ``Position`` that the own node was last known to have; it tells its time."""

    def is_managed(self) -> bool:
        """Return whether the radio takes administration from other nodes only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRights:
    """What one client may do beyond talking to the mesh."""

    admin: bool = False
    """Change settings, of this radio and of others."""
    destructive: bool = False
    """With `admin`: also what cannot be undone from afar."""
    mqtt_delegate: bool = False
    """Be the one that carries the radio's MQTT traffic."""
    position: bool = False
    """Lend its position to the radio."""
    secrets: bool = False
    """See keys and passwords even without `admin`."""

    @property
    def sees_secrets(self) -> bool:
        """Whether configuration goes to this client unredacted."""
        return self.admin or self.secrets


def decide(frame: ClientFrame, mirror: MirrorView, rights: ClientRights, now: float) -> Decision:
    """Return what is to become of a client's frame.

    Args:
        frame: What `client_frame.parse` made of it.
        mirror: What is known of the radio.
        rights: What this client may do.
        now: The time, in seconds, of the clock by which the mirror tells how old things are.
    """
    match frame:
        case Packet(packet):
            return _decide_packet(packet, mirror, rights, now)
        case WantConfig(nonce):
            return ReplayConfig(nonce)
        case Heartbeat():
            # Never forwarded: with nonce 1 the radio would announce itself over the air.
            return AnswerHeartbeat()
        case Disconnect():
            return Close()
        case Xmodem(raw):
            # The file system holds the private key.
            if rights.admin and rights.destructive:
                return ForwardXmodem(raw)
            return _refuse(None, RefusalReason.FILE_TRANSFER)
        case MqttProxy(raw):
            if rights.mqtt_delegate:
                return ForwardMqttProxy(raw)
            return _refuse(None, RefusalReason.MQTT_PROXY)
        case Unknown(reason) | Malformed(reason):
            return Ignore(reason)


def _decide_packet(
    packet: ClientPacket, mirror: MirrorView, rights: ClientRights, now: float
) -> Decision:
    own = mirror.my_node_num
    if packet.violations:
        too_large = packet.violations == {Violation.TOO_LARGE}
        return _refuse(packet, RefusalReason.TOO_LARGE if too_large else RefusalReason.MALFORMED)
    if own is None:
        return _refuse(packet, RefusalReason.NOT_READY)
    if packet.encrypted:
        # The radio would decrypt it and take it for its own client's word, admin included.
        return _refuse(packet, RefusalReason.ENCRYPTED)
    if packet.sender not in {0, own}:
        return _refuse(packet, RefusalReason.FOREIGN_SENDER)
    if packet.destination == 0:
        return _refuse(packet, RefusalReason.NO_DESTINATION)
    if packet.portnum == admin.PORTNUM:
        return _decide_admin(packet, own, mirror, rights)
    if packet.portnum == packets.POSITION:
        return _decide_position(packet, own, mirror, rights, now)
    if packet.portnum == packets.NODE_INFO_APP:
        if is_own_identity(packet.payload, mirror.own_user()):
            return Forward(packet)
        return _refuse(packet, RefusalReason.FOREIGN_IDENTITY)
    if packet.portnum == packets.TELEMETRY:
        return _decide_telemetry(packet, own, mirror, now)
    if packet.portnum in COMMANDING:
        refusal = _not_permitted(COMMANDING[packet.portnum], rights)
        return Forward(packet) if refusal is None else _refuse(packet, refusal)
    if packet.portnum == SIMULATOR_APP:
        # On some builds this puts a frame into the receiver as if it had come over the air.
        return _refuse(packet, RefusalReason.SIMULATOR)
    if (
        packet.portnum == packets.TRACEROUTE
        and packet.hop_limit
        and _is_broadcast(packet.destination)
    ):
        return _refuse(packet, RefusalReason.TRACEROUTE_BROADCAST)
    return Forward(packet)


def _decide_admin(
    packet: ClientPacket, own: int, mirror: MirrorView, rights: ClientRights
) -> Decision:
    """Gate a packet by the command in it, whomever it is for.

    The radio executes what is addressed to itself, to all and to 1 (firmware
    ``src/mesh/MeshModule.cpp``, ``callModules``). A command to all would also go over the air, to
    nodes that cannot have asked for it: no client sends one.
    """
    command = admin.parse(packet.payload)
    if command.violations:
        return _refuse(packet, RefusalReason.MALFORMED)
    row = admin.VARIANTS.get(command.tag)
    if row is None:
        return _refuse(packet, RefusalReason.ADMIN_UNKNOWN)
    if row.admin_class is AdminClass.RESPONSE:
        return _refuse(packet, RefusalReason.ADMIN_RESPONSE)
    if packet.destination == packets.BROADCAST:
        return _refuse(packet, RefusalReason.ADMIN_BROADCAST)
    local = _is_local(packet, own)
    if local and row.admin_class is AdminClass.READ:
        return _answer_admin(packet, command, mirror, rights)
    if local and command.tag == admin.SET_TIME_ONLY:
        return _swallow(packet, "set_time_only")
    if command.tag == admin.ADD_CONTACT:
        contact = judge_contact(command.body, mirror.user_of)
        if contact in _CONTACT_REFUSALS:
            return _refuse(packet, _CONTACT_REFUSALS[contact])
        if contact is Contact.KNOWN and local:
            return _swallow(packet, "add_contact")
    refusal = _not_permitted(row.admin_class, rights)
    if refusal is not None:
        return _refuse(packet, _precisely(refusal, command, mirror) if local else refusal)
    if not local:
        return Forward(packet)
    return _change(packet, command, mirror)


def _not_permitted(admin_class: AdminClass, rights: ClientRights) -> RefusalReason | None:
    """Return why a client may not give a command that does this to a node; None where it may."""
    if not rights.admin:
        return RefusalReason.ADMIN_NOT_ALLOWED
    if admin_class is AdminClass.DANGEROUS and not rights.destructive:
        return RefusalReason.DESTRUCTIVE_NOT_ALLOWED
    return None


def _precisely(refusal: RefusalReason, command: AdminCommand, mirror: MirrorView) -> RefusalReason:
    """Tell what a user asked for from what apps do by themselves, and nobody knows of."""
    if command.tag == admin.ADD_CONTACT:
        return RefusalReason.CONTACT_NOT_ALLOWED
    if command.tag == admin.SET_CONFIG and admin.sets_time_zone_alone(
        command.body, mirror.config(admin.DEVICE_CONFIG)
    ):
        return RefusalReason.TIME_ZONE
    return refusal


def _change(packet: ClientPacket, command: AdminCommand, mirror: MirrorView) -> Decision:
    """Let an allowed command change the own node, with what its sender was not shown put back."""
    if mirror.is_managed():
        return _refuse(packet, RefusalReason.MANAGED)
    payload = redaction.restore(packet.payload, mirror)
    if mirror.is_restored and redaction.lacks_private_key(payload):
        # There is none to put back yet, and without one the radio might make itself another.
        return _refuse(packet, RefusalReason.NOT_READY)
    if payload != packet.payload:
        packet = with_payload(packet, payload)
    return Forward(packet, mutates=True, repeatable=command.tag not in admin.ONCE)


_CONTACT_REFUSALS: Final = {
    Contact.MALFORMED: RefusalReason.MALFORMED,
    Contact.CONFLICTING: RefusalReason.CONTACT_CONFLICT,
}


def _answer_admin(
    packet: ClientPacket, command: AdminCommand, mirror: MirrorView, rights: ClientRights
) -> Decision:
    """Answer a question to the own node from the mirror, or have the answer fetched."""
    query = command.query
    if (command.tag == admin.GET_CHANNEL and not 1 <= query.argument <= MAX_CHANNELS) or (
        query.argument > _MAX_CONFIG_TYPE
    ):
        return _refuse(packet, RefusalReason.NO_SUCH_SETTING)
    payload = _look_up(query, mirror)
    if payload is None:
        # A managed radio would leave the question without an answer.
        if mirror.is_managed():
            return _refuse(packet, RefusalReason.MANAGED)
        return Fetch(packet, query)
    if not rights.sees_secrets:
        try:
            payload = redaction.redact_admin(payload)
        except wire.WireError:
            # What cannot be read cannot be known to hold no secret.
            return _refuse(packet, RefusalReason.NOT_READY)
    return Answer(packet, admin.PORTNUM, payload)


def _look_up(query: AdminQuery, mirror: MirrorView) -> bytes | None:
    """Return the ``AdminMessage`` that answers a query, as far as the mirror knows it."""
    body: bytes | None
    match query.tag:
        case admin.GET_CHANNEL:
            body = mirror.channel(query.argument - 1)
        case admin.GET_OWNER:
            body = mirror.own_user()
        case admin.GET_CONFIG:
            # A type is the number of the oneof's member less one.
            body = mirror.config(query.argument + 1)
        case admin.GET_MODULE_CONFIG:
            body = mirror.module_config(query.argument + 1)
        case admin.GET_DEVICE_METADATA:
            body = mirror.metadata()
        case admin.GET_UI_CONFIG:
            body = mirror.ui_config()
        case _:
            body = None
    if body is not None:
        return wire.bytes_field(admin.VARIANTS[query.tag].response, body)
    answer = mirror.admin_answer(query)
    if answer is None:
        return None
    # The session's key was for whoever fetched it, and is old.
    return wire.replace_field(answer, admin.SESSION_PASSKEY, b"")


def _decide_telemetry(packet: ClientPacket, own: int, mirror: MirrorView, now: float) -> Decision:
    """Answer a request to the own node from the mirror: the radio takes one each 10 seconds."""
    if not (packet.want_response and _is_local(packet, own)):
        return Forward(packet)
    try:
        fields = wire.scan(packet.payload)
    except wire.WireError:
        return _refuse(packet, RefusalReason.MALFORMED)
    asked = {field.number for field in fields} & set(_TELEMETRY_VARIANTS)
    if len(asked) != 1:
        return Forward(packet)
    variant = asked.pop()
    max_age = FRESH_LOCAL_STATS if variant == _LOCAL_STATS else FRESH_TELEMETRY
    payload = mirror.recent_telemetry(variant, now, max_age)
    return Forward(packet) if payload is None else Answer(packet, packets.TELEMETRY, payload)


def _decide_position(
    packet: ClientPacket, own: int, mirror: MirrorView, rights: ClientRights, now: float
) -> Decision:
    """Let a client lend its position to the radio, or not.

    What is addressed to the own node or to all becomes the radio's own position, also when it
    holds no coordinates (firmware ``src/modules/PositionModule.cpp``, ``setLocalPosition``).
    """
    local = _is_local(packet, own)
    if not local and not _is_broadcast(packet.destination):
        return Forward(packet)
    try:
        fields = wire.scan(packet.payload)
    except wire.WireError:
        return _refuse(packet, RefusalReason.MALFORMED)
    has_coordinates = any(field.number in {1, 2} and field.number_value for field in fields)
    if rights.position and (has_coordinates or not local):
        return Forward(packet, lends_position=has_coordinates)
    if not local:
        return _refuse(packet, RefusalReason.POSITION_NOT_ALLOWED)
    if packet.want_response:
        # The radio would answer at any time. It is not asked: it would take the question for news.
        payload = mirror.recent_position(now, FRESH_POSITION) or mirror.own_position()
        if payload:
            return Answer(packet, packets.POSITION, payload)
    return _swallow(packet, "position")


def _is_broadcast(destination: int) -> bool:
    return destination in {packets.BROADCAST, packets.BROADCAST_NO_LORA}


def _is_local(packet: ClientPacket, own: int) -> bool:
    """Return whether the own node alone handles a packet."""
    return packet.destination in {own, packets.BROADCAST_NO_LORA}


def _swallow(packet: ClientPacket, reason: str) -> Swallow:
    return Swallow(packet, ack=packet.want_ack or packet.want_response, reason=reason)


def _refuse(packet: ClientPacket | None, reason: RefusalReason) -> Refuse:
    error, text = REFUSALS[reason]
    return Refuse(packet, reason, error, text)
