"""What Home Assistant may ask of a radio, and what a radio tells it.

A `MeshSource` is one radio with its link, its mirror and its virtual node. The coordinator knows
this interface and nothing behind it; a new radio protocol is a new implementation of it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from .model import (
    Channel,
    Delivery,
    Identity,
    LinkStatus,
    Message,
    Node,
    Position,
    RouteHop,
    Telemetry,
    Traceroute,
    Waypoint,
)
from .virtual_node import VirtualNode, VirtualNodeOptions


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """The link to the radio changed its state."""

    status: LinkStatus


@dataclass(frozen=True, slots=True)
class IdentityChanged:
    """The radio said who it is, and that differs from what was known."""

    identity: Identity


@dataclass(frozen=True, slots=True)
class NodeChanged:
    """A node was heard for the first time, or something about it is new."""

    node: Node
    is_new: bool


@dataclass(frozen=True, slots=True)
class NodeRemoved:
    """The radio forgot a node."""

    node_id: str


@dataclass(frozen=True, slots=True)
class ChannelsChanged:
    """The radio's channel table changed."""


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A message came from the mesh, from a phone or from Home Assistant itself."""

    message: Message


@dataclass(frozen=True, slots=True)
class DeliveryChanged:
    """An outgoing message came further, or failed."""

    delivery: Delivery
    message: Message | None = None
    """The message itself, as long as listeners may not know it: before it is on the air."""


@dataclass(frozen=True, slots=True)
class WaypointChanged:
    """A waypoint was set, changed or withdrawn."""

    waypoint: Waypoint


@dataclass(frozen=True, slots=True)
class TracerouteReceived:
    """A traceroute was answered."""

    traceroute: Traceroute


@dataclass(frozen=True, slots=True)
class VirtualNodeChanged:
    """The virtual node started, stopped or failed, or a client came or went."""


@dataclass(frozen=True, slots=True)
class CountersChanged:
    """A counter in `MeshSource.counters` moved. Handed out at most once a second."""


class Problem(StrEnum):
    """What only the owner can put right."""

    CONTENDED = "link_contended"
    """Another program takes the radio's one connection again and again."""
    OTHER_IDENTITY = "identity_changed"
    """Another radio answers at the address of this one."""


@dataclass(frozen=True, slots=True)
class ProblemChanged:
    """A problem arose or is over."""

    problem: Problem
    is_active: bool
    placeholders: Mapping[str, str]
    """What a text about it may name: ids and names, never secrets."""


type MeshEvent = (
    LinkChanged
    | IdentityChanged
    | NodeChanged
    | NodeRemoved
    | ChannelsChanged
    | MessageReceived
    | DeliveryChanged
    | WaypointChanged
    | TracerouteReceived
    | VirtualNodeChanged
    | CountersChanged
    | ProblemChanged
)
type MeshListener = Callable[[MeshEvent], None]


class SendReason(StrEnum):
    """Why something could not be sent."""

    NOT_CONNECTED = "not_connected"
    """The radio is away, and what was asked cannot wait for it."""
    QUEUE_FULL = "queue_full"
    EMPTY = "message_empty"
    TOO_LONG = "message_too_long"
    INVALID_ID = "invalid_id"
    """It refers to a message or a waypoint by something that is no id of one."""
    UNKNOWN_CHANNEL = "unknown_channel"
    UNKNOWN_NODE = "unknown_node"
    NO_ANSWER = "no_answer"
    REFUSED = "refused"
    """The radio did not take it."""
    LOGIN_FAILED = "login_failed"
    """The node did not let in who asked."""
    NOT_SUPPORTED = "not_supported"
    """The protocol knows no such request."""


class SendError(Exception):
    """Something could not be sent; nothing was lost that had been taken over before."""

    def __init__(self, reason: SendReason, detail: str = "") -> None:
        """Say why.

        Args:
            reason: The kind of failure, for a translated text.
            detail: A short addition without secrets: a limit, the radio's own error term.
        """
        super().__init__(f"{reason} {detail}".strip())
        self.reason = reason
        self.detail = detail


class ProbeReason(StrEnum):
    """Why a radio could not be proved before it is added."""

    CANNOT_CONNECT = "cannot_connect"
    """Nothing listens there, or the port cannot be opened."""
    WRONG_PROTOCOL = "wrong_protocol"
    """Something answers that does not speak this protocol."""
    SILENT = "no_answer"
    """The connection stands, but nothing comes."""
    CONTENDED = "link_contended"
    """The connection is taken away again and again: another program uses the radio."""


class ProbeError(Exception):
    """There is no radio of the protocol to be had at an endpoint."""

    def __init__(self, reason: ProbeReason) -> None:
        """Say why."""
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """What a radio said when it was proved."""

    identity: Identity
    nodes: int
    """How many nodes it knows, itself included."""
    favorites: int
    """How many of the others are favourites."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingText:
    """A text that Home Assistant wants sent."""

    text: str = field(repr=False)
    channel: int | None = None
    """The channel's index; with a recipient, None lets the source choose."""
    recipient_id: str | None = None
    """A node id; None sends to everyone on the channel."""
    reply_id: str | None = None
    is_reaction: bool = False
    """Whether the text is one emoji in answer to `reply_id`."""
    want_ack: bool = True


class RequestKind(StrEnum):
    """What a node of the mesh can be asked for, over the air."""

    TRACEROUTE = "traceroute"
    POSITION = "position"
    TELEMETRY = "telemetry"
    NODE_INFO = "node_info"
    NEIGHBORS = "neighbors"
    STATUS = "status"
    """The figures that a repeater or room server keeps of itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighborList:
    """Whom a node hears directly."""

    node_id: str
    neighbors: tuple[RouteHop, ...]


type RequestAnswer = Traceroute | Position | Telemetry | Node | NeighborList
"""What a request is answered with: in the order of `RequestKind`; a status is a `Telemetry`."""


class MeshSource(ABC):
    """One radio, its mesh and its virtual node.

    All methods are called in the event loop. Listeners are called in the loop, in order, and must
    return at once.
    """

    protocol: ClassVar[str]
    """``meshtastic`` or ``meshcore``: `entry.data["protocol"]`."""

    def __init__(self, name: str) -> None:
        """Prepare a source that is not started.

        Args:
            name: What log lines call this source.
        """
        self.name = name
        self._listeners: list[MeshListener] = []

    def subscribe(self, listener: MeshListener) -> Callable[[], None]:
        """Hand every further event to a listener; returns what ends that."""
        self._listeners.append(listener)

        def unsubscribe() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return unsubscribe

    def emit(self, event: MeshEvent) -> None:
        """Hand an event to every listener."""
        for listener in tuple(self._listeners):
            listener(event)

    @abstractmethod
    async def start(self) -> None:
        """Begin to hold the link and to serve the virtual node; returns without waiting for either.

        A radio that is away or a port that is taken is no error: both are tried again.
        """

    @abstractmethod
    async def stop(self) -> None:
        """End the link and the virtual node; afterwards no task, timer or socket is left."""

    @property
    @abstractmethod
    def identity(self) -> Identity | None:
        """The radio's identity, as soon as it is known."""

    @property
    @abstractmethod
    def link(self) -> LinkStatus:
        """The state of the link."""

    @property
    @abstractmethod
    def nodes(self) -> Mapping[str, Node]:
        """All nodes that the radio knows, the own one included, by node id."""

    @property
    def node_ids(self) -> Collection[str]:
        """The ids of all nodes that the radio knows: cheaper than `nodes` in a large mesh."""
        return self.nodes.keys()

    def node(self, node_id: str) -> Node | None:
        """Return what is known of one node: cheaper than all of them in a large mesh."""
        return self.nodes.get(node_id)

    @property
    @abstractmethod
    def channels(self) -> Sequence[Channel]:
        """The enabled channels, by index."""

    @property
    @abstractmethod
    def virtual_node(self) -> VirtualNode:
        """The virtual node, running or not."""

    @property
    @abstractmethod
    def counters(self) -> Mapping[str, int]:
        """What was received, sent, refused, dropped and limited, by a stable name."""

    @property
    @abstractmethod
    def max_text_bytes(self) -> int:
        """How many bytes of UTF-8 a text may have."""

    async def apply_virtual_node(self, options: VirtualNodeOptions) -> None:
        """Bring the virtual node to these options without touching the link."""
        await self.virtual_node.apply(options)

    @abstractmethod
    async def send_text(self, outgoing: OutgoingText) -> Message:
        """Take a text over for sending.

        Its way is told by `DeliveryChanged` events that carry the message's id.

        Raises:
            SendError: It cannot be sent; nothing was queued.
        """

    @property
    @abstractmethod
    def supported_requests(self) -> frozenset[RequestKind]:
        """What nodes can be asked for in this protocol."""

    @abstractmethod
    async def request(
        self, kind: RequestKind, node_id: str, *, detail: str | None = None
    ) -> RequestAnswer:
        """Ask a node over the air and wait for its answer.

        Nothing is asked over the air but by this method and by what people send.

        Args:
            kind: What to ask for.
            node_id: Whom to ask.
            detail: For telemetry, which kind of it; None for the protocol's own choice.

        Raises:
            SendError: It cannot be asked, or no answer came in the time that the protocol grants.
        """

    @abstractmethod
    async def send_waypoint(self, waypoint: Waypoint, *, channel: int) -> Waypoint:
        """Share a place with everyone on a channel; one without latitude withdraws its id.

        Args:
            waypoint: The place. An empty id lets the source choose one.
            channel: The channel's index.

        Returns:
            The waypoint as it was sent.

        Raises:
            SendError: It cannot be sent; nothing was queued.
        """

    @abstractmethod
    async def send_advert(self, *, flood: bool) -> None:
        """Announce the own node to the mesh.

        Args:
            flood: To the whole mesh, where the protocol makes a difference; else to neighbours.

        Raises:
            SendError: It cannot be sent.
        """

    @abstractmethod
    async def login(self, node_id: str, password: str) -> None:
        """Log in at a repeater or room server, where the protocol has such a thing.

        Raises:
            SendError: It is not supported, was refused, or no answer came.
        """

    @abstractmethod
    def delivery(self, message_id: str) -> Delivery | None:
        """Return the state of an outgoing message, while it is remembered."""

    @abstractmethod
    def snapshot(self) -> dict[str, Any]:
        """Return what is worth keeping over a restart, ready for JSON; without private keys."""

    def snapshot_in_pieces(self) -> Generator[None, None, dict[str, Any]]:
        """Return what `snapshot` returns. At each yield anything may happen."""
        yield
        return self.snapshot()

    @abstractmethod
    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take over an earlier snapshot, before the start.

        This may be done in another thread than the loop's, as long as nobody else uses the source.

        Raises:
            ValueError: It is damaged; the source is as if nothing had been handed in.
        """
