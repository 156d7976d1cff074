"""The messages that the radio held for its one app, kept for all of ours.

The radio's queue is emptied by us alone, as soon as something is in it. What it held goes into one
log here, and every client reads that log at its own pace, as if it were the radio's only app. A
client that was away finds what came meanwhile. When the log is full the oldest channel message
goes, then the oldest message of any kind: the radio's own rule.
"""

from bisect import bisect_left
from collections import Counter, OrderedDict, deque
from collections.abc import Collection, Hashable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from operator import attrgetter
from typing import Any, Final

from .codes import NO_MORE_FRAME, Resp
from .frames import ChannelMessage, ContactMessage, FrameError

MAX_MESSAGES: Final = 256
"""As many as the largest radios keep."""
MAX_AGE: Final = 3 * 86400.0
MAX_READERS: Final = 64
"""Clients whose place in the log is remembered while they are away."""
REPEAT_TIME: Final = 600.0
"""How long the same message is taken for a repetition. Retries come within a minute or two."""
ECHO_TIME: Final = 60.0
"""How long a channel text of ours may come back over the air."""
_MAX_REMEMBERED: Final = 512
MAX_CHANNEL_TEXT: Final = 160
"""The firmware cuts a channel text, name included, to ``MAX_TEXT_LEN``."""

_V1_CODES: Final = {
    Resp.CONTACT_MSG_RECV_V3: Resp.CONTACT_MSG_RECV,
    Resp.CHANNEL_MSG_RECV_V3: Resp.CHANNEL_MSG_RECV,
}
_TXT_TYPE_OFFSETS: Final[dict[int, int]] = {
    Resp.CONTACT_MSG_RECV: 8,
    Resp.CONTACT_MSG_RECV_V3: 11,
}
_CHANNEL_CODES: Final = frozenset(
    {Resp.CHANNEL_MSG_RECV, Resp.CHANNEL_MSG_RECV_V3, Resp.CHANNEL_DATA_RECV}
)


def to_version(frame: bytes, version: int) -> bytes:
    """Return an inbox item in the form for a protocol version.

    Before version 3 messages had no signal-to-noise ratio. Items of other kinds have one form, and
    one that came in the old form stays in it: the ratio is not known.
    """
    code = _V1_CODES.get(Resp(frame[0])) if frame[0] in _V1_CODES else None
    if version >= 3 or code is None:
        return frame
    return bytes([code]) + frame[4:]


def is_message(frame: bytes) -> bool:
    """Return whether a response to ``SYNC_NEXT_MESSAGE`` is an item of the inbox."""
    return frame[0] not in (Resp.NO_MORE_MESSAGES, Resp.ERR)


def is_console_line(frame: bytes) -> bool:
    """Return whether an inbox item is a line of a console, and no text for people.

    A repeater answers so to who administers it, with passwords at times.
    """
    offset = _TXT_TYPE_OFFSETS.get(frame[0], len(frame))
    return frame[offset : offset + 1] in (b"\x01", b"\x03")


def channel_text(name: str, text: bytes) -> bytes:
    """Return what receivers of a channel text see: the sender's name before it, all of it cut."""
    prefix = name.encode() + b": "
    return (prefix + text.partition(b"\0")[0])[: max(MAX_CHANNEL_TEXT, len(prefix))]


def echo_of(channel: int, timestamp: int, name: str, text: bytes) -> bytes:
    """Return the inbox item that shows a channel text of this node to its other clients.

    The protocol has no frame for what another app sent, so it comes as received from oneself, with
    no hops.
    """
    return ChannelMessage(
        channel=channel,
        path_len=0,
        txt_type=0,
        timestamp=timestamp,
        text=channel_text(name, text),
    ).build()


@dataclass(frozen=True, slots=True)
class _Item:
    number: int
    time: float
    frame: bytes = field(repr=False)
    hidden_from: Hashable | None

    def is_for(self, reader: Hashable, *, has_console: bool) -> bool:
        """Return whether a client is shown it."""
        return self.hidden_from != reader and (has_console or not is_console_line(self.frame))


_number_of: Final = attrgetter("number")


class Inbox:
    """One log of messages and a place in it for every client. Times are Unix seconds."""

    def __init__(self) -> None:
        """Start with an empty log."""
        self.repeats = 0
        """Messages that had come before and were not handed out again."""
        self.overflowed = 0
        """Messages that were dropped because the log was full."""
        self._items: deque[_Item] = deque()
        self._next_number = 1
        self._places: OrderedDict[Hashable, int] = OrderedDict()
        self._seen: OrderedDict[bytes, float] = OrderedDict()
        self._echoes: OrderedDict[bytes, float] = OrderedDict()

    def received(self, frame: bytes, now: float) -> bool:
        """Take a message from the radio; returns whether it is new.

        Args:
            frame: The inbox item, of any kind.
            now: Unix time.
        """
        content = _content(frame)
        if content is not None:
            # A channel text of ours that comes back was shown when it was sent. One that somebody
            # else sent under our name has another time or text.
            if _is_fresh(self._echoes, content, now) or _is_fresh(self._seen, content, now):
                self.repeats += 1
                return False
            _remember(self._seen, content, now + REPEAT_TIME)
        self._append(frame, now, None)
        return True

    def sent(self, frame: bytes, sender: Hashable, now: float) -> None:
        """Show a channel text that went out to everyone but its sender.

        Args:
            frame: What `echo_of` made of it.
            sender: The reader who sent it.
            now: Unix time.
        """
        content = _content(frame)
        if content is not None:
            _remember(self._echoes, content, now + ECHO_TIME)
        self._append(frame, now, sender)

    @property
    def end(self) -> int:
        """The place behind the newest message."""
        return self._next_number

    def place_of(self, reader: Hashable) -> int | None:
        """Return the place of a client that was here before."""
        return self._places.get(reader)

    def open(self, reader: Hashable, place: int, present: Collection[Hashable] = ()) -> None:
        """Give a client its place: where it was when it left, if it was ever here.

        Args:
            reader: Who reads: an address, a slash, and a name. No two clients may share it at one
                time.
            place: Where to begin otherwise: `end`, as it was when the client connected.
            present: Who is connected, and keeps its place whoever else comes.
        """
        self._places.setdefault(reader, place)
        self._places.move_to_end(reader)
        if len(self._places) > MAX_READERS:
            self._forget_one({reader, *present})

    def forget(self, reader: Hashable) -> None:
        """Take a client for one that was never here."""
        self._places.pop(reader, None)

    def swap(self, one: Hashable, other: Hashable) -> None:
        """Let two clients exchange their names, with all that is remembered under them."""
        names = {one: other, other: one}
        places = {names[name]: self._places.pop(name, None) for name in names}
        self._places.update((name, at) for name, at in places.items() if at is not None)
        for index, item in enumerate(self._items):
            if item.hidden_from in names:
                self._items[index] = replace(item, hidden_from=names[item.hidden_from])

    def take(
        self, reader: Hashable, version: int, now: float, *, has_console: bool = True
    ) -> bytes:
        """Return a client's next message in its form, or ``NO_MORE_MESSAGES``.

        Args:
            reader: Who reads.
            version: The protocol version that it speaks.
            now: Unix time.
            has_console: Whether it is shown the lines of consoles.
        """
        self._forget_old(now)
        for item in self._unread(reader, has_console=has_console):
            self._places[reader] = item.number + 1
            return to_version(item.frame, version)
        return NO_MORE_FRAME

    def give_back(self, reader: Hashable, place: int) -> None:
        """Set a client back to a place, because what it took from there on has not arrived."""
        if reader in self._places:
            self._places[reader] = min(self._places[reader], place)

    def has_unread(self, reader: Hashable, *, has_console: bool = True) -> bool:
        """Return whether a client has not fetched all of its messages."""
        place = self._places.get(reader, self._next_number)
        for item in reversed(self._items):
            if item.number < place:
                break
            if item.is_for(reader, has_console=has_console):
                return True
        return False

    def waiting(self, reader: Hashable) -> int:
        """Return how many messages a client has not fetched."""
        return sum(1 for _ in self._unread(reader, has_console=True))

    def export(self) -> dict[str, Any]:
        """Return the log and the places of those readers whose name is a text, ready for JSON."""
        return {
            "next": self._next_number,
            "items": [
                [item.number, item.time, item.frame.hex(), item.hidden_from]
                for item in self._items
                if item.hidden_from is None or isinstance(item.hidden_from, str)
            ],
            "places": {
                reader: place for reader, place in self._places.items() if isinstance(reader, str)
            },
        }

    @classmethod
    def load(cls, snapshot: dict[str, Any]) -> Inbox:
        """Return an inbox with the content of an exported snapshot.

        Raises:
            ValueError: The snapshot is damaged.
        """
        inbox = cls()
        try:
            for number, time, text, hidden_from in snapshot["items"]:
                frame = bytes.fromhex(text)
                if not frame or number < inbox._next_number:
                    raise ValueError("damaged inbox item")
                inbox._items.append(_Item(int(number), float(time), frame, hidden_from))
                inbox._next_number = int(number) + 1
                content = _content(frame)
                if content is not None:
                    _remember(inbox._seen, content, float(time) + REPEAT_TIME)
            inbox._next_number = max(inbox._next_number, int(snapshot["next"]))
            for reader, place in snapshot["places"].items():
                # One behind the end would be told of nothing until messages had come that far.
                inbox._places[reader] = min(int(place), inbox._next_number)
        except (KeyError, TypeError, AttributeError) as err:
            raise ValueError(f"damaged inbox: {type(err).__name__}") from err
        return inbox

    def _forget_one(self, present: Collection[Hashable]) -> None:
        """Forget the longest unseen of the address that has most: none forgets another's."""
        away = [reader for reader in self._places if reader not in present]
        if away:
            addresses = [*map(_address_of, away)]
            counts = Counter(addresses)
            most = max(counts.values())
            # The first of them; of a crowd in which nobody has two that is soon found.
            found = zip(away, addresses, strict=True)
            del self._places[next(reader for reader, address in found if counts[address] == most)]

    def _append(self, frame: bytes, now: float, hidden_from: Hashable | None) -> None:
        self._forget_old(now)
        if len(self._items) >= MAX_MESSAGES:
            self.overflowed += 1
            victim = next(
                (item for item in self._items if item.frame[0] in _CHANNEL_CODES), self._items[0]
            )
            self._items.remove(victim)
        self._items.append(_Item(self._next_number, now, frame, hidden_from))
        self._next_number += 1

    def _forget_old(self, now: float) -> None:
        while self._items and self._items[0].time + MAX_AGE < now:
            self._items.popleft()

    def _unread(self, reader: Hashable, *, has_console: bool) -> Iterator[_Item]:
        place = self._places.get(reader, self._next_number)
        first = bisect_left(self._items, place, key=_number_of)
        for item in islice(self._items, first, None):
            if item.is_for(reader, has_console=has_console):
                yield item


def _address_of(reader: Hashable) -> str:
    return str(reader).partition("/")[0]


def _content(frame: bytes) -> bytes | None:
    """Return what makes a text the same text, however it came; None for other items."""
    try:
        if frame[0] in (Resp.CONTACT_MSG_RECV, Resp.CONTACT_MSG_RECV_V3):
            text = ContactMessage.parse(frame)
            head = b"d" + text.sender + bytes([text.txt_type]) + text.author
            return head + text.timestamp.to_bytes(4) + text.text
        if frame[0] in (Resp.CHANNEL_MSG_RECV, Resp.CHANNEL_MSG_RECV_V3):
            post = ChannelMessage.parse(frame)
            return b"c" + bytes([post.channel]) + post.timestamp.to_bytes(4) + post.text
    except FrameError:
        pass
    return None


def _is_fresh(memory: OrderedDict[bytes, float], content: bytes, now: float) -> bool:
    return memory.get(content, now) > now


def _remember(memory: OrderedDict[bytes, float], content: bytes, until: float) -> None:
    memory[content] = until
    memory.move_to_end(content)
    while len(memory) > _MAX_REMEMBERED:
        memory.popitem(last=False)
