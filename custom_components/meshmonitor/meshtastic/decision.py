"""What may become of a client's frame: answer, refuse, forward, or nothing.

`policy.decide` returns one of these; whoever serves the client carries it out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final

from .admin import AdminQuery
from .client_frame import ClientPacket


class RoutingError(IntEnum):
    """``Routing.Error`` (protobufs ``meshtastic/mesh.proto``)."""

    NONE = 0
    NO_ROUTE = 1
    GOT_NAK = 2
    TIMEOUT = 3
    NO_INTERFACE = 4
    MAX_RETRANSMIT = 5
    NO_CHANNEL = 6
    TOO_LARGE = 7
    NO_RESPONSE = 8
    DUTY_CYCLE_LIMIT = 9
    BAD_REQUEST = 32
    NOT_AUTHORIZED = 33
    PKI_FAILED = 34
    PKI_UNKNOWN_PUBKEY = 35
    ADMIN_BAD_SESSION_KEY = 36
    ADMIN_PUBLIC_KEY_UNAUTHORIZED = 37
    RATE_LIMIT_EXCEEDED = 38
    PKI_SEND_FAIL_PUBLIC_KEY = 39


class RefusalReason(StrEnum):
    """Why a frame is refused: the key under which refusals are counted."""

    ADMIN_NOT_ALLOWED = "admin_not_allowed"
    DESTRUCTIVE_NOT_ALLOWED = "destructive_not_allowed"
    ADMIN_UNKNOWN = "admin_unknown"
    """An admin message that this program has no rule for."""
    ADMIN_RESPONSE = "admin_response"
    """An answer that only a node gives."""
    ADMIN_BROADCAST = "admin_broadcast"
    MANAGED = "managed"
    """The radio is set to take administration from other nodes only."""
    TIME_ZONE = "time_zone"
    """An app would give the radio a time zone, as some do at each connection."""
    CONTACT_NOT_ALLOWED = "contact_not_allowed"
    """An app would tell the radio of a node, as apps do with each private text."""
    CONTACT_CONFLICT = "contact_conflict"
    ENCRYPTED = "encrypted"
    FOREIGN_SENDER = "foreign_sender"
    FOREIGN_IDENTITY = "foreign_identity"
    NO_DESTINATION = "no_destination"
    SIMULATOR = "simulator"
    TRACEROUTE_BROADCAST = "traceroute_broadcast"
    POSITION_NOT_ALLOWED = "position_not_allowed"
    FILE_TRANSFER = "file_transfer"
    MQTT_PROXY = "mqtt_proxy"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    NOT_READY = "not_ready"
    """The radio's identity or configuration is not known yet."""
    NO_SUCH_SETTING = "no_such_setting"


REFUSALS: Final[Mapping[RefusalReason, tuple[RoutingError, str]]] = {
    RefusalReason.ADMIN_NOT_ALLOWED: (
        RoutingError.NOT_AUTHORIZED,
        "Changing settings over this connection is not allowed",
    ),
    RefusalReason.DESTRUCTIVE_NOT_ALLOWED: (
        RoutingError.NOT_AUTHORIZED,
        "Resetting or switching off a node over this connection is not allowed",
    ),
    RefusalReason.ADMIN_UNKNOWN: (
        RoutingError.NOT_AUTHORIZED,
        "This command is not known here, so it was not passed on",
    ),
    RefusalReason.ADMIN_RESPONSE: (RoutingError.BAD_REQUEST, "Only a node gives this answer"),
    RefusalReason.ADMIN_BROADCAST: (
        RoutingError.NOT_AUTHORIZED,
        "Commands to all nodes at once are not passed on",
    ),
    RefusalReason.MANAGED: (
        RoutingError.NOT_AUTHORIZED,
        "This node is managed: it takes settings from its administrators only",
    ),
    RefusalReason.TIME_ZONE: (RoutingError.NOT_AUTHORIZED, ""),
    RefusalReason.CONTACT_NOT_ALLOWED: (
        RoutingError.NOT_AUTHORIZED,
        "The node does not know this contact or its key, and takes none over this connection",
    ),
    RefusalReason.CONTACT_CONFLICT: (
        RoutingError.NOT_AUTHORIZED,
        "The node knows this contact by another key, and keeps it",
    ),
    RefusalReason.ENCRYPTED: (
        RoutingError.NOT_AUTHORIZED,
        "Packets that a client has encrypted are not passed on",
    ),
    RefusalReason.FOREIGN_SENDER: (
        RoutingError.BAD_REQUEST,
        "This packet claims to come from another node",
    ),
    RefusalReason.FOREIGN_IDENTITY: (
        RoutingError.NOT_AUTHORIZED,
        "This node introduces itself under its own name and key only",
    ),
    RefusalReason.NO_DESTINATION: (RoutingError.BAD_REQUEST, "This packet is addressed to nobody"),
    RefusalReason.SIMULATOR: (
        RoutingError.BAD_REQUEST,
        "Simulated packets are not passed on",
    ),
    RefusalReason.TRACEROUTE_BROADCAST: (
        RoutingError.BAD_REQUEST,
        "Multi-hop traceroute to broadcast address is not allowed",
    ),
    RefusalReason.POSITION_NOT_ALLOWED: (
        RoutingError.NOT_AUTHORIZED,
        "This node does not take its position from this connection",
    ),
    RefusalReason.FILE_TRANSFER: (
        RoutingError.NOT_AUTHORIZED,
        "File transfer over this connection is not allowed",
    ),
    RefusalReason.MQTT_PROXY: (
        RoutingError.NOT_AUTHORIZED,
        "Another connection carries this node's MQTT traffic",
    ),
    RefusalReason.MALFORMED: (RoutingError.BAD_REQUEST, "This packet is ambiguous or damaged"),
    RefusalReason.TOO_LARGE: (RoutingError.TOO_LARGE, "This packet is too large"),
    RefusalReason.NOT_READY: (RoutingError.NO_INTERFACE, "The radio is not ready yet"),
    RefusalReason.NO_SUCH_SETTING: (RoutingError.BAD_REQUEST, "The node has no such setting"),
}
"""What a client is told for each reason: the error, and a sentence for a notification. Where that
is empty there is none: nobody asked the app for what is refused."""


@dataclass(frozen=True, slots=True)
class ReplayConfig:
    """Send what was asked for with this nonce out of the mirror."""

    nonce: int


@dataclass(frozen=True, slots=True)
class AnswerHeartbeat:
    """Send a ``QueueStatus`` with id 0."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close this client's connection, and no other."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Send a ``QueueStatus``, then `payload` as the node's answer, to the asker alone."""

    packet: ClientPacket
    portnum: int
    payload: bytes = field(repr=False)
    """``Data.payload`` of the answer, already without what this client may not see."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask the radio once, keep the answer in the mirror, then decide again about the packet."""

    packet: ClientPacket
    query: AdminQuery


@dataclass(frozen=True, slots=True)
class Swallow:
    """Send a ``QueueStatus`` and, if `ack`, a ``ROUTING_APP`` without error; nothing goes on."""

    packet: ClientPacket
    ack: bool
    """The client asked to be told: it set ``want_ack`` or ``want_response``."""
    reason: str


@dataclass(frozen=True, slots=True)
class Forward:
    """Pace the packet and send it to the radio."""

    packet: ClientPacket
    mutates: bool = False
    """It changes what the mirror holds of the radio: follow, and tell the other clients."""
    repeatable: bool = True
    """The radio may be told once more where it is not known whether it has taken it."""
    lends_position: bool = False
    """It sets the radio's own position from this client's."""


@dataclass(frozen=True, slots=True)
class ForwardMqttProxy:
    """Send this ``ToRadio`` to the radio as it came."""

    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ForwardXmodem:
    """Send this ``ToRadio`` to the radio as it came; what it answers is for this client alone."""

    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refuse:
    """Say no: a ``QueueStatus``, a ``ROUTING_APP`` with `error`, and at times a notification."""

    packet: ClientPacket | None
    """None for a refused frame that was no packet: only the notification says it."""
    reason: RefusalReason
    error: RoutingError
    text: str
    """For a ``ClientNotification``: one English sentence without anything that came from a client,
    or nothing.
    """


@dataclass(frozen=True, slots=True)
class Ignore:
    """Count it, and do nothing."""

    reason: str


type Decision = (
    ReplayConfig
    | AnswerHeartbeat
    | Close
    | Answer
    | Fetch
    | Swallow
    | Forward
    | ForwardMqttProxy
    | ForwardXmodem
    | Refuse
    | Ignore
)
