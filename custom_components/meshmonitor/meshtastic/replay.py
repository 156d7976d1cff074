"""A captured configuration as ready-made frames, in the order in which the radio sent them.

The frames are kept joined in pieces. A change costs the joining of one piece at the next replay,
and a replay hands out the pieces as they are: a thousand nodes are not copied for each client.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
import struct
from typing import Final

from . import packets, wire
from .framing import encode
from .nodes import NodeRecord, Reading, ReadingKey

NONCE_ONLY_CONFIG: Final = 69420
NONCE_ONLY_NODES: Final = 69421
"""The two special nonces of ``want_config_id`` (firmware ``src/mesh/PhoneAPI.h``)."""

_PIECE_SIZE: Final = 64
_HASH_FACTOR: Final = 2654435761
_FULL_PRECISION: Final = 32
_PRECISION_BITS: Final = 23


class ReplayKind(Enum):
    """How much of its state a radio is asked for."""

    FULL = auto()
    CONFIG = auto()
    """All but the other nodes."""
    NODES = auto()
    """The nodes alone, the own one first."""

    @classmethod
    def for_nonce(cls, nonce: int) -> ReplayKind:
        """Return what the firmware answers to a ``want_config_id`` of this value."""
        if nonce == NONCE_ONLY_CONFIG:
            return cls.CONFIG
        if nonce == NONCE_ONLY_NODES:
            return cls.NODES
        return cls.FULL


@dataclass(frozen=True, slots=True)
class Replay:
    """What a client gets before its ``config_complete_id``."""

    frames: int
    """How many frames there are."""
    chunks: tuple[bytes, ...]
    """All frames with their envelopes, cut between frames: ready for ``writelines``."""

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return sum(map(len, self.chunks))

    @property
    def data(self) -> bytes:
        """All of it in one piece."""
        return b"".join(self.chunks)


class Slot:
    """The place of one frame that is no node's."""

    __slots__ = ("payload",)

    def __init__(self, payload: bytes) -> None:
        """Take a ``FromRadio`` as it came."""
        self.payload = payload


type Item = Slot | NodeRecord


class _Piece:
    """Some successive frames, either all of other nodes or none."""

    __slots__ = ("is_nodes", "items", "plain", "redacted")

    def __init__(self, *, is_nodes: bool) -> None:
        self.is_nodes = is_nodes
        self.items: list[Item] = []
        self.plain: bytes | None = None
        self.redacted: bytes | None = None

    def forget(self) -> None:
        """Join anew when asked next."""
        self.plain = self.redacted = None


class Layout:
    """All captured frames in their order."""

    def __init__(self, redact: Callable[[bytes], bytes]) -> None:
        """Start empty.

        Args:
            redact: Returns a ``FromRadio`` without what a client may not see.
        """
        self._redact = redact
        self._pieces: list[_Piece] = []
        self._piece_of: dict[int, _Piece] = {}

    def __iter__(self) -> Iterator[Item]:
        """Go through all frames in their order."""
        for piece in self._pieces:
            yield from piece.items

    def append(self, item: Item, *, is_node: bool) -> None:
        """Put a frame behind all others; `is_node` says that it is one of another node."""
        last = self._pieces[-1] if self._pieces else None
        if last is None or last.is_nodes is not is_node or len(last.items) >= _PIECE_SIZE:
            last = _Piece(is_nodes=is_node)
            self._pieces.append(last)
        self._put(last, item)

    def insert_node(self, record: NodeRecord) -> None:
        """Put another node behind the last one, or where the firmware would have the first."""
        for index in reversed(range(len(self._pieces))):
            piece = self._pieces[index]
            if piece.is_nodes:
                if len(piece.items) >= _PIECE_SIZE:
                    piece = _Piece(is_nodes=True)
                    self._pieces.insert(index + 1, piece)
                self._put(piece, record)
                return
        first = _Piece(is_nodes=True)
        self._pieces.insert(self._split_for_nodes(), first)
        self._put(first, record)

    def remove(self, item: Item) -> None:
        """Take a frame out."""
        piece = self._piece_of.pop(id(item))
        piece.items.remove(item)
        piece.forget()
        if not piece.items:
            self._pieces.remove(piece)

    def changed(self, item: Item) -> None:
        """Take note that a frame is no longer what it was."""
        self._piece_of[id(item)].forget()

    def replay(self, kind: ReplayKind, own: NodeRecord, *, redacted: bool) -> Replay:
        """Return the frames that answer a request.

        Args:
            kind: What was asked for.
            own: The own node's record, which is the first of the nodes.
            redacted: Whether to leave out what a client may not see.
        """
        frames = 0
        chunks: list[bytes] = []
        if kind is ReplayKind.NODES:
            frames = 1
            chunks.append(encode(self._redact(own.payload) if redacted else own.payload))
        for piece in self._pieces:
            wanted = kind is ReplayKind.FULL or piece.is_nodes is (kind is ReplayKind.NODES)
            if wanted and piece.items:
                frames += len(piece.items)
                chunks.append(self._joined(piece, redacted=redacted))
        return Replay(frames, tuple(chunks))

    def _joined(self, piece: _Piece, *, redacted: bool) -> bytes:
        if redacted and not piece.is_nodes:
            if piece.redacted is None:
                payloads = (self._redact(item.payload) for item in piece.items)
                piece.redacted = b"".join(map(encode, payloads))
            return piece.redacted
        if piece.plain is None:
            piece.plain = b"".join(encode(item.payload) for item in piece.items)
        return piece.plain

    def _put(self, piece: _Piece, item: Item) -> None:
        piece.items.append(item)
        piece.forget()
        self._piece_of[id(item)] = piece

    def _split_for_nodes(self) -> int:
        """Cut before the first file of the manifest; return the index of the piece behind it."""
        for index, piece in enumerate(self._pieces):
            for position, item in enumerate(piece.items):
                if packets.variant(item.payload)[0] != packets.FILE_INFO:
                    continue
                if position == 0:
                    return index
                behind = _Piece(is_nodes=False)
                for moved in piece.items[position:]:
                    self._put(behind, moved)
                del piece.items[position:]
                piece.forget()
                self._pieces.insert(index + 1, behind)
                return index + 1
        return len(self._pieces)


def replayed_packet(num: int, key: ReadingKey, reading: Reading, hop_limit: int) -> bytes:
    """Return the ``FromRadio`` with which firmware 2.8 tells a stored reading after a dump.

    It is shaped as the firmware shapes it (``makeReplay...Packet``, ``src/mesh/PhoneAPI.cpp``):
    a broadcast whose id stays the same as long as the reading does, so that clients know it again.

    Args:
        num: The node's number.
        key: What kind of reading it is.
        reading: The reading.
        hop_limit: The radio's own, of which the hops are subtracted.
    """
    portnum, number = key
    payload = reading.payload
    time = int(reading.time)
    if portnum == packets.POSITION:
        payload, stated = _whole_position(payload)
        time = stated or time
    identity = num * _HASH_FACTOR + time & 0xFFFFFFFF
    identity = identity * _HASH_FACTOR + (number or portnum) & 0xFFFFFFFF
    data = wire.varint_field(1, portnum) + wire.bytes_field(2, payload)
    snr = int.from_bytes(struct.pack("<f", reading.snr or 0.0), "little")
    packet = b"".join(
        (
            wire.fixed32_field(1, num),
            wire.fixed32_field(2, packets.BROADCAST),
            wire.bytes_field(4, data),
            wire.fixed32_field(6, identity or 1),
            wire.fixed32_field(7, time),
            wire.fixed32_field(8, snr) if snr else b"",
            _plain_varint(9, max(0, hop_limit - (reading.hops or 0))),
            wire.varint_field(11, packets.PRIORITY_BACKGROUND),
            _plain_varint(15, hop_limit),
            wire.varint_field(21, packets.TRANSPORT_LORA),
        )
    )
    return wire.bytes_field(packets.PACKET, packet)


def _plain_varint(number: int, value: int) -> bytes:
    return wire.varint_field(number, value) if value else b""


def _whole_position(position: bytes) -> tuple[bytes, int]:
    """Return a position that states its precision, and the time it states.

    Apps show no place whose precision is not stated; the firmware calls such a one exact.
    """
    fields = wire.scan(position)
    if not wire.value_int(wire.last(fields, _PRECISION_BITS)):
        exact = wire.varint_field(_PRECISION_BITS, _FULL_PRECISION)
        position = wire.replace_field(position, _PRECISION_BITS, exact)
    return position, wire.value_int(wire.last(fields, 4)) & 0xFFFFFFFF
