"""Clients of a virtual node as plain sockets, and a handler that notes what it is told."""

import asyncio
import socket
from types import TracebackType
from typing import Final, Self, override

from custom_components.meshmonitor.mesh.client import Client
from custom_components.meshmonitor.mesh.handler import ClientHandler
from tests.mesh.peers import reset

SMALL: Final = 4096
"""A socket buffer that is full soon, so that a slow reader shows."""


class Recorder(ClientHandler):
    """Notes what it is told, and fails where it is to."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.received = b""
        self.ticks = 0
        self.ends = 0
        self.rights: list[bool] = []
        self.fails_in = ""

    @override
    def data_received(self, data: bytes, now: float) -> None:
        self._may_fail("data_received")
        self.received += data

    @override
    def disconnected(self) -> None:
        self.ends += 1
        self._may_fail("disconnected")

    @override
    def rights_changed(self) -> None:
        self.rights.append(self.client.is_admin)
        self._may_fail("rights_changed")

    @override
    def tick(self, now: float) -> None:
        self.ticks += 1
        self._may_fail("tick")

    def _may_fail(self, where: str) -> None:
        if self.fails_in == where:
            raise ValueError(f"a fault in {where}")


class Phone:
    """One connection to a virtual node, which reads when it is told to, and not before."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    @classmethod
    async def connect(
        cls,
        port: int,
        *,
        host: str = "127.0.0.1",
        source: str | None = None,
        is_small: bool = False,
    ) -> Self:
        """Connect, on request from another address of this host, or with a small buffer."""
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        sock.setblocking(False)
        if is_small:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        if source is not None:
            sock.bind((source, 0))
        await asyncio.get_running_loop().sock_connect(sock, (host, port))
        return cls(sock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.sock.close()

    async def send(self, data: bytes) -> None:
        """Say something."""
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def read(self, size: int) -> bytes:
        """Read so many bytes; fewer where the connection ends before."""
        data = b""
        async with asyncio.timeout(5):
            while len(data) < size:
                piece = await asyncio.get_running_loop().sock_recv(self.sock, size - len(data))
                if not piece:
                    break
                data += piece
        return data

    async def read_once(self) -> bytes:
        """Read what is there."""
        async with asyncio.timeout(5):
            return await asyncio.get_running_loop().sock_recv(self.sock, 1 << 20)

    async def read_to_end(self) -> bytes:
        """Read until the connection is closed, in whatever way."""
        data = b""
        try:
            while piece := await self.read_once():
                data += piece
        except ConnectionError:
            pass
        return data

    def say_no_more(self) -> None:
        """Close one half of the connection."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """End the connection with RST."""
        reset(self.sock)
