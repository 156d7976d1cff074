"""A MeshCore companion that answers as a recorded one did."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Literal, Self, override

from .recording import MESHCORE, Entry, read_recording
from .watched import Watched

_NUMBERED: Final = (31, 56)
"""Commands for a channel or a kind of statistics, whose number the answer repeats."""


def recorded_frames(sender: Literal["client", "node"]) -> list[bytes]:
    """Return what one side said in the MeshCore recording, in order."""
    return [entry.data for entry in read_recording(MESHCORE) if entry.sender == sender]


class RecordedCompanion(Watched):
    """A TCP server that answers each command with what followed it in the recording.

    A command that occurs several times gets its answers in turn, the last one again and again. One
    that does not occur gets the answer to the same code, about what it asked for, else an error, as
    unknown commands do.
    """

    def __init__(self, entries: Sequence[Entry] | None = None) -> None:
        """Prepare a device that says what is in these entries; it listens inside ``async with``."""
        super().__init__()
        self.host = "127.0.0.1"
        self.port = 0
        self.received: list[bytes] = []
        self._exact: defaultdict[bytes, deque[list[bytes]]] = defaultdict(deque)
        self._by_code: dict[int, list[bytes]] = {}
        self._server: asyncio.Server | None = None
        self._transports: set[asyncio.Transport] = set()
        command: bytes | None = None
        for entry in read_recording(MESHCORE) if entries is None else entries:
            if entry.sender == "client":
                command = entry.data
                answers: list[bytes] = []
                self._exact[command].append(answers)
                self._by_code.setdefault(command[0], answers)
            elif entry.sender == "node" and command is not None:
                answers.append(entry.data)
            else:
                command = None

    async def __aenter__(self) -> Self:
        """Listen at a free port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), self.host, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave nothing behind."""
        assert self._server is not None
        self._server.close()
        for transport in tuple(self._transports):
            transport.abort()
        await self._server.wait_closed()

    def answer(self, command: bytes) -> list[bytes]:
        """Return what the recorded device sent after this command."""
        self.received.append(command)
        known = self._exact.get(command)
        if known:
            answers = known.popleft() if len(known) > 1 else known[0]
        else:
            answers = self._by_code.get(command[0], [b"\x01\x01"])
            if command[0] in _NUMBERED:
                answers = [frame[:1] + command[1:2] + frame[2:] for frame in answers]
        self._changed()
        return answers

    def joined(self, transport: asyncio.Transport) -> None:
        """Take a client; the one before has to go."""
        for other in tuple(self._transports):
            other.close()
        self._transports.add(transport)

    def left(self, transport: asyncio.Transport) -> None:
        """A client is gone."""
        self._transports.discard(transport)


class _Connection(asyncio.Protocol):
    def __init__(self, radio: RecordedCompanion) -> None:
        self._radio = radio
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._radio.joined(transport)

    @override
    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._buffer += data
        while len(self._buffer) >= 3:
            end = 3 + int.from_bytes(self._buffer[1:3], "little")
            if len(self._buffer) < end:
                break
            command = bytes(self._buffer[3:end])
            del self._buffer[:end]
            for frame in self._radio.answer(command):
                self._transport.write(b">" + len(frame).to_bytes(2, "little") + frame)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._radio.left(self._transport)
