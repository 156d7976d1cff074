"""The small mesh behind a simulated companion: nodes that acknowledge, answer and advertise."""

from collections.abc import Callable
from dataclasses import dataclass, field
import random
import struct
from typing import Final

from .meshcore_state import CHAT, NO_PATH, REPEATER, ROOM, SENSOR, StoredContact, key_of
from .meshcore_transmit import TransmittingDevice

NEIGHBOUR_REQUEST: Final = 6


@dataclass(slots=True, kw_only=True)
class Peer:
    """One other node."""

    name: str
    kind: int = CHAT
    latitude: int = 0
    longitude: int = 0
    password: bytes = b"password"
    is_silent: bool = False
    """Whether it answers nothing."""
    path: bytes = b"\0"
    """Length byte and hashes of the way to it, learnt with its first answer."""
    millivolts: int = 3987
    key: bytes = b""

    def __post_init__(self) -> None:
        """Derive the key from the name, unless it is given."""
        self.key = self.key or key_of(self.name)

    def packet(self, now: int) -> bytes:
        """Return its advert as a raw packet, with a signature of zeros."""
        flags = 0x80 | self.kind | (0x10 if self.latitude or self.longitude else 0)
        place = struct.pack("<ii", self.latitude, self.longitude) if flags & 0x10 else b""
        stamp = now.to_bytes(4, "little")
        return (
            b"\x11\x00" + self.key + stamp + bytes(64) + bytes([flags]) + place + self.name.encode()
        )

    def contact(self, now: int) -> StoredContact:
        """Return what its advert makes of it in a contact table."""
        return StoredContact(
            key=self.key,
            kind=self.kind,
            name=self.name,
            last_advert=now,
            latitude=self.latitude,
            longitude=self.longitude,
            lastmod=now,
        )


@dataclass(frozen=True, slots=True)
class Transmission:
    """Something that the device sent."""

    kind: str
    """``text``, ``cli``, ``post``, a kind of request, or what `send_other` was told."""
    content: bytes = field(repr=False)
    scope: bytes | None
    """The flood scope at that moment."""


def default_peers() -> list[Peer]:
    """Return a small mesh: two people, a repeater, a room and a sensor."""
    return [
        Peer(name="Bravo", latitude=47_010_000, longitude=8_010_000),
        Peer(name="Charlie 🌲", path=b"\x02\xaa\xbb"),
        Peer(name="Ridge", kind=REPEATER, latitude=47_050_000, longitude=8_050_000),
        Peer(name="Town Hall", kind=ROOM, path=b"\x01\xaa"),
        Peer(name="Weather", kind=SENSOR, latitude=46_990_000, longitude=7_990_000),
    ]


class Mesh:
    """Everything that the device's radio reaches."""

    def __init__(
        self,
        device: TransmittingDevice,
        peers: list[Peer],
        call_later: Callable[[float, Callable[[], None]], object],
        *,
        delay: float = 0.02,
        timeout_ms: int = 4000,
    ) -> None:
        """Put peers around a device.

        Args:
            device: The companion.
            peers: The other nodes.
            call_later: Runs something after some seconds.
            delay: How long an answer takes, in seconds.
            timeout_ms: What the device estimates for it.
        """
        self.device = device
        self.peers = {peer.key: peer for peer in peers}
        self.delay = delay
        self.timeout_ms = timeout_ms
        self.transmissions: list[Transmission] = []
        self.on_transmission: Callable[[], None] = lambda: None
        self._later = call_later
        device.air = self

    def peer(self, name: str) -> Peer:
        """Return a peer by its name."""
        return next(peer for peer in self.peers.values() if peer.name == name)

    def advertise(self, name: str) -> None:
        """Let a peer send its advert."""
        peer, now = self.peer(name), self.device.now
        self.device.heard_advert(peer.contact(now), peer.packet(now))

    def say(self, name: str, text: str, *, stamp: int | None = None) -> None:
        """Let a peer send a direct text to the device."""
        moment = self.device.now if stamp is None else stamp
        self.device.heard_text(self.peer(name).key, moment, text.encode())

    def post_in(self, room: str, name: str, text: str) -> None:
        """Let a room server hand on what a peer has posted there."""
        key, author = self.peer(room).key, self.peer(name).key[:4]
        self.device.heard_text(key, self.device.now, text.encode(), kind=2, author=author)

    def post(self, name: str, text: str, *, channel: int = 0, stamp: int | None = None) -> None:
        """Let a peer, or anyone of that name, send a text on a channel."""
        moment = self.device.now if stamp is None else stamp
        self.device.heard_post(channel, moment, f"{name}: {text}".encode())

    def of_kind(self, kind: str) -> list[Transmission]:
        """Return what was sent of one kind."""
        return [sent for sent in self.transmissions if sent.kind == kind]

    def _note(self, kind: str, content: bytes) -> None:
        self.transmissions.append(Transmission(kind, content, self.device.scope))
        self.on_transmission()

    def _answering(self, contact: StoredContact) -> Peer | None:
        peer = self.peers.get(contact.key)
        return None if peer is None or peer.is_silent else peer

    def send_text(self, contact: StoredContact, kind: int, stamp: int, attempt: int, text: bytes,
                  ack: bytes) -> int:  # fmt: skip
        """Carry a text to a contact; a person acknowledges it, a server answers a command."""
        self._note("text" if kind == 0 else "cli", text)
        peer = self._answering(contact)
        if peer is not None and kind == 0:
            self._later(self.delay, lambda: self._acknowledge(contact, peer, ack, text, stamp))
        elif peer is not None:
            answer = b"> " + text
            self._later(
                self.delay,
                lambda: self.device.heard_text(contact.key, self.device.now, answer, kind=1),
            )
        return self.timeout_ms + 0 * attempt

    def _acknowledge(
        self, contact: StoredContact, peer: Peer, ack: bytes, text: bytes, stamp: int
    ) -> None:
        self._learn_path(contact, peer)
        self.device.acknowledged(ack)
        if text.startswith(b"ping"):
            self.device.heard_text(peer.key, stamp, b"pong" + text[4:])

    def _learn_path(self, contact: StoredContact, peer: Peer) -> None:
        if contact.path_len == NO_PATH and contact.key in self.device.contacts:
            contact.path_len = peer.path[0]
            contact.path = peer.path[1:].ljust(64, b"\0")
            contact.lastmod = self.device.now
            self.device.push(b"\x81" + contact.key)

    def send_post(self, channel: int, stamp: int, text: bytes) -> None:
        """Carry a text on a channel; nobody acknowledges it."""
        self._note("post", bytes([channel]) + stamp.to_bytes(4, "little") + text)

    def send_other(self, kind: str, data: bytes) -> None:
        """Carry something that nobody answers."""
        self._note(kind, data)

    def send_trace(self, tag: bytes, auth: bytes, flags: int, path: bytes) -> int:
        """Carry a trace along its path and back."""
        self._note("trace", tag + path)
        hops = len(path) >> (flags & 3)
        snrs = bytes(range(40, 40 + hops))
        frame = b"\x89\x00" + bytes((len(path), flags)) + tag + auth + path + snrs + b"\x30"
        self._later(self.delay, lambda: self.device.push(frame))
        return self.timeout_ms

    def send_request(self, contact: StoredContact, kind: str, data: bytes, tag: bytes) -> int:
        """Carry a request to a contact; what it answers arrives later, if it is still wanted."""
        self._note(kind, data)
        peer = self._answering(contact)
        if peer is not None:
            answer = self._answer(peer, kind, data)
            if answer is not None:
                self._later(self.delay, lambda: self._deliver(contact, peer, kind, tag, answer))
        return self.timeout_ms

    def _deliver(
        self, contact: StoredContact, peer: Peer, kind: str, tag: bytes, answer: bytes
    ) -> None:
        if kind != "discovery":
            self._learn_path(contact, peer)
        if kind not in ("discovery", "login"):
            # What is left of the last cipher block, which began with the tag, comes along.
            answer += bytes(-(4 + len(answer)) % 16)
        self.device.answered(kind, contact, tag, answer)

    def _answer(self, peer: Peer, kind: str, data: bytes) -> bytes | None:
        if kind == "login":
            return b"\x01\x03\x02" if data == peer.password else b""
        if kind == "status":
            blob = status_blob(peer.millivolts)
            # A room server counts posts where a repeater has air time.
            return blob if peer.kind != ROOM else blob[:48] + struct.pack("<HH", 12, 34)
        if kind == "telemetry":
            return telemetry_blob(peer)
        if kind == "discovery":
            return peer.path + peer.path
        if kind == "binary":
            kinds = {
                1: status_blob(peer.millivolts),
                3: telemetry_blob(peer),
                NEIGHBOUR_REQUEST: self._neighbours(peer, data[6] if len(data) > 6 else 4),
            }
            return kinds.get(data[0])
        return b"\x01\x02" + data

    def _neighbours(self, peer: Peer, size: int) -> bytes:
        """Return whom a peer hears: all others, by a prefix of this size, and how well."""
        others = [other for other in self.peers.values() if other is not peer]
        entries = (other.key[:size] + (60).to_bytes(4, "little") + b"\xec" for other in others)
        return struct.pack("<HH", len(others), len(others)) + b"".join(entries)


def status_blob(millivolts: int, *, size: int = 56) -> bytes:
    """Return a repeater's status in one of its sizes: 48, 52 or 56 bytes."""
    blob = struct.pack(
        "<HHhhIIIIIIIIHhHHII",
        millivolts, 1, -118, -72, 1000, 500, 60, 86400, 100, 400, 600, 400, 0, 41, 7, 9, 222, 5,
    )  # fmt: skip
    return blob[:size]


def telemetry_blob(peer: Peer) -> bytes:
    """Return what a node tells of itself: voltage, and a sensor's temperature, humidity, place."""
    blob = struct.pack(">BBH", 1, 116, peer.millivolts // 10)
    if peer.kind == SENSOR:
        blob += struct.pack(">BBhBBB", 1, 103, -35, 1, 104, 121)
        place = (peer.latitude // 100, peer.longitude // 100, 43210)
        blob += b"\x01\x88" + b"".join(part.to_bytes(3, signed=True) for part in place)
    return blob


def crowd(count: int, seed: int = 1) -> list[Peer]:
    """Return a mesh of any size."""
    rng = random.Random(seed)
    kinds = (CHAT, CHAT, CHAT, REPEATER, ROOM)
    return [
        Peer(
            name=f"Node {number:03}",
            kind=kinds[number % len(kinds)],
            latitude=47_000_000 + rng.randrange(-90_000, 90_000),
            longitude=8_000_000 + rng.randrange(-90_000, 90_000),
        )
        for number in range(count)
    ]
