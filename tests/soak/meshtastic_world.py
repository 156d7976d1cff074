"""A Meshtastic node among its apps."""

from collections import Counter
from collections.abc import Callable
import time
from typing import Final, override

from meshtastic.protobuf import mesh_pb2, telemetry_pb2

from custom_components.meshmonitor.mesh.model import Message
from custom_components.meshmonitor.mesh.source import MeshEvent, OutgoingText
from custom_components.meshmonitor.mesh.transport import TcpEndpoint
from custom_components.meshmonitor.meshtastic import pacing, switchboard
from custom_components.meshmonitor.meshtastic.options import MeshtasticVirtualNodeOptions
from custom_components.meshmonitor.meshtastic.source import MeshtasticSource
from tests.simulators import meshtastic_phone_api
from tests.simulators.meshtastic_config import NodeConfig
from tests.simulators.meshtastic_faults import Cut, Dribble
from tests.simulators.meshtastic_frames import frame
from tests.simulators.meshtastic_node import SimulatedNode

from .meshtastic_app import CONFIG, FULL, NODES, MeshtasticApp
from .world import Act, World, shorten

_HEARTBEAT: Final = frame(mesh_pb2.ToRadio(heartbeat=mesh_pb2.Heartbeat()).SerializeToString())


class MeshtasticWorld(World[MeshtasticApp]):
    """A node that talks, measures and fails."""

    def __init__(self, seed: int, apps: int) -> None:
        """Prepare; nothing runs yet."""
        super().__init__(
            seed, [MeshtasticApp(f"127.0.2.{number + 1}", 0) for number in range(apps)]
        )
        self.node = SimulatedNode(NodeConfig(seed=seed, to_phone_queue=10_000))
        self._names: dict[str, str] = {}

    @staticmethod
    @override
    def shorten_times() -> Callable[[], None]:
        return shorten(
            (
                (switchboard, "RESYNC_DELAY", 0.05),
                (pacing, "WINDOWS", dict.fromkeys(pacing.WINDOWS, 0.02)),
                (pacing, "WINDOW_MARGIN", 0.0),
                (
                    meshtastic_phone_api,
                    "WINDOWS",
                    dict.fromkeys(meshtastic_phone_api.WINDOWS, 0.001),
                ),
            )
        )

    @override
    async def start_radio(self) -> None:
        await self.node.start()

    @override
    async def stop_radio(self) -> None:
        await self.node.stop()

    @override
    def make_source(self) -> MeshtasticSource:
        self._names.clear()
        return MeshtasticSource(
            TcpEndpoint(self.node.host, self.node.port), self.options(), name="soak"
        )

    @override
    def options(self, **changes: object) -> MeshtasticVirtualNodeOptions:
        return MeshtasticVirtualNodeOptions.from_mapping(
            {"enabled": True, "port": self.port, "max_clients": 256, **changes}
        )

    @override
    def heal(self) -> None:
        self.node.faults.cut = self.node.faults.dribble = None

    @override
    async def say(self, text: str) -> None:
        await self.node.say(self.node.peer(0).num, text)

    @override
    def told(self, event: MeshEvent) -> None:
        for name, client in self.source.virtual_node.clients.items():
            self._names[name] = str(client.address)
        super().told(event)

    @override
    def sender_of(self, message: Message) -> str:
        assert message.client is not None
        return self._names[message.client]

    @override
    def is_for_all(self, message: Message) -> bool:
        return True

    @override
    def take_sent(self) -> Counter[str]:
        sent = Counter(self.node.texts())
        self.node.received.clear()
        return sent

    @override
    def greet(self, app: MeshtasticApp) -> None:
        app.handshake(*self.random.choice([(FULL,), (CONFIG, NODES), (NODES,)]))

    @override
    def own_actions(self) -> list[tuple[int, Act]]:
        return [
            (300, self._mesh_says),
            (120, self._mesh_measures),
            (60, self._app_says),
            (20, self._home_says),
            (10, self._asks_again),
            (8, self._chatters),
            (8, self._talks_nonsense),
            (10, self._radio_talks_nonsense),
            (6, self._link_breaks),
            (3, self._radio_restarts),
            (4, self._dump_breaks),
        ]

    async def _mesh_says(self) -> None:
        await self.node.say(self.node.peer(self.random.randrange(5)).num, self.next_text())

    async def _mesh_measures(self) -> None:
        telemetry = telemetry_pb2.Telemetry(time=int(time.time()))
        telemetry.device_metrics.battery_level = self.random.randrange(100)
        await self.node.send_telemetry(self.node.peer(self.random.randrange(5)).num, telemetry)

    def _app_says(self) -> None:
        app = self.pick(lambda app: app.is_ready)
        if app is not None:
            to = self.random.choice([0xFFFFFFFF, self.node.peer(0).num])
            app.send_text(self.next_text(), self.random.randrange(1, 1 << 32), to)

    async def _home_says(self) -> None:
        if self.source.identity is not None:
            await self.source.send_text(OutgoingText(text=self.next_text()))

    def _asks_again(self) -> None:
        if (app := self.pick(lambda app: app.is_ready and not app.is_asking)) is not None:
            app.handshake(FULL)

    def _chatters(self) -> None:
        if (app := self.pick(lambda app: app.is_connected)) is not None:
            app.write(_HEARTBEAT * 200)

    def _talks_nonsense(self) -> None:
        if (app := self.pick(lambda app: app.is_connected)) is not None:
            app.write(self.random.choice([b"\x94\xc3\x00\x09\x0a", b"\xc3" * 32, b"\x94" * 4]))

    async def _radio_talks_nonsense(self) -> None:
        match self.random.randrange(3):
            case 0:
                await self.node.send_junk(b"DEBUG | ??:??:?? 1 [Router] text\r\n")
            case 1:
                await self.node.send_oversize_frame()
            case 2:
                await self.node.send_empty_frame()

    def _link_breaks(self) -> None:
        match self.random.randrange(3):
            case 0:
                self.node.drop()
            case 1:
                self.node.drop(reset=True)
            case 2:
                self.node.steal()

    async def _radio_restarts(self) -> None:
        await self.node.reboot(self.random.choice([0.0, 0.05]))

    def _dump_breaks(self) -> None:
        self.node.faults.cut = Cut(self.random.randrange(30), reset=self.random.random() < 0.5)
        self.node.faults.dribble = self.random.choice([None, Dribble(200, 0.0005)])
        self.node.drop()
