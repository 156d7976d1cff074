"""Worker: the integration in a Home Assistant, whose event loop is watched."""

import asyncio
from asyncio import base_events, events
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
import gc
import logging
import tempfile
import time
from typing import Any, Final

# The harness starts on a newer Home Assistant only behind what this mends.
import scripts.pytest_lane  # noqa: F401

# isort: split
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant, StateMachine
from homeassistant.helpers import device_registry as dr, entity_registry as er, frame
from homeassistant.loader import DATA_CUSTOM_COMPONENTS
from homeassistant.setup import async_setup_component
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_test_home_assistant

from custom_components.meshmonitor.const import DOMAIN
from tests.ports import free_port

from .load import HOST
from .worker import serve

_TICK: Final = 0.005


class Watch:
    """How long the event loop was busy, each time between two looks at its sockets."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.longest = 0.0
        """CPU seconds for which all others had to wait, without the garbage collector's."""
        self.culprit = ""
        """What took the most of that."""
        self.total = 0.0
        """CPU seconds of all callbacks, without the garbage collector's."""
        self.longest_collection = 0.0
        """CPU seconds of the garbage collector's longest run. It goes through all that there is in
        Home Assistant, and runs whoever allocates."""
        self._collecting = 0.0
        self._turn = 0.0
        self._worst = (0.0, "")

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[Watch]:
        """Watch everything that the loop does inside of a block.

        CPU time is measured, not time by the clock: on a machine with other work the system takes
        the processor away at any moment, and nothing here sleeps.
        """
        run, run_once = events.Handle._run, base_events.BaseEventLoop._run_once  # type: ignore[attr-defined]  # noqa: SLF001
        clock = time.thread_time

        def watched_run(handle: events.Handle) -> None:
            callback = getattr(handle, "_callback", None)
            self._collecting = 0.0
            begun = clock()
            run(handle)
            took = clock() - begun - self._collecting
            self.total += took
            self._turn += took
            if took > self._worst[0]:
                self._worst = took, _name(callback)

        def watched_run_once(loop: base_events.BaseEventLoop) -> None:
            self._turn, self._worst = 0.0, (0.0, "")
            run_once(loop)
            if self._turn > self.longest:
                self.longest, self.culprit = self._turn, self._worst[1]

        begun_collecting = 0.0

        def collecting(phase: str, _: dict[str, int]) -> None:
            nonlocal begun_collecting
            if phase == "start":
                begun_collecting = clock()
                return
            took = clock() - begun_collecting
            self._collecting += took
            self.longest_collection = max(self.longest_collection, took)

        events.Handle._run = watched_run  # type: ignore[assignment,method-assign]  # noqa: SLF001
        base_events.BaseEventLoop._run_once = watched_run_once  # type: ignore[attr-defined]  # noqa: SLF001
        gc.callbacks.append(collecting)
        try:
            # What is done from here on, and to the end, is in turns that are seen whole.
            await asyncio.sleep(0)
            yield self
            await asyncio.sleep(0)
        finally:
            gc.callbacks.remove(collecting)
            base_events.BaseEventLoop._run_once = run_once  # type: ignore[attr-defined]  # noqa: SLF001
            events.Handle._run = run  # type: ignore[method-assign]  # noqa: SLF001


class Writes:
    """How many states are written."""

    def __init__(self) -> None:
        """Start with none."""
        self.changed = 0
        self.unchanged = 0

    @contextmanager
    def watching(self) -> Iterator[Writes]:
        """Count inside of a block."""
        original = StateMachine.async_set_internal

        def count(states: StateMachine, entity_id: str, *rest: Any) -> None:
            before = states.get(entity_id)
            original(states, entity_id, *rest)
            if states.get(entity_id) is before:
                self.unchanged += 1
            else:
                self.changed += 1

        StateMachine.async_set_internal = count  # type: ignore[assignment,method-assign]
        try:
            yield self
        finally:
            StateMachine.async_set_internal = original  # type: ignore[method-assign]


def _name(callback: object) -> str:
    """Return what a callback is, a task's by its coroutine."""
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return str(getattr(owner.get_coro(), "__qualname__", owner))
    return str(getattr(callback, "__qualname__", callback))


class Inside:
    """One Home Assistant with one entry at a time."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Take a Home Assistant that runs."""
        self._hass = hass
        self._entry: MockConfigEntry | None = None

    async def open(self, radio_port: int, options: dict[str, Any]) -> dict[str, Any]:
        """Set up an entry whose radio is new; returns how the loop took it."""
        virtual_node = {
            "enabled": True,
            "port": free_port(),
            "bind_address": HOST,
            "announce": False,
        }
        self._entry = MockConfigEntry(
            domain=DOMAIN,
            title="bench",
            data={
                "protocol": "meshtastic",
                "connection": "tcp",
                "host": HOST,
                "port": radio_port,
            },
            options={"virtual_node": virtual_node, **options},
        )
        self._entry.add_to_hass(self._hass)
        return await self._set_up()

    async def reload(self) -> dict[str, Any]:
        """Unload the entry, which stores what it knows, and set it up again from that."""
        assert self._entry is not None
        gc.collect()
        async with Watch().watching() as watch:
            begun = time.monotonic()
            assert await self._hass.config_entries.async_unload(self._entry.entry_id)
            await self._hass.async_block_till_done()
            unload = time.monotonic() - begun
        return {"unload": {"seconds": unload, **_seen(watch)}, **await self._set_up()}

    async def _set_up(self) -> dict[str, Any]:
        entry, hass = self._entry, self._hass
        assert entry is not None
        gc.collect()
        async with Watch().watching() as watch:
            begun, used = time.monotonic(), time.thread_time()
            # What Home Assistant does first, and its test harness leaves to a fixture.
            frame.async_setup(hass)
            assert await hass.config_entries.async_setup(entry.entry_id)
            assert entry.state is ConfigEntryState.LOADED
            seconds, cpu = time.monotonic() - begun, time.thread_time() - used
            while not entry.runtime_data.is_available:
                await asyncio.sleep(_TICK)
            await hass.async_block_till_done()
            ready = time.monotonic() - begun
        nodes = len(entry.runtime_data.source.nodes)
        return {
            "setup": seconds,
            "setup_cpu": cpu,
            "ready": ready,
            "nodes": nodes,
            **_seen(watch),
        }

    async def listen(self, count: int) -> dict[str, Any]:
        """Wait until so many more packets have come; returns what they cost the loop.

        The answer to `listen` is only given once they are there, so a second worker sends them.
        """
        entry = self._entry
        assert entry is not None
        source = entry.runtime_data.source
        goal = source.counters["packets_received"] + count
        gc.collect()
        with Writes().watching() as writes:
            async with asyncio.timeout(60), Watch().watching() as watch:
                while source.counters["packets_received"] < goal:
                    await asyncio.sleep(_TICK)
                await self._hass.async_block_till_done()
        return {
            "per_packet": watch.total / count,
            "changed": writes.changed / count,
            "unchanged": writes.unchanged / count,
            **_seen(watch),
        }

    async def counts(self) -> dict[str, int]:
        """Return how many devices, entities and states there are."""
        return {
            "devices": len(dr.async_get(self._hass).devices),
            "entities": len(er.async_get(self._hass).entities),
            "states": len(self._hass.states.async_all()),
        }

    async def close(self) -> None:
        """Remove the entry."""
        if self._entry is not None:
            await self._hass.config_entries.async_remove(self._entry.entry_id)
            await self._hass.async_block_till_done()
            self._entry = None


def _seen(watch: Watch) -> dict[str, Any]:
    return {
        "longest": watch.longest,
        "culprit": watch.culprit,
        "collection": watch.longest_collection,
    }


async def _main() -> None:
    logging.basicConfig(level=logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        async with async_test_home_assistant(config_dir=folder) as hass:
            # As a test harness it would leave these out.
            hass.data.pop(DATA_CUSTOM_COMPONENTS)
            http = {"server_host": [HOST], "server_port": free_port()}
            assert await async_setup_component(hass, "http", {"http": http})
            inside = Inside(hass)
            commands: dict[str, Any] = {
                "open": inside.open,
                "reload": inside.reload,
                "listen": inside.listen,
                "counts": inside.counts,
                "close": inside.close,
            }
            await serve(commands)
            await inside.close()
            await hass.async_stop(force=True)


if __name__ == "__main__":
    asyncio.run(_main())
