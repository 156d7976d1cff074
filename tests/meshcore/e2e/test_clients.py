"""The published clients at the virtual node: the Python library, the command line, JavaScript."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
import json
import os
from pathlib import Path
import shutil
import subprocess
import sys
from typing import Any

from meshcore import EventType, MeshCore
from meshcore.events import Event
import pytest

from custom_components.meshmonitor.mesh.model import DeliveryState
from custom_components.meshmonitor.mesh.source import DeliveryChanged
from tests.simulators.meshcore_companion import SimulatedCompanion

from .stage import Stage

JS = Path(__file__).resolve().parents[2] / "js"
CLI = Path(sys.executable).with_name("meshcore-cli")


def _why_no_node() -> str | None:
    node = shutil.which("node")
    if node is None:
        return "Node.js is not installed"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version[1:].partition(".")[0]) < 20:
        return f"Node.js is too old: {version.strip()}"
    if not (JS / "node_modules" / "@liamcottle").is_dir():
        return "tests/js is not installed (scripts/setup)"
    return None


NO_NODE = _why_no_node()


class PythonApp:
    """One connection of the Python library, and the messages that it got."""

    def __init__(self, core: MeshCore) -> None:
        """Keep what comes."""
        self.core = core
        self.messages: list[dict[str, Any]] = []
        for kind in (EventType.CONTACT_MSG_RECV, EventType.CHANNEL_MSG_RECV):
            core.subscribe(kind, self._keep)

    def _keep(self, event: Event) -> None:
        self.messages.append(event.payload)

    def texts(self) -> list[str]:
        """Return the texts of the messages."""
        return [message["text"] for message in self.messages]


@pytest.fixture
async def python_apps(stage: Stage) -> AsyncIterator[list[PythonApp]]:
    """Return three apps made with the Python library, connected at the same time."""
    cores = await asyncio.gather(*(MeshCore.create_tcp("127.0.0.1", stage.port) for _ in range(3)))
    yield [PythonApp(core) for core in cores]
    for core in cores:
        await core.disconnect()


async def test_python_reads_everything(
    python_apps: list[PythonApp], radio: SimulatedCompanion
) -> None:
    """Identity, device, contacts, channels, battery, statistics, time: all at once."""

    async def read(app: PythonApp) -> None:
        commands = app.core.commands
        assert app.core.self_info["name"] == "Hilltop"
        device = (await commands.send_device_query()).payload
        assert (device["fw ver"], device["ble_pin"], device["max_channels"]) == (13, 0, 8)
        contacts = (await commands.get_contacts()).payload
        assert set(contacts) == {key.hex() for key in radio.mesh.peers}
        assert (await commands.get_channel(0)).payload["channel_name"] == "Public"
        assert (await commands.get_channel(8)).type is EventType.ERROR
        assert (await commands.get_bat()).payload["level"] == 4100
        assert (await commands.get_stats_core()).payload["battery_mv"] == 4100
        assert abs((await commands.get_time()).payload["time"] - radio.device.now) <= 1
        assert (await commands.get_self_telemetry()).payload["lpp"][0]["value"] == 4.1
        assert (await commands.export_private_key()).type is EventType.DISABLED

    await asyncio.gather(*map(read, python_apps))


async def test_python_texts_with_confirmation(
    python_apps: list[PythonApp], stage: Stage, radio: SimulatedCompanion
) -> None:
    """Each app gets the acknowledgement of its own, and everybody the answer."""
    # However busy this machine is: no app is to give up and send its text again.
    radio.mesh.timeout_ms = 60_000
    # Three acknowledgements at once are more than a radio on Wi-Fi holds when it is slow; one that
    # gets lost has its text sent again.
    radio.config.wifi_queue = False
    for app in python_apps:
        await app.core.start_auto_message_fetching()
    contacts = (await python_apps[0].core.commands.get_contacts()).payload
    bravo = contacts[radio.mesh.peer("Bravo").key.hex()]
    sent = await asyncio.gather(
        *(
            app.core.commands.send_msg_with_retry(bravo, f"ping {number}")
            for number, app in enumerate(python_apps)
        )
    )
    assert all(event is not None for event in sent)
    expected = {"pong 0", "pong 1", "pong 2"}
    await stage.until(lambda: all(set(app.texts()) == expected for app in python_apps))
    assert len(radio.commands(2)) == 3
    await asyncio.sleep(0.2)
    assert all(len(app.texts()) == 3 for app in python_apps)
    delivered = [
        event
        for event in stage.of_kind(DeliveryChanged)
        if event.delivery.state is DeliveryState.DELIVERED
    ]
    assert len(delivered) == 3


async def test_python_channel_texts(
    python_apps: list[PythonApp], stage: Stage, radio: SimulatedCompanion
) -> None:
    """What one posts the others see; what the mesh posts all see."""
    for app in python_apps:
        await app.core.start_auto_message_fetching()
    first, *others = python_apps
    assert (await first.core.commands.send_chan_msg(0, "hello")).type is EventType.OK
    await stage.until(lambda: all(app.texts() == ["Hilltop: hello"] for app in others))
    radio.mesh.post("Bravo", "hi all")
    await stage.until(lambda: all(app.texts()[-1:] == ["Bravo: hi all"] for app in python_apps))
    assert first.texts() == ["Bravo: hi all"]


async def test_python_remote_requests(
    python_apps: list[PythonApp], radio: SimulatedCompanion
) -> None:
    """Login, status and telemetry of three apps at the same time, though the radio keeps one."""
    radio.mesh.timeout_ms = 60_000
    contacts = (await python_apps[0].core.commands.get_contacts()).payload
    ridge = contacts[radio.mesh.peer("Ridge").key.hex()]
    weather = contacts[radio.mesh.peer("Weather").key.hex()]
    first, second, third = (app.core.commands for app in python_apps)
    login, status, telemetry = await asyncio.gather(
        first.send_login_sync(ridge, "password"),
        second.req_status_sync(ridge),
        third.req_telemetry_sync(weather),
    )
    assert login is not None
    assert login.payload["is_admin"]
    assert (status["bat"], status["noise_floor"]) == (3987, -118)
    assert {item["type"]: item["value"] for item in telemetry}["temperature"] == -3.5


async def test_command_line(stage: Stage, radio: SimulatedCompanion, tmp_path: Path) -> None:
    """Its own process, its own start-up, two of them at the same time."""

    async def run(*words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            CLI, "-t", "127.0.0.1", "-p", str(stage.port), *words,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(tmp_path)},
        )  # fmt: skip
        async with asyncio.timeout(60):
            output, _ = await process.communicate()
        assert process.returncode == 0, output
        return output.decode()

    reading, sending = await asyncio.gather(
        run("-j", "infos", "contacts", "get", "bat", "ver", "clock"),
        run("msg", "Bravo", "ping from cli", "wait_ack", "public", "hello from cli"),
    )
    assert '"name": "Hilltop"' in reading
    assert radio.device.settings.public_key.hex() in reading
    for name in ("Bravo", "Ridge", "Town Hall", "Weather"):
        assert name in reading
    assert "v1.17.1-sim" in reading
    assert '"level": 4100' in reading
    assert sending
    assert [sent.content for sent in radio.mesh.of_kind("text")] == [b"ping from cli"]
    assert radio.mesh.of_kind("post")[0].content.endswith(b"Hilltop: hello from cli")


class JavaScriptApp:
    """One process that drives meshcore.js."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Take over a process that was just started."""
        self._process = process
        self.events: list[dict[str, Any]] = []

    @classmethod
    async def connect(cls, port: int) -> JavaScriptApp:
        """Start a process and wait until the library has connected."""
        app = cls(
            await asyncio.create_subprocess_exec(
                "node", "meshcore_app.mjs", "127.0.0.1", str(port), cwd=JS,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )
        )  # fmt: skip
        await app.event("connected")
        return app

    async def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        async with asyncio.timeout(30):
            line: dict[str, Any] = json.loads(await self._process.stdout.readline())
        if "event" in line:
            self.events.append(line)
        return line

    async def call(self, name: str, *args: object) -> Any:
        """Call a method of the library, and return its result."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"call": name, "args": args}).encode() + b"\n")
        while "event" in (line := await self._line()):
            pass
        assert "error" not in line, f"{name}: {line['error']}"
        return line["result"]

    async def event(self, name: str) -> dict[str, Any]:
        """Wait for an event, if it has not come yet, and take it."""
        while True:
            for event in self.events:
                if event["event"] == name:
                    self.events.remove(event)
                    return event
            await self._line()

    async def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with asyncio.timeout(10):
            await self._process.wait()


@pytest.mark.skipif(NO_NODE is not None, reason=NO_NODE or "")
async def test_javascript(stage: Stage, radio: SimulatedCompanion) -> None:
    """Two at the same time: start-up, lists, texts both ways with confirmation; the old form."""
    async with AsyncExitStack() as stack:
        first, second = await asyncio.gather(*(JavaScriptApp.connect(stage.port) for _ in "12"))
        for app in (first, second):
            stack.push_async_callback(app.close)
            own = await app.call("getSelfInfo")
            assert (own["name"], own["publicKey"]) == (
                "Hilltop",
                radio.device.settings.public_key.hex(),
            )
            contacts = await app.call("getContacts")
            assert {contact["publicKey"] for contact in contacts} == {
                key.hex() for key in radio.mesh.peers
            }
            channels = await app.call("getChannels")
            assert (len(channels), channels[0]["name"]) == (8, "Public")
            assert (await app.call("getBatteryVoltage"))["batteryMilliVolts"] == 4100
            assert await app.call("getWaitingMessages") == []
        key = {"hex": radio.mesh.peer("Bravo").key.hex()}
        sent = await first.call("sendTextMessage", key, "ping")
        confirmed = await first.event("confirmed")
        assert confirmed["ackCode"] == sent["expectedAckCrc"]
        for app in (first, second):
            await app.event("waiting")
            (message,) = await app.call("getWaitingMessages")
            assert message["contactMessage"]["text"] == "pong"
        await first.call("sendChannelTextMessage", 0, "hello")
        await second.event("waiting")
        (message,) = await second.call("getWaitingMessages")
        assert message["channelMessage"]["text"] == "Hilltop: hello"
        assert await first.call("getWaitingMessages") == []
