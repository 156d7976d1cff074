"""What clients have missed, kept for them as a radio keeps it for its one phone. Without I/O.

A bounded log of frames, and for every client that was here before a place in it. A client is known
by a *key* that outlives its connections, such as its address. While one client of a key has its
history, nothing is kept back for that key; when the last of them goes, the key's place is behind
what its system has acknowledged, byte for byte: what was still on its way, or was sent to a phone
that had left the network without a word, is found again by the next connection.
"""

import binascii
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

VERSION: Final = 1
MAX_ENTRIES: Final = 200
MAX_AGE: Final = 72 * 3600.0
MAX_KEYS: Final = 256
"""Clients whose place is remembered while they are away; the longest unseen is forgotten first."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One frame that every client should see."""

    number: int
    time: float
    """When it came, Unix seconds."""
    frame: bytes = field(repr=False)
    identity: Hashable
    """What makes it the same message when it comes again; None for nothing."""
    origin: str | None = None
    """The key of the client that sent it; None where it was none."""
    sender: str | None = None
    """The client's connection, where it was still there: others of its key may be other apps."""
    since: int = 0
    """Where it was gone: only the connections of its key from this one on may be its own."""


class Reader:
    """One connected client and how far it has come."""

    def __init__(
        self, name: str, key: str, count: int, joined: int, acknowledged: Callable[[], int]
    ) -> None:
        """See `Backlog.join`."""
        self.name = name
        self.key = key
        self.count = count
        """How many connections there had been before it."""
        self.joined = joined
        self.next = joined
        """The first entry that it has not been given."""
        self.is_open = False
        """Whether it has had its history, so that its key is present."""
        self.waives = False
        """Whether it is given what comes, though what came before is left for another."""
        self.handed_on = 0
        """The entries before this one that did not reach it went to its successor."""
        self._acknowledged = acknowledged
        self._on_the_way: deque[tuple[int, int]] = deque(maxlen=MAX_ENTRIES)

    def given(self, number: int, position: int) -> None:
        """Take note that an entry was sent.

        Args:
            number: The entry's number.
            position: At which byte of all that the client is sent the entry ends.
        """
        if number >= self.next:
            self.next = number + 1
        self._on_the_way.append((number, position))

    def unconfirmed(self) -> int | None:
        """Return the first entry that was sent and has not reached the client, if there is one."""
        if self._on_the_way:
            acknowledged = self._acknowledged()
            while self._on_the_way and self._on_the_way[0][1] <= acknowledged:
                self._on_the_way.popleft()
        return self._on_the_way[0][0] if self._on_the_way else None


class Backlog:
    """The log, its readers, and the places of those who are away. Times are Unix seconds."""

    def __init__(self, *, max_entries: int = MAX_ENTRIES, max_age: float = MAX_AGE) -> None:
        """Start with nothing kept.

        Args:
            max_entries: How many frames are kept; the oldest goes first.
            max_age: For how many seconds one is kept.
        """
        self._max_entries = max_entries
        self._max_age = max_age
        self._entries: deque[Entry] = deque()
        self._identities: set[Hashable] = set()
        self._next = 1
        self._places: OrderedDict[str, int] = OrderedDict()
        self._readers: dict[str, Reader] = {}
        self._readers_of: dict[str, list[Reader]] = {}
        self._joins = 0
        self._gone: OrderedDict[str, tuple[str, int]] = OrderedDict()

    def __len__(self) -> int:
        """Return how many frames are kept."""
        return len(self._entries)

    @property
    def end(self) -> int:
        """The number of the next entry."""
        return self._next

    def join(self, name: str, key: str, acknowledged: Callable[[], int]) -> Reader:
        """Take in a new connection; it is given nothing until it is opened.

        Args:
            name: The connection, unlike any other as long as this program runs.
            key: Who it is, also when it comes back.
            acknowledged: Tells how many bytes of what it was sent have reached its system. It may
                say too few, never too many.
        """
        reader = Reader(name, key, self._joins, self._next, acknowledged)
        self._joins += 1
        self._readers[name] = reader
        self._readers_of.setdefault(key, []).append(reader)
        return reader

    def leave(self, reader: Reader) -> None:
        """Take note that a connection is gone, however it ended."""
        if self._readers.pop(reader.name, None) is None:
            return
        self._gone[reader.name] = (reader.key, self._joins)
        while len(self._gone) > MAX_KEYS:
            self._gone.popitem(last=False)
        others = self._readers_of[reader.key]
        others.remove(reader)
        if not others:
            del self._readers_of[reader.key]
        if self._is_present(reader):
            self._place(reader.key, self._confirmed(reader))

    def add(
        self,
        frame: bytes,
        now: float,
        *,
        identity: Hashable = None,
        sender: str | None = None,
    ) -> Entry | None:
        """Keep a frame; returns None where it is kept already.

        Args:
            frame: What to send, as it is.
            now: When it came.
            identity: What makes it the same message when it comes again.
            sender: The connection of the client that sent it, also where it is gone by now: that
                client does not miss it.
        """
        if identity is not None and identity in self._identities:
            return None
        origin, since = None, 0
        if sender is not None and (reader := self._readers.get(sender)) is not None:
            origin = reader.key
        elif sender is not None and sender in self._gone:
            # It may be back by a connection that was not there beside it.
            origin, since = self._gone[sender]
            sender = None
        else:
            sender = None
        entry = Entry(self._next, now, frame, identity, origin, sender, since)
        self._next += 1
        self._entries.append(entry)
        self._identities.add(identity)
        self._forget_old(now)
        return entry

    def clear(self) -> None:
        """Forget all frames; nobody misses them any more."""
        self._entries.clear()
        self._identities.clear()

    def is_due(self, reader: Reader, entry: Entry) -> bool:
        """Return whether a new entry is sent at once, or found when the reader is opened."""
        if entry.origin is not None and self._is_own(reader, entry):
            return False
        return reader.is_open or reader.waives or not self._history(reader)

    def open(self, reader: Reader, now: float) -> list[Entry]:
        """Give a connection its history: what its key has missed, in order.

        Each entry has to be sent, and told with `Reader.given`. A key that was never here has
        missed nothing but what came since it connected.
        """
        self._forget_old(now)
        if reader.is_open:
            return []
        missed = [*self._history(reader), *self._since_joined(reader)]
        for other in self._readers_of.get(reader.key, ()):
            if self._is_present(other) and self._missing(other) is not None:
                other.handed_on = self._next
        reader.is_open = True
        if reader.key in self._places:
            self._places.move_to_end(reader.key)
        return missed

    def begin(self, reader: Reader, now: float) -> list[Entry]:
        """Give a connection what came since it connected, unless there is history to go before it.

        That is for one which may yet be opened, and is sent new entries already.
        """
        self._forget_old(now)
        if reader.is_open or self._history(reader):
            return []
        return self._since_joined(reader)

    def waive(self, reader: Reader, now: float) -> list[Entry]:
        """Give a connection what came since it connected, and leave its history for another."""
        self._forget_old(now)
        if reader.is_open or reader.waives:
            return []
        reader.waives = True
        return self._since_joined(reader)

    def snapshot(self, now: float) -> dict[str, Any]:
        """Return the log and everybody's place, ready for JSON."""
        self._forget_old(now)
        places = dict(self._places)
        for reader in self._readers.values():
            if self._is_present(reader):
                place = self._confirmed(reader)
                places[reader.key] = max(places.get(reader.key, 0), place)
        return {
            "version": VERSION,
            "next": self._next,
            "entries": [
                [
                    entry.number,
                    entry.time,
                    binascii.b2a_base64(entry.frame, newline=False).decode(),
                    entry.origin,
                ]
                for entry in self._entries
            ],
            "places": places,
        }

    def restore(
        self, snapshot: object, now: float, identify: Callable[[bytes], Hashable] = lambda _: None
    ) -> None:
        """Take over what `snapshot` returned, before anybody joins.

        Args:
            snapshot: What `snapshot` returned.
            now: The present.
            identify: Returns a frame's identity, or raises ValueError where it is no good frame.

        Raises:
            ValueError: It is damaged, or of another version; nothing is kept then.
        """
        try:
            entries, following, places = _load(snapshot, identify)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as err:
            raise ValueError("a damaged backlog") from err
        self._entries = deque(entries)
        self._identities = {entry.identity for entry in entries}
        self._next = following
        self._places = OrderedDict(list(places.items())[-MAX_KEYS:])
        self._forget_old(now)

    def _history(self, reader: Reader) -> list[Entry]:
        """Return what a key missed before this connection."""
        start = self._start(reader)
        return [
            entry
            for entry in self._entries
            if start <= entry.number < reader.joined and entry.origin != reader.key
        ]

    def _since_joined(self, reader: Reader) -> list[Entry]:
        return [
            entry
            for entry in self._entries
            if entry.number >= reader.next and not self._is_own(reader, entry)
        ]

    def _is_own(self, reader: Reader, entry: Entry) -> bool:
        if entry.sender is None:
            return entry.origin == reader.key and reader.count >= entry.since
        return entry.sender == reader.name

    def _start(self, reader: Reader) -> int:
        """Return from where on a connection's key has missed something."""
        place = self._places.get(reader.key)
        others = self._readers_of.get(reader.key, ())
        present = [other for other in others if self._is_present(other)]
        if not present:
            return reader.joined if place is None else place
        # Somebody of this key is there. What does not reach it, though, was sent to a phone that
        # has gone and comes back now.
        missing = [first for other in present if (first := self._missing(other)) is not None]
        return max(min(missing, default=reader.joined), place or 0)

    def _is_present(self, other: Reader) -> bool:
        """Return whether a reader stands for its key.

        It does not where a successor has taken over what did not reach it.
        """
        if not other.is_open:
            return False
        missing = self._missing(other)
        return missing is None or missing >= other.handed_on

    def _missing(self, reader: Reader) -> int | None:
        """Return the first entry that a reader with its history has not got, if there is one."""
        unconfirmed = reader.unconfirmed()
        if unconfirmed is not None:
            return unconfirmed
        if reader.next >= self._next:
            return None
        return next((entry.number for entry in self._since_joined(reader)), None)

    def _confirmed(self, reader: Reader) -> int:
        missing = self._missing(reader)
        return self._next if missing is None else missing

    def _place(self, key: str, place: int) -> None:
        self._places[key] = max(self._places.get(key, 0), place)
        self._places.move_to_end(key)
        while len(self._places) > MAX_KEYS:
            self._places.popitem(last=False)

    def _forget_old(self, now: float) -> None:
        while self._entries and (
            len(self._entries) > self._max_entries or self._entries[0].time + self._max_age < now
        ):
            self._identities.discard(self._entries.popleft().identity)


def _load(
    snapshot: Any, identify: Callable[[bytes], Hashable]
) -> tuple[list[Entry], int, dict[str, int]]:
    if not isinstance(snapshot, Mapping) or snapshot["version"] != VERSION:
        raise ValueError("a backlog of another version")
    entries: list[Entry] = []
    last = 0
    for number, time, text, origin in snapshot["entries"]:
        frame = binascii.a2b_base64(text, strict_mode=True)
        if int(number) <= last or not (origin is None or isinstance(origin, str)):
            raise ValueError("no entry")
        last = int(number)
        if not 0 <= time < 1 << 40:
            raise ValueError("no time")
        entries.append(Entry(last, float(time), frame, identify(frame), origin))
    following = int(snapshot["next"])
    places = {str(key): int(place) for key, place in snapshot["places"].items()}
    if following <= last or any(not 0 < place <= following for place in places.values()):
        raise ValueError("no place")
    return entries, following, places
