"""Recordings of real firmware (`tests/fixtures/*.jsonl`), read, and served as a node.

The files are described beside them. `read_recording` reads both protocols, the rest Meshtastic.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
import json
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self, cast, override

from google.protobuf.message import DecodeError
from meshtastic.protobuf import mesh_pb2

from .meshtastic_dump import ONLY_CONFIG, ONLY_NODES, complete_frame
from .meshtastic_frames import FrameReader, frame
from .watched import Watched

FIXTURES: Final = Path(__file__).parent.parent / "fixtures"
MESHTASTIC_2_7: Final = FIXTURES / "meshtastic-firmware-2.7.26.jsonl"
MESHTASTIC_2_8: Final = FIXTURES / "meshtastic-firmware-2.8.0-dev.jsonl"
MESHCORE: Final = FIXTURES / "meshcore-companion-1.17.1.jsonl"

type DumpKind = Literal["full", "config", "nodes"]
"""Which answer to `want_config_id`: to 69420 (`config`), to 69421 (`nodes`), to any other."""

type EntryKind = Literal["connect", "close", "frame", "stray"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a recording."""

    at: float
    """Seconds since the recording began."""
    connection: int
    kind: EntryKind
    sender: Literal["client", "node"] | None
    """Who sent it; `None` for `connect` and `close`."""
    data: bytes = b""
    """A frame's payload, or bytes that stood outside any frame."""


@dataclass(frozen=True, slots=True)
class RecordedDump:
    """One answer to `want_config_id`."""

    connection: int
    nonce: int
    frames: tuple[bytes, ...]
    """The `FromRadio` payloads, `config_complete_id` included."""

    @property
    def kind(self) -> DumpKind:
        """What was asked for."""
        return _kind(self.nonce)


def read_recording(path: Path) -> list[Entry]:
    """Return the lines of the recording at `path`, of either protocol, in order."""
    entries = []
    for line in path.read_text().splitlines():
        row = json.loads(line)
        kind: EntryKind = row.get("event") or ("frame" if "frame" in row else "stray")
        data = bytes.fromhex(row.get(kind, ""))
        entries.append(Entry(row["t"], row["conn"], kind, row.get("from"), data))
    return entries


def recorded_dumps(path: Path) -> list[RecordedDump]:
    """Return every answer to `want_config_id` in the Meshtastic recording at `path`, in order."""
    return [part for part in _parts(path) if isinstance(part, RecordedDump)]


def dump_frames(path: Path, kind: DumpKind = "full", occurrence: int = 0) -> list[bytes]:
    """Return the `FromRadio` payloads of one recorded dump, `config_complete_id` included.

    `occurrence` counts the dumps of that kind from 0; the last full one shows what the live frames
    changed since the first.
    """
    return list([d for d in recorded_dumps(path) if d.kind == kind][occurrence].frames)


def live_frames(path: Path, connection: int | None = 1) -> list[bytes]:
    """Return the `FromRadio` payloads outside of dumps, of one connection or (`None`) of all."""
    return [
        part.data
        for part in _parts(path)
        if isinstance(part, Entry) and connection in {None, part.connection}
    ]


def _kind(nonce: int) -> DumpKind:
    if nonce == ONLY_CONFIG:
        return "config"
    return "nodes" if nonce == ONLY_NODES else "full"


def _parts(path: Path) -> Iterator[RecordedDump | Entry]:
    """Yield the node's side of a recording: whole dumps, and each frame outside of them."""
    nonce: int | None = None
    frames: list[bytes] = []
    for entry in read_recording(path):
        if entry.kind != "frame":
            continue
        if entry.sender == "client":
            asked = mesh_pb2.ToRadio.FromString(entry.data)
            if asked.HasField("want_config_id"):
                nonce, frames = asked.want_config_id, []
        elif nonce is None:
            yield entry
        else:
            frames.append(entry.data)
            if mesh_pb2.FromRadio.FromString(entry.data).HasField("config_complete_id"):
                yield RecordedDump(entry.connection, nonce, tuple(frames))
                nonce = None


class RecordedNode(Watched):
    """A node that says what a real one once said, byte for byte.

    It serves the recorded dump for the nonce asked, with that nonce in the closing frame, answers
    heartbeats, and sends the recorded live frames when told to. One client; the newest wins.
    """

    def __init__(self, path: Path, *, full: int = 0) -> None:
        """Serve the Meshtastic recording at `path`.

        `full` tells which recorded full dump answers a full request, counted from 0; the live
        frames are those of the same connection.
        """
        super().__init__()
        dumps = recorded_dumps(path)
        chosen = [d for d in dumps if d.kind == "full"][full]
        self._dumps: dict[DumpKind, tuple[bytes, ...]] = {d.kind: d.frames for d in dumps}
        self._dumps["full"] = chosen.frames
        self.live: list[bytes] = live_frames(path, chosen.connection)
        """The live frames not sent yet."""
        self.received: list[bytes] = []
        """The `ToRadio` payloads received."""
        self.want_configs: list[int] = []
        self.host = "127.0.0.1"
        self.port = 0
        self._server: asyncio.Server | None = None
        self._client: _Connection | None = None

    async def __aenter__(self) -> Self:
        """Start listening on a free port of 127.0.0.1."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop listening and end the connection."""
        if self._server is not None:
            self._server.close()
        self.drop()
        await asyncio.sleep(0)

    @property
    def connected(self) -> bool:
        """Whether a client is connected."""
        return self._client is not None

    def drop(self) -> None:
        """End the present connection."""
        if self._client is not None:
            self._client.end()
            self._client = None

    async def play_one(self) -> bytes:
        """Send the next live frame and return its payload. Raises `IndexError` at the end."""
        payload = self.live.pop(0)
        if self._client is None:
            raise ConnectionError("no client to play to")
        self._client.send([payload])
        await asyncio.sleep(0)
        return payload

    async def play(self) -> list[bytes]:
        """Send all live frames that are left and return their payloads."""
        return [await self.play_one() for _ in range(len(self.live))]

    def opened(self, connection: _Connection) -> None:
        """Take a new connection in place of an older one."""
        self.tally["connections"] += 1
        self.drop()
        self._client = connection
        self._changed()

    def closed(self, connection: _Connection) -> None:
        """Forget a connection that ended."""
        if self._client is connection:
            self._client = None
        self._changed()

    def handle(self, connection: _Connection, payload: bytes) -> None:
        """Record a payload, and answer it if it is a request for a dump or a heartbeat."""
        self.received.append(payload)
        try:
            message = mesh_pb2.ToRadio.FromString(payload)
        except DecodeError:
            self.tally["malformed"] += 1
        else:
            if message.HasField("want_config_id"):
                nonce = message.want_config_id
                self.want_configs.append(nonce)
                connection.send([*self._dumps[_kind(nonce)][:-1], complete_frame(nonce)])
            elif message.HasField("heartbeat"):
                self.tally["heartbeats"] += 1
                status = mesh_pb2.QueueStatus(free=16, maxlen=16)
                connection.send([mesh_pb2.FromRadio(queueStatus=status).SerializeToString()])
        self._changed()


class _Connection(asyncio.Protocol):
    """One TCP client of a `RecordedNode`."""

    def __init__(self, node: RecordedNode) -> None:
        self._node = node
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._node.opened(self)

    @override
    def data_received(self, data: bytes) -> None:
        for payload in self._reader.feed(data):
            self._node.handle(self, payload)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._node.closed(self)

    def send(self, payloads: list[bytes]) -> None:
        """Send payloads, framed, in one write."""
        if self._transport is not None:
            self._transport.write(b"".join(map(frame, payloads)))

    def end(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()
