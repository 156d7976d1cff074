"""The published command line, as a program of its own."""

import asyncio
from asyncio.subprocess import PIPE, STDOUT
import json
from pathlib import Path
import re
import sys
from typing import Final

import pytest

from custom_components.meshmonitor.mesh.transport import TcpEndpoint
from tests.meshtastic.e2e.conftest import OpenStage
from tests.meshtastic.e2e.stage import Served, Stage
from tests.simulators.meshtastic_config import NodeConfig
from tests.simulators.recording import MESHTASTIC_2_7, MESHTASTIC_2_8, RecordedNode

TIMEOUT: Final = 60.0
"""Seconds for a program to start and end on a machine that is busy."""


async def run(port: int, *arguments: str) -> str:
    """Run the command line against a port of this machine and return what it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "meshtastic", "--host", f"127.0.0.1:{port}", *arguments,
        stdout=PIPE, stderr=STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(TIMEOUT):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    text = output.decode()
    assert process.returncode == 0, text
    return text


def _nodes(info: str) -> dict[str, dict[str, object]]:
    """Return the nodes that ``--info`` prints."""
    start = info.index("Nodes in mesh: ") + len("Nodes in mesh: ")
    nodes, _ = json.JSONDecoder().raw_decode(info[start:])
    assert isinstance(nodes, dict)
    return nodes


async def test_info_and_nodes(open_stage: OpenStage) -> None:
    """Two at once, and the radio is asked for nothing."""
    stage = await open_stage(NodeConfig(nodes=24))
    info, table = await asyncio.gather(run(stage.port, "--info"), run(stage.port, "--nodes"))
    assert "Owner: Simulated Base (SIMB)" in info
    nodes = _nodes(info)
    assert set(nodes) == {f"!{num:08x}" for num in (stage.own, *stage.node.state.nodes)}
    assert '"firmwareVersion": "2.7.26.54e0d8d"' in info
    assert re.search(r'Index 1: SECONDARY psk=secret \{.*"name": "Home"', info)
    for record in stage.node.state.nodes.values():
        assert record.user.long_name in table
    assert len(stage.node.want_configs) == 1
    assert stage.node.packets() == []


async def test_sendtext_is_seen_by_the_others(stage: Stage) -> None:
    """And acknowledged to who sent it."""
    phone = await stage.phone()
    output = await run(stage.port, "--sendtext", "from the command line", "--ack")
    assert "Received an implicit ACK" in output
    assert phone.texts() == ["from the command line"]
    assert stage.node.texts() == ["from the command line"]


async def test_a_text_to_one_node_a_traceroute_and_a_setting(stage: Stage) -> None:
    """A real acknowledgement, a route, and a refused change."""
    phone = await stage.phone()
    peer = f"!{stage.node.peer(0).num:08x}"
    sent, route, changed = await asyncio.gather(
        run(stage.port, "--dest", peer, "--sendtext", "to one", "--ack"),
        run(stage.port, "--traceroute", peer),
        run(stage.port, "--set-owner", "Mallory"),
    )
    assert "Received an ACK." in sent
    assert "Route traced towards destination" in route
    assert "Route traced back to us" in route
    assert "Setting device owner to Mallory" in changed
    assert stage.node.state.user.long_name == "Simulated Base"
    assert stage.source.counters["refused_admin_not_allowed"] >= 1
    assert phone.texts() == ["to one"]


async def test_an_allowed_setting_is_saved(open_stage: OpenStage) -> None:
    """A whole change of the configuration, as the command line does it."""
    stage = await open_stage(allow_admin_commands=True)
    output = await run(stage.port, "--set", "lora.hop_limit", "6")
    assert "Set lora.hop_limit to 6" in output
    await stage.until(lambda: stage.node.state.configs["lora"].lora.hop_limit == 6)
    info = await run(stage.port, "--info")
    assert '"hopLimit": 6' in info


@pytest.mark.parametrize("path", [MESHTASTIC_2_7, MESHTASTIC_2_8], ids=["2.7", "2.8"])
async def test_recordings_of_real_firmware(
    socket_enabled: None, short_times: None, path: Path
) -> None:
    """The same nodes as the recorded client had."""
    async with RecordedNode(path) as node:
        served = Served(TcpEndpoint(node.host, node.port))
        try:
            await served.start()
            info, sent = await asyncio.gather(
                run(served.port, "--info"), run(served.port, "--sendtext", "hello")
            )
        finally:
            await served.stop()
    assert set(_nodes(info)) == set(served.source.nodes)
    assert len(_nodes(info)) >= 2
    assert "Sending text message hello" in sent
    assert len(node.want_configs) == 1
