"""Processes that are told what to do, a line of JSON at a time, over their standard input.

A worker ends by itself when its input ends, which it does when the process that started it is gone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
import json
import logging
import os
from pathlib import Path
import sys
import time
from types import TracebackType
from typing import Any, Final, Self

PROJECT: Final = Path(__file__).resolve().parent.parent
_LONGEST_LINE: Final = 1 << 26
_PATIENCE: Final = 120.0

type Command = Callable[..., Awaitable[Any]]


class WorkerError(Exception):
    """A worker failed, or is gone."""


class Worker:
    """A worker as seen by the process that started it."""

    def __init__(self, module: str) -> None:
        """Prepare a worker.

        Args:
            module: The name, within this package, of what it runs.
        """
        self._module = module
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        """Start it."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"bench.{self._module}",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=PROJECT,
            limit=_LONGEST_LINE,
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def ask(self, command: str, **arguments: Any) -> Any:
        """Have a command done, and return what it gave.

        Raises:
            WorkerError: It failed; the worker has said why on its standard error.
        """
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([command, arguments]).encode() + b"\n")
        async with asyncio.timeout(_PATIENCE):
            line = await process.stdout.readline()
        if not line:
            raise WorkerError(f"{self._module}: gone while asked for {command}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{self._module}: {command}: {answer['error']}")
        return answer["result"]


async def serve(commands: Mapping[str, Command]) -> None:
    """Be a worker: do what standard input says until it ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_LONGEST_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    commands = {"usage": _usage, **commands}
    while line := await reader.readline():
        name, arguments = json.loads(line)
        try:
            answer = {"result": await commands[name](**arguments)}
        except Exception as err:
            logging.getLogger(__name__).exception("%s failed", name)
            answer = {"error": f"{type(err).__name__}: {err}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


async def _usage() -> dict[str, float]:
    """Return what this process has used: CPU seconds, and bytes of memory at this moment."""
    return {"cpu": time.process_time(), "rss": _resident()}


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
