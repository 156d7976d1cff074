"""Worker: our virtual node, or the bare reference, in front of a radio."""

import asyncio
from base64 import b64decode
from collections import Counter
import gc
import logging
from typing import Any, Final

from custom_components.meshmonitor.mesh.source import MeshEvent, MeshSource
from custom_components.meshmonitor.mesh.transport import TcpEndpoint
from custom_components.meshmonitor.meshcore.options import MeshCoreVirtualNodeOptions
from custom_components.meshmonitor.meshcore.source import MeshCoreSource
from custom_components.meshmonitor.meshtastic.options import MeshtasticVirtualNodeOptions
from custom_components.meshmonitor.meshtastic.source import MeshtasticSource
from tests.ports import free_port

from .bare import BareServer
from .dialects import DIALECTS
from .load import HOST
from .worker import serve

_MAX_CLIENTS: Final = 1000


def _make_source(protocol: str, radio_port: int, port: int) -> MeshSource:
    options: dict[str, Any] = {
        "enabled": True,
        "port": port,
        "bind_address": HOST,
        "max_clients": _MAX_CLIENTS,
    }
    endpoint = TcpEndpoint(HOST, radio_port)
    if protocol == "meshcore":
        return MeshCoreSource(
            endpoint, MeshCoreVirtualNodeOptions.from_mapping(options), name="bench"
        )
    return MeshtasticSource(
        endpoint, MeshtasticVirtualNodeOptions.from_mapping(options), name="bench"
    )


class Server:
    """The one server of this process at a time."""

    def __init__(self) -> None:
        """Start without a server."""
        self._source: MeshSource | None = None
        self._bare: BareServer | None = None
        self.events: Counter[str] = Counter()

    async def open_ours(self, protocol: str, radio_port: int) -> int:
        """Put our virtual node in front of a radio; returns its port once the radio was read."""
        port = free_port()
        source = _make_source(protocol, radio_port, port)
        source.subscribe(self._count)
        await source.start()
        self._source = source
        async with asyncio.timeout(60):
            while not source.link.is_ready:
                await asyncio.sleep(0.01)
        return port

    async def open_bare(self, protocol: str, radio_port: int, answers: dict[str, str]) -> int:
        """Put the bare reference in front of a radio; returns its port.

        Args:
            protocol: What is spoken.
            radio_port: Where the radio listens.
            answers: Ready-made bytes for each request; both in base 64.
        """
        ready = {b64decode(request): b64decode(answer) for request, answer in answers.items()}
        self._bare = BareServer(DIALECTS[protocol], ready)
        return await self._bare.start(HOST, radio_port)

    async def close(self) -> None:
        """End the server."""
        if self._source is not None:
            await self._source.stop()
        if self._bare is not None:
            await self._bare.stop()
        self._source = self._bare = None

    async def received(self) -> int:
        """Return how many packets our source has taken so far."""
        assert self._source is not None
        return self._source.counters["packets_received"]

    async def wait_received(self, count: int) -> None:
        """Wait until our source has taken so many packets since it began."""
        async with asyncio.timeout(60):
            while await self.received() < count:
                await asyncio.sleep(0.005)

    async def settle(self) -> None:
        """Collect what is garbage, so that memory shows what is in use."""
        gc.collect()

    def _count(self, event: MeshEvent) -> None:
        self.events[type(event).__name__] += 1


async def _main() -> None:
    logging.basicConfig(level=logging.WARNING)
    server = Server()
    commands: dict[str, Any] = {
        "open_ours": server.open_ours,
        "open_bare": server.open_bare,
        "close": server.close,
        "received": server.received,
        "wait_received": server.wait_received,
        "settle": server.settle,
    }
    await serve(commands)
    await server.close()


if __name__ == "__main__":
    asyncio.run(_main())
