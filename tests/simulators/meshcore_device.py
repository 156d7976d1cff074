"""The companion firmware's command handler, in software.

Written after MeshCore firmware v1.17.1, examples/companion_radio/MyMesh.cpp: what is answered, in
which order of checks, and what is not checked. It does no I/O: frames come in through `handle`, go
out through `emit`, and what the air does is the business of the mesh behind it.
"""

from collections.abc import Callable
import hashlib
import struct
from typing import Final, Protocol

from .meshcore_state import PUBLIC_SECRET, OfflineQueue, Settings, StoredContact, padded

OK: Final = b"\x00"
UNSUPPORTED: Final = 1
NOT_FOUND: Final = 2
TABLE_FULL: Final = 3
BAD_STATE: Final = 4
ILLEGAL: Final = 6

ACK_RING: Final = 8
SIGN_LIMIT: Final = 8192
OUT_BUFFER: Final = 176


class Air(Protocol):
    """The mesh that a device transmits into. Numbers returned are estimates in milliseconds."""

    def send_text(
        self, contact: StoredContact, kind: int, stamp: int, attempt: int, text: bytes, ack: bytes
    ) -> int:
        """Send a text to a contact."""

    def send_post(self, channel: int, stamp: int, text: bytes) -> None:
        """Send a text on a channel."""

    def send_request(self, contact: StoredContact, kind: str, data: bytes, tag: bytes) -> int:
        """Send a request that is answered later."""

    def send_trace(self, tag: bytes, auth: bytes, flags: int, path: bytes) -> int:
        """Send a trace along a path."""

    def send_other(self, kind: str, data: bytes) -> None:
        """Send something that nobody answers."""


class Device:
    """A companion radio without interface and without air."""

    def __init__(
        self,
        settings: Settings,
        *,
        emit: Callable[[bytes], None],
        clock: Callable[[], float],
        version: int = 13,
        max_contacts: int = 100,
        max_channels: int = 8,
        queue_size: int = 16,
    ) -> None:
        """Start as after a boot."""
        self.settings = settings
        self.emit = emit
        self.clock = clock
        self.version = version
        self.max_contacts = max_contacts
        self.air: Air | None = None
        self.is_app_connected = False
        self.contacts: dict[bytes, StoredContact] = {}
        self.adverts: dict[bytes, bytes] = {}
        self.advert_paths: dict[bytes, tuple[int, bytes]] = {}
        self.channels = [(b"", bytes(16))] * max_channels
        self.channels[0] = (b"Public", PUBLIC_SECRET)
        self.inbox = OfflineQueue(queue_size)
        self.app_version = 0
        self.scope: bytes | None = bytes(16)
        """The key that floods are scoped with; zeros are none set, None is explicitly unscoped."""
        self.pending: tuple[str, bytes] | None = None
        """The one request that may be answered: its kind and tag, or key prefix."""
        self.acks: list[bytes] = []
        self.connections: set[bytes] = set()
        self.battery_mv = 4100
        self.rebooted = False
        self._iterator: list[StoredContact] | None = None
        self._since = 0
        self._newest = 0
        self._clock_offset = 0.0
        self._last_tag = 0
        self._sign_data: bytearray | None = None
        self._out = bytearray(OUT_BUFFER)

    @property
    def now(self) -> int:
        """What the device's clock shows."""
        return int(self.clock() + self._clock_offset)

    def set_clock(self, time: int) -> None:
        """Set the clock, as another app or a boot without one would."""
        self._clock_offset = time - self.clock()

    def unique_tag(self) -> bytes:
        """Return a time that was never returned before (``getCurrentTimeUnique``)."""
        self._last_tag = max(self.now, self._last_tag + 1)
        return self._last_tag.to_bytes(4, "little")

    def reply(self, frame: bytes) -> None:
        """Send a response from the buffer that all responses share."""
        self._out[: len(frame)] = frame
        self.emit(frame)

    def error(self, code: int) -> None:
        """Send an error; it has a buffer of its own."""
        self.emit(bytes([1, code]))

    def push(self, frame: bytes) -> None:
        """Send a push, if an app is there to hear it."""
        if self.is_app_connected:
            self.reply(frame)

    def queue(self, frame: bytes) -> None:
        """Keep a message for the app and say that one waits."""
        self.inbox.put(frame)
        if self.is_app_connected:
            self.emit(b"\x83")

    def find(self, prefix: bytes) -> StoredContact | None:
        """Return the first contact whose key begins like this."""
        return next((c for key, c in self.contacts.items() if key.startswith(prefix)), None)

    def stream_step(self) -> bool:
        """Send the next frame of a running contact list; returns whether one is running."""
        if self._iterator is None:
            return False
        while self._iterator:
            contact = self._iterator.pop(0)
            if contact.lastmod > self._since:
                self._newest = max(self._newest, contact.lastmod)
                self.reply(contact.frame())
                return True
        self._iterator = None
        self.reply(b"\x04" + self._newest.to_bytes(4, "little"))
        return True

    def acknowledged(self, ack: bytes) -> bool:
        """An acknowledgement was heard (``processAck``)."""
        if ack not in self.acks:
            return False
        self.acks.remove(ack)
        self.push(b"\x82" + ack + (321).to_bytes(4, "little"))
        return True

    def handle(self, frame: bytes) -> None:
        """Execute one command."""
        handler = getattr(self, f"_on_{frame[0]}", None)
        if handler is None or handler(frame) is False:
            self.error(UNSUPPORTED)

    def _on_1(self, frame: bytes) -> bool:
        if len(frame) < 8:
            return False
        self._iterator = None
        self.reply(self.settings.self_info())
        return True

    def _on_4(self, frame: bytes) -> None:
        if self._iterator is not None:
            self.error(BAD_STATE)
            return
        self._since = int.from_bytes(frame[1:5], "little") if len(frame) >= 5 else 0
        self._newest = 0
        self._iterator = list(self.contacts.values())
        self.emit(b"\x02" + len(self.contacts).to_bytes(4, "little"))

    def _on_5(self, _frame: bytes) -> None:
        self.emit(b"\x09" + self.now.to_bytes(4, "little"))

    def _on_6(self, frame: bytes) -> bool:
        if len(frame) < 5:
            return False
        wanted = int.from_bytes(frame[1:5], "little")
        if wanted < self.now:
            self.error(ILLEGAL)
        else:
            self.set_clock(wanted)
            self.emit(OK)
        return True

    def _on_10(self, _frame: bytes) -> None:
        self.reply(self.inbox.pop())

    def _on_20(self, _frame: bytes) -> None:
        self.emit(struct.pack("<BHII", 12, self.battery_mv, 120, 1408))

    def _on_22(self, frame: bytes) -> bool:
        if len(frame) < 2:
            return False
        self.app_version = frame[1]
        settings = self.settings
        head = struct.pack(
            "<BBBBI12s40s20s",
            13,
            self.version,
            self.max_contacts // 2,
            len(self.channels),
            settings.pin,
            padded("01 Aug 2026", 12),
            padded("Simulator", 40),
            padded("v1.17.1-sim", 20),
        )
        self.reply(head + bytes([settings.repeat, settings.path_hash_mode]))
        return True

    def _on_23(self, _frame: bytes) -> None:
        self.reply(b"\x0e" + self.settings.private_key)

    def _on_28(self, frame: bytes) -> bool:
        if len(frame) < 33:
            return False
        if frame[1:33] in self.connections:
            self.emit(OK)
        else:
            self.error(NOT_FOUND)
        return True

    def _on_29(self, frame: bytes) -> bool:
        if len(frame) < 33:
            return False
        self.connections.discard(frame[1:33])
        self.emit(OK)
        return True

    def _on_30(self, frame: bytes) -> None:
        contact = self.find(frame[1:33])
        if contact is None:
            self.error(NOT_FOUND)
        else:
            self.reply(contact.frame())

    def _on_31(self, frame: bytes) -> bool:
        if len(frame) < 2:
            return False
        index = frame[1]
        if index >= len(self.channels):
            self.error(NOT_FOUND)
            return True
        name, secret = self.channels[index]
        # The name is copied up to its end only: what the response before had there stays.
        self._out[0:2] = bytes((18, index))
        self._out[2 : 3 + len(name)] = name + b"\0"
        self._out[34:50] = secret
        self.emit(bytes(self._out[:50]))
        return True

    def _on_33(self, _frame: bytes) -> None:
        self._sign_data = bytearray()
        self.reply(b"\x13\x00" + SIGN_LIMIT.to_bytes(4, "little"))

    def _on_34(self, frame: bytes) -> bool:
        if len(frame) < 2:
            return False
        if self._sign_data is None:
            self.error(BAD_STATE)
        else:
            self._sign_data += frame[1:]
            self.emit(OK)
        return True

    def _on_35(self, _frame: bytes) -> None:
        if self._sign_data is None:
            self.error(BAD_STATE)
            return
        signature = hashlib.sha512(self.settings.private_key + self._sign_data).digest()
        self._sign_data = None
        self.reply(b"\x14" + signature)

    def _on_40(self, _frame: bytes) -> None:
        items = ",".join(f"{name}:{value}" for name, value in self.settings.custom.items())
        self.reply(b"\x15" + items.encode())

    def _on_42(self, frame: bytes) -> bool:
        if len(frame) < 34:
            return False
        known = self.advert_paths.get(frame[2:34])
        if known is None:
            self.error(NOT_FOUND)
        else:
            self.reply(b"\x16" + known[0].to_bytes(4, "little") + known[1])
        return True

    def _on_43(self, _frame: bytes) -> None:
        self.reply(struct.pack("<BII", 23, self.settings.rx_delay, self.settings.airtime))

    def _on_56(self, frame: bytes) -> bool:
        if len(frame) < 2:
            return False
        kinds = {
            0: struct.pack("<BBHIHB", 24, 0, self.battery_mv, 3600, 0, 0),
            1: struct.pack("<BBhbbII", 24, 1, -117, -80, 33, 12, 345),
            2: struct.pack("<BBIIIIIII", 24, 2, 100, 50, 30, 20, 60, 40, 3),
        }
        if frame[1] in kinds:
            self.reply(kinds[frame[1]])
        else:
            self.error(ILLEGAL)
        return True

    def _on_59(self, _frame: bytes) -> None:
        self.reply(bytes([25, self.settings.autoadd, self.settings.autoadd_hops]))

    def _on_60(self, _frame: bytes) -> None:
        self.reply(
            b"\x1a" + struct.pack("<6I", *(f for f in (433000, 869495, 918000) for _ in "12"))
        )

    def _on_64(self, _frame: bytes) -> None:
        settings = self.settings
        scope = settings.scope_name.ljust(31, b"\0") + settings.scope_key
        self.reply(b"\x1c" + (scope if settings.scope_name else b""))
