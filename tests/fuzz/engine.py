"""A small coverage-guided fuzzer: what reaches new code is kept, and changed again.

The interpreter itself tells which lines run for the first time (`sys.monitoring`), so that nothing
has to be built or installed.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
import random
import sys
from types import CodeType
from typing import Final, Self

import custom_components.meshmonitor

MAX_SIZE: Final = 4096
_PACKAGE: Final = str(Path(custom_components.meshmonitor.__file__).parent)
_TOOL: Final = 4
_INTERESTING: Final = (0, 1, 2, 5, 6, 7, 16, 31, 32, 63, 64, 94, 127, 128, 148, 195, 254, 255)


class Coverage:
    """Counts the places of this integration's code that were never reached before."""

    def __init__(self) -> None:
        """Start with nothing reached."""
        self.reached = 0

    def __enter__(self) -> Self:
        """Watch."""
        monitoring = sys.monitoring
        monitoring.use_tool_id(_TOOL, "fuzz")
        events = monitoring.events
        monitoring.register_callback(_TOOL, events.LINE, self._line)
        monitoring.register_callback(_TOOL, events.BRANCH_LEFT, self._branch)
        monitoring.register_callback(_TOOL, events.BRANCH_RIGHT, self._branch)
        monitoring.set_events(_TOOL, events.LINE | events.BRANCH_LEFT | events.BRANCH_RIGHT)
        monitoring.restart_events()
        return self

    def __exit__(self, *args: object) -> None:
        """Watch no longer."""
        sys.monitoring.set_events(_TOOL, 0)
        sys.monitoring.free_tool_id(_TOOL)

    def _line(self, code: CodeType, line: int) -> object:
        self.reached += code.co_filename.startswith(_PACKAGE)
        return sys.monitoring.DISABLE

    def _branch(self, code: CodeType, start: int, end: int) -> object:
        self.reached += code.co_filename.startswith(_PACKAGE)
        return sys.monitoring.DISABLE


def change(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Return bytes that are a little different."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(8):
            case 0:
                changed[at : at + rng.randrange(1, 9)] = b""
            case 1:
                changed[at:at] = rng.randbytes(rng.randrange(1, 9))
            case 2 if at < len(changed):
                changed[at] ^= 1 << rng.randrange(8)
            case 3 if at < len(changed):
                changed[at] = rng.choice(_INTERESTING)
            case 4:
                other = rng.choice(others)
                start = rng.randrange(len(other) + 1)
                changed[at:at] = other[start : start + rng.randrange(1, 64)]
            case 5:
                other = rng.choice(others)
                changed[at:] = other[rng.randrange(len(other) + 1) :]
            case 6:
                changed[at:at] = changed[at : at + rng.randrange(1, 32)] * rng.randrange(1, 4)
            case _:
                changed[at : at + 2] = rng.choice(
                    (b"\xff\xff", b"\x80\x80", b"\x00\x00", b"\x94\xc3")
                )
    return bytes(changed[:MAX_SIZE])


def fuzz(
    target: Callable[[bytes], None], seeds: Iterable[bytes], *, rounds: int, seed: int
) -> tuple[int, int]:
    """Try a target; returns how many inputs were worth keeping, and how much code they reach.

    Args:
        target: Raises where something is wrong.
        seeds: What to begin with.
        rounds: How many inputs to try besides the seeds.
        seed: Where all that looks random comes from.

    Raises:
        AssertionError: The target failed; the text holds the input in hexadecimal.
    """
    rng = random.Random(seed)
    known = [b"", *seeds]
    with Coverage() as coverage:
        for data in known:
            _try(target, data)
        for _ in range(rounds):
            data = change(rng.choice(known), known, rng)
            before = coverage.reached
            _try(target, data)
            if coverage.reached > before:
                known.append(data)
        return len(known), coverage.reached


def _try(target: Callable[[bytes], None], data: bytes) -> None:
    try:
        target(data)
    except Exception as err:
        raise AssertionError(f"{type(err).__name__} for {data.hex()}") from err
