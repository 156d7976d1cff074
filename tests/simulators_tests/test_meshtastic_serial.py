"""The simulated node's serial port."""

import asyncio
from collections.abc import AsyncIterator, Callable
import contextlib
import os

from meshtastic.protobuf import mesh_pb2
from meshtastic.serial_interface import SerialInterface
import pytest

from tests.simulators.meshtastic_config import NodeConfig
from tests.simulators.meshtastic_frames import FrameReader, frame
from tests.simulators.meshtastic_node import SimulatedNode
from tests.simulators.meshtastic_pty import BOOT_TEXT


class Port:
    """A serial port that is open for reading and writing."""

    def __init__(self, path: str) -> None:
        """Open `path`. Raises `OSError` if there is none."""
        self._fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self._reader = FrameReader()
        self.raw = b""
        self.payloads: list[bytes] = []

    async def until(self, done: Callable[[], object]) -> None:
        """Read until `done`. Raises `OSError` when the plug is pulled."""
        async with asyncio.timeout(5):
            while not done():
                with contextlib.suppress(BlockingIOError):
                    data = os.read(self._fd, 4096)
                    if not data:
                        raise OSError("hung up")
                    self.raw += data
                    self.payloads += self._reader.feed(data)
                await asyncio.sleep(0.001)

    async def want_config(self, nonce: int) -> list[mesh_pb2.FromRadio]:
        """Ask for a dump and return the frames since."""
        first = len(self.payloads)
        os.write(self._fd, frame(mesh_pb2.ToRadio(want_config_id=nonce).SerializeToString()))
        end = mesh_pb2.FromRadio(config_complete_id=nonce).SerializeToString()
        await self.until(lambda: end in self.payloads)
        return list(map(mesh_pb2.FromRadio.FromString, self.payloads[first:]))

    def close(self) -> None:
        """Close the port."""
        os.close(self._fd)


@pytest.fixture
async def node() -> AsyncIterator[SimulatedNode]:
    """Return a node that has no connection yet."""
    made = SimulatedNode(NodeConfig())
    yield made
    await made.stop()


async def test_the_same_frames_between_log_lines(node: SimulatedNode) -> None:
    """Boot text first; coloured lines between frames, with start bytes among them."""
    port = Port(node.serve_pty(log_lines=True))
    frames = await port.want_config(9)
    assert port.raw.startswith(BOOT_TEXT)
    assert port.raw.count(b"\x1b[34mDEBUG") == len(frames)
    assert frames[0].my_info.my_node_num == node.state.num
    await node.say(node.peer(0).num, "over the wire")
    await port.until(lambda: b"over the wire" in port.payloads[-1])
    port.close()


async def test_unplugged_and_plugged_in_again(node: SimulatedNode) -> None:
    """The path goes, the open port hangs up; later both are back."""
    path = node.serve_pty()
    port = Port(path)
    await port.want_config(1)
    node.unplug()
    with pytest.raises(OSError):
        await port.until(lambda: False)
    port.close()
    with pytest.raises(FileNotFoundError):
        Port(path)
    assert node.replug() == path
    port = Port(path)
    assert len(await port.want_config(2)) > 30
    port.close()


async def test_a_restart_shows_on_the_console(node: SimulatedNode) -> None:
    """As text and as a `rebooted` frame, on the port that stays open."""
    port = Port(node.serve_pty(boot_text=b""))
    await port.want_config(1)
    await node.reboot()
    rebooted = mesh_pb2.FromRadio(rebooted=True).SerializeToString()
    await port.until(lambda: rebooted in port.payloads)
    frames = await port.want_config(2)
    assert frames[0].my_info.reboot_count == node.state.reboot_count
    port.close()


async def test_the_published_client_over_serial(node: SimulatedNode) -> None:
    """Its handshake completes and its text arrives."""
    path = node.serve_pty(log_lines=True)

    def use() -> tuple[int, str | None]:
        interface = SerialInterface(path)
        try:
            interface.sendText("from the cable")
            return len(interface.nodes or {}), interface.getLongName()
        finally:
            interface.close()

    seen, name = await asyncio.to_thread(use)
    await node.wait_for(node.texts)
    assert node.texts() == ["from the cable"]
    assert (seen, name) == (node.config.nodes, node.config.long_name)
