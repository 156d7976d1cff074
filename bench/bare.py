"""The bare reference: what any server in front of a radio has to do at the very least.

It answers known requests with ready-made bytes and relays every frame, both ways: one write for
each client and wake-up, no look at what is inside, no state, no limits. It is no server to use.
"""

import asyncio
from collections.abc import Mapping
from typing import override

from .dialects import Dialect


class BareServer:
    """Clients in front of one connection to a radio."""

    def __init__(self, dialect: Dialect, answers: Mapping[bytes, bytes]) -> None:
        """Prepare a server.

        Args:
            dialect: Where frames end.
            answers: Ready-made bytes for each request that is answered here.
        """
        self.dialect = dialect
        self.answers = answers
        self.clients: set[asyncio.Transport] = set()
        self.radio: asyncio.Transport | None = None
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Connect to a radio and serve; returns the port."""
        loop = asyncio.get_running_loop()
        self.radio, _ = await loop.create_connection(lambda: _Radio(self), host, port)
        self._server = await loop.create_server(lambda: _Client(self), host, 0, backlog=256)
        served: int = self._server.sockets[0].getsockname()[1]
        return served

    async def stop(self) -> None:
        """End all connections."""
        assert self._server is not None
        assert self.radio is not None
        self._server.close()
        self.radio.abort()
        for client in tuple(self.clients):
            client.abort()
        await asyncio.sleep(0)


class _Radio(asyncio.Protocol):
    def __init__(self, server: BareServer) -> None:
        self._server = server
        self._rest = b""

    @override
    def data_received(self, data: bytes) -> None:
        frames, self._rest = self._server.dialect.cut(self._rest + data)
        whole = b"".join(frames)
        for client in self._server.clients:
            client.write(whole)


class _Client(asyncio.Protocol):
    def __init__(self, server: BareServer) -> None:
        self._server = server
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.clients.add(transport)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._server.clients.discard(self._transport)

    @override
    def data_received(self, data: bytes) -> None:
        server = self._server
        frames, self._rest = server.dialect.cut(self._rest + data)
        for frame in frames:
            answer = server.answers.get(frame)
            if answer is not None and self._transport is not None:
                self._transport.write(answer)
            elif server.radio is not None:
                server.radio.write(frame)
