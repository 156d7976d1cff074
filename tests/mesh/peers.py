"""The far ends of links, as plain sockets and ports that do what a test tells them."""

import asyncio
from collections.abc import Callable
import os
from pathlib import Path
import socket
import struct
from types import TracebackType
from typing import Final, Self, override

from custom_components.meshmonitor.mesh.link import Link
from custom_components.meshmonitor.mesh.model import LinkState, LinkStatus

READY: Final = b"ready"
FAREWELL: Final = b"farewell"


async def until(condition: Callable[[], object], timeout: float = 5.0) -> None:
    """Wait until something is true, which happens without anybody saying so."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.002)


def open_files() -> int:
    """Return how many sockets, ports and files this process holds."""
    return len(list(Path("/proc/self/fd").iterdir()))


def reset(sock: socket.socket) -> None:
    """End a connection with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Visit(asyncio.Protocol):
    """One connection that the listener was visited by."""

    transport: asyncio.Transport

    def __init__(self, listener: Listener) -> None:
        self.received = b""
        self.closed = asyncio.Event()
        self._listener = listener
        self._close_timer: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._listener.arrived(self)

    @override
    def data_received(self, data: bytes) -> None:
        self.received += data
        self._listener.heard(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._close_timer is not None:
            self._close_timer.cancel()
        self.closed.set()
        self._listener.left()

    def close_in(self, seconds: float) -> None:
        """End the connection later."""
        loop = asyncio.get_running_loop()
        self._close_timer = loop.call_later(seconds, self.transport.close)

    def reset(self) -> None:
        """End the connection with RST."""
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class Listener:
    """A radio in the network that does what a test tells it."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port
        self.visits: list[Visit] = []
        self.open = 0
        self.most_open = 0
        self.on_visit: Callable[[Visit], None] = lambda visit: None
        self.on_data: Callable[[Visit], None] = lambda visit: None
        self._arrivals: asyncio.Queue[Visit] = asyncio.Queue()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Visit(self), self.host, self.port
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for visit in self.visits:
            visit.transport.abort()
        for visit in self.visits:
            await visit.closed.wait()

    async def visit(self) -> Visit:
        """Wait for the next connection."""
        async with asyncio.timeout(300):
            return await self._arrivals.get()

    def arrived(self, visit: Visit) -> None:
        """Note a connection."""
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        self.visits.append(visit)
        self._arrivals.put_nowait(visit)
        self.on_visit(visit)

    def heard(self, visit: Visit) -> None:
        """Note bytes."""
        self.on_data(visit)

    def left(self) -> None:
        """Note an end."""
        self.open -= 1


class BlackHole:
    """A place in the network where attempts to connect are not even refused."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.port: int = self._listener.getsockname()[1]
        # What has no room in the queue of those not yet accepted is passed over.
        self._fillers = [socket.socket() for _ in range(3)]
        for filler in self._fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        for sock in (*self._fillers, self._listener):
            sock.close()


class Talk:
    """What is said over a link in tests: a greeting, and READY makes it a session."""

    link: Link

    def __init__(self) -> None:
        self.events: list[str] = []
        self.received = b""
        self.statuses: list[LinkStatus] = []
        self.tick_error: Exception | None = None
        self.tick_delay = 5.0

    def link_opened(self, now: float) -> None:
        """Greet."""
        self.events.append("opened")
        self.received = b""
        self.link.write(b"hello")

    def link_data(self, data: bytes, now: float) -> None:
        """Take bytes."""
        self.received += data
        self.events.append("data")
        if self.received.endswith(READY):
            self.link.mark_ready()

    def link_closed(self, now: float) -> None:
        """Note the end."""
        self.events.append("closed")

    def link_tick(self, now: float) -> float:
        """Do nothing, or fail as told."""
        if self.tick_error is not None:
            raise self.tick_error
        return self.tick_delay

    def link_farewell(self) -> bytes:
        """Return the last words."""
        return FAREWELL

    def on_status(self, status: LinkStatus) -> None:
        """Note a status."""
        self.statuses.append(status)

    @property
    def states(self) -> list[LinkState]:
        """The states through which the link went, in order."""
        return [status.state for status in self.statuses]

    async def reach(self, state: LinkState) -> None:
        """Wait until the link is in this state."""
        await until(lambda: self.link.status.state is state)


class Plug:
    """A serial port that can be pulled and put in again, behind a path that stays the same."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.received = b""
        self._ends: tuple[int, int] | None = None

    def put_in(self) -> None:
        """Let the port appear."""
        self._ends = os.openpty()
        master, slave = self._ends
        os.set_blocking(master, False)
        self.path.symlink_to(os.ttyname(slave))
        self.received = b""
        asyncio.get_running_loop().add_reader(master, self._readable)

    def pull(self) -> None:
        """Let the port vanish."""
        if self._ends is not None:
            asyncio.get_running_loop().remove_reader(self._ends[0])
            self.path.unlink()
            for end in self._ends:
                os.close(end)
            self._ends = None

    def write(self, data: bytes) -> None:
        """Say something, as the radio."""
        assert self._ends is not None
        assert os.write(self._ends[0], data) == len(data)

    def _readable(self) -> None:
        assert self._ends is not None
        self.received += os.read(self._ends[0], 4096)
