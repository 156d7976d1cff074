"""One app of a MeshCore virtual node: to it, we are the radio.

Commands are handled strictly one after the other, as the firmware does: what is answered here
never overtakes what the radio has to answer, and each is decided when all before it are done.
"""

import asyncio
from collections.abc import Collection, Sequence
from typing import Final, Protocol, override

from ..mesh.client import Client
from ..mesh.handler import ClientHandler, Worth
from .codes import MSG_WAITING_FRAME, OK_FRAME, Cmd, Err, Push, err_frame
from .framing import AppStreamDecoder, all_to_app, to_app
from .inbox import Inbox
from .mirror import Mirror
from .policy import Answer, Forward, Hold, Lease, Local, LocalKind, Refuse, Replay, Rights, decide

HOLD_TIMEOUT: Final = 9.0
"""An app that cannot be answered is let go, so that it tries again by itself."""
MAX_WAITING: Final = 64
"""Commands of one app that may wait for their turn; eight is what apps do."""
MAX_FLOOD: Final = 1024
"""An app that sends so many without waiting for an answer is closed."""
PARTIAL_FRAME_TIMEOUT: Final = 10.0
_MAX_LABEL: Final = 32
_UNPROVEN: Final = 16
"""Messages handed out after which we look which of them have arrived."""
_MSG_WAITING: Final = to_app(MSG_WAITING_FRAME)

_ROUTINE: Final = frozenset({Push.LOG_RX_DATA})
_NEWS: Final = frozenset(
    {
        Push.ADVERT,
        Push.PATH_UPDATED,
        Push.NEW_ADVERT,
        Push.RAW_DATA,
        Push.CONTROL_DATA,
        Push.MSG_WAITING,
    }
)


def worth_of(push: bytes) -> Worth:
    """Return what a push is worth to an app that reads too slowly."""
    if push[0] in _ROUTINE:
        return Worth.ROUTINE
    return Worth.NEWS if push[0] in _NEWS else Worth.VITAL


class Desk(Protocol):
    """What an app asks of those who know the radio and the other apps."""

    mirror: Mirror
    inbox: Inbox

    def rights(self, phone: Phone) -> Rights:
        """Return what an app may do."""

    def submit(self, phone: Phone, frame: bytes, decision: Forward | Lease) -> None:
        """Send a command to the radio, and let the app know with `Phone.answered`."""

    @property
    def keeps_missed(self) -> bool:
        """Whether an app finds the messages that came while it was away."""

    @property
    def readers(self) -> Collection[str]:
        """The names under which connected apps read the inbox."""

    def reader_name(self, phone: Phone) -> str:
        """Return the name under which an app reads the inbox, of no other that is connected."""

    def device_time(self) -> int:
        """Return what the radio's clock shows."""

    def wall_time(self) -> float:
        """Return Unix time."""

    def gone(self, phone: Phone) -> None:
        """The app's connection ended."""

    def count_refusal(self, reason: str) -> None:
        """Count what an app was refused."""


class Phone(ClientHandler):
    """Speaks to one app as its radio would."""

    def __init__(self, client: Client, desk: Desk) -> None:
        """Wait in silence for what the app wants, as a radio does."""
        self.client = client
        self.version = 0
        """The protocol version that the app asked for; 0 is the oldest."""
        self.scope = bytes([Cmd.SET_FLOOD_SCOPE_KEY, 0])
        """The command that sets the flood scope for what this app sends."""
        self.reader: str | None = None
        """Under which name it reads the inbox, once that is known."""
        self.is_live = False
        """Whether it has said something, so that pushes go to it."""
        self._desk = desk
        self._decoder = AppStreamDecoder()
        self._unfinished_since: float | None = None
        self._joined_at = desk.inbox.end
        # Short lists, mostly empty ones: an empty deque would hold room for 64.
        self._waiting: list[bytes] = []
        self._outstanding: bytes | None = None
        self._held: bytes | None = None
        self._unproven: list[tuple[int, int]] = []
        self._hold_timer: asyncio.TimerHandle | None = None

    @property
    def name(self) -> str:
        """The client's id."""
        return self.client.client_id

    @override
    def data_received(self, data: bytes, now: float) -> None:
        """Take bytes from the app, cut anywhere."""
        junk = self._decoder.counters.junk_bytes
        frames = self._decoder.feed(data)
        self.client.spend(len(frames))
        if self._decoder.counters.junk_bytes > junk:
            self.client.report_garbage(self._decoder.counters.junk_bytes - junk)
        for frame in frames:
            # What is beyond the limit keeps its place, to be refused when its turn comes.
            self._waiting.append(frame if len(self._waiting) < MAX_WAITING else b"")
        self._unfinished_since = now if self._decoder.unfinished else None
        if len(self._waiting) > MAX_FLOOD:
            self.client.close("sends without waiting for answers")
            return
        self._work()

    @override
    def tick(self, now: float) -> None:
        """Let go of an app that does not finish what it began to send."""
        since = self._unfinished_since
        if since is not None and now - since > PARTIAL_FRAME_TIMEOUT:
            self.client.close("unfinished command")

    @override
    def rights_changed(self) -> None:
        """Nothing is kept of what a client may do: each command asks anew."""

    @override
    def disconnected(self) -> None:
        """The app is gone."""
        self._cancel_hold()
        self._waiting.clear()
        self._give_back()
        self._desk.gone(self)

    def hand_over(self, name: str) -> None:
        """Leave the name and the place in the inbox to a successor.

        Args:
            name: As whom to read on.
        """
        if self.reader is not None:
            self._give_back()
            inbox = self._desk.inbox
            place = inbox.place_of(self.reader) or inbox.end
            inbox.open(name, place, self._desk.readers)
            self.reader = name

    def deliver(self, data: bytes, worth: Worth) -> None:
        """Hand on what the radio sent by itself, in its envelope."""
        if self.is_live:
            self.client.send(data, worth)

    def answered(self, replies: Sequence[bytes]) -> None:
        """Hand on what the radio answered, and take the next command."""
        command, self._outstanding = self._outstanding, None
        if command is not None:
            self._reply(replies)
            self._work()

    def mirror_changed(self) -> None:
        """Decide anew on what had to wait for something to be known."""
        held, self._held = self._held, None
        if held is not None:
            self._cancel_hold()
            self._waiting.insert(0, held)
            self._work()

    def open_inbox(self) -> str:
        """Take a place in the inbox, if that was not done; returns the name that it goes by."""
        if self.reader is None:
            self.reader = self._desk.reader_name(self)
            if not self._desk.keeps_missed:
                self._desk.inbox.forget(self.reader)
            self._desk.inbox.open(self.reader, self._joined_at, self._desk.readers)
        return self.reader

    @property
    def has_unread(self) -> bool:
        """Whether there are messages for it that it has not fetched.

        An app need not tell its name, and one that does not has begun where it connected.
        """
        inbox = self._desk.inbox
        if self.reader is None:
            return inbox.end > self._joined_at
        return inbox.has_unread(self.reader, has_console=self._has_console)

    @property
    def _has_console(self) -> bool:
        """Whether it sees what consoles of other nodes answer: it may write to them, too."""
        return self._desk.rights(self).admin

    def message_waits(self) -> None:
        """Tell the app that its inbox is not empty."""
        self.deliver(_MSG_WAITING, Worth.NEWS)

    def _work(self) -> None:
        """Carry out what waits, up to the first that the radio has to answer."""
        while self._waiting and self._outstanding is None and self._held is None:
            if not self.client.is_open:
                return
            self._carry_out(self._waiting.pop(0))

    def _carry_out(self, frame: bytes) -> None:
        if not frame:
            self._desk.count_refusal("too_many_commands")
            self._reply([err_frame(Err.TABLE_FULL)])
            return
        self._greet(frame)
        match decide(frame, self._desk.mirror, self._desk.rights(self)):
            case Answer(frames):
                self._reply(frames)
                self._answered_locally(frame)
            case Replay(data):
                self._send(data)
            case Refuse(error, reason):
                self._desk.count_refusal(reason.value)
                self._reply([error])
            case Local(LocalKind.SYNC):
                self._hand_out()
            case Local(kind):
                self._reply([self._locally(kind, frame)])
            case Hold():
                self._held = frame
                self._hold_timer = asyncio.get_running_loop().call_later(
                    HOLD_TIMEOUT, self.client.close, "nothing to answer with yet"
                )
            case (Forward() | Lease()) as decision:
                self._outstanding = frame
                self._desk.submit(self, frame, decision)

    def _greet(self, frame: bytes) -> None:
        """Take note of what an app says of itself."""
        if frame[0] == Cmd.DEVICE_QUERY and len(frame) > 1:
            self.version = frame[1]
        elif frame[0] == Cmd.APP_START and len(frame) > 8:
            name = frame[8:].partition(b"\0")[0].decode(errors="replace")
            self.label = "".join(filter(str.isprintable, name)).strip()[:_MAX_LABEL]

    def _answered_locally(self, frame: bytes) -> None:
        if frame[0] == Cmd.APP_START and self.reader is None:
            self.open_inbox()
            if self.has_unread:
                # A radio says so only when a message comes, but some apps ask no more than once.
                self.message_waits()

    def _hand_out(self) -> None:
        """Give the app its next message, and remember it until it has arrived."""
        inbox, reader = self._desk.inbox, self.open_inbox()
        place = inbox.place_of(reader)
        now, has_console = self._desk.wall_time(), self._has_console
        self._reply([inbox.take(reader, self.version, now, has_console=has_console)])
        if place is not None and inbox.place_of(reader) != place:
            self._unproven.append((place, self.client.position))
            if len(self._unproven) > _UNPROVEN:
                self._forget_proven()

    def _forget_proven(self) -> None:
        acknowledged = self.client.acknowledged
        while self._unproven and self._unproven[0][1] <= acknowledged:
            del self._unproven[0]

    def _give_back(self) -> None:
        """Take back the messages that have not arrived."""
        self._forget_proven()
        if self._unproven and self.reader is not None:
            self._desk.inbox.give_back(self.reader, self._unproven[0][0])
        self._unproven.clear()

    def _locally(self, kind: LocalKind, frame: bytes) -> bytes:
        if kind is LocalKind.GET_TIME:
            return b"\x09" + self._desk.device_time().to_bytes(4, "little")
        self.scope = frame[:18]
        return OK_FRAME

    def _reply(self, frames: Sequence[bytes]) -> None:
        self._send(all_to_app(frames))

    def _send(self, data: bytes) -> None:
        self.is_live = True
        self.client.send(data, Worth.VITAL)

    def _cancel_hold(self) -> None:
        if self._hold_timer is not None:
            self._hold_timer.cancel()
            self._hold_timer = None
