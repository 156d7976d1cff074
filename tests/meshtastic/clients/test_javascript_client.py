"""The published JavaScript client with its Node transport."""

import asyncio
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
import json
from pathlib import Path
import shutil
import subprocess
from typing import Any, Final, Self

import pytest

from tests.meshtastic.e2e.conftest import OpenStage
from tests.meshtastic.e2e.stage import Stage
from tests.simulators.meshtastic_config import NodeConfig

FOLDER: Final = Path(__file__).parents[2] / "js"
NOT_AUTHORIZED: Final = 33
TIMEOUT: Final = 30.0
"""Seconds for a program to start and answer on a machine that is busy."""


def _missing() -> str:
    """Return why the client cannot run here; empty where it can."""
    node = shutil.which("node")
    if node is None:
        return "there is no Node.js"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    if int(version.stdout.strip().lstrip("v").partition(".")[0] or 0) < 20:
        return f"Node.js {version.stdout.strip()} is older than 20"
    if not (FOLDER / "node_modules" / "@meshtastic" / "core").is_dir():
        return "the JavaScript clients are not installed (scripts/setup installs them)"
    return ""


_MISSING = _missing()
pytestmark = pytest.mark.skipif(bool(_MISSING), reason=_MISSING)


class App:
    """One running JavaScript client."""

    def __init__(self, process: Process) -> None:
        """Take over a process that was just started."""
        self.events: list[dict[str, Any]] = []
        self._process = process
        self._news = asyncio.Event()
        self._ended = False
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, port: int) -> Self:
        """Start a client of the virtual node at that port."""
        return cls(
            await asyncio.create_subprocess_exec(
                "node", "meshtastic_app.mjs", "127.0.0.1", str(port),
                cwd=FOLDER, stdin=PIPE, stdout=PIPE,
            )
        )  # fmt: skip

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            with suppress(ValueError):
                self.events.append(json.loads(line))
            self._news.set()
        self._ended = True
        self._news.set()

    def tell(self, **command: object) -> None:
        """Give a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")

    async def event(
        self, kind: str, fits: Callable[[dict[str, Any]], object] = lambda event: True
    ) -> dict[str, Any]:
        """Wait for an event of a kind that fits, and return the first."""
        async with asyncio.timeout(TIMEOUT):
            while True:
                for event in self.events:
                    if event["event"] == kind and fits(event):
                        return event
                assert not self._ended, "the client has ended"
                self._news.clear()
                await self._news.wait()

    async def stop(self) -> None:
        """End the program."""
        with suppress(OSError):
            self.tell(quit=True)
        try:
            async with asyncio.timeout(5):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._task


@asynccontextmanager
async def _apps(port: int, count: int) -> AsyncIterator[list[App]]:
    apps = [await App.start(port) for _ in range(count)]
    try:
        yield apps
    finally:
        for app in apps:
            await app.stop()


async def test_it_completes_its_handshake(open_stage: OpenStage) -> None:
    """With all that the radio has."""
    stage = await open_stage(NodeConfig(nodes=40))
    async with _apps(stage.port, 1) as (app,):
        known = await app.event("configured")
    assert known["num"] == stage.own
    assert set(known["nodes"]) == {stage.own, *stage.node.state.nodes}
    assert known["channels"] == [c.settings.name for c in stage.node.state.channels]
    assert known["firmware"] == stage.node.state.metadata.firmware_version
    assert known["configs"][:10] == [
        "device", "position", "power", "network", "display",
        "lora", "bluetooth", "security", "sessionkey", "deviceUi",
    ]  # fmt: skip
    assert len([module for module in known["modules"] if module]) == len(stage.node.state.modules)


async def test_two_of_them_and_a_phone_talk_with_each_other(stage: Stage) -> None:
    """Texts both ways, each acknowledged to its sender."""
    phone = await stage.phone()
    async with _apps(stage.port, 2) as (one, two):
        for app in (one, two):
            await app.event("configured")
        one.tell(say="from the first")
        heard = await two.event("text", lambda event: event["text"] == "from the first")
        assert heard["from"] == stage.own
        done = await one.event("done")
        assert done["id"] == heard["id"]
        await phone.wait_for(lambda: "from the first" in phone.texts())

        phone.send_text("from the phone")
        for app in (one, two):
            await app.event("text", lambda event: event["text"] == "from the phone")

        two.tell(say="to one node", to=stage.node.peer(0).num)
        await two.event("done")
        await stage.node.say(stage.node.peer(1).num, "from the air")
        for app in (one, two):
            await app.event("text", lambda event: event["text"] == "from the air")
        # The client shows what it sends by itself: a second one would be the virtual node's.
        assert [event.get("text") for event in one.events].count("from the first") == 1
    assert sorted(stage.node.texts()) == ["from the first", "from the phone", "to one node"]


async def test_a_refusal_is_an_error_to_it(stage: Stage) -> None:
    """Its promise is rejected with the reason, at once."""
    async with _apps(stage.port, 1) as (app,):
        await app.event("configured")
        app.tell(owner="Mallory")
        failed = await app.event("failed")
    assert failed["error"] == NOT_AUTHORIZED
    assert stage.node.packets() == []


async def test_it_reads_a_changed_radio_anew(stage: Stage) -> None:
    """It answers the word of a restart with another handshake."""
    async with _apps(stage.port, 1) as (app,):
        await app.event("configured")
        stage.node.state.channels[1].settings.name = "Renamed"
        await stage.node.reboot()
        await app.event("configured", lambda event: "Renamed" in event["channels"])
