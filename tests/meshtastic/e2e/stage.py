"""A started source with its virtual node, the radio behind it, and the phones in front of it."""

import asyncio
from collections.abc import Callable
from typing import Final

from meshtastic.protobuf import portnums_pb2

from custom_components.meshmonitor.mesh.model import LinkState
from custom_components.meshmonitor.mesh.source import MeshEvent
from custom_components.meshmonitor.mesh.transport import Endpoint
from custom_components.meshmonitor.meshtastic.options import MeshtasticVirtualNodeOptions
from custom_components.meshmonitor.meshtastic.session import HEARTBEAT_INTERVAL
from custom_components.meshmonitor.meshtastic.source import MeshtasticSource
from tests.clients.meshtastic_phone import TIMEOUT, MeshtasticPhone
from tests.ports import free_port
from tests.simulators.meshtastic_node import SimulatedNode

PORT: Final = portnums_pb2.PortNum


class Served:
    """A source, its virtual node, and the phones that were connected to it."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        heartbeat_interval: float = HEARTBEAT_INTERVAL,
        expected_node_id: str | None = None,
        **options: object,
    ) -> None:
        """Prepare a source for the radio at `endpoint`.

        Args:
            endpoint: Where the radio is.
            heartbeat_interval: Seconds from one heartbeat to the next.
            expected_node_id: Which radio it has always been.
            options: Of the virtual node, by name, as a config entry holds them.
        """
        self.port = free_port()
        self._choices = options
        self.source = MeshtasticSource(
            endpoint,
            self.options(),
            name="test",
            expected_node_id=expected_node_id,
            heartbeat_interval=heartbeat_interval,
        )
        self.events: list[MeshEvent] = []
        """All that the source has told, in order."""
        self.phones: list[MeshtasticPhone] = []
        self.live: list[MeshtasticPhone] = []
        """Those of them that have done a handshake."""
        self.source.subscribe(self.events.append)

    def options(self, **changes: object) -> MeshtasticVirtualNodeOptions:
        """Return the virtual node's options, with some of them changed."""
        return MeshtasticVirtualNodeOptions.from_mapping(
            {"enabled": True, "port": self.port, **self._choices, **changes}
        )

    async def start(self) -> None:
        """Start the source and wait until it has read its radio."""
        await self.source.start()
        await self.until_ready()

    async def stop(self) -> None:
        """Disconnect all phones and stop the source."""
        for phone in self.phones:
            await phone.close()
        await self.source.stop()

    async def until(self, predicate: Callable[[], object], timeout: float = TIMEOUT) -> None:
        """Wait until the predicate is true.

        Raises `TimeoutError` when it stays false.
        """
        async with asyncio.timeout(timeout):
            while not predicate():
                await asyncio.sleep(0.002)

    async def until_ready(self, sessions: int = 1) -> None:
        """Wait until the radio was read so many times, and is being held."""
        await self.until(
            lambda: (
                self.source.link.sessions >= sessions and self.source.link.state is LinkState.READY
            )
        )

    async def connect(self, *, local_host: str | None = None) -> MeshtasticPhone:
        """Connect a phone that has said nothing yet."""
        phone = MeshtasticPhone(self.port)
        await phone.connect(local_host=local_host)
        self.phones.append(phone)
        return phone

    async def phone(self, *, nonce: int = 12345, local_host: str | None = None) -> MeshtasticPhone:
        """Connect a phone and let it do its handshake."""
        phone = await self.connect(local_host=local_host)
        await phone.want_config(nonce)
        self.live.append(phone)
        return phone

    def told[EventT](self, kind: type[EventT]) -> list[EventT]:
        """Return the events of one kind that the source has told."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def client_count(self) -> int:
        """How many phones the virtual node believes to be connected."""
        return len(self.source.virtual_node.clients)


class Stage(Served):
    """A simulated node, and a source that holds it."""

    def __init__(self, node: SimulatedNode, endpoint: Endpoint, **options: object) -> None:
        """Prepare a source for `node`, which is reached at `endpoint`."""
        super().__init__(endpoint, **options)  # type: ignore[arg-type]
        self.node = node
        self._marks = 0

    @property
    def own(self) -> int:
        """The node number of the radio."""
        return self.node.state.num

    async def settle(self) -> None:
        """Wait until all that the radio has said so far has reached every phone.

        What comes over one link stays in order: what is said now comes last.
        """
        self._marks += 1
        mark = b"mark %d" % self._marks
        await self.node.send_data(self.node.peer(0).num, PORT.PRIVATE_APP, mark)
        for phone in self.live:
            if not phone.closed:
                await phone.wait_for_payload(PORT.PRIVATE_APP, mark)
