"""What a mesh is made of, in terms that hold for every radio protocol.

Everything here is a value: frozen, comparable, without behaviour that needs a radio. Times are Unix
seconds (UTC), angles are degrees, lengths are metres, speeds are metres per second, unless a name
says otherwise. None means "not known", never zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who the radio of a source is."""

    node_id: str
    """Meshtastic: ``!aabbccdd``. MeshCore: the public key in hexadecimal."""
    name: str
    short_name: str | None = None
    hardware: str | None = None
    """The board, as its firmware names it."""
    firmware: str | None = None
    """The firmware's version, as it names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a node said it is."""

    latitude: float = field(repr=False)
    longitude: float = field(repr=False)
    altitude: float | None = None
    """Above mean sea level."""
    accuracy: float | None = None
    """Radius of the circle in which the node is: senders may blur their position."""
    speed: float | None = None
    course: float | None = None
    """Direction of travel, clockwise from true north."""
    satellites: int | None = None
    time: float | None = None
    """When the position was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """The newest readings of one kind that a node sent."""

    kind: str
    """``device``, ``environment``, ``air_quality``, ``power``, ``local_stats``, ``health``, ..."""
    values: Mapping[str, float | int | str]
    """Readings by the field's own name, in the unit that its protocol documents."""
    time: float | None = None
    """When it was measured, or heard where the sender has no clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One station of the mesh, as far as the radio of a source knows it."""

    node_id: str
    """Meshtastic: ``!aabbccdd``. MeshCore: the public key in hexadecimal."""
    name: str | None = None
    short_name: str | None = None
    hardware: str | None = None
    role: str | None = None
    """The role in its protocol's own term, in lower case: ``client``, ``router``, ``repeater``."""
    last_heard: float | None = None
    snr: float | None = None
    """Signal-to-noise ratio in dB of what was heard from this node directly."""
    rssi: float | None = None
    """Received signal strength in dBm of what was heard from this node directly."""
    hops_away: int | None = None
    relay: str | None = None
    """Who handed on what was last heard from this node: its node id, or its end of that where
    several known nodes end so. None for what came directly, or where the protocol does not say."""
    via_mqtt: bool = False
    is_own: bool = False
    """Whether this is the source's own radio."""
    is_favorite: bool = False
    is_ignored: bool = False
    is_licensed: bool = False
    is_messageable: bool = True
    public_key: str | None = field(default=None, repr=False)
    """In hexadecimal."""
    position: Position | None = field(default=None, repr=False)
    telemetry: Mapping[str, Telemetry] = field(default_factory=dict)
    """By kind."""
    status: str | None = field(default=None, repr=False)
    """A line of text that the node says of itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One slot of the radio's channel table. Its key stays with the radio."""

    index: int
    name: str
    """What a person calls it; never empty."""
    is_primary: bool = False
    is_enabled: bool = True


class Origin(StrEnum):
    """Where a message entered."""

    RADIO = "radio"
    """Heard from the mesh."""
    PHONE = "phone"
    """Sent by a client of the virtual node."""
    HOME_ASSISTANT = "home_assistant"


class MessageKind(StrEnum):
    """What a message is to its reader."""

    CHANNEL = "channel"
    DIRECT = "direct"
    ROOM = "room"
    """A post on a board that a node of the mesh keeps: who has joined it gets it from that node."""
    REACTION = "reaction"
    ALERT = "alert"
    DETECTION = "detection"
    """What a detection sensor at a node reports: ``Door detected``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A text that someone wrote."""

    message_id: str
    """Unique for its source while it matters: what a reply or a delivery refers to."""
    kind: MessageKind
    origin: Origin
    text: str = field(repr=False)
    sender_id: str | None
    """The writer's node id; None where the protocol names no sender."""
    sender_name: str | None
    recipient_id: str | None = None
    """The node that it is meant for, or that keeps the room; None for a channel."""
    channel: int | None = None
    """The channel's index; None for a direct message that used none."""
    channel_name: str | None = None
    reply_id: str | None = None
    """The `message_id` it answers or reacts to."""
    hops: int | None = None
    snr: float | None = None
    rssi: float | None = None
    via_mqtt: bool = False
    time: float
    """When it was received or, for one of our own, taken over."""
    is_history: bool = False
    """Whether it is an old message that a radio or a store-and-forward server repeats."""
    client: str | None = None
    """The virtual node's client that wrote it, for `Origin.PHONE`."""


class DeliveryState(StrEnum):
    """How far an outgoing message has come."""

    QUEUED = "queued"
    """Waits for its turn here."""
    SENT = "sent"
    """The radio has taken it over."""
    RELAYED = "relayed"
    """Another node was heard to repeat it."""
    DELIVERED = "delivered"
    """The recipient acknowledged it."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The present state of one outgoing message."""

    message_id: str
    state: DeliveryState
    reason: str | None = None
    """For `DeliveryState.FAILED`: the protocol's own term in lower case, as ``no_interface``."""
    origin: Origin = Origin.HOME_ASSISTANT
    recipient_id: str | None = None
    channel: int | None = None

    @property
    def is_final(self) -> bool:
        """Whether no further change can come."""
        return self.state in (DeliveryState.DELIVERED, DeliveryState.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waypoint:
    """A marked place that the members of a mesh share."""

    waypoint_id: str
    name: str = field(repr=False)
    latitude: float | None = field(repr=False)
    """None when the waypoint was withdrawn."""
    longitude: float | None = field(repr=False)
    description: str = field(default="", repr=False)
    icon: str | None = None
    """One character."""
    expires: float | None = None
    sender_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteHop:
    """One node of a traced route, and how well it heard the one before it."""

    node_id: str
    snr: float | None = None
    """In dB; None where it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traceroute:
    """The way to a node and back."""

    node_id: str
    """The node that was asked for."""
    towards: tuple[RouteHop, ...]
    """From the first relay to the node itself."""
    back: tuple[RouteHop, ...]
    """From the first relay on the way back to the own radio; empty where it is not known."""
    request_id: str | None = None


class LinkState(StrEnum):
    """What the link to the radio is doing."""

    STOPPED = "stopped"
    CONNECTING = "connecting"
    HANDSHAKE = "handshake"
    """Connected; the radio is being read."""
    READY = "ready"
    WAITING = "waiting"
    """Lost or refused; waits before the next attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStatus:
    """The link to the radio, at one moment."""

    state: LinkState = LinkState.STOPPED
    connected_since: float | None = None
    last_error: str | None = None
    """Why the last connection ended or failed, in a few words without secrets."""
    sessions: int = 0
    """How many handshakes were completed since the start."""
    failures: int = 0
    """How many attempts and connections failed since the last completed handshake."""
    is_contended: bool = False
    """Whether another program seems to take the radio's one connection again and again."""

    @property
    def is_ready(self) -> bool:
        """Whether messages reach the radio."""
        return self.state is LinkState.READY
