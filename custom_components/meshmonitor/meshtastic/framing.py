"""Meshtastic stream framing: bytes to frames and back, without I/O.

A frame is ``0x94 0xC3``, the payload's length as an unsigned 16-bit big-endian number, and the
payload, one serialised ``ToRadio`` or ``FromRadio`` (firmware ``src/mesh/StreamAPI.cpp``).
"""

from typing import Final

START1: Final = 0x94
START2: Final = 0xC3
HEADER_SIZE: Final = 4
MAX_PAYLOAD: Final = 512
"""``MAX_TO_FROM_RADIO_SIZE`` in the firmware's ``src/mesh/PhoneAPI.h``."""

_MARKER: Final = bytes((START1, START2))


class FrameTooLongError(ValueError):
    """A payload is longer than any receiver would accept."""


def encode(payload: bytes) -> bytes:
    """Return the frame for one payload.

    Raises:
        FrameTooLongError: The payload has more than `MAX_PAYLOAD` bytes.
    """
    size = len(payload)
    if size > MAX_PAYLOAD:
        raise FrameTooLongError(f"payload of {size} bytes, at most {MAX_PAYLOAD} fit")
    return b"\x94\xc3" + size.to_bytes(2) + payload


class FrameDecoder:
    """Finds the frames in a stream of bytes that may hold anything between them.

    Radios write log text between frames, and apps write wake-up bytes before them: Python sends
    0xC3 32 times, Android sends 0x94 four times directly before a frame. So a second byte that is
    no 0xC3 is looked at again as a first byte, and a lone 0x94 at the end of a chunk is kept.
    At most one frame's worth of bytes is held back between calls.
    """

    def __init__(self, *, keep_stray: int = 0) -> None:
        """Start with nothing received.

        Args:
            keep_stray: How many of the bytes outside frames are kept, for who can read them.
        """
        self._pending = b""
        self._partial_since: float | None = None
        self._keep_stray = keep_stray
        self.stray = b""
        """The last bytes that stood outside every frame, as many as are kept."""
        self.skipped_bytes = 0
        """Bytes that stood outside every frame."""
        self.oversize_frames = 0
        """Headers that announced more than `MAX_PAYLOAD` bytes."""

    @property
    def partial_since(self) -> float | None:
        """When the frame that is still incomplete began to arrive, in the caller's clock."""
        return self._partial_since

    def feed(self, data: bytes, now: float = 0.0) -> list[bytes]:
        """Take the next bytes of the stream and return the payloads of all frames now complete.

        Args:
            data: What arrived, cut anywhere.
            now: The caller's clock, in seconds, for `partial_since`.
        """
        buffer = self._pending + data if self._pending else data
        payloads: list[bytes] = []
        position = 0
        end = len(buffer)
        while True:
            start = buffer.find(_MARKER, position)
            if start < 0:
                # A first marker byte at the very end may be half of a marker.
                keep = end - 1 if end > position and buffer[end - 1] == START1 else end
                self._skip(buffer[position:keep])
                position = keep
                break
            if start > position:
                self._skip(buffer[position:start])
            position = start
            if end - start < HEADER_SIZE:
                break
            size = (buffer[start + 2] << 8) | buffer[start + 3]
            if size > MAX_PAYLOAD:
                # The firmware looks for the next marker right behind this one.
                self.oversize_frames += 1
                self.skipped_bytes += 2
                position = start + 2
                continue
            frame_end = start + HEADER_SIZE + size
            if frame_end > end:
                break
            payloads.append(buffer[start + HEADER_SIZE : frame_end])
            position = frame_end
        self._pending = buffer[position:]
        if not self._pending:
            self._partial_since = None
        elif position or self._partial_since is None:
            # What is pending now began in these bytes, not in those of an earlier call.
            self._partial_since = now
        return payloads

    def _skip(self, data: bytes) -> None:
        self.skipped_bytes += len(data)
        if self._keep_stray:
            self.stray = (self.stray + data)[-self._keep_stray :]

    def abandon_partial(self, now: float = 0.0) -> list[bytes]:
        """Give up waiting for the rest of a frame and look for frames inside what came of it.

        A header whose body never follows would otherwise swallow the good frames that come next.

        Args:
            now: The caller's clock, in seconds, for `partial_since`.

        Returns:
            The payloads of complete frames found behind the abandoned marker.
        """
        pending = self._pending
        self._pending = b""
        self._partial_since = None
        if not pending:
            return []
        self.skipped_bytes += 1
        return self.feed(pending[1:], now)
