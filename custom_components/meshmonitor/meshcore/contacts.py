"""The device's contact table as we know it: verbatim, and never shorter by mistake.

Apps delete their own contacts when a list that they fetch lacks them, and a radio on Wi-Fi drops
frames of a long list when its output queue of four is full. So a read only takes contacts away
when it had as many as the device announced, and when a second such read agrees.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Final

from .codes import Resp
from .frames import CONTACT_FRAME_SIZE, contact_key, contact_lastmod
from .framing import all_to_app

MAX_CONTACTS: Final = 4000
"""Far more than any radio remembers."""
_START: Final = 4
"""Bytes of a key by which contacts are looked up: messages name their sender by as many or more."""


class ReadResult(Enum):
    """What a read of the whole list was good for."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    """Frames were lost; the list should be read again."""
    UNCONFIRMED = "unconfirmed"
    """Known contacts are gone; the list should be read again before that is believed."""


class ContactTable:
    """Contacts by public key, each as the 148 bytes of its ``CONTACT`` frame."""

    def __init__(self) -> None:
        """Start with nothing known."""
        self.frames: dict[bytes, bytes] = {}
        self.is_complete = False
        """Whether every contact of the device is in here: only then is the list served."""
        self.changed: set[bytes] = set()
        """Keys that were added or changed since someone last cleared this."""
        self.removed: set[bytes] = set()
        """Keys that were removed since someone last cleared this."""
        self._missing: frozenset[bytes] = frozenset()
        self._collected: set[bytes] = set()
        self._touched: set[bytes] = set()
        self._by_start: dict[bytes, list[bytes]] = {}
        self._replay: bytes | None = None

    def clear(self) -> None:
        """Forget everything: another radio answers."""
        for key in tuple(self.frames):
            self._drop(key)
        self.is_complete = False
        self._missing = frozenset()
        self._collected.clear()

    def begin_read(self) -> None:
        """Take note that the device starts to send its list: what changes from now on is newer."""
        self._touched.clear()

    def end_read(self, total: int, received: Iterable[bytes]) -> ReadResult:
        """Take over a list that was read with no ``since``.

        Args:
            total: The number of contacts that the device announced.
            received: The ``CONTACT`` frames that arrived.
        """
        fresh = {contact_key(frame): frame for frame in received}
        if len(self._collected) > MAX_CONTACTS:
            self._collected.clear()
        self._collected |= fresh.keys()
        for key, frame in fresh.items():
            if key not in self._touched:
                self._put(key, frame)
        if len(fresh) < total and len(self._collected) < total:
            return ReadResult.PARTIAL
        if len(fresh) >= total:
            missing = frozenset(self.frames.keys() - fresh.keys() - self._touched)
            if missing and missing != self._missing:
                self._missing = missing
                return ReadResult.UNCONFIRMED
            for key in missing:
                self._drop(key)
            self._reorder(fresh)
        self._missing = frozenset()
        self._collected.clear()
        self.is_complete = True
        return ReadResult.COMPLETE

    def put(self, frame: bytes) -> None:
        """Take over one contact that the device has, from a frame that begins with any code."""
        key = contact_key(frame)
        self._touched.add(key)
        self._put(key, bytes([Resp.CONTACT]) + frame[1:CONTACT_FRAME_SIZE])

    def remove(self, key: bytes) -> None:
        """Forget a contact that the device has no more."""
        self._touched.add(key)
        self._drop(key)

    def serve(self, since: int) -> list[bytes]:
        """Return the response to ``GET_CONTACTS``, as the device itself would give it.

        Args:
            since: Only contacts whose ``lastmod`` is greater are sent; 0 sends all.
        """
        sent: list[bytes] = []
        newest = 0
        for frame in self.frames.values():
            lastmod = contact_lastmod(frame)
            if lastmod > since:
                sent.append(frame)
                newest = max(newest, lastmod)
        return [
            bytes([Resp.CONTACTS_START]) + len(self.frames).to_bytes(4, "little"),
            *sent,
            bytes([Resp.END_OF_CONTACTS]) + newest.to_bytes(4, "little"),
        ]

    def replay(self, since: int) -> bytes:
        """Return what `serve` returns as it travels, in one piece.

        The whole list is what nearly all apps ask for, so it is kept until a contact changes.
        """
        if since:
            return all_to_app(self.serve(since))
        if self._replay is None:
            self._replay = all_to_app(self.serve(0))
        return self._replay

    def with_prefix(self, prefix: bytes) -> bytes | None:
        """Return the frame of the first contact whose key begins like this."""
        keys: Iterable[bytes] = self.frames
        if len(prefix) >= _START:
            keys = self._by_start.get(prefix[:_START], ())
        return next((self.frames[key] for key in keys if key.startswith(prefix)), None)

    def _put(self, key: bytes, frame: bytes) -> None:
        known = self.frames.get(key)
        if known is None and len(self.frames) >= MAX_CONTACTS:
            return
        if known != frame:
            if known is None:
                self._by_start.setdefault(key[:_START], []).append(key)
            self.frames[key] = frame
            self.changed.add(key)
            self.removed.discard(key)
            self._replay = None

    def _drop(self, key: bytes) -> None:
        if self.frames.pop(key, None) is not None:
            alike = self._by_start[key[:_START]]
            alike.remove(key)
            if not alike:
                del self._by_start[key[:_START]]
            self.removed.add(key)
            self.changed.discard(key)
            self._replay = None

    def _reorder(self, fresh: Iterable[bytes]) -> None:
        """Bring the contacts into the device's order; those that came since follow."""
        known = self.frames
        self.frames = {key: known[key] for key in fresh if key in known}
        for key, frame in known.items():
            self.frames.setdefault(key, frame)
        self._by_start.clear()
        for key in self.frames:
            self._by_start.setdefault(key[:_START], []).append(key)
        self._replay = None
