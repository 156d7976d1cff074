"""An event loop whose clock jumps to the next timer as soon as nothing else is to be done.

Sockets are real: before each jump the loop looks whether something has arrived.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

_GRACE: Final = 0.003
"""Real seconds for the system to carry bytes from one local socket to another."""
_TURN: Final = 1e-6
"""Seconds that a turn of the loop takes at least. Where time stood still, a timer that rounding had
fire a hair too early would be set again, and fire again, for ever."""


@contextmanager
def virtual_time() -> Iterator[Callable[[], float]]:
    """Let the running loop's time jump; gives the clock.

    Names must not be resolved nor threads be waited for meanwhile: time would not wait for them.
    """
    loop: Any = asyncio.get_running_loop()
    selector = loop._selector
    real_time, real_select = loop.time, selector.select
    now: float = real_time()

    def time() -> float:
        return now

    def select(timeout: float | None = None) -> Any:
        nonlocal now
        now += _TURN
        if timeout is None or timeout <= 0:
            return real_select(timeout)
        events = real_select(min(timeout, _GRACE))
        if not events:
            now += timeout
        return events

    loop.time, selector.select = time, select
    try:
        yield time
    finally:
        loop.time, selector.select = real_time, real_select
