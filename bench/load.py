"""The clients that load a server. They only note what came when: looking at it comes later."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
import itertools
import time
from typing import Final, override

from .dialects import Dialect, Step

HOST: Final = "127.0.0.1"
PATIENCE: Final = 20.0
_ADDRESSES: Final = itertools.count(int(ip_address("127.1.0.1")))


class LoadError(Exception):
    """A server did not give what it should."""


class LoadClient(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        """Prepare for a connection."""
        self.chunks: list[tuple[int, bytes]] = []
        """What came, each with its time of arrival: `time.monotonic_ns`."""
        self.size = 0
        self.transport: asyncio.Transport | None = None
        self._goal = 0
        self._reached: asyncio.Future[None] | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        self.chunks.append((time.monotonic_ns(), data))
        self.size += len(data)
        reached = self._reached
        if reached is not None and self.size >= self._goal and not reached.done():
            reached.set_result(None)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        reached = self._reached
        if reached is not None and not reached.done():
            reached.set_exception(LoadError(f"closed after {self.size} bytes"))

    @property
    def data(self) -> bytes:
        """Everything that came since the last `forget`."""
        return b"".join([chunk for _, chunk in self.chunks])

    def forget(self) -> None:
        """Begin anew."""
        self.chunks.clear()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Send bytes."""
        assert self.transport is not None
        self.transport.write(data)

    def expect(self, size: int) -> asyncio.Future[None]:
        """Return what is done once so many bytes came since the last `forget`."""
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.size >= size:
            reached.set_result(None)
        else:
            self._goal, self._reached = size, reached
        return reached

    def close(self) -> None:
        """End the connection."""
        if self.transport is not None:
            self.transport.abort()


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a server answers to a dialect's questions."""

    dialect: Dialect
    answers: tuple[bytes, ...]
    """For each step, as one client got it."""

    @property
    def size(self) -> int:
        """Bytes of all answers."""
        return sum(map(len, self.answers))

    @property
    def frames(self) -> int:
        """Frames of all answers."""
        return sum(len(self.dialect.cut(answer)[0]) for answer in self.answers)


async def connect(port: int) -> LoadClient:
    """Open a connection, from an address that was never used before, as a new phone would."""
    loop = asyncio.get_running_loop()
    address = str(ip_address(next(_ADDRESSES)))
    _, client = await loop.create_connection(LoadClient, HOST, port, local_addr=(address, 0))
    return client


async def learn(port: int, dialect: Dialect) -> Handshake:
    """Do a handshake and return what is answered.

    Raises:
        LoadError: It does not come to an end.
    """
    client = await connect(port)
    answers: list[bytes] = []
    try:
        for step in dialect.steps:
            client.forget()
            client.write(step.request)
            answers.append(await _answer(client, step, dialect))
    finally:
        client.close()
    return Handshake(dialect, tuple(answers))


async def _answer(client: LoadClient, step: Step, dialect: Dialect) -> bytes:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        frames, _ = dialect.cut(client.data)
        for number, frame in enumerate(frames):
            if step.ends(frame[dialect.header :]):
                return b"".join(frames[: number + 1])
        await asyncio.sleep(0.01)
    raise LoadError(f"no answer to a {dialect.name} handshake")


async def shake_hands(client: LoadClient, handshake: Handshake) -> None:
    """Do a handshake whose answers are known to be so long."""
    expected = 0
    for step, answer in zip(handshake.dialect.steps, handshake.answers, strict=True):
        expected += len(answer)
        client.write(step.request)
        await client.expect(expected)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A client that has connected and got everything."""

    client: LoadClient
    seconds: float
    """From the beginning of the connect to the last byte."""


async def arrive(port: int, handshake: Handshake) -> Arrival:
    """Connect and do a handshake."""
    begun = time.monotonic_ns()
    client = await connect(port)
    try:
        await shake_hands(client, handshake)
    except BaseException:
        client.close()
        raise
    return Arrival(client, (client.chunks[-1][0] - begun) / 1e9)


async def arrive_together(port: int, handshake: Handshake, count: int) -> list[Arrival]:
    """Let several clients connect and do a handshake at the same time.

    Raises:
        LoadError: One of them did not get what it should.
    """
    arriving = [asyncio.create_task(arrive(port, handshake)) for _ in range(count)]
    _, late = await asyncio.wait(arriving, timeout=PATIENCE)
    for task in late:
        task.cancel()
    if late:
        raise LoadError(f"{len(late)} of {count} clients got no whole answer in {PATIENCE:g} s")
    arrivals = [task.result() for task in arriving]
    check(handshake, [arrival.client for arrival in arrivals])
    return arrivals


def check(handshake: Handshake, clients: Sequence[LoadClient]) -> None:
    """Look whether all clients got whole answers.

    Raises:
        LoadError: One of them did not.
    """
    dialect = handshake.dialect
    for client in clients:
        frames, rest = dialect.cut(client.data)
        last = frames[-1][dialect.header :] if frames else b"\0"
        if rest or len(frames) != handshake.frames or not dialect.steps[-1].ends(last):
            raise LoadError(f"an answer of {client.size} bytes is not what it should be")
