"""What the device's own messages mean: acknowledgements, remote answers, what was heard.

As in `frames`: parsing is for reading, longer frames are taken, too short ones raise `FrameError`.
Source: MeshCore firmware v1.17.1, examples/companion_radio/MyMesh.cpp (``onContactResponse``,
``onTraceRecv``, ``processAck``, ``logRxRaw`` and others); the status block is ``RepeaterStats`` of
examples/simple_repeater/MyMesh.h.
"""

from dataclasses import dataclass, field
import struct
from typing import ClassVar, Final, Self

from .codes import PREFIX_SIZE, Push
from .frames import SNR_SCALE, FrameError, number_at, require, sender_prefix

_STATUS: Final = struct.Struct("<HHhhIIIIIIIIHhHH")
_TRACE: Final = struct.Struct("<BBBB4s4s")


@dataclass(frozen=True, slots=True)
class SendConfirmed:
    """The recipient of a direct text acknowledged it."""

    ack: bytes
    round_trip: float
    """Seconds."""

    @classmethod
    def parse(cls, frame: bytes) -> Self:
        """Read a ``SEND_CONFIRMED`` frame."""
        require(frame, (Push.SEND_CONFIRMED,), 9)
        return cls(frame[1:5], number_at(frame, 5) / 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginResult:
    """A room or repeater let this node in, or did not."""

    sender: bytes
    is_success: bool
    is_admin: bool = False
    server_time: int | None = None
    permissions: int | None = None
    """The access-control byte; None from old servers, with frames of 8 bytes."""
    firmware_level: int | None = None

    @classmethod
    def parse(cls, frame: bytes) -> Self:
        """Read a ``LOGIN_SUCCESS`` or ``LOGIN_FAIL`` frame."""
        require(frame, (Push.LOGIN_SUCCESS, Push.LOGIN_FAIL), 2 + PREFIX_SIZE)
        sender = sender_prefix(frame)
        if frame[0] == Push.LOGIN_FAIL:
            return cls(sender=sender, is_success=False)
        is_long = len(frame) >= 14
        return cls(
            sender=sender,
            is_success=True,
            is_admin=bool(frame[1] & 1),
            server_time=number_at(frame, 8) if is_long else None,
            permissions=frame[12] if is_long else None,
            firmware_level=frame[13] if is_long else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteStatus:
    """What a repeater or room says of itself."""

    millivolts: int
    tx_queue: int
    noise_floor: int
    """dBm."""
    last_rssi: int
    """dBm."""
    packets_received: int
    packets_sent: int
    tx_air_time: int
    """Seconds."""
    uptime: int
    """Seconds."""
    sent_flood: int
    sent_direct: int
    received_flood: int
    received_direct: int
    error_flags: int
    last_snr: float
    """dB."""
    direct_duplicates: int
    flood_duplicates: int
    rx_air_time: int | None = None
    """Seconds; None in the shortest form, of 48 bytes."""
    receive_errors: int | None = None
    """None in forms shorter than 56 bytes."""

    @classmethod
    def parse(cls, blob: bytes) -> Self:
        """Read the status block of 48, 52 or 56 bytes that a status answer carries."""
        if len(blob) < _STATUS.size:
            raise FrameError(f"status of {len(blob)} bytes, needs {_STATUS.size}")
        values = _STATUS.unpack_from(blob)
        return cls(
            millivolts=values[0],
            tx_queue=values[1],
            noise_floor=values[2],
            last_rssi=values[3],
            packets_received=values[4],
            packets_sent=values[5],
            tx_air_time=values[6],
            uptime=values[7],
            sent_flood=values[8],
            sent_direct=values[9],
            received_flood=values[10],
            received_direct=values[11],
            error_flags=values[12],
            last_snr=values[13] / SNR_SCALE,
            direct_duplicates=values[14],
            flood_duplicates=values[15],
            rx_air_time=number_at(blob, 48) if len(blob) >= 52 else None,
            receive_errors=number_at(blob, 52) if len(blob) >= 56 else None,
        )


@dataclass(frozen=True, slots=True)
class RemoteData:
    """An answer that is known by its sender's key: status or telemetry."""

    sender: bytes
    data: bytes = field(repr=False)

    @classmethod
    def parse(cls, frame: bytes) -> Self:
        """Read a ``STATUS_RESPONSE`` or ``TELEMETRY_RESPONSE`` frame."""
        require(frame, (Push.STATUS_RESPONSE, Push.TELEMETRY_RESPONSE), 2 + PREFIX_SIZE)
        return cls(sender_prefix(frame), frame[2 + PREFIX_SIZE :])


@dataclass(frozen=True, slots=True)
class BinaryAnswer:
    """An answer that is known by the tag in the ``SENT`` response to its request."""

    tag: bytes
    data: bytes = field(repr=False)

    @classmethod
    def parse(cls, frame: bytes) -> Self:
        """Read a ``BINARY_RESPONSE`` frame."""
        require(frame, (Push.BINARY_RESPONSE,), 6)
        return cls(frame[2:6], frame[6:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A traced path that came back."""

    tag: bytes
    flags: int
    hashes: tuple[bytes, ...]
    """The relays' key prefixes, in the order of the path."""
    snrs: tuple[float, ...]
    """dB: how well each relay heard the one before it, and last how well this node heard it."""

    @classmethod
    def parse(cls, frame: bytes) -> Self:
        """Read a ``TRACE_DATA`` frame."""
        require(frame, (Push.TRACE_DATA,), _TRACE.size)
        _, _, path_len, flags, tag, _auth = _TRACE.unpack_from(frame)
        size = 1 << (flags & 3)
        hops = path_len // size
        if len(frame) < _TRACE.size + path_len + hops + 1:
            raise FrameError("trace frame is too short")
        path = frame[_TRACE.size : _TRACE.size + path_len]
        heard = frame[_TRACE.size + path_len :][: hops + 1]
        return cls(
            tag=tag,
            flags=flags,
            hashes=tuple(path[at : at + size] for at in range(0, hops * size, size)),
            snrs=tuple(snr / SNR_SCALE for snr in struct.unpack(f"{len(heard)}b", heard)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PathDiscovery:
    """The ways to a contact and back."""

    sender: bytes
    out_path: tuple[bytes, ...]
    in_path: tuple[bytes, ...]

    @classmethod
    def parse(cls, frame: bytes) -> Self:
        """Read a ``PATH_DISCOVERY_RESPONSE`` frame."""
        require(frame, (Push.PATH_DISCOVERY_RESPONSE,), 10)
        out_path, at = _read_path(frame, 2 + PREFIX_SIZE)
        in_path, _ = _read_path(frame, at)
        return cls(sender=sender_prefix(frame), out_path=out_path, in_path=in_path)


@dataclass(frozen=True, slots=True)
class RawReception:
    """A packet that was heard, as it was on the air."""

    OFFSET: ClassVar[int] = 3
    """Where the packet begins in the frame."""

    snr: float
    rssi: int
    packet: bytes = field(repr=False)

    @classmethod
    def parse(cls, frame: bytes) -> Self:
        """Read a ``LOG_RX_DATA`` frame."""
        require(frame, (Push.LOG_RX_DATA,), cls.OFFSET)
        snr, rssi = struct.unpack_from("bb", frame, 1)
        return cls(snr / SNR_SCALE, rssi, frame[cls.OFFSET :])


def hop_count(path_len: int) -> int | None:
    """Return how many hops a path-length byte stands for; None where it says nothing.

    The low six bits count the hops, the two high bits are the size of a hop's hash less one (from
    v1.14). 0xFF is no path: a received message then came over a known, direct route.
    """
    return None if path_len == 0xFF else path_len & 0x3F


def path_hops(path_len: int, path: bytes) -> tuple[bytes, ...]:
    """Return the hops of a path as key prefixes, as many as the bytes hold."""
    if path_len == 0xFF:
        return ()
    size = (path_len >> 6) + 1
    count = min(path_len & 0x3F, len(path) // size)
    return tuple(path[at : at + size] for at in range(0, count * size, size))


def _read_path(frame: bytes, at: int) -> tuple[tuple[bytes, ...], int]:
    """Return a path that stands behind its length byte, and where it ends."""
    if at >= len(frame):
        raise FrameError("path frame is too short")
    length = frame[at]
    size = (length & 0x3F) * ((length >> 6) + 1)
    end = at + 1 + size
    if end > len(frame):
        raise FrameError("path frame is too short")
    return path_hops(length, frame[at + 1 : end]), end
