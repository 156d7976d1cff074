"""A radio that does not know the time is told it."""

from itertools import count
import time

from meshtastic.protobuf import admin_pb2, mesh_pb2
import pytest

from custom_components.meshmonitor.meshtastic import clock
from custom_components.meshmonitor.meshtastic.outbox import Outbox
from tests.meshtastic.e2e.conftest import OpenStage
from tests.meshtastic.e2e.stage import PORT, Stage
from tests.simulators.meshtastic_config import NodeConfig
from tests.simulators.meshtastic_node import SimulatedNode


def _times(stage: Stage) -> list[int]:
    """Return the times that the radio was told."""
    messages = [
        admin_pb2.AdminMessage.FromString(packet.decoded.payload)
        for packet in stage.node.packets(PORT.ADMIN_APP)
    ]
    return [message.set_time_only for message in messages]


async def test_a_radio_without_a_clock_is_told_the_time(open_stage: OpenStage) -> None:
    """Once in each session, and without a client; new phones see by it when it was heard."""
    stage = await open_stage(NodeConfig(time_known=False))
    await stage.node.wait_for(lambda: stage.node.state.time_known)
    phone = await stage.phone()
    await phone.barrier()
    assert len(_times(stage)) == 1
    assert abs(_times(stage)[0] - time.time()) < 60
    (packet,) = stage.node.packets(PORT.ADMIN_APP)
    assert (packet.to, packet.want_ack, packet.decoded.want_response) == (stage.own, False, False)
    await stage.node.send_own_telemetry()
    await stage.settle()
    nodes = [mesh_pb2.FromRadio.FromString(payload) for payload in await phone.want_config(69421)]
    assert abs(nodes[0].node_info.last_heard - time.time()) < 60
    stage.node.state.time_known = False
    await stage.node.reboot()
    await stage.node.wait_for(lambda: stage.node.state.time_known)
    assert len(_times(stage)) == 2
    assert stage.source.counters.get("unanswered", 0) == 0


@pytest.mark.parametrize("ahead", [0.0, 86400.0])
async def test_a_radio_that_knows_the_time_is_left_alone(
    open_stage: OpenStage, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    """It has it from satellites or its network, and we perhaps not yet."""
    monkeypatch.setattr(SimulatedNode, "now", lambda _: int(time.time() + ahead))
    stage = await open_stage()
    await stage.phone()
    await stage.settle()
    assert stage.node.packets(PORT.ADMIN_APP) == []


async def test_a_time_that_has_passed_is_not_told_again() -> None:
    """A radio that went away before it took the time believes what it is told first afterwards."""
    told: list[bytes] = []

    def write(frame: bytes) -> bool:
        told.append(frame)
        return True

    outbox = Outbox(write, lambda *_: None, count(0.0).__next__)
    outbox.open()
    clock.tell(outbox, 1, 7, 1_700_000_000.0)
    outbox.close()
    outbox.open()
    assert len(told) == 1
    outbox.stop()
