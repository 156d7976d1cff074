"""A Meshtastic node in software, which behaves as the firmware does, its awkward sides included.

`SimulatedNode` is the whole of it: a TCP server for one client (the newest wins), a serial port on
request, the protocol of the firmware, a small mesh behind it, a record of all that it received, and
the damage a test may do. It runs inside an asyncio loop:

    async with SimulatedNode(NodeConfig(nodes=250)) as node:
        connect_to(node.host, node.port)
        await node.wait_for(lambda: node.want_configs)
        await node.say(node.peer(0).num, "hello")

On the command line (`python -m tests.simulators.meshtastic_node`) it is a lively mesh that talks,
moves and measures.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
import random
import tempfile
import time
from types import TracebackType
from typing import Self, override

from google.protobuf.message import DecodeError
from meshtastic.protobuf import admin_pb2, mesh_pb2

from .meshtastic_admin import AdminModule, Restart
from .meshtastic_config import Clock, NodeConfig
from .meshtastic_faults import Faults
from .meshtastic_injection import Injection
from .meshtastic_link import Link, TcpLink
from .meshtastic_mesh import PORTS, Mesh, Peer, Port, text_of
from .meshtastic_phone_api import PhoneApi
from .meshtastic_pty import BOOT_TEXT, PtyLink
from .meshtastic_queues import PhoneQueues
from .meshtastic_router import Router
from .meshtastic_state import make_state
from .watched import Watched


@dataclass(frozen=True, slots=True)
class Received:
    """One `ToRadio` payload as it arrived."""

    connection: int
    """Number of the TCP connection, from 1; 0 for the serial port."""
    payload: bytes
    message: mesh_pb2.ToRadio
    """The payload decoded; empty if it is not a `ToRadio`."""
    at: float
    """By the node's clock."""


class SimulatedNode(Watched, Injection):
    """One simulated node. See the module for what it offers."""

    def __init__(
        self,
        config: NodeConfig | None = None,
        *,
        clock: Clock = time.monotonic,
        wall_clock: Clock = time.time,
    ) -> None:
        """Make a node that is not yet reachable.

        `clock` measures rate limits and session keys, `wall_clock` gives seconds since 1970.
        """
        super().__init__()
        self.config = config or NodeConfig()
        self.clock = clock
        self._wall_clock = wall_clock
        self.faults = Faults()
        self.received: list[Received] = []
        """Everything that clients sent, in order."""
        self.restarts: list[Restart] = []
        """Why the node restarted, or would have (`NodeConfig.really_reboots`)."""
        self.state = make_state(self.config)
        self.mesh = Mesh(self.config, self.state)
        self.queues = PhoneQueues(self.config, self.tally)
        self.admin = AdminModule(
            self.state,
            self.config.flavour,
            clock,
            random.Random(self.config.seed + 1),
            self._restart,
        )
        self.router = Router(
            self.config,
            self.state,
            self.mesh,
            self.admin,
            self.queues,
            self.tally,
            self._later,
            self.now,
        )
        self.host = "127.0.0.1"
        self.port = 0
        self._server: asyncio.Server | None = None
        self._client: TcpLink | None = None
        self._serial: PtyLink | None = None
        self._serial_folder: tempfile.TemporaryDirectory[str] | None = None
        self._serial_looks: tuple[bytes, bool] = (b"", False)
        self._timers: set[asyncio.TimerHandle] = set()
        self._rebooting: asyncio.Task[None] | None = None

    # Life.

    async def __aenter__(self) -> Self:
        """Start listening on a free port of 127.0.0.1."""
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop, leaving no socket, timer or task behind."""
        await self.stop()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen on `host` and `port`, 0 for a free one; `self.port` tells which.

        Raises `OSError` when the port cannot be had.
        """
        self.host = host
        self.port = port
        await self.listen()

    async def stop(self) -> None:
        """End all connections and stop listening."""
        if self._rebooting is not None:
            self._rebooting.cancel()
        for timer in self._timers:
            timer.cancel()
        self.refuse()
        self.drop()
        self.unplug()
        if self._serial_folder is not None:
            self._serial_folder.cleanup()
        # Transports end in the loop's next turn.
        await asyncio.sleep(0)

    async def listen(self) -> None:
        """Accept connections again after `refuse`, on the same port."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(
                lambda: TcpLink(self), self.host, self.port, reuse_address=True
            )
            self.port = self._server.sockets[0].getsockname()[1]

    def serve_pty(self, *, boot_text: bytes = BOOT_TEXT, log_lines: bool = False) -> str:
        """Offer the node on a serial port too and return the device's path.

        `boot_text` is sent whenever the port is plugged in or the node restarts; with `log_lines`
        a coloured line of text stands before each frame.
        """
        self._serial_folder = tempfile.TemporaryDirectory(prefix="simulated-node-")
        self._serial_looks = boot_text, log_lines
        return self.replug()

    def unplug(self) -> None:
        """Pull the serial port: its path is gone and whoever has it open gets a hang-up."""
        if self._serial is not None:
            self._serial.end()
            self._serial = None

    def replug(self) -> str:
        """Put the serial port back under the same path, which is returned."""
        if self._serial_folder is None:
            raise RuntimeError("serve_pty first")
        path = Path(self._serial_folder.name) / "ttyACM0"
        self.unplug()
        boot_text, log_lines = self._serial_looks
        self._serial = PtyLink(self, path, boot_text=boot_text, log_lines=log_lines)
        return str(path)

    # Faults that happen at one moment; lasting ones are in `self.faults`.

    @property
    def connected(self) -> bool:
        """Whether a TCP client is connected."""
        return self._client is not None

    @property
    def listening(self) -> bool:
        """Whether connects are accepted."""
        return self._server is not None

    def refuse(self) -> None:
        """Stop listening: further connects are refused. The present connection stays."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def drop(self, *, reset: bool = False) -> None:
        """End the present TCP connection, with a reset if wanted."""
        if self._client is not None:
            self._client.end(reset=reset)
            self._client = None

    def steal(self) -> None:
        """Let another program take over the link once: the present client is closed."""
        if self._client is not None:
            self.tally["stolen"] += 1
            self.drop()

    async def reboot(self, down_for: float = 0.0) -> None:
        """Restart: connections, waiting frames and the session key are lost.

        Nobody listens for `down_for` seconds. The serial port stays plugged in.
        """
        self.tally["reboots"] += 1
        listening = self._server is not None
        self.refuse()
        self.drop()
        self.queues.clear()
        self.admin.new_session()
        self.state.reboot_count += 1
        self.state.metrics.uptime_seconds = 0
        await asyncio.sleep(down_for)
        if listening:
            await self.listen()
        if self._serial is not None:
            self._serial.say_rebooted(self._serial_looks[0], announces=self.config.flavour == "2.7")
        self._changed()

    def become(self, num: int) -> None:
        """Become another node, with another number and other keys, as after a swap of devices.

        A connection that is open is not told; combine with `reboot` or `drop`.
        """
        rng = self.mesh.rng
        self.state.take_identity(num, rng.randbytes(32), rng.randbytes(32))

    def _restart(self, why: Restart) -> None:
        self.restarts.append(why)
        if self.config.really_reboots and self._rebooting is None:
            self._rebooting = asyncio.get_running_loop().create_task(self._reboot_soon())

    async def _reboot_soon(self) -> None:
        # The acknowledgement still gets out; the firmware waits a second or more.
        await asyncio.sleep(0.01)
        await self.reboot(self.config.reboot_down_for)
        self._rebooting = None

    # What arrived.

    def packets(self, port: Port | None = None) -> list[mesh_pb2.MeshPacket]:
        """Return the packets received from clients, all or those of one port, as they came."""
        found = [m.packet for m in self._messages() if m.HasField("packet")]
        return found if port is None else [p for p in found if p.decoded.portnum == port]

    def texts(self) -> list[str]:
        """Return the texts received from clients."""
        return [text_of(p) for p in self.packets(PORTS.TEXT_MESSAGE_APP)]

    def admin_messages(self) -> list[admin_pb2.AdminMessage]:
        """Return the administrative messages that this node acted upon."""
        return self.admin.executed

    @property
    def want_configs(self) -> list[int]:
        """The nonces asked for, in order."""
        return [m.want_config_id for m in self._messages() if m.HasField("want_config_id")]

    @property
    def heartbeats(self) -> list[int]:
        """The nonces of the heartbeats received, in order."""
        return [m.heartbeat.nonce for m in self._messages() if m.HasField("heartbeat")]

    def _messages(self) -> list[mesh_pb2.ToRadio]:
        return [r.message for r in self.received]

    def peer(self, index: int) -> Peer:
        """Return the peer at `index` of the mesh, 0 being a direct neighbour."""
        return list(self.mesh.peers.values())[index]

    # For the links (`Host`).

    def make_api(self) -> PhoneApi:
        """Return the protocol state for a new connection."""
        return PhoneApi(
            self.config,
            self.state,
            self.router,
            self.queues,
            self.tally,
            self.clock,
            self.now,
        )

    def opened(self, link: TcpLink) -> int:
        """Take a new TCP connection; an older one is closed, for the newest wins."""
        self.tally["connections"] += 1
        if self._client is not None:
            self.tally["taken_over"] += 1
            self._client.end()
        self._client = link
        self._changed()
        return self.tally["connections"]

    def closed(self, link: TcpLink) -> None:
        """Forget a TCP connection that ended."""
        if self._client is link:
            self._client = None
        self._changed()

    def handle(self, link: Link, payload: bytes) -> None:
        """Record one payload and act on it."""
        message = mesh_pb2.ToRadio()
        with suppress(DecodeError):
            message.ParseFromString(payload)
        self.received.append(Received(link.number, payload, message, self.clock()))
        link.api.receive(payload)
        self._changed()

    @override
    def pump(self) -> None:
        """Let all links send what waits."""
        for link in self._links():
            link.pump()

    @override
    def now(self) -> int:
        """Return the time in seconds since 1970."""
        return int(self._wall_clock())

    @override
    def _links(self) -> list[Link]:
        return [link for link in (self._client, self._serial) if link is not None]

    def _later(self, delay: float, call: Callable[[], None]) -> None:
        def run() -> None:
            self._timers.discard(timer)
            call()
            self.pump()
            self._changed()

        timer = asyncio.get_running_loop().call_later(delay, run)
        self._timers.add(timer)


if __name__ == "__main__":
    from .meshtastic_demo import main

    main()
