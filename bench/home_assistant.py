"""Worker: the integration in a Home Assistant, whose event loop is watched."""

import asyncio
from asyncio import events
from collections.abc import Iterator
from contextlib import contextmanager
import gc
import logging
import tempfile
import time
from typing import Any, Final

# The harness starts on a newer Home Assistant only behind what this mends.
import scripts.pytest_lane  # noqa: F401

# isort: split
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
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
    """How long the callbacks of the event loop take, each by itself."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.longest = 0.0
        """CPU seconds of the longest callback."""
        self.culprit = ""
        self.total = 0.0
        """CPU seconds of all callbacks."""

    @contextmanager
    def watching(self) -> Iterator[Watch]:
        """Watch every callback inside of a block.

        CPU time is measured, not time by the clock: on a machine with other work the system takes
        the processor away at any moment, and nothing here sleeps.
        """
        original = events.Handle._run  # noqa: SLF001
        clock = time.thread_time

        def run(handle: events.Handle) -> None:
            callback = getattr(handle, "_callback", None)
            begun = clock()
            original(handle)
            took = clock() - begun
            self.total += took
            if took > self.longest:
                self.longest, self.culprit = took, _name(callback)

        events.Handle._run = run  # type: ignore[assignment,method-assign]  # noqa: SLF001
        try:
            yield self
        finally:
            events.Handle._run = original  # type: ignore[method-assign]  # noqa: SLF001


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

    async def open(self, radio_port: int, options: dict[str, Any]) -> dict[str, float]:
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

    async def reload(self) -> dict[str, float]:
        """Unload the entry, which stores what it knows, and set it up again from that."""
        assert self._entry is not None
        assert await self._hass.config_entries.async_unload(self._entry.entry_id)
        await self._hass.async_block_till_done()
        return await self._set_up()

    async def _set_up(self) -> dict[str, float]:
        entry, hass = self._entry, self._hass
        assert entry is not None
        gc.collect()
        with Watch().watching() as watch:
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

    async def listen(self, count: int) -> dict[str, float]:
        """Wait until so many more packets have come; returns what they cost the loop.

        The answer to `listen` is only given once they are there, so a second worker sends them.
        """
        entry = self._entry
        assert entry is not None
        source = entry.runtime_data.source
        goal = source.counters["packets_received"] + count
        gc.collect()
        with Watch().watching() as watch:
            async with asyncio.timeout(60):
                while source.counters["packets_received"] < goal:
                    await asyncio.sleep(_TICK)
                await self._hass.async_block_till_done()
        return {"per_packet": watch.total / count, **_seen(watch)}

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
    return {"longest": watch.longest, "culprit": watch.culprit}


async def _main() -> None:
    logging.basicConfig(level=logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        async with async_test_home_assistant(config_dir=folder) as hass:
            # As a test harness it would leave these out.
            hass.data.pop(DATA_CUSTOM_COMPONENTS)
            assert await async_setup_component(hass, "http", {})
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
