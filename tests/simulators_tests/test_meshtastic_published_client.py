"""The published Python client and its command line work with the simulated node."""

import asyncio
import os
from pathlib import Path
import signal
import sys

from meshtastic.protobuf import mesh_pb2
from meshtastic.tcp_interface import TCPInterface
import pytest

from tests.simulators.meshtastic_client import RawClient
from tests.simulators.meshtastic_config import Flavour, NodeConfig
from tests.simulators.meshtastic_node import SimulatedNode

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("flavour", ["2.7", "2.8"])
async def test_the_python_client(socket_enabled: None, flavour: Flavour) -> None:
    """Handshake, text with acknowledgement, own name, a change."""
    config = NodeConfig(flavour=flavour, nodes=40)
    async with SimulatedNode(config) as node:

        def use() -> int:
            interface = TCPInterface("127.0.0.1", portNumber=node.port)
            try:
                acknowledged = interface.localNode.onAckNak
                interface.sendText("hello", wantAck=True, onResponse=acknowledged)
                interface.waitForAckNak()
                interface.localNode.setOwner("Renamed", "REN")
                return len(interface.nodes or {})
            finally:
                interface.close()

        seen = await asyncio.to_thread(use)
        await node.wait_for(lambda: node.state.user.long_name == "Renamed")
        assert seen == 40
        assert node.texts() == ["hello"]
        assert len(node.want_configs) == 1
        assert node.tally["overlapping_requests"] == 0


async def test_the_command_line(node: SimulatedNode) -> None:
    """`--info` shows the mesh; it is a program of its own."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("meshtastic")),
        "--host",
        f"{node.host}:{node.port}",
        "--info",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    text = output.decode()
    assert process.returncode == 0, text
    assert f"Owner: {node.config.long_name}" in text
    assert all(peer.user.long_name in text for peer in node.mesh.peers.values())


async def test_the_lively_mesh_as_a_program(socket_enabled: None) -> None:
    """It says where it listens, answers, and ends cleanly when asked to."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.simulators.meshtastic_node",
        *("--port", "0", "--nodes", "5", "--seed", "3"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
        assert "with 5 nodes listening on 127.0.0.1:" in line
        port = int(line.rsplit(":", 1)[1])
        async with await RawClient.connect("127.0.0.1", port) as client:
            frames = list(map(mesh_pb2.FromRadio.FromString, await client.want_config(1)))
            assert sum(f.HasField("node_info") for f in frames) == 5
            await client.wait_for(client.packets, timeout=20)
    finally:
        process.send_signal(signal.SIGTERM)
        rest, errors = await asyncio.wait_for(process.communicate(), 10)
    assert (process.returncode, rest, errors) == (0, b"", b"")
