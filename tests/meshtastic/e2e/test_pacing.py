"""The radio's limits, kept for all clients together."""

import itertools
import time

from meshtastic.protobuf import mesh_pb2, telemetry_pb2
import pytest

from custom_components.meshmonitor.mesh.source import OutgoingText, RequestKind
from custom_components.meshmonitor.meshtastic import pacing
from tests.clients.meshtastic_phone import BROADCAST
from tests.meshtastic.e2e.conftest import OpenStage
from tests.meshtastic.e2e.stage import PORT, Stage
from tests.simulators import meshtastic_phone_api
from tests.simulators.meshtastic_config import NodeConfig

RATE_LIMIT_EXCEEDED = 38
TEXT_WINDOW = 2.0
"""Seconds between two texts that the firmware accepts."""


def _arrivals(stage: Stage, portnum: int) -> list[float]:
    """Return when packets of that port number reached the radio, by its clock."""
    return [
        received.at
        for received in stage.node.received
        if received.message.HasField("packet")
        and received.message.packet.decoded.portnum == portnum
    ]


def _gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(times)]


def _limited(stage: Stage) -> dict[str, int]:
    return {key: n for key, n in stage.node.tally.items() if key.startswith("rate_limited")}


async def test_three_texts_of_three_phones_are_two_seconds_apart(
    open_stage: OpenStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three texts of three phones are two seconds apart."""
    port = PORT.TEXT_MESSAGE_APP
    monkeypatch.setattr(pacing, "WINDOWS", {port: TEXT_WINDOW})
    monkeypatch.setattr(meshtastic_phone_api, "WINDOWS", {port: TEXT_WINDOW})
    stage = await open_stage()
    phones = [await stage.phone() for _ in range(3)]
    started = time.monotonic()
    ids = {phone: phone.send_text(f"text {number}") for number, phone in enumerate(phones)}
    for phone, packet_id in ids.items():
        # All are taken over at once, whenever they are sent.
        await phone.wait_for(lambda p=phone, i=packet_id: p.queue_statuses(i))  # type: ignore[misc]
    assert time.monotonic() - started < 1.0
    for phone, packet_id in ids.items():
        assert await phone.outcome(packet_id, 15) == [0]
    await stage.settle()
    assert sorted(stage.node.texts()) == ["text 0", "text 1", "text 2"]
    assert min(_gaps(_arrivals(stage, port))) >= TEXT_WINDOW
    assert not _limited(stage)
    for phone in phones:
        assert len(phone.texts()) == 2
        assert phone.notifications() == []


async def test_who_was_told_of_a_full_queue_is_told_of_room(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a question, as a radio does: until then the Python client sends nothing more."""
    monkeypatch.setattr(pacing, "MAX_QUEUED_PER_SENDER", 2)
    phone, other = await stage.phone(), await stage.phone()
    # They come in one piece, and one leaves at once.
    for _ in range(5):
        phone.send_data(PORT.PRIVATE_APP, b"", to=stage.node.peer(0).num)
    await phone.wait_for(lambda: any(not status.free for status in phone.queue_statuses()))
    await phone.wait_for(lambda: phone.queue_statuses(0))
    assert phone.queue_statuses()[-1].free
    await other.barrier()
    assert len(other.queue_statuses()) == 1


async def test_the_second_of_a_kind_waits_and_is_not_refused(stage: Stage) -> None:
    """And nothing of another kind waits behind it."""
    first, second = await stage.phone(), await stage.phone()
    peer = stage.node.peer(0).num
    for portnum in meshtastic_phone_api.WINDOWS:
        for phone in (first, second):
            phone.send_data(portnum, b"", to=peer, want_response=portnum == PORT.TRACEROUTE_APP)
    second.send_data(PORT.PRIVATE_APP, b"not held up", to=peer)
    await stage.node.wait_for(lambda: stage.node.packets(PORT.PRIVATE_APP))
    for portnum, window in meshtastic_phone_api.WINDOWS.items():
        await stage.node.wait_for(lambda portnum=portnum: len(_arrivals(stage, portnum)) == 2)  # type: ignore[misc]
        (gap,) = _gaps(_arrivals(stage, portnum))
        assert gap >= window
        assert _arrivals(stage, PORT.PRIVATE_APP)[0] < _arrivals(stage, portnum)[1]
    await stage.settle()
    assert not _limited(stage)
    assert first.notifications() == second.notifications() == []


async def test_a_radio_that_reads_late_does_not_get_two_at_once(open_stage: OpenStage) -> None:
    """It measures from when it has read a packet, which may be long after that was sent."""
    stage = await open_stage(NodeConfig(poll_interval=0.6))
    phones = [await stage.phone() for _ in range(3)]
    ids = [phone.send_text(f"text {number}") for number, phone in enumerate(phones)]
    for phone, packet_id in zip(phones, ids, strict=True):
        assert await phone.outcome(packet_id, 10) == [0]
    assert len(stage.node.texts()) == 3
    assert not _limited(stage)


async def test_home_assistant_shares_the_limits(stage: Stage) -> None:
    """Home assistant shares the limits."""
    phone = await stage.phone()
    packet_id = phone.send_text("from the phone")
    await stage.source.send_text(OutgoingText(text="from home"))
    assert await phone.outcome(packet_id) == [0]
    await stage.node.wait_for(lambda: len(stage.node.texts()) == 2)
    (gap,) = _gaps(_arrivals(stage, PORT.TEXT_MESSAGE_APP))
    assert gap >= meshtastic_phone_api.WINDOWS[PORT.TEXT_MESSAGE_APP]
    assert not _limited(stage)


async def test_clients_take_turns(stage: Stage) -> None:
    """Clients take turns."""
    busy, quiet = await stage.phone(), await stage.phone()
    for number in range(6):
        busy.send_text(f"busy {number}", want_ack=False)
    await busy.barrier()
    packet_id = quiet.send_text("quiet")
    assert await quiet.outcome(packet_id) == [0]
    assert stage.node.texts().index("quiet") <= 2


async def test_one_client_keeps_no_other_from_sending(
    open_stage: OpenStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has asked the most gives up its last question, and is told so."""
    monkeypatch.setattr(pacing, "PATIENCE", {PORT.TRACEROUTE_APP: 4.0})
    monkeypatch.setattr(pacing, "WINDOWS", {PORT.TRACEROUTE_APP: 0.9})
    monkeypatch.setattr(meshtastic_phone_api, "WINDOWS", {PORT.TRACEROUTE_APP: 0.9})
    stage = await open_stage()
    busy, quiet = await stage.phone(), await stage.phone()
    peer = stage.node.peer(0).num
    asked = [
        busy.send_data(PORT.TRACEROUTE_APP, b"", to=peer, want_response=True) for _ in range(8)
    ]
    await busy.wait_for(lambda: RATE_LIMIT_EXCEEDED in busy.routing_errors(asked[-1]))
    late = quiet.send_data(PORT.TRACEROUTE_APP, b"", to=peer, want_response=True)
    await quiet.wait_for(lambda: quiet.queue_statuses(late))
    assert quiet.routing_errors(late) == []
    await quiet.wait_for(lambda: quiet.responses(late))
    assert [p.id for p in stage.node.packets(PORT.TRACEROUTE_APP)].index(late) <= 2
    for packet_id in asked:
        await busy.wait_for(lambda packet_id=packet_id: busy.responses(packet_id))  # type: ignore[misc]
        assert len(busy.queue_statuses(packet_id)) == 1
    assert stage.source.counters["displaced"] == 1
    assert not _limited(stage)


async def test_a_phone_that_lends_its_position_often_is_not_bothered(
    open_stage: OpenStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some tell it each five seconds, without an id: the radio has the newest, nobody is warned."""
    monkeypatch.setattr(pacing, "PATIENCE", {PORT.POSITION_APP: 2.0})
    stage = await open_stage()
    phone = await stage.phone()
    for latitude in range(1, 41):
        position = mesh_pb2.Position(latitude_i=latitude, longitude_i=1).SerializeToString()
        phone.send_data(PORT.POSITION_APP, position, to=stage.own, want_ack=False, packet_id=0)
    await stage.node.wait_for(lambda: stage.node.state.position.latitude_i == 40)
    await phone.barrier()
    assert len(stage.node.packets(PORT.POSITION_APP)) == 2
    ids = [s.mesh_packet_id for s in phone.queue_statuses() if s.mesh_packet_id]
    assert len(set(ids)) == 40
    assert phone.notifications() == []
    assert stage.source.counters["outdated"] == 38
    assert not _limited(stage)


async def test_texts_go_before_routine(open_stage: OpenStage) -> None:
    """Texts go before routine."""
    stage = await open_stage(NodeConfig(tx_queue=1, ack_delay=0.1))
    routine, talker = await stage.phone(), await stage.phone()
    peer = stage.node.peer(0).num
    for number in range(5):
        routine.send_data(PORT.NEIGHBORINFO_APP, b"%d" % number, to=peer, want_ack=False)
    await routine.barrier()
    packet_id = talker.send_text("first", to=peer)
    assert await talker.outcome(packet_id) == [0]
    order = [p.decoded.portnum for p in stage.node.packets()]
    assert order.index(PORT.TEXT_MESSAGE_APP) <= 2


async def test_a_lost_queue_report_does_not_stop_the_rest(open_stage: OpenStage) -> None:
    """A lost queue report does not stop the rest."""
    stage = await open_stage(NodeConfig(queue_status_queue=1, poll_interval=0.1))
    sender, other = await stage.phone(), await stage.phone()
    sender.send_data(PORT.PRIVATE_APP, b"1")
    ids = [sender.send_text("one", to=stage.node.peer(0).num)]
    ids += [sender.send_data(PORT.PRIVATE_APP, b"%d" % n) for n in range(5)]
    for packet_id in ids:
        assert await sender.outcome(packet_id) == [0]
    await other.wait_for(lambda: other.texts() == ["one"])
    assert len(stage.node.packets()) == 7
    assert stage.source.counters.get("retried", 0) == 0


async def test_the_own_nodes_telemetry_is_answered_from_what_is_known(stage: Stage) -> None:
    """The own nodes telemetry is answered from what is known."""
    first, second = await stage.phone(), await stage.phone()
    await stage.node.send_own_telemetry()
    await stage.settle()
    ask = telemetry_pb2.Telemetry(device_metrics=telemetry_pb2.DeviceMetrics())
    ids = {
        phone: phone.send_data(
            PORT.TELEMETRY_APP, ask.SerializeToString(), to=stage.own, want_response=True
        )
        for phone in (first, second)
    }
    for phone, packet_id in ids.items():
        await phone.wait_for(lambda p=phone, i=packet_id: p.responses(i))  # type: ignore[misc]
        (answer,) = phone.responses(packet_id)
        measured = telemetry_pb2.Telemetry.FromString(answer.decoded.payload)
        assert measured.device_metrics == stage.node.state.metrics
        assert (getattr(answer, "from"), answer.to) == (stage.own, stage.own)
        assert len(phone.queue_statuses(packet_id)) == 1
    assert second.responses(ids[first]) == []
    assert stage.node.packets() == []


async def test_telemetry_that_is_not_known_is_asked_for(stage: Stage) -> None:
    """Telemetry that is not known is asked for."""
    phone = await stage.phone()
    ask = telemetry_pb2.Telemetry(local_stats=telemetry_pb2.LocalStats())
    packet_id = phone.send_data(
        PORT.TELEMETRY_APP, ask.SerializeToString(), to=stage.own, want_response=True
    )
    await phone.wait_for(lambda: phone.responses(packet_id))
    (answer,) = phone.responses(packet_id)
    assert telemetry_pb2.Telemetry.FromString(answer.decoded.payload).HasField("local_stats")
    assert len(stage.node.packets(PORT.TELEMETRY_APP)) == 1
    # The answer is known from now on.
    again = phone.send_data(
        PORT.TELEMETRY_APP, ask.SerializeToString(), to=stage.own, want_response=True
    )
    await phone.wait_for(lambda: phone.responses(again))
    assert len(stage.node.packets(PORT.TELEMETRY_APP)) == 1


async def test_the_own_position_is_answered_from_what_is_known(stage: Stage) -> None:
    """The own position is answered from what is known."""
    phone, other = await stage.phone(), await stage.phone()
    broadcast = mesh_pb2.MeshPacket(to=BROADCAST, id=4)
    setattr(broadcast, "from", stage.own)
    broadcast.decoded.portnum = PORT.POSITION_APP
    broadcast.decoded.payload = stage.node.state.position.SerializeToString()
    await stage.node.send_packet(broadcast)
    await stage.settle()
    packet_id = phone.send_data(PORT.POSITION_APP, b"", to=stage.own, want_response=True)
    await phone.wait_for(lambda: phone.responses(packet_id))
    await other.barrier()
    (answer,) = phone.responses(packet_id)
    position = mesh_pb2.Position.FromString(answer.decoded.payload)
    assert position.latitude_i == stage.node.state.position.latitude_i
    assert other.responses(packet_id) == []
    assert stage.node.packets() == []


async def test_home_assistants_question_and_a_phones_do_not_collide(stage: Stage) -> None:
    """Home assistants question and a phones do not collide."""
    phone = await stage.phone()
    peer = stage.node.peer(0)
    asked = phone.send_data(PORT.TRACEROUTE_APP, b"", to=peer.num, want_response=True)
    await stage.source.request(RequestKind.TRACEROUTE, f"!{peer.num:08x}")
    await phone.wait_for(lambda: phone.responses(asked))
    (gap,) = _gaps(_arrivals(stage, PORT.TRACEROUTE_APP))
    assert gap >= meshtastic_phone_api.WINDOWS[PORT.TRACEROUTE_APP]
