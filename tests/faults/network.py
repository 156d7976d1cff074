"""The network between a source and its radio, which does what a test tells it."""

import asyncio
from contextlib import suppress
import socket
from types import TracebackType
from typing import Final, Self

_CHUNK: Final = 4096


class Network:
    """Carries bytes between a source and a radio, one connection after the other, and damages them.

    Set the fields at any time; the default is a sound network.
    """

    def __init__(self, host: str, port: int) -> None:
        """Lead to the radio at an address."""
        self.radio = (host, port)
        """Where new connections lead."""
        self.port = 0
        """Where the source finds it, on this host."""
        self.is_silent = False
        """Whether new connections are taken, and lead nowhere."""
        self.is_dead = False
        """Whether nothing gets through any more, on connections that stand as well."""
        self.greeting = b""
        """What the source hears first on each new connection."""
        self.cut_after: int | None = None
        """After how many bytes of the radio's the next connection ends."""
        self.is_dribbling = False
        """Whether each byte of the radio's comes by itself."""
        self.visits = 0
        self.open = 0
        self.most_open = 0
        self._server: asyncio.Server | None = None
        self._hole: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._visitor: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        """Let the source connect."""
        await self.accept()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave nothing behind."""
        self.refuse()
        self._fill_hole()
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def accept(self) -> None:
        """Take connections, at the same port as ever."""
        self._fill_hole()
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """Refuse connections, and end the one that there is."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self.end(by_reset=True)

    def swallow(self) -> None:
        """Do not even refuse connections, and end the one that there is."""
        self.refuse()
        listener = socket.create_server(("127.0.0.1", self.port), backlog=0)
        # What has no room in the queue of those not yet accepted is passed over.
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
        self._hole = [listener, *fillers]

    def _fill_hole(self) -> None:
        for sock in self._hole:
            sock.close()
        self._hole.clear()

    def end(self, *, by_reset: bool = False) -> None:
        """End the present connection."""
        visitor = self._visitor
        if visitor is None or visitor.is_closing():
            return
        if by_reset:
            reset_transport(visitor)
        visitor.close()

    def say(self, data: bytes) -> None:
        """Say something on the present connection, as if it was the radio."""
        assert self._visitor is not None
        self._visitor.write(data)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.visits += 1
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        self._visitor = writer
        radio: asyncio.StreamWriter | None = None
        with suppress(OSError):
            try:
                writer.write(self.greeting)
                if self.is_silent:
                    await reader.read()
                    return
                answers, radio = await asyncio.open_connection(*self.radio)
                async with asyncio.TaskGroup() as group:
                    ways = (
                        group.create_task(self._to_radio(reader, radio)),
                        group.create_task(self._from_radio(answers, writer)),
                    )
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                    for way in ways:
                        way.cancel()
            finally:
                self.open -= 1
                for end in (writer, radio):
                    if end is not None:
                        end.close()

    async def _to_radio(self, reader: asyncio.StreamReader, radio: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                if not self.is_dead:
                    radio.write(data)

    async def _from_radio(self, radio: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left, self.cut_after = self.cut_after, None
        with suppress(OSError):
            while data := await radio.read(_CHUNK):
                if self.is_dead:
                    continue
                for piece in _pieces(data if left is None else data[:left], self.is_dribbling):
                    writer.write(piece)
                    if self.is_dribbling:
                        await asyncio.sleep(0)
                if left is not None:
                    left -= len(data)
                    if left <= 0:
                        return


def reset_transport(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST."""
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    writer.transport.abort()


def _pieces(data: bytes, single: bool) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))] if single else [data]
