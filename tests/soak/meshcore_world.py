"""A MeshCore companion among its apps."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import override

from custom_components.meshmonitor.mesh.model import Message, MessageKind, Origin
from custom_components.meshmonitor.mesh.source import OutgoingText, SendError
from custom_components.meshmonitor.mesh.transport import TcpEndpoint
from custom_components.meshmonitor.meshcore import (
    commander,
    inbox,
    radio,
    reading,
    switchboard,
    virtual_node,
)
from custom_components.meshmonitor.meshcore.options import MeshCoreVirtualNodeOptions
from custom_components.meshmonitor.meshcore.source import MeshCoreSource
from tests.simulators.meshcore_companion import CompanionConfig, SimulatedCompanion

from .meshcore_app import CONTACTS, PATHS, POST, SEND, TIME, UNKNOWN, MeshCoreApp
from .world import Act, SoakError, World, shorten

_NONSENSE = (b"GET / HTTP/1.1\r\n", b"\x00\x01>\x05", b"?" * 32)
_RADIO_NONSENSE = (b"DEBUG: sent > 12 bytes\r\n", b">\xff\xff", b">\x00\x00")
_UNASKED = (b"\x00", b"\x09\x01\x02\x03\x04", b"\x18\x00", b"\x91new", b"\x8e\x18\xb0\x00\x80")
"""Answers to nobody, and pushes, a new kind among them."""


class MeshCoreWorld(World[MeshCoreApp]):
    """A companion that talks, advertises and fails."""

    def __init__(self, seed: int, apps: int) -> None:
        """Prepare; nothing runs yet."""
        super().__init__(seed, [MeshCoreApp(f"127.0.3.{number + 1}", 0) for number in range(apps)])
        self.radio = SimulatedCompanion(CompanionConfig(queue_size=256))
        self._peers = [peer.name for peer in self.radio.config.peers]
        for app in self.apps:
            app.version = self.random.choice([1, 3])

    @staticmethod
    @override
    def shorten_times() -> Callable[[], None]:
        return shorten(
            (
                (commander, "COMMAND_TIMEOUT", 0.3),
                (commander, "STREAM_TIMEOUT", 0.3),
                (commander, "QUIET_PERIOD", 0.05),
                (reading, "CONTACT_RETRY", 0.02),
                (reading, "CONTACT_RETRY_LIMIT", 0.1),
                (radio, "COLLECT_INTERVAL", 0.3),
                (radio, "_TICK", 0.1),
                (switchboard, "PATIENCE", 1.0),
                (virtual_node, "HOLD_TIMEOUT", 2.0),
                # Which messages go when there are too many is another matter.
                (inbox, "MAX_MESSAGES", 10_000),
            )
        )

    @override
    async def start_radio(self) -> None:
        await self.radio.__aenter__()

    @override
    async def stop_radio(self) -> None:
        await self.radio.__aexit__(None, None, None)

    @override
    def make_source(self) -> MeshCoreSource:
        return MeshCoreSource(
            TcpEndpoint(self.radio.host, self.radio.port), self.options(), name="soak"
        )

    @override
    def options(self, **changes: object) -> MeshCoreVirtualNodeOptions:
        return MeshCoreVirtualNodeOptions.from_mapping(
            {"enabled": True, "port": self.port, "max_clients": 256, **changes}
        )

    @override
    def heal(self) -> None:
        faults = self.radio.faults
        faults.mute.clear()
        faults.lose_contacts, faults.slow_stream, faults.dribble = 0, 0.0, False
        faults.deaf = False

    @override
    async def say(self, text: str) -> None:
        self.radio.mesh.post("Bravo", text)

    @override
    def sender_of(self, message: Message) -> str:
        assert message.client is not None
        return message.client

    @override
    def is_for_all(self, message: Message) -> bool:
        # The protocol has no frame that shows an app what another one wrote to a person.
        return message.origin is Origin.RADIO or message.kind is MessageKind.CHANNEL

    @override
    def take_sent(self) -> Counter[str]:
        sent = Counter(command[7:].decode() for command in self.radio.commands(POST))
        self.radio.mesh.transmissions.clear()
        self.radio.received.clear()
        self.radio.tally.clear()
        return sent

    @override
    def own_actions(self) -> list[tuple[int, Act]]:
        return [
            (300, self._mesh_says),
            (60, self._mesh_hears),
            (60, self._mesh_advertises),
            (60, self._app_says),
            (20, self._home_says),
            (15, self._asks_again),
            (8, self._chatters),
            (8, self._talks_nonsense),
            (10, self._radio_talks_nonsense),
            (6, self._link_breaks),
            (3, self._radio_restarts),
            (4, self._answers_get_lost),
            (20, self.heal),
        ]

    async def _mesh_says(self) -> None:
        if self.random.random() < 0.5:
            await self.say(self.next_text())
        else:
            self.radio.mesh.say(self.random.choice(self._peers), self.next_text())

    def _mesh_hears(self) -> None:
        self.radio.inject(b"\x88\x18\xb0" + self.random.randbytes(40))

    def _mesh_advertises(self) -> None:
        self.radio.mesh.advertise(self.random.choice(self._peers))

    def _app_says(self) -> None:
        app = self.pick(lambda app: app.is_ready)
        if app is None:
            return
        text, stamp = self.next_text().encode(), self.radio.device.now.to_bytes(4, "little")
        if self.random.random() < 0.6:
            app.ask(bytes((POST, 0, 0)) + stamp + text)
        else:
            key = self.radio.mesh.peer(self.random.choice(self._peers)).key
            app.ask(bytes((SEND, 0, 0)) + stamp + key[:6] + text)

    async def _home_says(self) -> None:
        with suppress(SendError):
            await self.source.send_text(OutgoingText(text=self.next_text()))

    def _asks_again(self) -> None:
        if (app := self.pick(lambda app: app.is_ready and not app.is_asking)) is not None:
            if app.contacts != len(self._peers):
                raise SoakError(f"{app.address}: was shown {app.contacts} contacts")
            for command in self.random.sample((CONTACTS, TIME, PATHS, UNKNOWN), k=3):
                app.ask(bytes((command,)))

    def _chatters(self) -> None:
        if (app := self.pick(lambda app: app.is_ready and not app.is_asking)) is not None:
            for _ in range(50):
                app.ask(bytes((TIME,)))

    def _talks_nonsense(self) -> None:
        if (app := self.pick(lambda app: app.is_connected)) is not None:
            app.write(self.random.choice(_NONSENSE))

    def _radio_talks_nonsense(self) -> None:
        if self.random.random() < 0.5:
            self.radio.inject_bytes(self.random.choice(_RADIO_NONSENSE))
        else:
            self.radio.inject(self.random.choice(_UNASKED))

    def _link_breaks(self) -> None:
        self.radio.close(reset=self.random.random() < 0.5)

    async def _radio_restarts(self) -> None:
        self.heal()
        await self.radio.reboot(self.random.choice([0.0, 0.05]))

    def _answers_get_lost(self) -> None:
        self.heal()
        faults = self.radio.faults
        match self.random.randrange(4):
            case 0:
                faults.mute.add(self.random.choice([POST, SEND, PATHS]))
            case 1:
                faults.lose_contacts = self.random.randrange(8)
                self.radio.close()
            case 2:
                faults.slow_stream, faults.dribble = 0.002, True
                self.radio.close()
            case 3:
                faults.deaf = True
                self._link_breaks()
