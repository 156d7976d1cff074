"""Proving a radio before it is added."""

import asyncio

import pytest

from custom_components.meshmonitor.mesh.source import ProbeError, ProbeReason
from custom_components.meshmonitor.mesh.transport import SerialEndpoint, TcpEndpoint
from custom_components.meshmonitor.meshtastic.probe import probe
from tests.ports import free_port
from tests.simulators.meshtastic_config import NodeConfig
from tests.simulators.meshtastic_faults import Cut, OnConnect
from tests.simulators.meshtastic_node import SimulatedNode

PROBE = "custom_components.meshmonitor.meshtastic.probe"


@pytest.fixture(autouse=True)
def _short_times(socket_enabled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for nobody for long."""
    monkeypatch.setattr(f"{PROBE}.SILENCE_TIMEOUT", 0.3)
    monkeypatch.setattr("custom_components.meshmonitor.mesh.probe.RETRY_DELAY", 0.01)


async def test_a_radio_is_proved_by_one_whole_handshake() -> None:
    """And has its one place free again."""
    async with SimulatedNode(NodeConfig(nodes=100)) as node:
        result = await probe(TcpEndpoint(node.host, node.port))
        assert result.identity.node_id == node.state.user.id
        assert result.identity.name == node.config.long_name
        assert result.identity.firmware == node.state.metadata.firmware_version
        await node.wait_for(lambda: not node.connected)
        assert node.tally["disconnects"] == 1
        assert len(node.want_configs) == 1


async def test_a_connection_that_breaks_off_once_is_tried_again() -> None:
    """An app may have reconnected just then."""
    async with SimulatedNode() as node:
        node.faults.cut = Cut(after_frames=12)
        result = await probe(TcpEndpoint(node.host, node.port))
        assert result.identity.node_id == node.state.user.id
        assert node.tally["connections"] == 2


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (OnConnect.BLACK_HOLE, ProbeReason.SILENT),
        (OnConnect.HTTP, ProbeReason.WRONG_PROTOCOL),
        (OnConnect.CLOSE, ProbeReason.CONTENDED),
        (OnConnect.RESET, ProbeReason.CONTENDED),
    ],
)
async def test_what_is_no_radio_is_told(fault: OnConnect, reason: ProbeReason) -> None:
    """Each in a way that its owner can act upon."""
    async with SimulatedNode() as node:
        node.faults.on_connect = fault
        with pytest.raises(ProbeError) as caught:
            await probe(TcpEndpoint(node.host, node.port))
        assert caught.value.reason is reason


async def test_a_radio_that_is_taken_again_and_again_is_told() -> None:
    """Another program uses it."""
    async with SimulatedNode(NodeConfig(frame_delay=0.02)) as node:
        node.faults.stolen_after = 0.1
        with pytest.raises(ProbeError) as caught:
            await probe(TcpEndpoint(node.host, node.port))
        assert caught.value.reason is ProbeReason.CONTENDED
        assert node.tally["stolen"] == 3


async def test_nobody_there_is_told() -> None:
    """The connection is refused."""
    with pytest.raises(ProbeError) as caught:
        await probe(TcpEndpoint("127.0.0.1", free_port()))
    assert caught.value.reason is ProbeReason.CANNOT_CONNECT


async def test_a_board_that_restarts_when_its_port_is_opened_is_proved(
    serial_node: tuple[SimulatedNode, str],
) -> None:
    """It is asked again, and what it said before its restart is no part of its answer."""
    node, device = serial_node
    node.faults.mute = True
    proving = asyncio.create_task(probe(SerialEndpoint(device)))
    await node.wait_for(lambda: node.want_configs)
    node.faults.mute = False
    await node.reboot()
    assert (await proving).identity.node_id == node.state.user.id
    assert len(node.want_configs) == 2
