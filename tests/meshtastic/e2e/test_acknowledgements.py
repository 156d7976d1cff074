"""What a client is told about its packets, and who else is."""

from meshtastic.protobuf import admin_pb2, mesh_pb2
import pytest

from custom_components.meshmonitor.mesh.model import DeliveryState, Origin
from custom_components.meshmonitor.mesh.source import DeliveryChanged, OutgoingText
from custom_components.meshmonitor.meshtastic import wire
from tests.clients.meshtastic_phone import BROADCAST, MeshtasticPhone, frame
from tests.meshtastic.e2e.conftest import OpenStage
from tests.meshtastic.e2e.stage import PORT, Stage
from tests.simulators.meshtastic_config import NodeConfig

NO_INTERFACE = 4
TOO_LARGE = 7
BAD_REQUEST = 32
NOT_AUTHORIZED = 33
RATE_LIMIT_EXCEEDED = 38
PACKAGE = "custom_components.meshmonitor.meshtastic"


def _states(stage: Stage) -> list[DeliveryState]:
    return [event.delivery.state for event in stage.told(DeliveryChanged)]


async def _settled(stage: Stage, *phones: MeshtasticPhone) -> None:
    await stage.settle()
    for phone in phones:
        await phone.barrier()


async def test_each_packet_has_exactly_one_queue_status_at_its_sender_alone(stage: Stage) -> None:
    """Each packet has exactly one queue status at its sender alone."""
    phones = [await stage.phone() for _ in range(3)]
    ids = {
        phone: [
            phone.send_data(PORT.PRIVATE_APP, b"forwarded", to=BROADCAST),
            phone.send_admin(admin_pb2.AdminMessage(get_owner_request=True), stage.own),
            phone.send_admin(admin_pb2.AdminMessage(set_time_only=1), stage.own),
            phone.send_admin(admin_pb2.AdminMessage(reboot_seconds=1), stage.own),
            phone.send_data(PORT.PRIVATE_APP, b"to nobody", to=0),
            phone.send_data(PORT.PRIVATE_APP, b"foreign", from_num=77),
            phone.send_text("one"),
            phone.send_text("another, which waits"),
        ]
        for phone in phones
    }
    for phone in phones:
        for packet_id in ids[phone]:
            await phone.wait_for(lambda p=phone, i=packet_id: p.responses(i))  # type: ignore[misc]
    await _settled(stage, *phones)
    for phone in phones:
        for packet_id in ids[phone]:
            assert len(phone.queue_statuses(packet_id)) == 1
        # The barrier's own answer has no id.
        assert {s.mesh_packet_id for s in phone.queue_statuses()} == {*ids[phone], 0}
        assert {s.res for s in phone.queue_statuses()} == {0}


async def test_queue_statuses_come_in_the_order_of_the_packets(stage: Stage) -> None:
    """Queue statuses come in the order of the packets."""
    phone = await stage.phone()
    ids = [phone.send_text("a"), phone.send_text("b")]
    ids.append(phone.send_admin(admin_pb2.AdminMessage(get_owner_request=True), stage.own))
    ids.append(phone.send_data(PORT.PRIVATE_APP, b"", to=0))
    await phone.barrier()
    assert [s.mesh_packet_id for s in phone.queue_statuses()] == [*ids, 0]


async def test_a_queue_status_tells_how_much_room_there_is(stage: Stage) -> None:
    """A queue status tells how much room there is."""
    phone = await stage.phone()
    for _ in range(20):
        phone.send_text("x", want_ack=False)
    await phone.barrier()
    free = [s.free for s in phone.queue_statuses()]
    assert all(0 < value <= 16 for value in free)


async def test_an_acknowledgement_goes_to_everyone(stage: Stage) -> None:
    """An acknowledgement goes to everyone."""
    sender, other = await stage.phone(), await stage.phone()
    broadcast = sender.send_text("to all")
    direct = sender.send_text("to one", to=stage.node.peer(0).num)
    for phone in (sender, other):
        assert await phone.outcome(broadcast) == [0]
        assert await phone.outcome(direct) == [0]
    (implicit,) = other.responses(broadcast)
    (real,) = other.responses(direct)
    assert (getattr(implicit, "from"), implicit.to) == (stage.own, stage.own)
    assert (getattr(real, "from"), real.to) == (stage.node.peer(0).num, stage.own)


async def test_a_refusal_by_the_mesh_goes_to_everyone(stage: Stage) -> None:
    """A refusal by the mesh goes to everyone."""
    sender, other = await stage.phone(), await stage.phone()
    stage.node.peer(0).silent = True
    packet_id = sender.send_text("nobody there", to=stage.node.peer(0).num)
    for phone in (sender, other):
        assert await phone.outcome(packet_id) == [5]
    await _settled(stage, sender)
    assert sender.routing_errors(packet_id) == [5]
    assert _states(stage) == [DeliveryState.QUEUED, DeliveryState.SENT, DeliveryState.FAILED]
    assert stage.told(DeliveryChanged)[-1].delivery.reason == "max_retransmit"


async def test_delivery_states_reach_home_assistant(stage: Stage) -> None:
    """Delivery states reach home assistant."""
    phone = await stage.phone()
    phone.send_text("to all")
    await stage.until(lambda: len(_states(stage)) == 3)
    waits = stage.told(DeliveryChanged)[0].message
    assert waits is not None
    assert (waits.text, waits.origin) == ("to all", Origin.PHONE)
    message = await stage.source.send_text(
        OutgoingText(text="to one", recipient_id=f"!{stage.node.peer(0).num:08x}")
    )
    await stage.until(lambda: len(_states(stage)) == 6)
    assert _states(stage) == [
        DeliveryState.QUEUED,
        DeliveryState.SENT,
        DeliveryState.RELAYED,
        DeliveryState.QUEUED,
        DeliveryState.SENT,
        DeliveryState.DELIVERED,
    ]
    delivery = stage.source.delivery(message.message_id)
    assert delivery is not None
    assert delivery.state is DeliveryState.DELIVERED


async def test_ids_are_never_rewritten(stage: Stage) -> None:
    """Ids are never rewritten."""
    phones = [await stage.phone() for _ in range(3)]
    ids = [
        phone.send_data(PORT.PRIVATE_APP, b"x", packet_id=number)
        for number, phone in enumerate(phones, start=0xFFFFFFF0)
    ]
    await stage.node.wait_for(lambda: len(stage.node.packets()) == 3)
    assert {packet.id for packet in stage.node.packets()} == set(ids)


async def test_a_packet_without_an_id_gets_one(stage: Stage) -> None:
    """A packet without an id gets one."""
    phone, other = await stage.phone(), await stage.phone()
    phone.send_text("no id", packet_id=0)
    await stage.node.wait_for(stage.node.texts)
    (packet,) = stage.node.packets(PORT.TEXT_MESSAGE_APP)
    assert packet.id
    assert await phone.outcome(packet.id) == [0]
    await _settled(stage, phone, other)
    assert [s.mesh_packet_id for s in phone.queue_statuses()] == [packet.id, 0]
    (echo,) = other.packets(PORT.TEXT_MESSAGE_APP)
    assert echo.id == packet.id


async def test_a_refused_packet_without_an_id_is_refused_visibly(stage: Stage) -> None:
    """A refused packet without an id is refused visibly."""
    phone = await stage.phone()
    phone.send_admin(admin_pb2.AdminMessage(reboot_seconds=1), stage.own, packet_id=0)
    await phone.wait_for(lambda: phone.packets(PORT.ROUTING_APP))
    (status,) = phone.queue_statuses()
    assert status.mesh_packet_id
    assert phone.routing_errors(status.mesh_packet_id) == [NOT_AUTHORIZED]


async def test_the_same_packet_again_is_sent_once_and_answered_each_time(stage: Stage) -> None:
    """The same packet again is sent once and answered each time."""
    phone, other = await stage.phone(), await stage.phone()
    for _ in range(3):
        phone.send_text("once", packet_id=4711)
    assert await phone.outcome(4711) == [0]
    phone.send_text("once", packet_id=4711)
    await _settled(stage, phone, other)
    assert len(phone.queue_statuses(4711)) == 4
    assert stage.node.texts() == ["once"]
    assert other.texts() == ["once"]
    assert stage.node.tally["duplicates"] == 0


async def test_what_a_new_connection_repeats_is_the_same_packet(stage: Stage) -> None:
    """A client that lost its connection repeats what it had no report of: it is sent once."""
    before, other = await stage.phone(), await stage.phone()
    stage.node.refuse()
    stage.node.drop()
    await stage.until(lambda: not stage.source.link.is_ready)
    before.send_text("once", packet_id=4711)
    await before.wait_for(lambda: before.queue_statuses(4711))
    before.reset()
    await before.close()
    stage.live.remove(before)
    await stage.until(lambda: stage.client_count == 1)
    after = await stage.phone()
    after.send_text("once", packet_id=4711)
    await after.wait_for(lambda: after.queue_statuses(4711))
    await stage.node.listen()
    assert await after.outcome(4711) == [0]
    after.send_text("once", packet_id=4711)
    await _settled(stage, after, other)
    assert len(after.queue_statuses(4711)) == 2
    assert after.notifications() == []
    assert stage.node.texts() == ["once"]
    assert (after.texts(), other.texts()) == ([], ["once"])


@pytest.mark.parametrize(("channel", "error"), [(0, 0), (5, 6)])
async def test_who_repeats_a_packet_hears_what_became_of_it(
    stage: Stage, channel: int, error: int
) -> None:
    """Its first connection may have been lost before that was told."""
    before = await stage.phone()
    before.send_text("once", packet_id=4711, channel=channel)
    assert error in await before.outcome(4711)
    await before.close()
    stage.live.remove(before)
    after = await stage.phone()
    after.send_text("once", packet_id=4711, channel=channel)
    assert await after.outcome(4711) == [error]
    assert len(after.queue_statuses(4711)) == 1
    assert len(stage.node.packets(PORT.TEXT_MESSAGE_APP)) <= 1


async def test_an_id_that_another_packet_has_is_refused_and_not_lost(stage: Stage) -> None:
    """An id that another packet has is refused and not lost."""
    first, second = await stage.phone(), await stage.phone()
    first.send_text("mine", packet_id=4711)
    await first.barrier()
    second.send_text("not mine", packet_id=4711)
    await second.wait_for(lambda: BAD_REQUEST in second.routing_errors(4711))
    await second.barrier()
    assert len(second.queue_statuses(4711)) == 1
    assert BAD_REQUEST not in first.routing_errors(4711)
    assert second.notifications()
    assert stage.source.counters["refused_id_in_use"] == 1
    await stage.node.wait_for(stage.node.texts)
    assert stage.node.texts() == ["mine"]


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("no_destination", BAD_REQUEST),
        ("admin_not_allowed", NOT_AUTHORIZED),
        ("too_large", TOO_LARGE),
        ("malformed", BAD_REQUEST),
    ],
)
async def test_a_refusal_has_its_reason_and_is_the_askers_alone(
    stage: Stage, reason: str, error: int
) -> None:
    """A refusal has its reason and is the askers alone."""
    phone, other = await stage.phone(), await stage.phone()
    match reason:
        case "no_destination":
            packet_id = phone.send_text("x", to=0)
        case "admin_not_allowed":
            packet_id = phone.send_admin(admin_pb2.AdminMessage(reboot_seconds=5), stage.own)
        case "too_large":
            packet_id = phone.send_data(PORT.PRIVATE_APP, bytes(234))
        case _:
            packet_id = 99
            data = wire.varint_field(1, 1) * 2 + wire.bytes_field(2, b"twice")
            packet = wire.fixed32_field(2, BROADCAST) + wire.fixed32_field(6, packet_id)
            phone.write(frame(wire.bytes_field(1, packet + wire.bytes_field(4, data))))
    assert await phone.outcome(packet_id) == [error]
    await _settled(stage, phone, other)
    (nak,) = phone.responses(packet_id)
    assert (getattr(nak, "from"), nak.to) == (stage.own, stage.own)
    assert nak.id
    assert nak.priority == mesh_pb2.MeshPacket.Priority.ACK
    assert len(phone.queue_statuses(packet_id)) == 1
    assert len(phone.notifications()) == 1
    assert other.responses(packet_id) == []
    assert other.notifications() == []
    assert stage.node.packets() == []
    assert stage.source.counters[f"refused_{reason}"] == 1


async def test_notifications_are_rare_and_refusals_are_not(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notifications are rare and refusals are not."""
    phone, other = await stage.phone(), await stage.phone()
    ids = [phone.send_text("x", to=0) for _ in range(10)]
    for packet_id in ids:
        assert await phone.outcome(packet_id) == [BAD_REQUEST]
    await phone.barrier()
    assert len(phone.notifications()) == 1
    # Another client has notifications of its own.
    other.send_text("x", to=0)
    await other.wait_for(other.notifications)
    monkeypatch.setattr(f"{PACKAGE}.virtual_node.NOTIFICATION_INTERVAL", 0.0)
    phone.send_text("x", to=0)
    await phone.wait_for(lambda: len(phone.notifications()) == 2)


async def test_what_cannot_be_sent_in_time_is_refused_visibly(
    open_stage: OpenStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be sent in time is refused visibly."""
    monkeypatch.setattr(f"{PACKAGE}.pacing.PATIENCE", {PORT.TEXT_MESSAGE_APP: 0.5})
    stage = await open_stage()
    phone = await stage.phone()
    ids = [phone.send_text(f"text {number}") for number in range(12)]
    for packet_id in ids:
        await phone.outcome(packet_id)
        assert len(phone.queue_statuses(packet_id)) == 1
    outcomes = [phone.routing_errors(packet_id) for packet_id in ids]
    assert outcomes[0] == [0]
    assert outcomes[-1] == [RATE_LIMIT_EXCEEDED]
    assert all(outcome in ([0], [RATE_LIMIT_EXCEEDED]) for outcome in outcomes)
    assert len(stage.node.texts()) == outcomes.count([0])
    assert not any(key.startswith("rate_limited") for key in stage.node.tally)


async def test_a_full_outbox_refuses_visibly(
    open_stage: OpenStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full outbox refuses visibly."""
    monkeypatch.setattr(f"{PACKAGE}.pacing.MAX_QUEUED_PER_SENDER", 5)
    stage = await open_stage()
    phone, other = await stage.phone(), await stage.phone()
    ids = [phone.send_text(f"text {number}", want_ack=False) for number in range(9)]
    await phone.outcome(ids[-1])
    await phone.barrier()
    refused = [packet_id for packet_id in ids if phone.routing_errors(packet_id)]
    assert refused == ids[-len(refused) :]
    assert {error for i in refused for error in phone.routing_errors(i)} == {RATE_LIMIT_EXCEEDED}
    assert all(len(phone.queue_statuses(packet_id)) == 1 for packet_id in ids)
    assert [s.free for s in phone.queue_statuses() if s.mesh_packet_id][-1] == 0
    # One client's flood is no other client's.
    last = other.send_text("me too")
    assert await other.outcome(last) == [0]
    assert stage.source.counters["refused_outbox_full"] == len(refused)


async def test_what_the_radio_does_not_take_is_a_visible_failure(open_stage: OpenStage) -> None:
    """What the radio does not take is a visible failure."""
    stage = await open_stage(NodeConfig(ack_delay=0.05))
    phone, other = await stage.phone(), await stage.phone()
    disabled = phone.send_text("wrong channel", channel=5)
    assert 6 in await phone.outcome(disabled)
    await _settled(stage, phone, other)
    assert set(phone.routing_errors(disabled)) == {6}
    assert other.texts() == []
    assert _states(stage) == [DeliveryState.QUEUED, DeliveryState.FAILED]


async def test_a_radio_that_never_answers_is_told_to_the_sender(
    open_stage: OpenStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A radio that never answers is told to the sender."""
    monkeypatch.setattr(f"{PACKAGE}.outbox.ANSWER_TIMEOUT", 0.2)
    stage = await open_stage()
    phone = await stage.phone()
    stage.node.faults.mute = True
    packet_id = phone.send_text("hello?")
    assert await phone.outcome(packet_id) == [3]
    assert len(phone.queue_statuses(packet_id)) == 1
    assert stage.node.texts() == ["hello?"]
    assert stage.source.counters["unanswered"] == 1


async def test_a_free_count_of_zero_holds_everything_back(
    open_stage: OpenStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A free count of zero holds everything back."""
    monkeypatch.setattr(f"{PACKAGE}.pacing.FULL_QUEUE_RETRY", 30.0)
    stage = await open_stage(NodeConfig(ack_delay=0.3, tx_queue=2))
    phone = await stage.phone()
    ids = [phone.send_data(PORT.PRIVATE_APP, b"%d" % n) for n in range(4)]
    await stage.node.wait_for(lambda: len(stage.node.packets()) == 2)
    await phone.barrier()
    assert len(stage.node.packets()) == 2
    for packet_id in ids:
        assert await phone.outcome(packet_id) == [0]
    assert len(stage.node.router.on_air) == 4
