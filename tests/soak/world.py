"""A radio, a source and dozens of apps: things happen at random, and all is accounted for."""

from abc import ABC, abstractmethod
import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
import gc
import json
from pathlib import Path
import random
import time
import tracemalloc
from typing import Any, Final

from custom_components.meshmonitor.mesh import client as mesh_client, link
from custom_components.meshmonitor.mesh.model import LinkState, Message, Origin
from custom_components.meshmonitor.mesh.source import MeshEvent, MeshSource, MessageReceived
from custom_components.meshmonitor.mesh.virtual_node import VirtualNodeOptions
from tests.ports import free_port

from .app import App

type Act = Callable[[], object]

PATIENCE: Final = 60.0
"""Seconds after which something that ought to happen is taken for missing."""
MOST_MISSED: Final = 30
"""Texts that an app misses before it comes back. Many more are kept for it: those that the radio
held while the link was broken come all at once, and some more while the app connects."""
MEMORY_SLACK: Final = 2_000_000
COMMON_TIMES: Final[tuple[tuple[Any, str, Any], ...]] = (
    (link, "BACKOFF_FIRST", 0.01),
    (link, "BACKOFF_LAST", 0.05),
    (link, "CONTENDED_DELAY", 0.05),
    # Restarts in a storm are what is tried here, not the limit on them.
    (mesh_client, "WORK_LIMIT", 100_000.0),
)


class SoakError(AssertionError):
    """The accounts do not balance."""


@dataclass(frozen=True, slots=True)
class Entered:
    """A text that reached the source."""

    text: str
    sender: str | None
    """The address of the app that sent it."""


def shorten(changes: Iterable[tuple[Any, str, Any]]) -> Callable[[], None]:
    """Let everything take less time than people would wait; returns what undoes it."""
    changes = (*COMMON_TIMES, *changes)
    before = [(module, name, getattr(module, name)) for module, name, _ in changes]
    for module, name, value in changes:
        setattr(module, name, value)

    def undo() -> None:
        for module, name, value in before:
            setattr(module, name, value)

    return undo


class World[AppT: App](ABC):
    """Everything, from one seed."""

    def __init__(self, seed: int, apps: list[AppT]) -> None:
        """Prepare; nothing runs yet."""
        self.random = random.Random(seed)
        self.apps = apps
        self.entered: list[Entered] = []
        self.actions: Counter[str] = Counter()
        self.totals: Counter[str] = Counter()
        self.port = 0
        self._number = 0
        self._source: MeshSource | None = None
        self._memory: list[int] = []
        self._baseline = (0, 0)

    @staticmethod
    @abstractmethod
    def shorten_times() -> Callable[[], None]:
        """Let everything take less time than people would wait; returns what undoes it."""

    @abstractmethod
    async def start_radio(self) -> None:
        """Begin the radio's life."""

    @abstractmethod
    async def stop_radio(self) -> None:
        """End the radio's life, and leave nothing of it."""

    @abstractmethod
    def make_source(self) -> MeshSource:
        """Return a new source for the radio."""

    @abstractmethod
    def options(self, **changes: object) -> VirtualNodeOptions:
        """Return the virtual node's options, with some of them changed."""

    @abstractmethod
    def heal(self) -> None:
        """Put right whatever is wrong with the radio."""

    @abstractmethod
    async def say(self, text: str) -> None:
        """Let somebody on the mesh say something to all of us."""

    @abstractmethod
    def sender_of(self, message: Message) -> str:
        """Return the address of the app that sent a message."""

    @abstractmethod
    def is_for_all(self, message: Message) -> bool:
        """Return whether all apps but its sender are shown a message."""

    @abstractmethod
    def take_sent(self) -> Counter[str]:
        """Return the texts that the radio was given to send, and forget them."""

    @abstractmethod
    def own_actions(self) -> list[tuple[int, Act]]:
        """Return what happens with this protocol alone, and how often."""

    @property
    def source(self) -> MeshSource:
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
            await self.start_radio()
            self._start()
            await self.source.start()
            await self._until(self._is_sound, "the first session")
            for app in self.apps:
                app.port = self.port
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
            await self.stop_radio()
            tracemalloc.stop()
        await self._until(lambda: len(asyncio.all_tasks()) <= self._baseline[0], "all tasks' end")
        await self._until(lambda: _open_files() <= self._baseline[1], "all sockets' end")

    # What happens.

    async def _live(self, steps: int) -> None:
        actions: list[tuple[int, Act]] = [
            (60, self._comes),
            (25, self._leaves),
            (25, self._is_reset),
            (15, self._stalls),
            (25, self._listens),
            (3, self._options_change),
            (1, self._restarts),
            *self.own_actions(),
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
            await self._hurry()
            self._check_apps()

    async def _hurry(self) -> None:
        """Bring those back that would miss more than is kept for them."""
        for app in self.apps:
            # Without its own texts, which are few.
            if len(self.entered) - len(app.texts) > MOST_MISSED:
                await self._bring_back(app)

    async def _bring_back(self, app: AppT) -> None:
        app.listen()
        if not app.is_connected:
            with suppress(OSError):
                await app.connect()
                app.greet()

    def next_text(self) -> str:
        """Return a text that was never said before."""
        self._number += 1
        return f"text {self._number}"

    async def _comes(self) -> None:
        app = self.pick(lambda app: not app.is_connected)
        if app is None:
            return
        with suppress(OSError):
            await app.connect(is_slow=self.random.random() < 0.2)
            self.greet(app)

    def _leaves(self) -> None:
        if (app := self.pick(lambda app: app.is_connected)) is not None:
            app.leave()

    def _is_reset(self) -> None:
        if (app := self.pick(lambda app: app.is_connected)) is not None:
            app.leave(reset=True)

    def _stalls(self) -> None:
        if (app := self.pick(lambda app: app.is_connected)) is not None:
            app.stall()

    def _listens(self) -> None:
        for app in self.apps:
            app.listen()

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
        self.heal()
        await self._until(self._is_sound, "the link")
        await self._until(lambda: not self.source.counters["queue_length"], "an empty outbox")
        await self._restart()

    # The source.

    def greet(self, app: AppT) -> None:
        """Let an app that has just connected do its handshake."""
        app.greet()

    async def _apply(self, **changes: object) -> None:
        await self.source.apply_virtual_node(self.options(**changes))

    def _start(self) -> None:
        self.port = self.port or free_port()
        self._source = self.make_source()
        self._source.subscribe(self.told)

    async def _restart(self) -> None:
        """Stop, keep what is kept, and start anew from it, as Home Assistant does."""
        await self.source.stop()
        kept = json.loads(json.dumps(self.source.snapshot()))
        self._start()
        self.source.restore(kept)
        await self.source.start()
        await self._until(lambda: self.source.virtual_node.is_running, "the listener")

    def told(self, event: MeshEvent) -> None:
        """Take note of a text that reached the source."""
        if isinstance(event, MessageReceived) and self.is_for_all(event.message):
            is_phone = event.message.origin is Origin.PHONE
            sender = self.sender_of(event.message) if is_phone else None
            self.entered.append(Entered(event.message.text, sender))

    def _is_sound(self) -> bool:
        return self.source.link.state is LinkState.READY

    # The accounts.

    async def _gather_everyone(self) -> None:
        """Heal everything, and let all apps connect."""
        self.heal()
        await self._apply()
        await self._until(self._is_sound, "the link")
        self._listens()
        deadline = time.monotonic() + PATIENCE
        while not all(app.is_ready for app in self.apps):
            if time.monotonic() > deadline:
                raise SoakError(f"not served: {[a.address for a in self.apps if not a.is_ready]}")
            for app in self.apps:
                await self._bring_back(app)
            await asyncio.sleep(0.02)
        await self._until(lambda: not self.source.counters["queue_length"], "an empty outbox")
        # What is said now comes last of all that was said.
        self._number += 1
        mark = f"mark {self._number}"
        await self.say(mark)
        await self._until(lambda: all(mark in app.texts for app in self.apps), f"{mark} everywhere")
        quiet = 0
        deadline = time.monotonic() + PATIENCE
        while quiet < 20:
            if time.monotonic() > deadline:
                self._check()
                raise SoakError("the accounts do not come to rest")
            # The radio may still have to answer for something that an app sent.
            entered = len(self.entered)
            await asyncio.sleep(0.01)
            quiet = quiet + 1 if entered == len(self.entered) and self._is_balanced() else 0

    def _forget(self) -> None:
        self.entered.clear()
        for app in self.apps:
            app.texts.clear()

    def _expected(self, app: AppT) -> list[str]:
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
        taken = self.take_sent()
        for entry in self.entered:
            if entry.sender is not None and not taken[entry.text]:
                raise SoakError(f"shown as sent, but never at the radio: {entry.text}")
        self.totals["texts"] += len(texts)
        self.totals["deliveries"] += sum(len(app.texts) for app in self.apps)
        self.totals["from apps"] += sum(entry.sender is not None for entry in self.entered)

    def _measure(self) -> None:
        gc.collect()
        self._memory.append(tracemalloc.get_traced_memory()[0])
        # The first epochs fill what is bounded.
        if len(self._memory) > 3 and self._memory[-1] > self._memory[2] + MEMORY_SLACK:
            raise SoakError(f"memory grows: {self._memory}")

    def pick(self, wanted: Callable[[AppT], bool]) -> AppT | None:
        """Return any app that is as wanted."""
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
