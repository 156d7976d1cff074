"""What a simulated MeshCore companion keeps: settings, contacts, channels, waiting messages.

Values and layouts as in MeshCore firmware v1.17.1, examples/companion_radio.
"""

from dataclasses import dataclass, field
import hashlib
import struct
from typing import Final

CHAT: Final = 1
REPEATER: Final = 2
ROOM: Final = 3
SENSOR: Final = 4

PUBLIC_SECRET: Final = bytes.fromhex("8b3387e9c5cdea6ac9e5edbaa115cd72")
NO_PATH: Final = 0xFF


def key_of(name: str) -> bytes:
    """Return the public key that a simulated node of this name has."""
    return hashlib.sha256(b"public key of " + name.encode()).digest()


def padded(text: str | bytes, size: int) -> bytes:
    """Return a text as a field of fixed size, ended by a zero."""
    raw = text.encode() if isinstance(text, str) else text
    return raw[: size - 1].ljust(size, b"\0")


@dataclass(slots=True, kw_only=True)
class Settings:
    """What the firmware keeps in its preferences."""

    name: str = "Hilltop"
    public_key: bytes = b""
    private_key: bytes = b""
    latitude: int = 47_000_000
    longitude: int = 8_000_000
    tx_power: int = 20
    max_tx_power: int = 22
    frequency: int = 869_618
    bandwidth: int = 62_500
    spreading_factor: int = 8
    coding_rate: int = 8
    repeat: int = 0
    multi_acks: int = 0
    location_policy: int = 0
    telemetry_modes: int = 0
    manual_add: int = 0
    pin: int = 123456
    path_hash_mode: int = 0
    autoadd: int = 0
    autoadd_hops: int = 0
    scope_name: bytes = b""
    scope_key: bytes = bytes(16)
    rx_delay: int = 0
    airtime: int = 1000
    custom: dict[str, str] = field(default_factory=lambda: {"gps": "0", "gps_interval": "0"})

    def __post_init__(self) -> None:
        """Derive the keys from the name, unless they are given."""
        self.public_key = self.public_key or key_of(self.name)
        self.private_key = self.private_key or hashlib.sha512(self.name.encode()).digest()

    def self_info(self) -> bytes:
        """Return the ``SELF_INFO`` response."""
        return (
            struct.pack(
                "<BBbb32siiBBBBIIBB",
                5,
                CHAT,
                self.tx_power,
                self.max_tx_power,
                self.public_key,
                self.latitude,
                self.longitude,
                self.multi_acks,
                self.location_policy,
                self.telemetry_modes,
                self.manual_add,
                self.frequency,
                self.bandwidth,
                self.spreading_factor,
                self.coding_rate,
            )
            + self.name.encode()
        )


@dataclass(slots=True, kw_only=True)
class StoredContact:
    """One entry of the contact table."""

    key: bytes
    kind: int = CHAT
    flags: int = 0
    path_len: int = NO_PATH
    path: bytes = bytes(64)
    name: str = ""
    last_advert: int = 0
    latitude: int = 0
    longitude: int = 0
    lastmod: int = 0

    def frame(self, code: int = 3) -> bytes:
        """Return the ``CONTACT`` (or, with 0x8A, ``NEW_ADVERT``) frame."""
        return struct.pack(
            "<B32sBBB64s32sIiiI",
            code,
            self.key,
            self.kind,
            self.flags,
            self.path_len,
            self.path,
            padded(self.name, 32),
            self.last_advert,
            self.latitude,
            self.longitude,
            self.lastmod,
        )

    def update(self, frame: bytes, now: int) -> None:
        """Take over an ``ADD_UPDATE_CONTACT`` command (``updateContactFromFrame``)."""
        self.kind, self.flags, self.path_len = frame[33:36]
        self.path = frame[36:100]
        self.name = frame[100:132].partition(b"\0")[0].decode(errors="replace")
        self.last_advert = int.from_bytes(frame[132:136], "little")
        self.lastmod = now
        if len(frame) >= 144:
            self.latitude, self.longitude = struct.unpack_from("<ii", frame, 136)
            if len(frame) >= 148:
                self.lastmod = int.from_bytes(frame[144:148], "little")


class OfflineQueue:
    """Messages that no app has fetched: when it is full, the oldest channel message goes."""

    def __init__(self, size: int) -> None:
        """Start empty."""
        self.size = size
        self.frames: list[bytes] = []

    def put(self, frame: bytes) -> bool:
        """Add a message; returns whether it was kept (``addToOfflineQueue``)."""
        if len(self.frames) >= self.size:
            oldest = next((f for f in self.frames if f[0] in (8, 17, 27)), None)
            if oldest is None:
                return False
            self.frames.remove(oldest)
        self.frames.append(frame)
        return True

    def pop(self) -> bytes:
        """Return the oldest message, or ``NO_MORE_MESSAGES``."""
        return self.frames.pop(0) if self.frames else b"\x0a"
