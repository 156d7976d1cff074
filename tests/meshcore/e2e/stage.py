"""A started source with its virtual node, the radio behind it, and the apps in front of it."""

import asyncio
from collections.abc import Callable

from custom_components.meshmonitor.mesh.source import MeshEvent
from custom_components.meshmonitor.mesh.transport import Endpoint
from custom_components.meshmonitor.meshcore.options import MeshCoreVirtualNodeOptions
from custom_components.meshmonitor.meshcore.source import MeshCoreSource

from .app import TIMEOUT, App


class Stage:
    """A source, its virtual node, and the apps that were connected to it."""

    def __init__(
        self, endpoint: Endpoint, *, expected_node_id: str | None = None, **options: object
    ) -> None:
        """Prepare a source for the radio at an endpoint.

        Args:
            endpoint: Where the radio is.
            expected_node_id: Which radio it has always been.
            options: Of the virtual node, by name, as a config entry holds them.
        """
        self._choices = options
        self.source = MeshCoreSource(
            endpoint, self.options(), name="test", expected_node_id=expected_node_id
        )
        self.events: list[MeshEvent] = []
        self.apps: list[App] = []
        self.source.subscribe(self.events.append)

    def options(self, **changes: object) -> MeshCoreVirtualNodeOptions:
        """Return the virtual node's options, with some of them changed."""
        return MeshCoreVirtualNodeOptions.from_mapping(
            {"enabled": True, "port": 0, "bind_address": "127.0.0.1", **self._choices, **changes}
        )

    @property
    def port(self) -> int:
        """Where the virtual node listens: the port that the system chose."""
        server = self.source.virtual_node._server
        assert server is not None
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def start(self) -> None:
        """Start the source and wait until it has read its radio."""
        await self.source.start()
        await self.until(lambda: self.source.link.is_ready)

    async def stop(self) -> None:
        """Disconnect all apps and stop the source."""
        for app in self.apps:
            await app.close()
        await self.source.stop()

    async def app(self, *, version: int = 3, name: str = "app", hello: bool = True) -> App:
        """Connect an app; unless told otherwise it has done its greeting."""
        app = await App.connect(self.port)
        self.apps.append(app)
        return await app.hello(version, name) if hello else app

    async def until(self, predicate: Callable[[], object]) -> None:
        """Wait until the predicate is true."""
        async with asyncio.timeout(TIMEOUT):
            while not predicate():
                await asyncio.sleep(0.005)

    def of_kind[EventT](self, kind: type[EventT]) -> list[EventT]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]
