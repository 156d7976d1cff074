"""The moment at which what clients were sent leaves: once for each client and turn of the loop."""

import asyncio
from typing import Protocol


class Sink(Protocol):
    """Something that has bytes to write."""

    def flush(self) -> None:
        """Write what waits. Must not raise."""


class Outflow:
    """Has all sinks that something was put into written together.

    A turn of the event loop in which a hundred clients are sent the same frame costs one callback,
    not a hundred, and who knows that nothing more will come in it need not wait for its end.
    """

    def __init__(self) -> None:
        """Start with nothing to write."""
        self._due: list[Sink] = []
        self._is_scheduled = False

    def add(self, sink: Sink) -> None:
        """Have a sink written before the next turn of the event loop ends."""
        self._due.append(sink)
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def flush(self) -> None:
        """Write everything now."""
        due, self._due = self._due, []
        for sink in due:
            sink.flush()

    def _turn(self) -> None:
        self._is_scheduled = False
        self.flush()
