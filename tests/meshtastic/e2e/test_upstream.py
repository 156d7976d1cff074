"""The link to the radio: lost, refused, contended, silent, and found again."""

import asyncio

from meshtastic.protobuf import mesh_pb2
import pytest

from custom_components.meshmonitor.mesh.model import DeliveryState, LinkState
from custom_components.meshmonitor.mesh.source import (
    DeliveryChanged,
    OutgoingText,
    Problem,
    ProblemChanged,
    SendError,
    SendReason,
)
from custom_components.meshmonitor.mesh.transport import TcpEndpoint
from custom_components.meshmonitor.meshtastic.radio import DAMAGED_DUMPS
from tests.meshtastic.e2e.conftest import OpenStage
from tests.meshtastic.e2e.stage import PORT, Served, Stage
from tests.ports import free_port
from tests.simulators.meshtastic_client import RawClient
from tests.simulators.meshtastic_config import NodeConfig
from tests.simulators.meshtastic_faults import Cut, Dribble, OnConnect, Tear
from tests.simulators.meshtastic_node import SimulatedNode

NO_INTERFACE = 4
SESSION = "custom_components.meshmonitor.meshtastic.session"
PACING = "custom_components.meshmonitor.meshtastic.pacing"


def _requests_by_connection(node: SimulatedNode) -> dict[int, int]:
    """Return how many ``want_config_id`` each connection brought."""
    counts: dict[int, int] = {}
    for received in node.received:
        if received.message.HasField("want_config_id"):
            counts[received.connection] = counts.get(received.connection, 0) + 1
    return counts


async def test_a_session_asks_once_whatever_its_clients_ask(stage: Stage) -> None:
    """A second request in a session makes some firmware crash."""
    phones = [await stage.phone(nonce=nonce) for nonce in (0, 1, 69420, 69421, 5)]
    for phone in phones:
        await phone.want_config(69420)
    stage.node.drop()
    await stage.until_ready(sessions=2)
    assert _requests_by_connection(stage.node) == {1: 1, 2: 1}
    assert not {0, 1, 69420, 69421} & set(stage.node.want_configs)
    assert len(set(stage.node.want_configs)) == 2
    assert stage.node.tally["overlapping_requests"] == 0


async def test_a_refused_connection_is_tried_again(socket_enabled: None, short_times: None) -> None:
    """The virtual node listens meanwhile."""
    port = free_port()
    served = Served(TcpEndpoint("127.0.0.1", port))
    await served.source.start()
    try:
        await served.until(lambda: served.source.link.failures >= 2)
        assert served.source.link.last_error
        phone = await served.connect()
        phone.heartbeat(5)
        await phone.barrier()
        async with SimulatedNode() as node:
            await node.stop()
            await node.start(port=port)
            await served.until_ready()
            await phone.want_config(1)
            await served.stop()
    finally:
        await served.stop()


@pytest.mark.parametrize(
    "fault", [OnConnect.RESET, OnConnect.CLOSE, OnConnect.HTTP, OnConnect.BLACK_HOLE]
)
async def test_whatever_answers_is_left_and_tried_again(
    open_stage: OpenStage, monkeypatch: pytest.MonkeyPatch, fault: OnConnect
) -> None:
    """Also one that takes the connection and says nothing."""
    monkeypatch.setattr(f"{SESSION}.FIRST_FRAME_TIMEOUT", 0.2)
    stage = await open_stage(started=False)
    stage.node.faults.on_connect = fault
    await stage.source.start()
    await stage.node.wait_for(lambda: stage.node.tally["connections"] >= 2, 10)
    assert not stage.source.link.is_ready
    stage.node.faults.on_connect = OnConnect.SERVE
    await stage.until_ready()


@pytest.mark.parametrize(
    "cut",
    [
        Cut(after_frames=10),
        Cut(after_frames=0),
        Cut(after_frames=10, mid_frame=False),
        Cut(after_frames=10, reset=True),
    ],
    ids=["in a frame", "in the first frame", "between frames", "by a reset"],
)
async def test_a_dump_that_breaks_off_is_asked_for_again(open_stage: OpenStage, cut: Cut) -> None:
    """Over a new connection, and half of it is never served."""
    stage = await open_stage(started=False)
    stage.node.faults.cut = cut
    await stage.source.start()
    phone = await stage.connect()
    dump = await phone.want_config(3)
    assert len(dump) > 40
    assert _requests_by_connection(stage.node) == {1: 1, 2: 1}


@pytest.mark.parametrize("after_frames", [2, 3, 7, 15, 30, 45])
async def test_a_dump_of_which_a_part_is_lost_is_read_again(
    open_stage: OpenStage, after_frames: int
) -> None:
    """No phone is told half a frame, with the next one's beginning in place of its end."""
    stage = await open_stage(started=False)
    stage.node.faults.tear = Tear(after_frames)
    await stage.source.start()
    phone = await stage.phone(nonce=5)
    await stage.until_ready()
    assert stage.node.faults.tear.times == 0
    assert len(stage.node.want_configs) == 2
    whole = await (await stage.phone()).want_config(5)
    assert phone.payloads[: len(whole)] == whole
    assert all(mesh_pb2.FromRadio.FromString(payload).ByteSize() for payload in whole if payload)


async def test_a_dump_that_is_always_damaged_is_better_than_none(open_stage: OpenStage) -> None:
    """Then it is no accident: a radio may say what we know nothing of."""
    stage = await open_stage(started=False)
    stage.node.faults.tear = Tear(7, times=100)
    await stage.start()
    assert len(stage.node.want_configs) == 1 + DAMAGED_DUMPS
    phone = await stage.phone()
    assert await phone.outcome(phone.send_text("all the same")) == [0]
    stage.node.drop()
    await stage.until_ready(sessions=2)
    assert len(stage.node.want_configs) == 2 * (1 + DAMAGED_DUMPS)


async def test_a_dump_in_single_bytes_is_read(open_stage: OpenStage) -> None:
    """However the network cuts it."""
    stage = await open_stage(NodeConfig(nodes=2), started=False)
    stage.node.faults.dribble = Dribble(size=7, delay=0.0)
    await stage.start()
    assert stage.source.counters.get("malformed_frames", 0) == 0


async def test_a_dump_that_stops_is_asked_for_again(
    open_stage: OpenStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A radio that falls silent amid its dump is left."""
    monkeypatch.setattr(f"{SESSION}.PROGRESS_TIMEOUT", 0.3)
    stage = await open_stage(NodeConfig(frame_delay=0.01), started=False)
    await stage.source.start()
    await stage.node.wait_for(lambda: stage.node.want_configs)
    await asyncio.sleep(0.1)
    stage.node.faults.mute = True
    await stage.node.wait_for(lambda: stage.node.tally["connections"] >= 2, 10)
    stage.node.faults.mute = False
    stage.node.drop()
    await stage.until_ready()


@pytest.mark.parametrize("reset", [False, True])
async def test_a_lost_connection_comes_back(stage: Stage, reset: bool) -> None:
    """Clients notice nothing but the pause."""
    phone = await stage.phone()
    stage.node.drop(reset=reset)
    await stage.until_ready(sessions=2)
    await stage.node.say(stage.node.peer(0).num, "after")
    await phone.wait_for(lambda: phone.texts() == ["after"])
    assert not phone.closed


async def test_a_dead_peer_is_found_by_its_missing_heartbeats(
    open_stage: OpenStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within three heartbeats."""
    monkeypatch.setattr(f"{SESSION}.FIRST_FRAME_TIMEOUT", 0.2)
    stage = await open_stage(heartbeat_interval=0.1)
    await stage.node.wait_for(lambda: len(stage.node.heartbeats) >= 3)
    assert 1 not in stage.node.heartbeats
    stage.node.faults.mute = True
    await stage.until(lambda: not stage.source.link.is_ready)
    assert stage.source.link.last_error == "no answer to heartbeats"
    stage.node.faults.mute = False
    await stage.until_ready(sessions=2)


async def test_a_radio_that_never_answers_heartbeats_is_kept(open_stage: OpenStage) -> None:
    """Firmware before 2.7.4 does not: its silence means nothing."""
    stage = await open_stage(NodeConfig(answers_heartbeat=False), heartbeat_interval=0.05)
    await stage.node.wait_for(lambda: len(stage.node.heartbeats) >= 8)
    assert stage.source.link.is_ready
    assert stage.source.link.sessions == 1


async def test_a_link_that_is_taken_again_and_again_is_a_problem_to_report(
    stage: Stage,
) -> None:
    """A radio serves one program, the newest wins: two that reconnect fight for ever."""
    for count in range(3):
        await stage.until_ready(sessions=count + 1)
        async with await RawClient.connect(stage.node.host, stage.node.port) as thief:
            await stage.until(lambda: not stage.source.link.is_ready)
            assert not thief.ended
    await stage.until(lambda: stage.told(ProblemChanged))
    (problem,) = stage.told(ProblemChanged)
    assert (problem.problem, problem.is_active) == (Problem.CONTENDED, True)
    assert stage.source.link.is_contended
    await stage.until_ready(sessions=4)
    assert stage.source.link.is_contended


async def test_one_theft_is_no_problem(stage: Stage) -> None:
    """Somebody may connect an app once by mistake."""
    stage.node.steal()
    await stage.until_ready(sessions=2)
    assert stage.told(ProblemChanged) == []


@pytest.mark.parametrize("down_for", [0.0, 0.3])
async def test_a_restart_costs_one_new_session(stage: Stage, down_for: float) -> None:
    """However long it takes."""
    phone = await stage.phone()
    await stage.node.reboot(down_for)
    await stage.until_ready(sessions=2)
    assert not phone.closed
    assert stage.source.link.state is LinkState.READY


async def test_texts_wait_for_a_radio_that_is_away(stage: Stage) -> None:
    """Of phones and of Home Assistant; each is sent once and shown to the others."""
    phone, other = await stage.phone(), await stage.phone()
    stage.node.refuse()
    stage.node.drop()
    await stage.until(lambda: not stage.source.link.is_ready)
    packet_id = phone.send_text("from the phone")
    await stage.source.send_text(OutgoingText(text="from home"))
    await phone.wait_for(lambda: phone.queue_statuses(packet_id))
    await other.barrier()
    assert other.texts() == []
    await stage.node.listen()
    assert await phone.outcome(packet_id) == [0]
    await other.wait_for(lambda: len(other.texts()) == 2)
    await stage.settle()
    assert sorted(stage.node.texts()) == ["from home", "from the phone"]
    assert sorted(other.texts()) == ["from home", "from the phone"]
    assert len(phone.queue_statuses(packet_id)) == 1


async def test_a_text_that_the_radio_never_confirmed_is_sent_again(stage: Stage) -> None:
    """With its id, by which the mesh knows it again."""
    phone = await stage.phone()
    stage.node.faults.mute = True
    packet_id = phone.send_text("twice")
    # Its report and its acknowledgement wait in the radio, and are lost with it.
    await stage.until(lambda: len(stage.node.queues) == 2)
    stage.node.faults.mute = False
    stage.node.queues.clear()
    stage.node.drop()
    assert await phone.outcome(packet_id) == [0]
    assert {p.id for p in stage.node.packets()} == {packet_id}
    assert stage.node.texts() == ["twice", "twice"]


async def test_what_waits_too_long_is_refused_visibly(
    open_stage: OpenStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reason that there is no radio."""
    monkeypatch.setattr(f"{PACING}.PATIENCE", {PORT.TEXT_MESSAGE_APP: 0.3})
    stage = await open_stage()
    phone, other = await stage.phone(), await stage.phone()
    stage.node.refuse()
    stage.node.drop()
    await stage.until(lambda: not stage.source.link.is_ready)
    packet_id = phone.send_text("in vain")
    message = await stage.source.send_text(OutgoingText(text="in vain as well"))
    assert await phone.outcome(packet_id) == [NO_INTERFACE]
    await stage.until(lambda: len(stage.told(DeliveryChanged)) == 4)
    states = [event.delivery.state for event in stage.told(DeliveryChanged)]
    assert states == [DeliveryState.QUEUED] * 2 + [DeliveryState.FAILED] * 2
    delivery = stage.source.delivery(message.message_id)
    assert delivery is not None
    assert (delivery.state, delivery.reason) == (DeliveryState.FAILED, "no_interface")
    await other.barrier()
    assert other.texts() == []
    assert other.responses(packet_id) == []


async def test_nothing_can_be_sent_before_the_radio_is_known(open_stage: OpenStage) -> None:
    """Neither by a phone nor by Home Assistant."""
    stage = await open_stage(started=False)
    stage.node.faults.on_connect = OnConnect.BLACK_HOLE
    await stage.source.start()
    phone = await stage.connect()
    packet_id = phone.send_text("too early")
    await phone.wait_for(phone.notifications)
    await phone.barrier()
    assert [status.res for status in phone.queue_statuses(packet_id)] == [33]
    with pytest.raises(SendError) as caught:
        await stage.source.send_text(OutgoingText(text="too early"))
    assert caught.value.reason is SendReason.NOT_CONNECTED
    assert stage.node.packets() == []


async def test_a_source_that_stops_lets_the_radio_go_at_once(stage: Stage) -> None:
    """So that its one place is free for the next program."""
    phone = await stage.phone()
    await stage.source.stop()
    await phone.wait_closed()
    await stage.node.wait_for(lambda: not stage.node.connected)
    assert stage.node.tally["disconnects"] == 1
    await stage.source.start()
    await stage.until_ready(sessions=2)


async def test_two_sources_serve_two_radios(open_stage: OpenStage) -> None:
    """Nothing of the one reaches the other."""
    one, two = await open_stage(NodeConfig(seed=1)), await open_stage(NodeConfig(seed=2))
    first, second = await one.phone(), await two.phone()
    packet_id = first.send_text("only here")
    assert await first.outcome(packet_id) == [0]
    await one.settle()
    await two.settle()
    assert two.node.texts() == second.texts() == []
    assert one.own != two.own
