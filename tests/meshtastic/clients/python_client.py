"""The published Python client, in threads of its own, for tests that run in an event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from meshtastic.tcp_interface import TCPInterface
from pubsub import pub

TIMEOUT: Final = 20.0
"""Seconds for an answer on a machine that is busy."""


class PythonClient:
    """One `TCPInterface` and all packets that it was given."""

    def __init__(self) -> None:
        """Listen before there is a connection: packets may come with it."""
        self.interface: TCPInterface
        self.packets: list[dict[str, Any]] = []
        pub.subscribe(self._on_packet, "meshtastic.receive")

    def _on_packet(self, packet: dict[str, Any], interface: TCPInterface) -> None:
        # Called in the client's own thread, for the packets of all interfaces.
        if interface is getattr(self, "interface", None):
            self.packets.append(packet)

    def texts(self) -> list[str]:
        """Return the texts that came."""
        return [p["decoded"]["text"] for p in self.packets if "text" in p["decoded"]]

    def of(self, portnum: str) -> list[dict[str, Any]]:
        """Return the packets that came of one port."""
        return [p for p in self.packets if p["decoded"]["portnum"] == portnum]

    async def call[ResultT](self, function: Callable[..., ResultT], *arguments: Any) -> ResultT:
        """Call one of the client's own methods, which wait for answers, in a thread."""
        async with asyncio.timeout(TIMEOUT):
            return await asyncio.to_thread(function, *arguments)

    async def until(self, predicate: Callable[[], object]) -> None:
        """Wait until the predicate is true.

        Raises `TimeoutError` when it stays false.
        """
        async with asyncio.timeout(TIMEOUT):
            while not predicate():
                await asyncio.sleep(0.01)

    def close(self) -> None:
        """End the connection, and with it the client's threads."""
        pub.unsubscribe(self._on_packet, "meshtastic.receive")
        timer = self.interface.heartbeatTimer
        self.interface.close()
        if timer is not None:
            timer.join(TIMEOUT)


@asynccontextmanager
async def python_client(port: int, *, no_nodes: bool = False) -> AsyncIterator[PythonClient]:
    """Connect the published client to a port of this machine."""
    client = PythonClient()
    client.interface = await client.call(
        lambda: TCPInterface("127.0.0.1", portNumber=port, noNodes=no_nodes, timeout=20)
    )
    try:
        # Its reader thread starts the heartbeats, perhaps only now.
        await client.until(lambda: client.interface.heartbeatTimer)
        yield client
    finally:
        await asyncio.to_thread(client.close)
