"""Worker: simulated radios, and traffic from them at a given pace."""

from abc import ABC, abstractmethod
import asyncio
import time
from typing import Any, Final, override

from tests.simulators.meshcore_companion import CompanionConfig, SimulatedCompanion
from tests.simulators.meshcore_mesh import crowd
from tests.simulators.meshtastic_config import NodeConfig
from tests.simulators.meshtastic_node import SimulatedNode

from . import packets
from .worker import serve


class Radio(ABC):
    """A simulated radio that a bench can drive."""

    port = 0

    @abstractmethod
    async def start(self) -> None:
        """Listen on a free port of 127.0.0.1."""

    @abstractmethod
    async def stop(self) -> None:
        """Leave nothing behind."""

    @property
    @abstractmethod
    def is_connected(self) -> bool:
        """Whether somebody holds its one connection."""

    @abstractmethod
    def frames(self, kind: str, count: int, size: int, senders: int | None = None) -> list[bytes]:
        """Return ready-made traffic; of some senders alone, where the protocol has senders."""

    @abstractmethod
    def node_ids(self) -> list[str]:
        """Return the ids of the nodes that it knows, in the order in which they send."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send bytes to the client now, past the radio's own small queues."""

    @abstractmethod
    def take_received(self) -> list[tuple[int, bytes]]:
        """Return what clients sent since the last call, with the times of arrival."""


class MeshtasticRadio(Radio):
    """A simulated Meshtastic node."""

    def __init__(self, size: int) -> None:
        """Make a radio that knows so many nodes."""
        self._node = SimulatedNode(NodeConfig(nodes=size))
        self._taken = 0

    @override
    async def start(self) -> None:
        await self._node.start()
        self.port = self._node.port

    @override
    async def stop(self) -> None:
        await self._node.stop()

    @property
    @override
    def is_connected(self) -> bool:
        return self._node.connected

    @override
    def frames(self, kind: str, count: int, size: int, senders: int | None = None) -> list[bytes]:
        return packets.meshtastic_packets(self._node, kind, count, size, senders)

    @override
    def node_ids(self) -> list[str]:
        return [f"!{num:08x}" for num in self._node.mesh.peers]

    @override
    def write(self, data: bytes) -> None:
        # Junk to the simulator is whatever did not go through its queues.
        for link in self._node._links():  # noqa: SLF001
            link.write_now(data)

    @override
    def take_received(self) -> list[tuple[int, bytes]]:
        received = self._node.received[self._taken :]
        self._taken += len(received)
        return [(int(one.at * 1e9), one.payload) for one in received]


class _TimedCompanion(SimulatedCompanion):
    """Notes when bytes came, before anything is done with them."""

    def __init__(self, config: CompanionConfig) -> None:
        super().__init__(config)
        self.arrived: list[tuple[int, bytes]] = []

    @override
    def data_received(self, data: bytes) -> None:
        self.arrived.append((time.monotonic_ns(), data))
        super().data_received(data)


class MeshCoreRadio(Radio):
    """A simulated MeshCore companion."""

    def __init__(self, size: int) -> None:
        """Make a radio that has so many contacts."""
        config = CompanionConfig(peers=crowd(size), max_contacts=size + 10, wifi_queue=False)
        self._companion = _TimedCompanion(config)

    @override
    async def start(self) -> None:
        await self._companion.__aenter__()
        self.port = self._companion.port

    @override
    async def stop(self) -> None:
        await self._companion.__aexit__(None, None, None)

    @property
    @override
    def is_connected(self) -> bool:
        return self._companion.device.is_app_connected

    @override
    def frames(self, kind: str, count: int, size: int, senders: int | None = None) -> list[bytes]:
        return packets.meshcore_receptions(count)

    @override
    def node_ids(self) -> list[str]:
        return [key.hex() for key in self._companion.mesh.peers]

    @override
    def write(self, data: bytes) -> None:
        self._companion.inject_bytes(data)

    @override
    def take_received(self) -> list[tuple[int, bytes]]:
        arrived, self._companion.arrived = self._companion.arrived, []
        return arrived


_KINDS: Final = {"meshtastic": MeshtasticRadio, "meshcore": MeshCoreRadio}


class Radios:
    """All radios of this process."""

    def __init__(self) -> None:
        """Start without any."""
        self._radios: list[Radio] = []
        self._burst = b""

    async def open(self, protocol: str, size: int) -> dict[str, int]:
        """Start a radio; returns its number and port."""
        radio = _KINDS[protocol](size)
        await radio.start()
        self._radios.append(radio)
        return {"number": len(self._radios) - 1, "port": radio.port}

    async def close(self) -> None:
        """End all radios; numbers begin anew."""
        for radio in self._radios:
            await radio.stop()
        self._radios.clear()

    async def nodes(self, radio: int, count: int) -> list[str]:
        """Return the ids of the first nodes that a radio knows."""
        return self._radios[radio].node_ids()[:count]

    async def prepare(
        self, radio: int, kind: str, count: int, size: int = 0, senders: int | None = None
    ) -> dict[str, int]:
        """Make a burst ready; returns its bytes. Texts have at least `size` bytes."""
        size = max(size, packets.SHORTEST_TEXT)
        self._burst = b"".join(self._radios[radio].frames(kind, count, size, senders))
        return {"bytes": len(self._burst)}

    async def fire(self, radio: int) -> int:
        """Write the burst in one go; returns when, by `time.monotonic_ns`."""
        now = time.monotonic_ns()
        self._radios[radio].write(self._burst)
        return now

    async def feed(
        self, radios: list[int], kind: str, count: int, pace: float, size: int = 0
    ) -> int:
        """Write stamped packets one by one, to each radio in its turn.

        Args:
            radios: Which radios, evenly between two packets of the same one.
            kind: Of the packets.
            count: For each radio.
            pace: Seconds between two packets of the same radio.
            size: Least bytes of a text.

        Returns:
            How many bytes each radio wrote.
        """
        size = max(size, packets.SHORTEST_TEXT)
        ready = [self._radios[radio].frames(kind, count, size) for radio in radios]
        begun = time.monotonic()
        for number in range(count):
            for place, radio in enumerate(radios):
                due = begun + pace * (number + place / len(radios))
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                frame = ready[place][number]
                self._radios[radio].write(packets.stamp(frame, time.monotonic_ns()))
        return sum(map(len, ready[0]))

    async def delays(self, radio: int) -> list[float]:
        """Return how long the stamped frames were on their way that came since the last call."""
        return list(packets.delays(self._radios[radio].take_received()))

    async def is_connected(self, radio: int) -> bool:
        """Return whether somebody holds a radio's one connection."""
        return self._radios[radio].is_connected


async def _main() -> None:
    radios = Radios()
    commands: dict[str, Any] = {
        "open": radios.open,
        "close": radios.close,
        "nodes": radios.nodes,
        "prepare": radios.prepare,
        "fire": radios.fire,
        "feed": radios.feed,
        "delays": radios.delays,
        "is_connected": radios.is_connected,
    }
    await serve(commands)
    await radios.close()


if __name__ == "__main__":
    asyncio.run(_main())
