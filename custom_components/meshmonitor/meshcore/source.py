"""A MeshCore radio, its mesh and its virtual node, as Home Assistant sees them."""

import asyncio
from collections.abc import Hashable, Mapping, Sequence
import logging
import time
from typing import Any, Final, override

from ..mesh.model import Channel, Delivery, Identity, LinkStatus, Message, Node, Origin, Waypoint
from ..mesh.source import (
    CountersChanged,
    IdentityChanged,
    LinkChanged,
    MeshSource,
    MessageReceived,
    OutgoingText,
    Problem,
    ProblemChanged,
    RequestAnswer,
    RequestKind,
    SendError,
    SendReason,
    VirtualNodeChanged,
)
from ..mesh.transport import Endpoint
from ..mesh.virtual_node import VirtualNode
from . import decode
from .codes import PATH_UNKNOWN, AdvType, Cmd, Push, Resp
from .commands import is_transmission
from .frames import Contact, FrameError, contact_key
from .inbox import Inbox
from .jobs import Job
from .mirror import Mirror
from .nodes import NodeBook
from .options import MeshCoreVirtualNodeOptions
from .radio import Radio
from .requests import SUPPORTED, Requests
from .switchboard import Switchboard
from .texts import (
    ATTEMPTS,
    HOME_ASSISTANT,
    MAX_POST,
    MAX_TEXT,
    Texts,
    channel_command,
    direct_command,
)
from .virtual_node import Phone

_LOGGER = logging.getLogger(__name__)

IDLE_LIMIT: Final = 3600.0
"""Seconds after which a client without a byte is closed. Some apps say nothing for as long as
nothing comes, so the system's keep-alive has to find those that are gone."""
TEXT_PATIENCE: Final = 30.0
"""Seconds that a text of Home Assistant's may wait for its turn."""
_TICK: Final = 1.0


class MeshCoreSource(MeshSource):
    """One MeshCore companion radio: ties the rooms of this folder together."""

    protocol = "meshcore"

    def __init__(
        self,
        endpoint: Endpoint,
        options: MeshCoreVirtualNodeOptions,
        *,
        name: str,
        expected_node_id: str | None = None,
    ) -> None:
        """Prepare a source that is not started.

        Args:
            endpoint: Where the radio is.
            options: How the virtual node serves.
            name: What log lines call the source.
            expected_node_id: Which radio it has always been; another one is a problem to report.
        """
        super().__init__(name)
        self._mirror = Mirror()
        self._book = NodeBook(self._mirror)
        self._switchboard = Switchboard(self._mirror, Inbox())
        self._radio = Radio(endpoint, self._mirror, self, name=name)
        self._requests = Requests(self._mirror, self._radio.submit)
        self._texts = self._make_texts()
        self._switchboard.send = self._radio.submit
        self._switchboard.drop_owner = self._radio.drop_owner
        self._virtual_node = VirtualNode(
            name,
            options,
            lambda client: Phone(client, self._switchboard),
            lambda: self.emit(VirtualNodeChanged()),
            idle_limit=IDLE_LIMIT,
        )
        self._switchboard.virtual_node = self._virtual_node
        self._expected_node_id = expected_node_id
        self._key: bytes | None = None
        self._identity: Identity | None = None
        self._problems: set[Problem] = set()
        self._received = self._sent = 0
        self._last_stamp = 0
        self._reported_counters: dict[str, int] = {}
        self._ticker: asyncio.TimerHandle | None = None

    def _make_texts(self) -> Texts:
        texts = Texts(
            self._mirror,
            self._switchboard.inbox,
            self.emit,
            self._switchboard.messages_wait,
            self._send_again,
        )
        self._switchboard.texts = texts
        return texts

    @override
    async def start(self) -> None:
        self._radio.link.start()
        self._tick()
        await self._virtual_node.start()

    @override
    async def stop(self) -> None:
        await self._virtual_node.stop()
        await self._radio.link.stop()
        self._radio.stop()
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None

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
        return self._book.nodes

    @property
    @override
    def channels(self) -> Sequence[Channel]:
        return self._book.channels

    @property
    @override
    def virtual_node(self) -> VirtualNode:
        return self._virtual_node

    @property
    @override
    def counters(self) -> Mapping[str, int]:
        commander, framing = self._radio.commander, self._radio.decoder.counters
        return {
            "packets_received": self._received,
            "sent": self._sent,
            "packets_repeated": self._switchboard.inbox.repeats,
            "messages_overflowed": self._switchboard.inbox.overflowed,
            "malformed_frames": self._radio.malformed_frames + framing.oversize_frames,
            "queue_length": commander.queued,
            "responses_absorbed": commander.counters.absorbed,
            "command_timeouts": commander.counters.timeouts,
            "resyncs": commander.counters.resyncs,
            **{f"refused_{key}": count for key, count in self._switchboard.refusals.items()},
        }

    @property
    @override
    def max_text_bytes(self) -> int:
        # On a channel the sender's name is a part of the text.
        name = "" if self._mirror.info is None else self._mirror.info.name
        return MAX_TEXT - len(name.encode()) - 2

    @override
    async def send_text(self, outgoing: OutgoingText) -> Message:
        if outgoing.is_reaction:
            raise SendError(SendReason.NOT_SUPPORTED)
        text = outgoing.text.encode()
        if outgoing.recipient_id is not None:
            contact = self._contact(outgoing.recipient_id)
            limit = MAX_POST if contact.adv_type == AdvType.ROOM else MAX_TEXT
            frame = direct_command(contact.public_key, text, self._stamp())
        else:
            limit, index = self.max_text_bytes, outgoing.channel or 0
            slot = self._mirror.channel(index)
            if slot is None or slot.is_empty:
                raise SendError(SendReason.UNKNOWN_CHANNEL)
            frame = channel_command(index, text, self._stamp())
        if not text:
            raise SendError(SendReason.EMPTY)
        if len(text) > limit:
            raise SendError(SendReason.TOO_LONG, str(limit))
        if not self._radio.is_ready:
            raise SendError(SendReason.NOT_CONNECTED)
        job = self._text_job(frame)
        message = self._texts.began(job, Origin.HOME_ASSISTANT, None, HOME_ASSISTANT)
        self._radio.submit(job)
        return message

    @property
    @override
    def supported_requests(self) -> frozenset[RequestKind]:
        return SUPPORTED

    @override
    async def request(
        self, kind: RequestKind, node_id: str, *, detail: str | None = None
    ) -> RequestAnswer:
        if kind not in SUPPORTED:
            raise SendError(SendReason.NOT_SUPPORTED)
        contact = self._contact(node_id)
        self._require_radio()
        return await self._requests.request(kind, contact)

    @override
    async def send_waypoint(self, waypoint: Waypoint, *, channel: int) -> Waypoint:
        raise SendError(SendReason.NOT_SUPPORTED)

    @override
    async def send_advert(self, *, flood: bool) -> None:
        self._require_radio()
        await self._requests.command(bytes([Cmd.SEND_SELF_ADVERT, flood]))

    @override
    async def login(self, node_id: str, password: str) -> None:
        contact = self._contact(node_id)
        self._require_radio()
        await self._requests.login(contact, password)

    @override
    def delivery(self, message_id: str) -> Delivery | None:
        return self._texts.deliveries.get(message_id)

    @override
    def snapshot(self) -> dict[str, Any]:
        return {"mirror": self._mirror.export(), "inbox": self._switchboard.inbox.export()}

    @override
    def restore(self, snapshot: Mapping[str, Any]) -> None:
        try:
            mirror = Mirror.load(snapshot["mirror"])
            inbox = Inbox.load(snapshot["inbox"])
        except (KeyError, TypeError) as err:
            raise ValueError(f"damaged snapshot: {type(err).__name__}") from err
        if not self._is_expected(mirror.public_key):
            return
        self._mirror.adopt(mirror)
        self._switchboard.inbox = inbox
        self._texts = self._make_texts()
        self._key = self._mirror.public_key
        self._identity = decode.identity(self._mirror)
        self._book.refresh(time.time())

    # What the radio says

    def link_status(self, status: LinkStatus) -> None:
        """The link changed its state."""
        self.emit(LinkChanged(status))
        self._set_problem(Problem.CONTENDED, status.is_contended, {})

    def identity_read(self) -> bool:
        """The radio said who it is; returns whether it is the one that was here before."""
        key, before = self._mirror.public_key, self._key
        self._key = key
        if before is None or before == key:
            return True
        _LOGGER.warning("%s: another radio answers at its address", self.name)
        self._virtual_node.close_clients("the radio is another one")
        self._mirror.clear()
        self._switchboard.inbox = Inbox()
        self._texts = self._make_texts()
        return False

    def mirror_changed(self) -> None:
        """Tell of what is new, and answer who has been waiting for it."""
        for event in self._book.refresh(time.time()):
            self.emit(event)
        identity = decode.identity(self._mirror)
        if identity is not None and identity != self._identity:
            self._identity = identity
            self.emit(IdentityChanged(identity))
        self._switchboard.mirror_changed()

    def is_read(self) -> None:
        """Everything has been read."""
        _LOGGER.info(
            "%s: config capture complete, %s nodes", self.name, len(self._mirror.contacts.frames)
        )
        own = self._identity
        self._set_problem(
            Problem.OTHER_IDENTITY,
            not self._is_expected(self._mirror.public_key),
            {
                "expected": self._expected_node_id or "",
                "found": "" if own is None else own.node_id,
            },
        )
        self._report_counters()

    def message(self, frame: bytes) -> None:
        """An item was in the radio's queue."""
        self._received += 1
        if not self._switchboard.inbox.received(frame, time.time()):
            return
        self._switchboard.messages_wait()
        try:
            message = decode.message(frame, self._mirror, time.time())
        except FrameError:
            return
        if message is not None:
            self.emit(MessageReceived(message))

    def push(self, frame: bytes, owners: tuple[Hashable, ...] | None) -> None:
        """The radio sent something by itself."""
        self._received += 1
        if frame[0] == Push.SEND_CONFIRMED:
            self._texts.acknowledged(frame[1:5])
        for event in self._book.heard(frame, time.time()):
            self.emit(event)
        if owners is not None:
            self._requests.push(frame, owners)
        self._switchboard.push(frame, owners)

    def done(self, job: Job) -> None:
        """A command of a client or of Home Assistant has ended."""
        if is_transmission(job.frame) and job.replies and job.replies[-1][0] != Resp.ERR:
            self._sent += 1
        phone = self._switchboard.phone(job.owner)
        self._texts.done(job, None if phone is None else phone.open_inbox())
        if not self._requests.done(job):
            self._switchboard.done(job)

    def settled(self) -> None:
        """Nothing more follows from what the radio has said so far: let the apps have it."""
        self._switchboard.tell()

    def _tick(self) -> None:
        self._ticker = asyncio.get_running_loop().call_later(_TICK, self._tick)
        self._texts.tick(time.monotonic())
        self._report_counters()

    def _report_counters(self) -> None:
        counters = dict(self.counters)
        if counters != self._reported_counters:
            self._reported_counters = counters
            self.emit(CountersChanged())

    def _send_again(self, frame: bytes) -> None:
        """Send a text of Home Assistant's that was not acknowledged once more.

        The last time by any way there is, as apps do: the known one may be broken.
        """
        contact = self._mirror.contacts.with_prefix(frame[7:13])
        if frame[2] + 1 == ATTEMPTS and contact is not None and contact[35] != PATH_UNKNOWN:
            self._radio.submit(self._text_job(bytes([Cmd.RESET_PATH]) + contact_key(contact)))
        job = self._text_job(frame)
        self._texts.began(job, Origin.HOME_ASSISTANT, None, HOME_ASSISTANT)
        self._radio.submit(job)

    def _text_job(self, frame: bytes) -> Job:
        """Return a command of Home Assistant's texts: they are carried out in their order."""
        scope = bytes([Cmd.SET_FLOOD_SCOPE_KEY, 0]) if self._switchboard.has_scopes else None
        return Job(frame, HOME_ASSISTANT, time.monotonic() + TEXT_PATIENCE, scope=scope)

    def _stamp(self) -> int:
        """Return a time for a text that no other text of ours has."""
        now = self._mirror.device_time(time.time())
        self._last_stamp = max(now, self._last_stamp + 1)
        return self._last_stamp

    def _contact(self, node_id: str) -> Contact:
        try:
            frame = self._mirror.contacts.with_prefix(bytes.fromhex(node_id))
        except ValueError:
            frame = None
        if frame is None or not node_id:
            raise SendError(SendReason.UNKNOWN_NODE)
        return Contact.parse(frame)

    def _require_radio(self) -> None:
        if not self._radio.is_ready:
            raise SendError(SendReason.NOT_CONNECTED)

    def _is_expected(self, key: bytes | None) -> bool:
        expected = self._expected_node_id
        return expected is None or key is None or key.hex() == expected

    def _set_problem(
        self, problem: Problem, is_active: bool, placeholders: Mapping[str, str]
    ) -> None:
        if is_active != (problem in self._problems):
            self._problems ^= {problem}
            self.emit(ProblemChanged(problem, is_active, placeholders))
