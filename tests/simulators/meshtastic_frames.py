"""The Meshtastic stream envelope as the firmware reads and writes it.

Source: `src/mesh/StreamAPI.cpp` of the firmware. A frame is 0x94 0xC3, the payload's length as an
unsigned 16-bit big-endian number, and the payload.
"""

from typing import Final

START1: Final = 0x94
START2: Final = 0xC3
HEADER_SIZE: Final = 4
MAX_PAYLOAD: Final = 512
"""Bytes in the largest payload (`MAX_TO_FROM_RADIO_SIZE`)."""


def frame(payload: bytes) -> bytes:
    """Return `payload` in its envelope. Any length is accepted, so that tests can oversize one."""
    return bytes((START1, START2)) + len(payload).to_bytes(2) + payload


class FrameReader:
    """Cuts a byte stream into payloads with the firmware's own habits.

    Bytes outside frames are skipped. A second start byte that does not fit is consumed together
    with the first one, so `94 94 C3` is not a frame; a length over the limit sends the reader back
    to searching after the four header bytes.
    """

    def __init__(self) -> None:
        """Start with nothing read."""
        self._buffer = bytearray()
        self.skipped = 0
        """Bytes seen outside frames so far, a client's wake-up bytes included."""

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next `data` and return the payloads that it completes, in order."""
        buffer = self._buffer
        buffer += data
        payloads: list[bytes] = []
        at = 0
        while True:
            start = buffer.find(START1, at)
            end = len(buffer)
            if start < 0:
                self.skipped += end - at
                at = end
                break
            self.skipped += start - at
            at = start
            if end - at < 2:
                break
            if buffer[at + 1] != START2:
                self.skipped += 2
                at += 2
                continue
            if end - at < HEADER_SIZE:
                break
            length = int.from_bytes(buffer[at + 2 : at + HEADER_SIZE])
            if length > MAX_PAYLOAD:
                self.skipped += HEADER_SIZE
                at += HEADER_SIZE
                continue
            if end - at < HEADER_SIZE + length:
                break
            payloads.append(bytes(buffer[at + HEADER_SIZE : at + HEADER_SIZE + length]))
            at += HEADER_SIZE + length
        del buffer[:at]
        return payloads
