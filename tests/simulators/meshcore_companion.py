"""A MeshCore companion radio in software, with the sides that make sharing one hard.

`SimulatedCompanion` serves one TCP client (the newest wins) or a serial port, speaks the companion
protocol as firmware v1.17.1 does, has a small mesh behind it, records what it received, and takes
the damage that a test may do. It runs inside an asyncio loop:

    async with SimulatedCompanion(CompanionConfig()) as radio:
        connect_to(radio.host, radio.port)
        radio.mesh.say("Bravo", "hello")

On the command line (`python -m tests.simulators.meshcore_companion --port 5001`) it is a lively
mesh that talks, moves and measures.
"""

import argparse
import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
import os
from pathlib import Path
import random
import tempfile
import time
import tty
from types import TracebackType
from typing import Final, Self, override

from .meshcore_mesh import Mesh, Peer, default_peers
from .meshcore_state import Settings
from .meshcore_transmit import TransmittingDevice
from .watched import Watched

MAX_FRAME: Final = 176
WIFI_QUEUE: Final = 4
HEARTBEAT: Final = 15.0


@dataclass(slots=True, kw_only=True)
class CompanionConfig:
    """What kind of device it is."""

    name: str = "Hilltop"
    peers: list[Peer] = field(default_factory=default_peers)
    version: int = 13
    max_contacts: int = 100
    max_channels: int = 8
    queue_size: int = 16
    wifi_queue: bool = True
    """Whether at most four frames wait to be sent, and further ones are lost, as over Wi-Fi."""
    knows_peers: bool = True
    """Whether the peers are contacts from the start."""
    answer_delay: float = 0.02
    """Seconds until another node's answer."""
    timeout_ms: int = 4000
    """What the device estimates for it."""


@dataclass(slots=True)
class Faults:
    """What goes wrong, until a test puts it right."""

    mute: set[int] = field(default_factory=set)
    """Commands that are executed and not answered."""
    deaf: bool = False
    """Whether nothing that arrives is read."""
    lose_contacts: int = 0
    """How many of the next ``CONTACT`` frames get lost."""
    slow_stream: float = 0.0
    """Seconds between two contacts of a list."""
    delay: float = 0.0
    """Seconds before each command is executed."""
    junk: bytes = b""
    """Debug text before each frame."""
    dribble: bool = False
    """Whether every byte is sent by itself."""


class SimulatedCompanion(Watched):
    """A companion radio at a TCP port, and at a serial port on request."""

    def __init__(self, config: CompanionConfig | None = None) -> None:
        """Prepare a device; it works inside ``async with``."""
        super().__init__()
        self.config = config or CompanionConfig()
        self.faults = Faults()
        self.received: list[bytes] = []
        """Every command, in the order in which it was executed."""
        self.connections = 0
        self.host = "127.0.0.1"
        self.port = 0
        self.serial_path: Path | None = None
        self._server: asyncio.Server | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._fds: tuple[int, int] | None = None
        self._write: Callable[[bytes], None] | None = None
        self._transport: asyncio.Transport | None = None
        self._in = bytearray()
        self._serial_out = bytearray()
        self._commands: deque[bytes] = deque()
        self._out: deque[bytes] = deque()
        self._is_pumping = False
        self._stream_due = 0.0
        self._timers: set[asyncio.TimerHandle] = set()
        self.device = self._boot(Settings(name=self.config.name))

    def _boot(self, settings: Settings) -> TransmittingDevice:
        config = self.config
        device = TransmittingDevice(
            settings,
            emit=self._emit,
            clock=time.time,
            version=config.version,
            max_contacts=config.max_contacts,
            max_channels=config.max_channels,
            queue_size=config.queue_size,
        )
        self.mesh = Mesh(
            device,
            config.peers,
            self._call_later,
            delay=config.answer_delay,
            timeout_ms=config.timeout_ms,
        )
        self.mesh.on_transmission = self._changed
        if config.knows_peers:
            for number, peer in enumerate(config.peers):
                moment = device.now - 3600 + number
                device.contacts[peer.key] = peer.contact(moment)
                device.adverts[peer.key] = peer.packet(moment)
        return device

    async def __aenter__(self) -> Self:
        """Listen at a free port."""
        await self.listen(self.port)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave nothing behind."""
        await self.away()
        self.unplug()
        for timer in self._timers:
            timer.cancel()
        if self._folder is not None:
            self._folder.cleanup()

    async def listen(self, port: int = 0) -> None:
        """Accept clients; the port stays the same when it is called again."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), self.host, port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def away(self) -> None:
        """Stop accepting clients and end the one that is there."""
        self.close()
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await server.wait_closed()

    def close(self, *, reset: bool = False) -> None:
        """End the client's connection."""
        transport = self._transport
        if transport is not None:
            self._detach(transport)
            if reset:
                transport.abort()
            else:
                transport.close()

    async def reboot(self, seconds: float = 0.0) -> None:
        """Restart: contacts and settings stay; memory, connection and clock are lost."""
        port, old = self.port, self.device
        await self.away()
        await asyncio.sleep(seconds)
        self._commands.clear()
        self.device = self._boot(old.settings)
        self.device.contacts, self.device.channels = old.contacts, old.channels
        self.device.set_clock(max((c.lastmod for c in old.contacts.values()), default=0) + 1)
        await self.listen(port)

    def plug_in(self) -> Path:
        """Offer the device at a serial port, and return its path."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name) / "ttyUSB0"
        master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        path.symlink_to(os.ttyname(slave))
        self._fds, self.serial_path = (master, slave), path
        asyncio.get_running_loop().add_reader(master, self._serial_readable)
        self._attach(self._write_serial)
        return path

    def unplug(self) -> None:
        """Pull the plug of the serial port."""
        fds, self._fds = self._fds, None
        if fds is not None and self.serial_path is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(fds[0])
            loop.remove_writer(fds[0])
            self._serial_out.clear()
            self.serial_path.unlink()
            for fd in fds:
                os.close(fd)
            self._write = None

    def _serial_readable(self) -> None:
        if self._fds is not None:
            with suppress(BlockingIOError):
                self.data_received(os.read(self._fds[0], 4096))

    def _write_serial(self, data: bytes) -> None:
        """Send bytes as fast as they are read: a serial line holds four kilobytes."""
        self._serial_out += data
        if self._fds is None:
            return
        loop, master = asyncio.get_running_loop(), self._fds[0]
        with suppress(BlockingIOError):
            del self._serial_out[: os.write(master, self._serial_out)]
        if self._serial_out:
            loop.add_writer(master, self._write_serial, b"")
        else:
            loop.remove_writer(master)

    def inject(self, frame: bytes) -> None:
        """Send a frame that the firmware would not send."""
        self._put(frame)

    def inject_bytes(self, data: bytes) -> None:
        """Send bytes outside any frame."""
        if self._write is not None:
            self._write(data)

    def commands(self, code: int) -> list[bytes]:
        """Return the commands of one kind that were executed."""
        return [frame for frame in self.received if frame[0] == code]

    def _attach(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._in.clear()
        self.connections += 1
        self.device.is_app_connected = True
        self._changed()

    def accept(self, transport: asyncio.Transport) -> None:
        """Take a new client; the old one has to go."""
        self.close()
        self._transport = transport
        self._attach(transport.write)

    def _detach(self, transport: asyncio.Transport) -> None:
        if transport is self._transport:
            self._transport = self._write = None
            self._in.clear()
            self.device.is_app_connected = False
            self._changed()

    def gone(self, transport: asyncio.Transport) -> None:
        """The client has closed its connection."""
        self._detach(transport)

    def is_current(self, transport: asyncio.Transport) -> bool:
        """Return whether this is the client that is served."""
        return transport is self._transport

    def data_received(self, data: bytes) -> None:
        """Take bytes from the app (``checkRecvFrame``)."""
        if self.faults.deaf:
            return
        self._in += data
        while True:
            start = self._in.find(b"<")
            if start < 0:
                self._in.clear()
                break
            del self._in[:start]
            if len(self._in) < 3:
                break
            length = int.from_bytes(self._in[1:3], "little")
            if len(self._in) < 3 + length:
                break
            if length:
                self._commands.append(bytes(self._in[3 : 3 + min(length, MAX_FRAME)]))
            del self._in[: 3 + length]
        self._pump()

    def _pump(self) -> None:
        """Let the device's main loop run until nothing is left to do."""
        if not self._is_pumping:
            self._is_pumping = True
            self._call_later(self.faults.delay, self._turn)

    def _turn(self) -> None:
        """Run the main loop once: send one frame, or execute one command, or list one contact."""
        now = asyncio.get_running_loop().time()
        is_sending = bool(self._out)
        if is_sending:
            self._flush_one()
        if self._commands and not is_sending:
            self._execute(self._commands.popleft())
        elif now < self._stream_due:
            self._is_pumping = bool(self._out)
            self._call_later(self._stream_due - now, self._pump)
        elif self.device.stream_step():
            if self.faults.slow_stream:
                self._stream_due = now + self.faults.slow_stream
        elif not is_sending:
            self._is_pumping = False
        if self._is_pumping:
            self._call_later(self.faults.delay if self._commands else 0.0, self._turn)

    def _execute(self, frame: bytes) -> None:
        self.received.append(frame)
        self.tally[f"command {frame[0]}"] += 1
        write, mute = self._write, frame[0] in self.faults.mute
        if mute:
            self.device.emit = lambda _frame: None
        self.device.handle(frame)
        if mute:
            self.device.emit = self._emit
            self._write = write
        if self.device.rebooted:
            self.device.rebooted = False
            self._call_later(0, self.close)
        self._changed()

    def _emit(self, frame: bytes) -> None:
        if frame[0] == 3 and self.faults.lose_contacts:
            self.faults.lose_contacts -= 1
            return
        self._put(frame)

    def _put(self, frame: bytes) -> None:
        if self._write is None:
            return
        if self.config.wifi_queue and len(self._out) >= WIFI_QUEUE:
            self.tally["send queue full"] += 1
            return
        self._out.append(frame)
        self._pump()

    def _flush_one(self) -> None:
        frame = self._out.popleft()
        if self._write is None:
            return
        data = self.faults.junk + b">" + len(frame).to_bytes(2, "little") + frame
        for piece in (
            (data[at : at + 1] for at in range(len(data))) if self.faults.dribble else [data]
        ):
            self._write(piece)

    def _call_later(self, delay: float, action: Callable[[], None]) -> None:
        def run() -> None:
            self._timers.discard(handle)
            action()

        handle = asyncio.get_running_loop().call_later(delay, run)
        self._timers.add(handle)


class _Connection(asyncio.Protocol):
    """One TCP client of the device."""

    def __init__(self, radio: SimulatedCompanion) -> None:
        self._radio = radio
        self._transport: asyncio.Transport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._radio.accept(transport)

    @override
    def data_received(self, data: bytes) -> None:
        if self._transport is not None and self._radio.is_current(self._transport):
            self._radio.data_received(data)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._radio.gone(self._transport)


async def _live(radio: SimulatedCompanion, pace: float) -> None:
    """Let the mesh talk, move and measure for ever."""
    rng = random.Random()
    phrases = (
        "good morning",
        "anyone on the ridge?",
        "73 from the valley",
        "rain is coming",
        "test",
    )
    while True:
        await asyncio.sleep(pace * rng.uniform(0.5, 1.5))
        peer = rng.choice(list(radio.mesh.peers.values()))
        choice = rng.random()
        if choice < 0.5:
            peer.latitude += rng.randrange(-500, 500)
            peer.longitude += rng.randrange(-500, 500)
            peer.millivolts = max(3300, peer.millivolts - rng.randrange(3))
            radio.mesh.advertise(peer.name)
        elif choice < 0.85:
            radio.mesh.post(peer.name, rng.choice(phrases))
        else:
            radio.mesh.say(peer.name, rng.choice(phrases))


def _settle(place: Settings | Peer) -> None:
    """Move somebody who has a place beside the simulated Meshtastic mesh: one map shows both."""
    if place.latitude:
        place.latitude += 5_080_000
        place.longitude -= 2_890_000


async def _main() -> None:
    parser = argparse.ArgumentParser(description="A simulated MeshCore companion radio")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5001)
    parser.add_argument("--name", default="Hilltop")
    parser.add_argument("--pace", type=float, default=20.0, help="seconds between two happenings")
    options = parser.parse_args()
    config = CompanionConfig(name=options.name)
    for peer in config.peers:
        _settle(peer)
    radio = SimulatedCompanion(config)
    _settle(radio.device.settings)
    radio.host, radio.port = options.host, options.port
    async with radio:
        print(f"MeshCore companion {options.name} at {radio.host}:{radio.port}", flush=True)
        await _live(radio, options.pace)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_main())
