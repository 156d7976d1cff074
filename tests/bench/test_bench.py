"""The bench measures what it says. What the figures are is nothing for a test to judge."""

import asyncio
import json
from pathlib import Path
import sys
from typing import Any, Final

import pytest

from bench import packets
from bench.bare import BareServer
from bench.dialects import MESHCORE, MESHTASTIC, meshcore_push, meshtastic_frame
from bench.figures import Report, percentile
from bench.home_assistant import Watch
from bench.load import LoadError, arrive_together, connect, learn
from tests.simulators.meshtastic_config import NodeConfig
from tests.simulators.meshtastic_node import SimulatedNode

PROJECT: Final = Path(__file__).resolve().parent.parent.parent
SUBJECTS: Final = {"ours", "bare"}

# A run of the bench takes half a minute where it has two cores for itself.
pytestmark = pytest.mark.timeout(480)


async def bench(tmp_path: Path, *options: str) -> dict[str, Any]:
    """Run the short form as a person would, and return what it wrote."""
    file = tmp_path / "figures.json"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench",
        "--short",
        "--json",
        str(file),
        *options,
        cwd=PROJECT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()[-3000:]
    found: dict[str, Any] = json.loads(file.read_text())
    for row in found["rows"]:
        assert f"| {row['case']} |" in output.decode()
    return found


def subjects(found: dict[str, Any], scenario: str, metric: str) -> list[set[str]]:
    """Return who a figure was measured of, for each case."""
    return [
        set(row["values"])
        for row in found["rows"]
        if (row["scenario"], row["metric"]) == (scenario, metric)
    ]


@pytest.mark.parametrize("protocol", ["meshtastic", "meshcore"])
async def test_virtual_node(tmp_path: Path, socket_enabled: None, protocol: str) -> None:
    """Ours is measured beside the bare one, and the radio itself where one client is enough."""
    found = await bench(tmp_path, "--only", protocol)
    handshakes = subjects(found, "Connect and read everything", "median client")
    assert handshakes == [SUBJECTS | {"direct"}, SUBJECTS]
    for scenario in ("Latency, radio to clients", "Latency, client to radio"):
        assert subjects(found, scenario, "p50") == [SUBJECTS | {"direct"}]
    assert subjects(found, "Burst", "all have all") == [SUBJECTS | {"direct"}]
    assert subjects(found, "Memory", "connected") == [SUBJECTS]
    assert all(row["values"]["ours"] > 0 for row in found["rows"] if row["unit"] == "ms")
    assert found["machine"]["cores"] > 0


async def test_stuck_client(tmp_path: Path, socket_enabled: None) -> None:
    """It is measured in a network of its own, or left out with a reason."""
    found = await bench(tmp_path, "--only", "stuck")
    delivered = [row for row in found["rows"] if row["metric"] == "delivered to the others"]
    if not delivered:
        assert "no network of its own" in found["notes"][0]
        return
    assert [row["case"].partition(",")[0] for row in delivered] == ["none stuck", "one stuck"]
    assert all(row["values"] == {"ours": 100.0, "bare": 100.0} for row in delivered)


async def test_inside_home_assistant(tmp_path: Path, socket_enabled: None) -> None:
    """Packets of every kind are shown to a Home Assistant, and setups are timed."""
    found = await bench(tmp_path, "--only", "inside")
    values = {(row["case"], row["metric"]): row["values"]["ours"] for row in found["rows"]}
    for devices in ("none", "5"):
        case = f"20 nodes, {devices} as devices"
        for part in ("first setup", "setup with all stored"):
            assert values[f"{case}, {part}", "setup"] > 0
            assert values[f"{case}, {part}", "longest block until ready"] > 0
        assert values[f"{case}, unload", "longest block"] > 0
        for kind in packets.KINDS:
            assert values[case, f"event loop for a {kind}"] > 0
            assert values[case, f"states written unchanged by a {kind}"] == 0
    # Each of the senders is a device then, and says when it was heard.
    assert values["20 nodes, 5 as devices", "devices"] == 6
    assert values["20 nodes, 5 as devices", "states changed by a node_info"] == 1
    assert values["20 nodes, none as devices", "states changed by a node_info"] == 0


async def test_load_notices_what_is_missing(socket_enabled: None) -> None:
    """A server that answers with less than it should is found out."""
    async with SimulatedNode(NodeConfig(nodes=5)) as node:
        handshake = await learn(node.port, MESHTASTIC)
        await node.wait_for(lambda: not node.connected)
        request = MESHTASTIC.steps[0].request
        damaged = handshake.answers[0][:-3] + b"\0\0\0"
        server = BareServer(MESHTASTIC, {request: damaged})
        port = await server.start(node.host, node.port)
        with pytest.raises(LoadError):
            await arrive_together(port, handshake, 2)
        await server.stop()


async def test_bare_server_relays(socket_enabled: None) -> None:
    """It hands every frame to all clients, and theirs to the radio, byte for byte."""
    async with SimulatedNode(NodeConfig(nodes=3)) as node:
        server = BareServer(MESHTASTIC, {})
        port = await server.start(node.host, node.port)
        clients = [await connect(port) for _ in range(3)]
        frame = packets.meshtastic_outgoing(77)
        clients[0].write(frame)
        await node.wait_for(lambda: node.received)
        assert meshtastic_frame(node.received[0].payload) == frame
        await node.wait_for(lambda: len(server.clients) == 3)
        said = packets.meshtastic_packets(node, "text", 2)
        for client in clients:
            client.forget()
        await node.send_junk(said[0] + said[1][:5])
        await node.send_junk(said[1][5:])
        for client in clients:
            await asyncio.wait_for(client.expect(len(said[0]) + len(said[1])), 5)
            assert client.data.endswith(said[0] + said[1])
            client.close()
        await server.stop()


def test_delays() -> None:
    """The time of sending is found in every text, also in one that came in two parts."""
    frame = meshcore_push(b"\x88" + packets.BLANK)
    first, second = packets.stamp(frame, 1_000_000_000), packets.stamp(frame, 2_000_000_000)
    stream = first + second
    cut = len(first) + 10
    chunks = [(3_000_000_000, stream[:cut]), (4_000_000_000, stream[cut:])]
    assert list(packets.delays(chunks)) == [2.0, 2.0]
    assert MESHCORE.cut(stream + b">\x05") == ([first, second], b">\x05")


@pytest.mark.parametrize(
    ("part", "value"), [(0.0, 1.0), (0.5, 6.0), (0.95, 10.0), (0.99, 10.0), (1.0, 10.0)]
)
def test_percentile(part: float, value: float) -> None:
    """Percentiles are values that occurred."""
    assert percentile([float(number) for number in range(10, 0, -1)], part) == value
    with pytest.raises(ValueError):
        percentile([], part)


def test_report() -> None:
    """A row is the median of its rounds; ours is compared with the bare one."""
    report = Report()
    report.add("Speed", "a case", "time", "ms", ours=[3.0, 1.0, 2.0], bare=[1.0])
    report.add("Speed", "a case", "nothing", "ms", ours=[])
    (row,) = report.rows
    assert row.values == {"ours": 2.0, "bare": 1.0}
    assert row.ratio == 2.0
    assert "| a case | time, ms | 2 | 1 | 2.00 |  |" in report.table()


async def test_watch_finds_the_longest_callback() -> None:
    """It tells which callback took longest, and leaves the loop as it was."""

    class Busy:
        def work(self) -> None:
            """Take some time."""
            sum(range(200_000))

    async with Watch().watching() as watch:
        asyncio.get_running_loop().call_soon(Busy().work)
        await asyncio.sleep(0.001)
    assert watch.culprit.endswith("Busy.work")
    seen = watch.longest
    assert 0 < seen <= watch.total
    asyncio.get_running_loop().call_soon(Busy().work)
    await asyncio.sleep(0.001)
    assert watch.longest == seen
