"""Waiting for something to happen at a simulator."""

import asyncio
from collections import Counter
from collections.abc import Callable


class Watched:
    """Something that a test can wait for, and that counts what happens to it."""

    def __init__(self) -> None:
        """Start with nothing counted."""
        self.tally: Counter[str] = Counter()
        """How often things happened that a test may want to know of, by name."""
        self._waiters: list[asyncio.Future[None]] = []

    async def wait_for(self, predicate: Callable[[], object], timeout: float = 15.0) -> None:
        """Wait until `predicate` is true; it is tried again whenever something happens here.

        Raises `TimeoutError`, with the counters, after `timeout` seconds.
        """
        try:
            async with asyncio.timeout(timeout):
                while not predicate():
                    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._waiters.append(waiter)
                    await waiter
        except TimeoutError:
            raise TimeoutError(f"not within {timeout} s; counted: {dict(self.tally)}") from None

    def _changed(self) -> None:
        """Let all who wait look again."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
