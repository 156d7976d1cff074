"""Long work in short pieces: between two of them, everybody else has a turn."""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
import logging
import time
from typing import Any, Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback

from .const import DOMAIN

_LOGGER = logging.getLogger(__name__)

TURN: Final = 0.005
"""Seconds of work after which everybody else has a turn: a mesh can have a thousand nodes, and a
node a score of entities."""


class Turn:
    """One's own time, for a coroutine that has much to do."""

    def __init__(self) -> None:
        """Begin a turn."""
        self._end = time.monotonic() + TURN

    async def end_if_due(self) -> None:
        """Let everybody else have a turn when one's own was long enough."""
        if time.monotonic() >= self._end:
            await asyncio.sleep(0)
            self._end = time.monotonic() + TURN


class Turns:
    """Does the long work of one source, in the order in which it was given."""

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry[Any]) -> None:
        """Start with nothing to do."""
        self._hass = hass
        self._entry = entry
        self._works: deque[Iterator[object]] = deque()
        self._waiting: set[asyncio.Future[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._is_stopped = False

    @callback
    def add(self, work: Iterable[object]) -> None:
        """Have some work done, beginning with the loop's next turn.

        Args:
            work: Does a piece of it for each item that it yields. Between two pieces anything may
                happen, so each has to look at what is true by then.
        """
        if self._is_stopped:
            return
        self._works.append(iter(work))
        if self._task is None:
            self._task = self._entry.async_create_task(
                self._hass, self._run(), f"{DOMAIN} turns", eager_start=False
            )

    async def done(self) -> None:
        """Wait until all that was given before is done."""
        if self._is_stopped:
            return
        reached = self._hass.loop.create_future()
        self._waiting.add(reached)
        self.add(self._reach(reached))
        await reached

    @callback
    def stop(self) -> None:
        """Do nothing more, whatever is asked for."""
        self._is_stopped = True
        self._works.clear()
        for reached in tuple(self._waiting):
            self._end_waiting(reached)

    async def _run(self) -> None:
        turn = Turn()
        while self._works:
            self._do_a_piece(self._works[0])
            await turn.end_if_due()
        self._task = None

    def _do_a_piece(self, work: Iterator[object]) -> None:
        try:
            next(work)
        except StopIteration:
            self._drop(work)
        except Exception:
            _LOGGER.exception("%s: error in long work", self._entry.title)
            self._drop(work)

    def _drop(self, work: Iterator[object]) -> None:
        # A piece may have stopped everything.
        if self._works and self._works[0] is work:
            self._works.popleft()

    def _reach(self, reached: asyncio.Future[None]) -> Iterator[None]:
        self._end_waiting(reached)
        yield

    def _end_waiting(self, reached: asyncio.Future[None]) -> None:
        self._waiting.discard(reached)
        if not reached.done():
            reached.set_result(None)
