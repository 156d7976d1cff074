"""A bare MeshCore app: it sends commands and keeps every frame that comes."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Self

TIMEOUT = 10.0


class App:
    """One connection to a virtual node, or to a radio."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Begin to read; use `connect`."""
        self._reader = reader
        self.writer = writer
        self.frames: list[bytes] = []
        """Every frame that came, in order."""
        self.is_closed = False
        self._counts: Counter[int] = Counter()
        self._taken = 0
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, port: int, host: str = "127.0.0.1") -> Self:
        """Open a connection and say nothing."""
        return cls(*await asyncio.open_connection(host, port))

    async def _read(self) -> None:
        try:
            while True:
                marker, *length = await self._reader.readexactly(3)
                assert marker == 0x3E, "a device marks its frames by >"
                size = int.from_bytes(bytes(length), "little")
                frame = await self._reader.readexactly(size)
                self.frames.append(frame)
                self._counts[frame[0]] += 1
                self._news.set()
        except asyncio.IncompleteReadError, ConnectionError:
            self.is_closed = True
            self._news.set()

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)

    def send(self, *frames: bytes) -> None:
        """Send commands in one go, without waiting."""
        self.write(b"".join(b"<" + len(f).to_bytes(2, "little") + f for f in frames))

    async def until(self, predicate: Callable[[], object]) -> None:
        """Wait until the predicate is true; it is tried again whenever a frame comes."""
        async with asyncio.timeout(TIMEOUT):
            while not predicate():
                self._news.clear()
                await self._news.wait()

    @property
    def replies(self) -> list[bytes]:
        """Every frame that answers a command."""
        return [frame for frame in self.frames if frame[0] < 0x80]

    @property
    def pushes(self) -> list[bytes]:
        """Every frame that was not asked for."""
        return [frame for frame in self.frames if frame[0] >= 0x80]

    def count(self, code: int) -> int:
        """Return how many frames of a kind have come."""
        return self._counts[code]

    async def take(self, number: int = 1) -> list[bytes]:
        """Wait for the next answers, and return them."""
        await self.until(lambda: len(self.replies) >= self._taken + number)
        taken = self.replies[self._taken : self._taken + number]
        self._taken += number
        return taken

    async def ask(self, frame: bytes) -> bytes:
        """Send a command and return its answer, of one frame."""
        self.send(frame)
        return (await self.take())[0]

    async def push(self, code: int, number: int = 1) -> bytes:
        """Wait until a kind of push has come so often, and return the newest."""
        await self.until(lambda: self.count(code) >= number)
        return [frame for frame in self.frames if frame[0] == code][number - 1]

    async def hello(self, version: int = 3, name: str = "app") -> Self:
        """Do what an app does first."""
        await self.ask(bytes((22, version)))
        await self.ask(b"\x01\x03      " + name.encode())
        return self

    async def contacts(self, since: int | None = None) -> list[bytes]:
        """Fetch the contact list, and return all of its frames."""
        self.send(b"\x04" if since is None else b"\x04" + since.to_bytes(4, "little"))
        frames = await self.take()
        while frames[-1][0] not in (4, 1):
            frames += await self.take()
        return frames

    async def drain(self) -> list[bytes]:
        """Fetch all messages that wait."""
        messages = []
        while (frame := await self.ask(b"\x0a")) != b"\x0a":
            messages.append(frame)
        return messages

    async def close(self) -> None:
        """Close the connection."""
        self._task.cancel()
        self.writer.close()
        await asyncio.wait([self._task])
