"""Bytes to frames and back, on a serial line or a TCP stream.

Every frame travels as one marker byte, its length as an unsigned 16-bit
little-endian number, and its payload. ``<`` marks what an app sends, ``>``
what a device sends; a decoder knows one of the two, because a server that
confuses them is not understood by anybody.

Source: MeshCore firmware v1.17.1, src/helpers/ArduinoSerialInterface.cpp and
src/helpers/BaseSerialInterface.h.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
import struct
from typing import Final

APP_MARKER: Final = 0x3C
DEVICE_MARKER: Final = 0x3E
_HEADER: Final = struct.Struct("<BH")
HEADER_SIZE: Final = _HEADER.size

MAX_FRAME_SIZE: Final = 176
"""Longest payload that firmware from v1.16.0 on sends or takes (172 before)."""

MAX_TOLERATED_SIZE: Final = 300
"""Longest payload taken from a device; a greater length is not a frame at all."""


def encode_frame(marker: int, payload: bytes) -> bytes:
    """Put the envelope around one payload of 1 to 65535 bytes."""
    return _HEADER.pack(marker, len(payload)) + payload


def to_device(payload: bytes) -> bytes:
    """Return the bytes that carry a command to a device."""
    return encode_frame(APP_MARKER, payload)


def to_app(payload: bytes) -> bytes:
    """Return the bytes that carry a response or a push to an app."""
    return encode_frame(DEVICE_MARKER, payload)


def all_to_app(payloads: Iterable[bytes]) -> bytes:
    """Return the bytes that carry several responses or pushes to an app, in one piece."""
    return b"".join(map(to_app, payloads))


@dataclass(slots=True)
class FramingCounters:
    """What a decoder met that was not a good frame."""

    junk_bytes: int = 0
    empty_frames: int = 0
    oversize_frames: int = 0


@dataclass(slots=True)
class DeviceStreamDecoder:
    """Take frames out of what a device sends.

    A radio mixes debug text into its serial line, so bytes outside a frame are
    skipped one at a time, and a marker that is followed by an impossible
    length was text. At most one unfinished frame is kept.
    """

    counters: FramingCounters = field(default_factory=FramingCounters)
    _buffer: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> list[bytes]:
        """Return the payloads that are complete now, in their order."""
        buffer = self._buffer
        buffer += data
        frames: list[bytes] = []
        at = 0
        while True:
            start = buffer.find(DEVICE_MARKER, at)
            if start < 0:
                start = len(buffer)
            self.counters.junk_bytes += start - at
            at = start
            if len(buffer) - at < HEADER_SIZE:
                break
            length = buffer[at + 1] | buffer[at + 2] << 8
            if length > MAX_TOLERATED_SIZE:
                self.counters.oversize_frames += 1
                self.counters.junk_bytes += 1
                at += 1
                continue
            end = at + HEADER_SIZE + length
            if end > len(buffer):
                break
            if length:
                frames.append(bytes(buffer[at + HEADER_SIZE : end]))
            else:
                self.counters.empty_frames += 1
            at = end
        del buffer[:at]
        return frames

    def reset(self) -> None:
        """Forget an unfinished frame, because the stream behind it is gone."""
        self._buffer.clear()


@dataclass(slots=True)
class AppStreamDecoder:
    """Take commands out of what an app sends.

    A command that is too long is skipped to its end, never searched for
    further commands: text inside it could be made to look like one. It is
    handed on cut one byte above the limit, so that it can be refused by its
    length and the app gets an answer. At most that much of it is kept; the
    rest is junk, and counts as such against who sends much of it.
    """

    counters: FramingCounters = field(default_factory=FramingCounters)
    _header: bytearray = field(default_factory=bytearray)
    _payload: bytearray = field(default_factory=bytearray)
    _missing: int = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the payloads that are complete now, in their order."""
        frames: list[bytes] = []
        at = 0
        while at < len(data):
            if self._missing:
                taken = min(self._missing, len(data) - at)
                kept = min(taken, MAX_FRAME_SIZE + 1 - len(self._payload))
                self._payload += data[at : at + kept]
                self.counters.junk_bytes += taken - kept
                at += taken
                self._missing -= taken
                if not self._missing:
                    frames.append(bytes(self._payload))
                    self._payload.clear()
                continue
            at = self._read_header(data, at)
        return frames

    def _read_header(self, data: bytes, at: int) -> int:
        """Collect header bytes from ``at`` on; return where to go on."""
        if not self._header:
            start = data.find(APP_MARKER, at)
            if start < 0:
                start = len(data)
            self.counters.junk_bytes += start - at
            if start == len(data):
                return start
            at = start
        taken = data[at : at + HEADER_SIZE - len(self._header)]
        self._header += taken
        if len(self._header) == HEADER_SIZE:
            self._missing = self._header[1] | self._header[2] << 8
            self._header.clear()
            if not self._missing:
                self.counters.empty_frames += 1
            elif self._missing > MAX_FRAME_SIZE:
                self.counters.oversize_frames += 1
        return at + len(taken)

    @property
    def unfinished(self) -> bool:
        """Whether a frame has begun and not ended."""
        return bool(self._header) or self._missing > 0
