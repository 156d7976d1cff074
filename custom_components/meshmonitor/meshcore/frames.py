"""What the device's responses mean: one frozen dataclass for each, parsed and built.

Parsing is for reading; a frame that is passed on is passed on as it came. All
numbers are little-endian, coordinates are degrees times a million, texts are
UTF-8 without a guaranteed end mark. Every ``parse`` raises `FrameError` for a
frame that is too short or of another kind; longer frames come from newer
firmware and are taken.

Source of the layouts: MeshCore firmware v1.17.1, examples/companion_radio/MyMesh.cpp,
``handleCmdFrame``, ``queueMessage``, ``onChannelMessageRecv``.
"""

from dataclasses import dataclass, field
import struct
from typing import Final, Self

from .codes import KEY_SIZE, NAME_SIZE, PATH_SIZE, PREFIX_SIZE, Err, Push, Resp, TxtType

COORDINATE_SCALE: Final = 1_000_000
SNR_SCALE: Final = 4

_SELF_INFO: Final = struct.Struct("<BBbb32siiBBBBIIBB")
_DEVICE_INFO: Final = struct.Struct("<BBBBI12s40s20s")
_CONTACT: Final = struct.Struct("<B32sBBB64s32sIiiI")
_SENT: Final = struct.Struct("<BB4sI")
_CHANNEL_INFO: Final = struct.Struct("<BB32s16s")
_CONTACT_MESSAGE: Final = struct.Struct("<6sBBI")
_CHANNEL_MESSAGE: Final = struct.Struct("<BBBI")
_CHANNEL_DATA: Final = struct.Struct("<BbBBBBHB")

CONTACT_FRAME_SIZE: Final = _CONTACT.size
DEVICE_INFO_SIZE: Final = 82
CHANNEL_INFO_SIZE: Final = _CHANNEL_INFO.size


class FrameError(ValueError):
    """A frame is not what it was taken for; the text holds no content of it."""


def text_of(raw: bytes) -> str:
    """Return a text up to its end mark; bytes that are not UTF-8 are replaced."""
    return raw.partition(b"\0")[0].decode(errors="replace")


def padded(text: str, size: int) -> bytes:
    """Return a text as a field of ``size`` bytes, cut between characters, ended by a zero."""
    raw = text.encode()[: size - 1].decode(errors="ignore").encode()
    return raw.ljust(size, b"\0")


def require(frame: bytes, codes: tuple[int, ...], size: int) -> None:
    """Raise `FrameError` unless a frame has one of these codes and at least this size."""
    if not frame or frame[0] not in codes:
        raise FrameError(f"not a frame of kind {codes[0]}")
    if len(frame) < size:
        raise FrameError(f"frame of kind {frame[0]} has {len(frame)} bytes, needs {size}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfInfo:
    """The device's own identity and settings, the answer to ``APP_START``."""

    adv_type: int = 1
    tx_power: int
    """dBm."""
    max_tx_power: int
    public_key: bytes
    latitude: int = field(default=0, repr=False)
    longitude: int = field(default=0, repr=False)
    multi_acks: int = 0
    advert_location: int = 0
    telemetry_modes: int = 0
    """Two bits each for base, location and environment, from the low end."""
    manual_add: int = 0
    frequency: int
    """kHz."""
    bandwidth: int
    """Hz."""
    spreading_factor: int
    coding_rate: int
    name: str

    @classmethod
    def parse(cls, frame: bytes) -> Self:
        """Read a ``SELF_INFO`` frame."""
        require(frame, (Resp.SELF_INFO,), _SELF_INFO.size)
        values = _SELF_INFO.unpack_from(frame)
        return cls(
            adv_type=values[1],
            tx_power=values[2],
            max_tx_power=values[3],
            public_key=values[4],
            latitude=values[5],
            longitude=values[6],
            multi_acks=values[7],
            advert_location=values[8],
            telemetry_modes=values[9],
            manual_add=values[10],
            frequency=values[11],
            bandwidth=values[12],
            spreading_factor=values[13],
            coding_rate=values[14],
            name=text_of(frame[_SELF_INFO.size :]),
        )

    def build(self) -> bytes:
        """Return the frame."""
        return (
            _SELF_INFO.pack(
                Resp.SELF_INFO,
                self.adv_type,
                self.tx_power,
                self.max_tx_power,
                self.public_key,
                self.latitude,
                self.longitude,
                self.multi_acks,
                self.advert_location,
                self.telemetry_modes,
                self.manual_add,
                self.frequency,
                self.bandwidth,
                self.spreading_factor,
                self.coding_rate,
            )
            + self.name.encode()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfo:
    """What the firmware is and holds, the answer to ``DEVICE_QUERY``. The PIN is not read."""

    protocol_version: int
    max_contacts: int
    """Sent halved in one byte: an even number up to 510."""
    max_channels: int
    build_date: str
    model: str
    firmware: str
    client_repeat: int | None = None
    """Whether the device repeats for others; None before protocol version 9."""
    path_hash_mode: int | None = None
    """None before protocol version 10."""

    @classmethod
    def parse(cls, frame: bytes) -> Self:
        """Read a ``DEVICE_INFO`` frame."""
        require(frame, (Resp.DEVICE_INFO,), _DEVICE_INFO.size)
        _, version, half, channels, _pin, build, model, firmware = _DEVICE_INFO.unpack_from(frame)
        return cls(
            protocol_version=version,
            max_contacts=half * 2,
            max_channels=channels,
            build_date=text_of(build),
            model=text_of(model),
            firmware=text_of(firmware),
            client_repeat=frame[80] if len(frame) > 80 else None,
            path_hash_mode=frame[81] if len(frame) > 81 else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """One entry of the device's contact table; also what ``NEW_ADVERT`` carries."""

    public_key: bytes
    adv_type: int
    flags: int = 0
    """Bit 0: favourite; bits 1 to 3: what telemetry the contact may read."""
    out_path_len: int = 0xFF
    out_path: bytes = b""
    name: str
    last_advert: int = 0
    """By the contact's own clock, Unix seconds."""
    latitude: int = field(default=0, repr=False)
    longitude: int = field(default=0, repr=False)
    lastmod: int = 0
    """By the device's clock, Unix seconds."""

    @classmethod
    def parse(cls, frame: bytes) -> Self:
        """Read a ``CONTACT`` or ``NEW_ADVERT`` frame."""
        require(frame, (Resp.CONTACT, Push.NEW_ADVERT), CONTACT_FRAME_SIZE)
        values = _CONTACT.unpack_from(frame)
        return cls(
            public_key=values[1],
            adv_type=values[2],
            flags=values[3],
            out_path_len=values[4],
            out_path=values[5],
            name=text_of(values[6]),
            last_advert=values[7],
            latitude=values[8],
            longitude=values[9],
            lastmod=values[10],
        )

    def build(self, code: int = Resp.CONTACT) -> bytes:
        """Return the frame."""
        return _CONTACT.pack(
            code,
            self.public_key,
            self.adv_type,
            self.flags,
            self.out_path_len,
            self.out_path.ljust(PATH_SIZE, b"\0"),
            padded(self.name, NAME_SIZE),
            self.last_advert,
            self.latitude,
            self.longitude,
            self.lastmod,
        )


def contact_key(frame: bytes) -> bytes:
    """Return the public key in a contact frame, or in any push that begins with one."""
    if len(frame) < 1 + KEY_SIZE:
        raise FrameError("no public key in this frame")
    return frame[1 : 1 + KEY_SIZE]


def contact_fields_end(size: int) -> int:
    """Return up to where the firmware reads an ``ADD_UPDATE_CONTACT`` command of this size.

    Position and ``lastmod`` are optional; an app that sends 147 bytes has cut the latter.
    """
    if size < 144:
        return 136
    return 144 if size < CONTACT_FRAME_SIZE else CONTACT_FRAME_SIZE


def contact_lastmod(frame: bytes) -> int:
    """Return when the device last changed the contact of a whole contact frame."""
    return int.from_bytes(frame[CONTACT_FRAME_SIZE - 4 : CONTACT_FRAME_SIZE], "little")


@dataclass(frozen=True, slots=True)
class Sent:
    """A text or request was sent over the air."""

    is_flood: bool
    tag: bytes
    """A text: the acknowledgement to expect (zero for none). A request: what marks its answer."""
    timeout: float
    """How long an answer may take, in seconds, as the device estimates it."""

    @classmethod
    def parse(cls, frame: bytes) -> Self:
        """Read a ``SENT`` frame."""
        require(frame, (Resp.SENT,), _SENT.size)
        _, flood, tag, milliseconds = _SENT.unpack_from(frame)
        return cls(flood == 1, tag, milliseconds / 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactMessage:
    """A text to this node."""

    sender: bytes
    """First six bytes of the sender's public key; a room's, for a signed text."""
    path_len: int
    txt_type: int
    timestamp: int
    """By the sender's clock, Unix seconds."""
    author: bytes = b""
    """First four bytes of the writer's public key; only in signed texts."""
    text: bytes = field(repr=False)
    snr: float | None = None
    """dB; None in frames of protocol versions before 3."""

    @classmethod
    def parse(cls, frame: bytes) -> Self:
        """Read a ``CONTACT_MSG_RECV`` frame of either form."""
        require(frame, (Resp.CONTACT_MSG_RECV, Resp.CONTACT_MSG_RECV_V3), 1)
        snr, body = _split_v3(frame, Resp.CONTACT_MSG_RECV_V3)
        if len(body) < _CONTACT_MESSAGE.size:
            raise FrameError("message frame is too short")
        sender, path_len, txt_type, timestamp = _CONTACT_MESSAGE.unpack_from(body)
        text = body[_CONTACT_MESSAGE.size :]
        signed = txt_type == TxtType.SIGNED_PLAIN
        return cls(
            sender=sender,
            path_len=path_len,
            txt_type=txt_type,
            timestamp=timestamp,
            author=text[:4] if signed else b"",
            text=text[4:] if signed else text,
            snr=snr,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelMessage:
    """A text on a channel, which begins with its sender's name, a colon and a space."""

    channel: int
    path_len: int
    txt_type: int
    timestamp: int
    """By the sender's clock, Unix seconds."""
    text: bytes = field(repr=False)
    snr: float | None = None
    """dB; None in frames of protocol versions before 3."""

    @classmethod
    def parse(cls, frame: bytes) -> Self:
        """Read a ``CHANNEL_MSG_RECV`` frame of either form."""
        require(frame, (Resp.CHANNEL_MSG_RECV, Resp.CHANNEL_MSG_RECV_V3), 1)
        snr, body = _split_v3(frame, Resp.CHANNEL_MSG_RECV_V3)
        if len(body) < _CHANNEL_MESSAGE.size:
            raise FrameError("message frame is too short")
        channel, path_len, txt_type, timestamp = _CHANNEL_MESSAGE.unpack_from(body)
        return cls(
            channel=channel,
            path_len=path_len,
            txt_type=txt_type,
            timestamp=timestamp,
            text=body[_CHANNEL_MESSAGE.size :],
            snr=snr,
        )

    def build(self) -> bytes:
        """Return the frame in its form for protocol version 3 and later."""
        head = struct.pack("<Bbxx", Resp.CHANNEL_MSG_RECV_V3, round((self.snr or 0) * SNR_SCALE))
        body = _CHANNEL_MESSAGE.pack(self.channel, self.path_len, self.txt_type, self.timestamp)
        return head + body + self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelData:
    """A datagram on a channel."""

    channel: int
    path_len: int
    data_type: int
    data: bytes = field(repr=False)
    snr: float

    @classmethod
    def parse(cls, frame: bytes) -> Self:
        """Read a ``CHANNEL_DATA_RECV`` frame."""
        require(frame, (Resp.CHANNEL_DATA_RECV,), _CHANNEL_DATA.size)
        _, snr, _, _, channel, path_len, data_type, size = _CHANNEL_DATA.unpack_from(frame)
        return cls(
            channel=channel,
            path_len=path_len,
            data_type=data_type,
            data=frame[_CHANNEL_DATA.size :][:size],
            snr=snr / SNR_SCALE,
        )


@dataclass(frozen=True, slots=True)
class ChannelInfo:
    """One slot of the device's channel table."""

    index: int
    name: str
    secret: bytes = field(repr=False)

    @property
    def is_empty(self) -> bool:
        """Whether the slot is free."""
        return not self.name and not any(self.secret)

    @classmethod
    def parse(cls, frame: bytes) -> Self:
        """Read a ``CHANNEL_INFO`` frame."""
        require(frame, (Resp.CHANNEL_INFO,), CHANNEL_INFO_SIZE)
        _, index, name, secret = _CHANNEL_INFO.unpack_from(frame)
        return cls(index, text_of(name), secret)


def clean_channel_info(frame: bytes) -> bytes:
    """Return a ``CHANNEL_INFO`` frame with zeros behind the end of the channel's name.

    The firmware copies the name with ``strcpy`` into the buffer of the response before, so up to 31
    bytes of that response follow it: parts of a contact, of another channel's key, or, after an
    export, of the device's private key.
    """
    require(frame, (Resp.CHANNEL_INFO,), CHANNEL_INFO_SIZE)
    name = frame[2 : 2 + NAME_SIZE].partition(b"\0")[0]
    secret = frame[2 + NAME_SIZE : CHANNEL_INFO_SIZE]
    return frame[:2] + name.ljust(NAME_SIZE, b"\0") + secret


@dataclass(frozen=True, slots=True)
class Battery:
    """The device's battery and storage."""

    millivolts: int
    used_kb: int | None = None
    total_kb: int | None = None

    @classmethod
    def parse(cls, frame: bytes) -> Self:
        """Read a ``BATT_AND_STORAGE`` frame; the storage figures are there from v1.7.1 on."""
        require(frame, (Resp.BATT_AND_STORAGE,), 3)
        if len(frame) < 11:
            return cls(int.from_bytes(frame[1:3], "little"))
        return cls(*struct.unpack_from("<HII", frame, 1))


def error_of(frame: bytes) -> Err | None:
    """Return the error that an ``ERR`` frame names; None for other frames and unknown errors."""
    if len(frame) < 2 or frame[0] != Resp.ERR or frame[1] not in set(Err):
        return None
    return Err(frame[1])


def number_at(frame: bytes, offset: int) -> int:
    """Return the unsigned 32-bit number at an offset, or raise `FrameError`."""
    if len(frame) < offset + 4:
        raise FrameError(f"frame has {len(frame)} bytes, needs {offset + 4}")
    return int.from_bytes(frame[offset : offset + 4], "little")


def sender_prefix(frame: bytes) -> bytes:
    """Return the six key bytes that most pushes about a node carry behind a reserved byte."""
    if len(frame) < 2 + PREFIX_SIZE:
        raise FrameError("no key prefix in this frame")
    return frame[2 : 2 + PREFIX_SIZE]


def _split_v3(frame: bytes, v3_code: int) -> tuple[float | None, bytes]:
    """Return signal-to-noise ratio and body of a message frame of either form."""
    if frame[0] != v3_code:
        return None, frame[1:]
    if len(frame) < 4:
        raise FrameError("message frame is too short")
    return int.from_bytes(frame[1:2], signed=True) / SNR_SCALE, frame[4:]
