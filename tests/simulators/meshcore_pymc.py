"""Two companions of another implementation, pymc_core, on an air of their own.

They encrypt, sign, acknowledge and repeat as real nodes do, and they differ from the firmware where
an implementation may: a heartbeat that nobody asked for, both pushes for one advert, a shorter list
of commands.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from pymc_core import LocalIdentity
from pymc_core.companion import CompanionFrameServer, CompanionRadio

from .watched import Watched


class Antenna:
    """What one node sends, all others on the air receive."""

    def __init__(self, air: list[Antenna]) -> None:
        """Join an air."""
        self._air = air
        self._receive: Callable[..., object] | None = None
        air.append(self)

    def set_rx_callback(self, callback: Callable[..., object]) -> None:
        """Take what is to be done with what is received."""
        self._receive = callback

    async def send(self, data: bytes) -> dict[str, object]:
        """Send a packet."""
        loop = asyncio.get_running_loop()
        for other in self._air:
            if other is not self and other._receive is not None:
                loop.call_later(0.01, other._receive, data)
        return {}

    def get_last_rssi(self) -> int:
        """Return how strong everything is."""
        return -70

    def get_last_snr(self) -> float:
        """Return how clear everything is."""
        return 8.0

    def check_radio_health(self) -> bool:
        """Return that all is well."""
        return True


class PymcPair(Watched):
    """A companion that listens at a TCP port, and a neighbour that is driven directly."""

    def __init__(self, *, heartbeat: int = 15) -> None:
        """Prepare both; they work inside ``async with``."""
        super().__init__()
        air: list[Antenna] = []
        # Always the same keys: it takes any packet whose second byte is the first of its own key
        # for its own packet come back, which one in a hundred pairs of random keys suffers from.
        self.companion = CompanionRadio(Antenna(air), LocalIdentity(b"A" * 32), "Alpha")
        self.neighbour = CompanionRadio(Antenna(air), LocalIdentity(b"B" * 32), "Bravo")
        self.host = "127.0.0.1"
        self.port = 0
        self._heartbeat = heartbeat
        self._server: CompanionFrameServer | None = None

    async def __aenter__(self) -> Self:
        """Start both, and make them known to each other."""
        for node in (self.companion, self.neighbour):
            await node.start()
        self._server = CompanionFrameServer(
            self.companion,
            f"0x{self.companion.get_public_key()[0]:02x}",
            port=0,
            bind_address=self.host,
            heartbeat_interval=self._heartbeat,
        )
        await self._server.start()
        listener = self._server._server
        assert listener is not None
        self.port = listener.sockets[0].getsockname()[1]
        await self.neighbour.advertise()
        await self.companion.advertise()
        async with asyncio.timeout(10):
            while not (self.companion.get_contacts() and self.neighbour.get_contacts()):
                await asyncio.sleep(0.01)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop both."""
        assert self._server is not None
        await self._server.stop()
        for node in (self.companion, self.neighbour):
            await node.stop()
        # It leaves the acknowledgements that it would send in some seconds to themselves.
        for task in asyncio.all_tasks():
            code = getattr(task.get_coro(), "cr_code", None)
            if code is not None and "pymc_core" in code.co_filename:
                task.cancel()
