"""A radio of each protocol, its source, and the apps in front: the same questions to both."""

from abc import ABC, abstractmethod
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import itertools
from typing import Any, Final, override

from meshtastic.protobuf import mesh_pb2

from custom_components.meshmonitor.mesh.source import MeshSource, Problem, ProblemChanged
from custom_components.meshmonitor.mesh.transport import Endpoint, SerialEndpoint, TcpEndpoint
from tests.clients.meshtastic_phone import MeshtasticPhone, frame
from tests.meshcore.e2e.app import App
from tests.meshcore.e2e.stage import Stage as MeshCoreStage
from tests.meshtastic.e2e.stage import Served
from tests.simulators.meshcore_companion import CompanionConfig, SimulatedCompanion
from tests.simulators.meshtastic_config import NodeConfig
from tests.simulators.meshtastic_node import SimulatedNode

from .network import Network

TIMEOUT: Final = 20.0


class Rig(ABC):
    """One radio, the way to it, and a source with its virtual node that shares it."""

    junk: bytes
    """Debug text, an impossible length, a frame without content: all of them no messages."""
    header: int
    """How long the envelope before a message is."""
    marker: bytes
    """With what an envelope begins."""
    hello: bytes
    """All that an app says in its handshake."""
    ping: bytes
    """Something small that is answered at once."""
    visits_before = 0
    """How often the source had connected when something was made to go wrong."""
    source: MeshSource
    network: Network

    def __init__(self) -> None:
        """Have said nothing yet."""
        self._numbers = itertools.count(1)
        self.odd: list[asyncio.StreamWriter] = []
        """Clients that do not behave, and are still there."""

    async def until(self, condition: Any, what: str = "it") -> None:
        """Wait until something is true."""
        try:
            async with asyncio.timeout(TIMEOUT):
                while not condition():
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"{what} did not come: {self.source.link}") from None

    async def until_ready(self) -> None:
        """Wait until the radio is held."""
        await self.until(lambda: self.source.link.is_ready, "the link")

    def problems(self, problem: Problem) -> list[bool]:
        """Return how often a problem came and went."""
        return [
            event.is_active
            for event in self.events
            if isinstance(event, ProblemChanged) and event.problem is problem
        ]

    @property
    @abstractmethod
    def events(self) -> list[Any]:
        """All that the source has told."""

    @abstractmethod
    def make_source(self, endpoint: Endpoint) -> None:
        """Make the source, which is not started."""

    @property
    @abstractmethod
    def port(self) -> int:
        """Where the virtual node listens."""

    @abstractmethod
    async def client(self) -> Any:
        """Connect an app, and let it do its handshake."""

    @abstractmethod
    async def read_all(self, client: Any) -> list[bytes]:
        """Let an app read what it reads in its handshake; return that."""

    @abstractmethod
    async def is_served(self, client: Any) -> None:
        """See that an app gets what comes from the mesh, and that what it sends is sent, once."""

    @abstractmethod
    def is_closed(self, client: Any) -> bool:
        """Return whether an app's connection was ended."""

    @abstractmethod
    def overlapping(self) -> int:
        """Return how often the radio was asked anew before it had answered."""

    @abstractmethod
    async def reboot(self, seconds: float) -> None:
        """Let the radio restart."""

    @abstractmethod
    def plug_in(self) -> str:
        """Offer the radio at a serial port; return its path, which stays the same."""

    @abstractmethod
    def unplug(self) -> None:
        """Pull the radio's plug."""

    @abstractmethod
    async def replace(self) -> None:
        """Let another radio be at the same address."""

    @abstractmethod
    async def stop(self) -> None:
        """End the apps and the source."""


class MeshtasticRig(Rig):
    """A Meshtastic node."""

    junk = b"DEBUG | 12:00:00 [Router] rx\r\n\x94\x94\xc3\xff\xff\x94\xc3\x00\x00\x94"
    header = 4
    marker = b"\x94"
    hello = frame(mesh_pb2.ToRadio(want_config_id=7).SerializeToString())
    ping = frame(mesh_pb2.ToRadio(heartbeat=mesh_pb2.Heartbeat()).SerializeToString())

    def __init__(self, node: SimulatedNode, other: SimulatedNode) -> None:
        """Take a node, and another one to put in its place."""
        super().__init__()
        self._node, self._other = node, other

    @override
    def make_source(self, endpoint: Endpoint) -> None:
        self._served = Served(
            endpoint, heartbeat_interval=0.5, expected_node_id=self._node.state.user.id
        )
        self.source = self._served.source

    @property
    @override
    def events(self) -> list[Any]:
        return self._served.events

    @property
    @override
    def port(self) -> int:
        return self._served.port

    @override
    async def client(self) -> MeshtasticPhone:
        return await self._served.phone()

    @override
    async def read_all(self, client: MeshtasticPhone) -> list[bytes]:
        payloads = await client.want_config(70_000 + next(self._numbers))
        return payloads[:-1]

    @override
    async def is_served(self, client: MeshtasticPhone) -> None:
        number = next(self._numbers)
        await self._node.say(self._node.peer(0).num, f"heard {number}")
        await client.wait_for(lambda: f"heard {number}" in client.texts())
        packet_id = client.send_text(f"sent {number}")
        assert await client.outcome(packet_id) == [0]
        await self.until(lambda: f"sent {number}" in self._node.texts())
        assert client.texts().count(f"heard {number}") == 1
        assert self._node.texts().count(f"sent {number}") == 1

    @override
    def is_closed(self, client: MeshtasticPhone) -> bool:
        return client.closed

    @override
    def overlapping(self) -> int:
        return self._node.tally["overlapping_requests"] + self._node.tally["taken_over"]

    @override
    async def reboot(self, seconds: float) -> None:
        await self._node.reboot(seconds)

    @override
    def plug_in(self) -> str:
        if self._node._serial is None and self._node._serial_folder is None:
            return self._node.serve_pty()
        return self._node.replug()

    @override
    def unplug(self) -> None:
        self._node.unplug()

    @override
    async def replace(self) -> None:
        self._node, self._other = self._other, self._node
        self.network.radio = (self._node.host, self._node.port)

    @override
    async def stop(self) -> None:
        await self._served.stop()


class OneByOne(SimulatedCompanion):
    """A companion that counts commands which come before the last one was done."""

    @override
    def data_received(self, data: bytes) -> None:
        """Take bytes from the app."""
        super().data_received(data)
        if len(self._commands) > 1:
            self.tally["overlapping"] += 1


class MeshCoreRig(Rig):
    """A MeshCore companion."""

    junk = b"DEBUG: sent > 12 bytes\r\n>\xff\xff>\x00\x00>\x00\x00"
    header = 3
    marker = b">"
    hello = b"<\x02\x00\x16\x03<\x0b\x00\x01\x03      odd<\x01\x00\x04"
    ping = b"<\x01\x00\x05"

    def __init__(self, radio: SimulatedCompanion, other: SimulatedCompanion) -> None:
        """Take a radio, and another one to put in its place."""
        super().__init__()
        self._radio, self._other = radio, other

    @override
    def make_source(self, endpoint: Endpoint) -> None:
        key = self._radio.device.settings.public_key.hex()
        self._stage = MeshCoreStage(endpoint, expected_node_id=key)
        self.source = self._stage.source

    @property
    @override
    def events(self) -> list[Any]:
        return self._stage.events

    @property
    @override
    def port(self) -> int:
        return self._stage.port

    @override
    async def client(self) -> App:
        return await self._stage.app(name=f"app {next(self._numbers)}")

    @override
    async def read_all(self, client: App) -> list[bytes]:
        return [await client.ask(b"\x01\x03      app"), *await client.contacts()]

    @override
    async def is_served(self, client: App) -> None:
        number = next(self._numbers)
        text = b"heard %d" % number
        self._radio.mesh.say("Bravo", text.decode(), stamp=5000 + number)
        heard: list[bytes] = []
        async with asyncio.timeout(TIMEOUT):
            while text not in [frame[16:] for frame in heard]:
                heard += await client.drain()
                await asyncio.sleep(0.01)
        post = b"\x03\x00\x00" + (9000 + number).to_bytes(4, "little") + b"sent %d" % number
        assert await client.ask(post) == b"\x00"
        assert [frame[16:] for frame in heard].count(text) == 1
        assert self._radio.received.count(post) == 1

    @override
    def is_closed(self, client: App) -> bool:
        return client.is_closed

    @override
    def overlapping(self) -> int:
        return self._radio.tally["overlapping"]

    @override
    async def reboot(self, seconds: float) -> None:
        await self._radio.reboot(seconds)

    @override
    def plug_in(self) -> str:
        return str(self._radio.plug_in())

    @override
    def unplug(self) -> None:
        self._radio.unplug()

    @override
    async def replace(self) -> None:
        self._radio, self._other = self._other, self._radio
        self.network.radio = (self._radio.host, self._radio.port)

    @override
    async def stop(self) -> None:
        await self._stage.stop()


@asynccontextmanager
async def open_rig(protocol: str, *, serial: bool = False) -> AsyncIterator[Rig]:
    """Give a rig whose source is not started, and stop it in the end.

    Args:
        protocol: Of the radio.
        serial: Whether it is at a serial port, in place of the network.
    """
    rig: Rig
    if protocol == "meshtastic":
        second = NodeConfig(seed=2, num=0x0B0B0B0B, long_name="Other", short_name="OTHR")
        async with SimulatedNode() as node, SimulatedNode(second) as other_node:
            rig = MeshtasticRig(node, other_node)
            async with _at(rig, node.host, node.port, serial=serial):
                yield rig
    else:
        config = CompanionConfig(name="Other")
        async with OneByOne() as radio, OneByOne(config) as other_radio:
            rig = MeshCoreRig(radio, other_radio)
            async with _at(rig, radio.host, radio.port, serial=serial):
                yield rig


@asynccontextmanager
async def _at(rig: Rig, host: str, port: int, *, serial: bool) -> AsyncIterator[None]:
    async with Network(host, port) as rig.network:
        rig.make_source(
            SerialEndpoint(rig.plug_in()) if serial else TcpEndpoint("127.0.0.1", rig.network.port)
        )
        try:
            yield
        finally:
            await rig.stop()
