"""A radio, a source and dozens of apps: things happen at random, and all is accounted for."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
import gc
import json
from pathlib import Path
import random
import time
import tracemalloc
from typing import Any, Final

from meshtastic.protobuf import mesh_pb2, telemetry_pb2

from custom_components.meshmonitor.mesh import client as mesh_client, link
from custom_components.meshmonitor.mesh.model import LinkState, Origin
from custom_components.meshmonitor.mesh.source import MeshEvent, MessageReceived, OutgoingText
from custom_components.meshmonitor.mesh.transport import TcpEndpoint
from custom_components.meshmonitor.meshtastic import pacing, switchboard
from custom_components.meshmonitor.meshtastic.options import MeshtasticVirtualNodeOptions
from custom_components.meshmonitor.meshtastic.source import MeshtasticSource
from tests.ports import free_port
from tests.simulators import meshtastic_phone_api
from tests.simulators.meshtastic_config import NodeConfig
from tests.simulators.meshtastic_faults import Cut, Dribble
from tests.simulators.meshtastic_frames import frame
from tests.simulators.meshtastic_node import SimulatedNode
from tests.soak.app import App

FULL, CONFIG, NODES = 4711, 69420, 69421
PATIENCE: Final = 60.0
"""Seconds after which something that ought to happen is taken for missing."""
MEMORY_SLACK: Final = 2_000_000
_HEARTBEAT = frame(mesh_pb2.ToRadio(heartbeat=mesh_pb2.Heartbeat()).SerializeToString())


class SoakError(AssertionError):
    """The accounts do not balance."""


@dataclass(frozen=True, slots=True)
class Entered:
    """A text that reached the source."""

    text: str
    sender: str | None
    """The address of the app that sent it."""


def shorten_times() -> Callable[[], None]:
    """Let everything take less time than people would wait; returns what undoes it."""
    windows = dict.fromkeys(pacing.WINDOWS, 0.02)
    sim_windows = dict.fromkeys(meshtastic_phone_api.WINDOWS, 0.001)
    changes: list[tuple[Any, str, Any]] = [
        (link, "BACKOFF_FIRST", 0.01),
        (link, "BACKOFF_LAST", 0.05),
        (link, "CONTENDED_DELAY", 0.05),
        (switchboard, "RESYNC_DELAY", 0.05),
        (pacing, "WINDOWS", windows),
        (pacing, "WINDOW_MARGIN", 0.0),
        (meshtastic_phone_api, "WINDOWS", sim_windows),
        # Restarts in a storm are what is tried here, not the limit on them.
        (mesh_client, "WORK_LIMIT", 100_000.0),
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in changes]
    for module, name, value in changes:
        setattr(module, name, value)

    def undo() -> None:
        for module, name, value in before:
            setattr(module, name, value)

    return undo


class World:
    """Everything, from one seed."""

    def __init__(self, seed: int, apps: int) -> None:
        """Prepare; nothing runs yet."""
        self.random = random.Random(seed)
        self.node = SimulatedNode(NodeConfig(seed=seed, to_phone_queue=10_000))
        self.apps = [App(f"127.0.2.{number + 1}", 0) for number in range(apps)]
        self.entered: list[Entered] = []
        self.actions: Counter[str] = Counter()
        self.totals: Counter[str] = Counter()
        self._number = 0
        self._names: dict[str, str] = {}
        self._source: MeshtasticSource | None = None
        self._port = 0
        self._memory: list[int] = []
        self._baseline = (0, 0)

    @property
    def source(self) -> MeshtasticSource:
        """The source that runs at present."""
        assert self._source is not None
        return self._source

    async def run(self, epochs: int, steps: int) -> None:
        """Live for so many epochs of so many steps, and balance the accounts after each.

        Raises `SoakError` when a text is missing, came twice or out of order, or when something is
        left behind.
        """
        self._baseline = (len(asyncio.all_tasks()), _open_files())
        tracemalloc.start()
        try:
            await self.node.start()
            self._start()
            await self.source.start()
            await self._until(self._is_sound, "the first session")
            for app in self.apps:
                app.port = self._port
            for _ in range(epochs):
                await self._gather_everyone()
                self._forget()
                await self._live(steps)
                await self._gather_everyone()
                await self._until(self._is_balanced, "everybody having everything")
                self._check()
                await self._restart()
                self._measure()
        finally:
            for app in self.apps:
                app.leave()
            if self._source is not None:
                await self._source.stop()
            await self.node.stop()
            tracemalloc.stop()
        await self._until(lambda: len(asyncio.all_tasks()) <= self._baseline[0], "all tasks' end")
        await self._until(lambda: _open_files() <= self._baseline[1], "all sockets' end")

    # What happens.

    async def _live(self, steps: int) -> None:
        actions: list[tuple[int, Callable[[], object]]] = [
            (300, self._mesh_says),
            (120, self._mesh_measures),
            (60, self._app_says),
            (20, self._home_says),
            (60, self._comes),
            (25, self._leaves),
            (25, self._is_reset),
            (15, self._stalls),
            (25, self._listens),
            (10, self._asks_again),
            (8, self._chatters),
            (8, self._talks_nonsense),
            (10, self._radio_talks_nonsense),
            (6, self._link_breaks),
            (3, self._radio_restarts),
            (4, self._dump_breaks),
            (3, self._options_change),
            (1, self._restarts),
        ]
        weights = [weight for weight, _ in actions]
        for _ in range(steps):
            _, act = self.random.choices(actions, weights)[0]
            self.actions[act.__name__.strip("_")] += 1
            result = act()
            if asyncio.iscoroutine(result):
                await result
            if self.random.random() < 0.3:
                await asyncio.sleep(self.random.random() * 0.004)
            self._check_apps()

    def _text(self) -> str:
        self._number += 1
        return f"text {self._number}"

    async def _mesh_says(self) -> None:
        await self.node.say(self.node.peer(self.random.randrange(5)).num, self._text())

    async def _mesh_measures(self) -> None:
        telemetry = telemetry_pb2.Telemetry(time=int(time.time()))
        telemetry.device_metrics.battery_level = self.random.randrange(100)
        await self.node.send_telemetry(self.node.peer(self.random.randrange(5)).num, telemetry)

    def _app_says(self) -> None:
        app = self._pick(lambda app: app.is_ready)
        if app is not None:
            to = self.random.choice([0xFFFFFFFF, self.node.peer(0).num])
            app.send_text(self._text(), self.random.randrange(1, 1 << 32), to)

    async def _home_says(self) -> None:
        if self.source.identity is not None:
            await self.source.send_text(OutgoingText(text=self._text()))

    async def _comes(self) -> None:
        app = self._pick(lambda app: not app.is_connected)
        if app is None:
            return
        with suppress(OSError):
            await app.connect(is_slow=self.random.random() < 0.2)
            app.handshake(*self.random.choice([(FULL,), (CONFIG, NODES), (NODES,)]))

    def _leaves(self) -> None:
        if (app := self._pick(lambda app: app.is_connected)) is not None:
            app.leave()

    def _is_reset(self) -> None:
        if (app := self._pick(lambda app: app.is_connected)) is not None:
            app.leave(reset=True)

    def _stalls(self) -> None:
        if (app := self._pick(lambda app: app.is_connected)) is not None:
            app.stall()

    def _listens(self) -> None:
        for app in self.apps:
            app.listen()

    def _asks_again(self) -> None:
        if (app := self._pick(lambda app: app.is_ready and not app.is_asking)) is not None:
            app.handshake(FULL)

    def _chatters(self) -> None:
        if (app := self._pick(lambda app: app.is_connected)) is not None:
            app.write(_HEARTBEAT * 200)

    def _talks_nonsense(self) -> None:
        if (app := self._pick(lambda app: app.is_connected)) is not None:
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

    async def _options_change(self) -> None:
        match self.random.randrange(3):
            case 0:
                await self._apply(enabled=False)
                await self._apply()
            case 1:
                await self._apply(allow_admin_commands=self.random.random() < 0.5)
            case 2:
                await self._apply(max_clients=3)
                await self._apply()

    async def _restarts(self) -> None:
        # What clients have queued for the radio is lost with the program, which is another matter.
        self.node.faults.cut = self.node.faults.dribble = None
        await self._until(self._is_sound, "the link")
        await self._until(lambda: not self.source.counters["queue_length"], "an empty outbox")
        await self._restart()

    # The source.

    def _options(self, **changes: object) -> MeshtasticVirtualNodeOptions:
        return MeshtasticVirtualNodeOptions.from_mapping(
            {"enabled": True, "port": self._port, "max_clients": 256, **changes}
        )

    async def _apply(self, **changes: object) -> None:
        await self.source.apply_virtual_node(self._options(**changes))

    def _start(self) -> None:
        if not self._port:
            self._port = free_port()
        endpoint = TcpEndpoint(self.node.host, self.node.port)
        self._source = MeshtasticSource(endpoint, self._options(), name="soak")
        self._source.subscribe(self._told)
        self._names.clear()

    async def _restart(self) -> None:
        """Stop, keep what is kept, and start anew from it, as Home Assistant does."""
        await self.source.stop()
        kept = json.loads(json.dumps(self.source.snapshot()))
        self._start()
        self.source.restore(kept)
        await self.source.start()
        await self._until(lambda: self.source.virtual_node.is_running, "the listener")

    def _told(self, event: MeshEvent) -> None:
        for name, client in self.source.virtual_node.clients.items():
            self._names[name] = str(client.address)
        if isinstance(event, MessageReceived):
            message = event.message
            sender = self._names[message.client] if message.client is not None else None
            if message.origin is not Origin.PHONE:
                sender = None
            self.entered.append(Entered(message.text, sender))

    def _is_sound(self) -> bool:
        return self.source.link.state is LinkState.READY

    # The accounts.

    async def _gather_everyone(self) -> None:
        """Heal everything, and let all apps connect."""
        self.node.faults.cut = self.node.faults.dribble = None
        await self._apply()
        await self._until(self._is_sound, "the link")
        deadline = time.monotonic() + PATIENCE
        while not all(app.is_ready for app in self.apps):
            if time.monotonic() > deadline:
                raise SoakError(f"not served: {[a.address for a in self.apps if not a.is_ready]}")
            for app in self.apps:
                app.listen()
                if not app.is_connected:
                    with suppress(OSError):
                        await app.connect()
                        app.handshake(FULL)
            await asyncio.sleep(0.02)
        await self._until(lambda: not self.source.counters["queue_length"], "an empty outbox")
        # What is said now comes last of all that was said.
        self._number += 1
        mark = f"mark {self._number}"
        await self.node.say(self.node.peer(0).num, mark)
        await self._until(lambda: all(mark in app.texts for app in self.apps), f"{mark} everywhere")
        quiet = 0
        while quiet < 20:
            # The radio may still have to answer for something that an app sent.
            entered = len(self.entered)
            await asyncio.sleep(0.01)
            quiet = quiet + 1 if entered == len(self.entered) and self._is_balanced() else 0

    def _forget(self) -> None:
        self.entered.clear()
        for app in self.apps:
            app.texts.clear()
            app.sent.clear()
            app.refused.clear()

    def _expected(self, app: App) -> list[str]:
        return [entry.text for entry in self.entered if entry.sender != app.address]

    def _is_balanced(self) -> bool:
        return all(len(app.texts) >= len(self._expected(app)) for app in self.apps)

    def _check_apps(self) -> None:
        for app in self.apps:
            if app.failure:
                raise SoakError(f"{app.address}: {app.failure}")

    def _check(self) -> None:
        """Balance the accounts: what entered, what everybody got, what the radio got."""
        self._check_apps()
        texts = [entry.text for entry in self.entered]
        if len(set(texts)) != len(texts):
            raise SoakError(f"entered twice: {_doubled(texts)}")
        for app in self.apps:
            expected = self._expected(app)
            if app.texts != expected:
                missing = [text for text in expected if text not in app.texts]
                raise SoakError(
                    f"{app.address}: missing {missing}, doubled {_doubled(app.texts)},"
                    f" unexpected {sorted(set(app.texts) - set(expected))}"
                )
        taken = Counter(self.node.texts())
        for entry in self.entered:
            if entry.sender is not None and not taken[entry.text]:
                raise SoakError(f"shown as sent, but never at the radio: {entry.text}")
        self.totals["texts"] += len(texts)
        self.totals["deliveries"] += sum(len(app.texts) for app in self.apps)
        self.totals["from apps"] += sum(entry.sender is not None for entry in self.entered)
        self.node.received.clear()

    def _measure(self) -> None:
        gc.collect()
        self._memory.append(tracemalloc.get_traced_memory()[0])
        # The first epochs fill what is bounded.
        if len(self._memory) > 3 and self._memory[-1] > self._memory[2] + MEMORY_SLACK:
            raise SoakError(f"memory grows: {self._memory}")

    def _pick(self, wanted: Callable[[App], bool]) -> App | None:
        found = [app for app in self.apps if wanted(app)]
        return self.random.choice(found) if found else None

    async def _until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                self._check()
                raise SoakError(f"{what} did not come about")
            await asyncio.sleep(0.005)


def _doubled(texts: list[str]) -> list[str]:
    return [text for text, count in Counter(texts).items() if count > 1]


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
