"""How to ask each kind of radio for everything it knows, and where its answer ends."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
import struct
from typing import Final

from meshtastic.protobuf import mesh_pb2

NONCE: Final = 0x5EED


@dataclass(frozen=True, slots=True)
class Step:
    """One question of a handshake."""

    request: bytes
    """With its envelope."""
    ends: Callable[[bytes], bool]
    """Whether a payload is the last one of the answer."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What the bench has to know of a protocol."""

    name: str
    header: int
    """Bytes in front of a payload."""
    length: Callable[[bytes], int]
    """Returns a payload's length, from the header in front of it."""
    steps: tuple[Step, ...]
    """A handshake, a question at a time."""

    def cut(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Return the whole frames in a piece of a stream, envelopes included, and what is left."""
        frames: list[bytes] = []
        position = 0
        while len(data) - position >= self.header:
            body = position + self.header
            end = body + self.length(data[position:body])
            if end > len(data):
                break
            frames.append(data[position:end])
            position = end
        return frames, data[position:]


def meshtastic_frame(payload: bytes) -> bytes:
    """Return a Meshtastic payload in its envelope."""
    return b"\x94\xc3" + len(payload).to_bytes(2) + payload


def meshcore_command(payload: bytes) -> bytes:
    """Return a MeshCore command in its envelope."""
    return b"<" + len(payload).to_bytes(2, "little") + payload


def meshcore_push(payload: bytes) -> bytes:
    """Return what a MeshCore radio sends, in its envelope."""
    return b">" + len(payload).to_bytes(2, "little") + payload


def _ends_with(code: int) -> Callable[[bytes], bool]:
    return lambda payload: payload[0] == code


_COMPLETE: Final = mesh_pb2.FromRadio(config_complete_id=NONCE).SerializeToString()
_WANT_CONFIG: Final = mesh_pb2.ToRadio(want_config_id=NONCE).SerializeToString()

MESHTASTIC: Final = Dialect(
    "meshtastic",
    4,
    lambda header: struct.unpack(">H", header[2:])[0],
    (Step(meshtastic_frame(_WANT_CONFIG), _COMPLETE.__eq__),),
)
MESHCORE: Final = Dialect(
    "meshcore",
    3,
    lambda header: struct.unpack("<H", header[1:])[0],
    (
        # CMD_DEVICE_QUERY, answered by RESP_DEVICE_INFO
        Step(meshcore_command(b"\x16\x03"), _ends_with(13)),
        # CMD_APP_START, answered by RESP_SELF_INFO
        Step(meshcore_command(b"\x01\x03      bench"), _ends_with(5)),
        # CMD_GET_CONTACTS, answered until RESP_END_OF_CONTACTS
        Step(meshcore_command(b"\x04"), _ends_with(4)),
    ),
)
DIALECTS: Final[Mapping[str, Dialect]] = {
    dialect.name: dialect for dialect in (MESHTASTIC, MESHCORE)
}
