"""One way out: what becomes of packets from their submission to the mesh's last word."""

import asyncio
from itertools import pairwise
from typing import Final

import pytest

from custom_components.meshmonitor.mesh.model import DeliveryState
from custom_components.meshmonitor.meshtastic import outbox
from custom_components.meshmonitor.meshtastic.decision import RoutingError
from custom_components.meshmonitor.meshtastic.outbox import (
    ANSWER_TIMEOUT,
    ASK_AFTER,
    HOME_ASSISTANT,
    RADIO_MEMORY,
    Admission,
)
from custom_components.meshmonitor.meshtastic.pacing import (
    DEFAULT_PATIENCE,
    FULL_QUEUE_RETRY,
    LEAST_GAP,
    MAX_QUEUED_PER_SENDER,
    PORT,
    WINDOW_MARGIN,
)
from tests.meshtastic.receiver import Radio

QUEUED: Final = DeliveryState.QUEUED
SENT: Final = DeliveryState.SENT
RELAYED: Final = DeliveryState.RELAYED
DELIVERED: Final = DeliveryState.DELIVERED
FAILED: Final = DeliveryState.FAILED


async def test_packet_is_sent_and_taken(radio: Radio) -> None:
    """It goes out at once, counts as sent when the radio says so, and is not shown in logs."""
    taken = radio.submit(1, PORT.TEXT_MESSAGE_APP, sender=HOME_ASSISTANT, raw=b"a secret")
    assert taken is Admission.QUEUED
    assert radio.ids == [1]
    assert radio.state(1) is QUEUED
    assert (radio.queued, radio.changes) == ([1], [])
    await asyncio.sleep(1)
    assert (radio.queued, radio.changes) == ([1], [(1, SENT, False)])
    assert radio.outbox.counters == {"sent": 1}
    assert radio.outbox.find(2) is None
    assert "secret" not in repr(radio.outbox.find(1))


async def test_pacing(radio: Radio) -> None:
    """Windows and the smallest gap are kept by the clock, for all senders together."""
    for packet_id, port in enumerate([1, 1, 70, 70, 3, 256, 256], start=1):
        radio.submit(packet_id, port, sender=str(packet_id % 2))
    assert len(radio.outbox) == 6
    await asyncio.sleep(40)
    at = {packet_id: seconds for seconds, packet_id in radio.sent}
    times = sorted(at.values())
    assert at[2] - at[1] == pytest.approx(2 + WINDOW_MARGIN, abs=0.03)
    assert abs(at[4] - at[3]) == pytest.approx(30 + WINDOW_MARGIN, abs=0.03)
    assert at[7] < 0.1
    assert min(b - a for a, b in pairwise(times)) >= LEAST_GAP - 0.001
    assert len(radio.outbox) == 0


async def test_late_report(radio: Radio) -> None:
    """The window counts from the radio's word: it may have been busy, and read only then."""
    radio.answers = False
    for packet_id in (1, 2):
        radio.submit(packet_id, PORT.TEXT_MESSAGE_APP)
    await asyncio.sleep(8)
    radio.outbox.queue_status(0, 16, 1)
    await asyncio.sleep(2)
    assert radio.ids == [1]
    await asyncio.sleep(0.3)
    assert radio.ids == [1, 2]
    # Nor does the next one wait for ever where that word does not come.
    radio.outbox.acknowledge(2, 0, by_recipient=True)
    radio.submit(3, PORT.TEXT_MESSAGE_APP)
    await asyncio.sleep(2.3)
    radio.submit(4, PORT.TEXT_MESSAGE_APP)
    await asyncio.sleep(60)
    assert radio.ids == [1, 2, 3, 4]


async def test_without_radio(radio: Radio) -> None:
    """Packets wait for it, in order; what waits too long comes to nothing, and says why."""
    radio.outbox.close()
    for packet_id in (1, 2):
        assert radio.submit(packet_id) is Admission.QUEUED
    await asyncio.sleep(DEFAULT_PATIENCE - 10)
    assert radio.submit(3) is Admission.QUEUED
    assert radio.sent == []
    await asyncio.sleep(11)
    assert radio.changes == [(1, FAILED, False), (2, FAILED, False)]
    assert radio.error(1) == RoutingError.NO_INTERFACE
    assert radio.outbox.counters["expired"] == 2
    radio.outbox.open()
    assert radio.ids == [3]


async def test_expiry_while_the_radio_is_full(radio: Radio) -> None:
    """A radio that is there but takes nothing is another reason."""
    radio.answers = False
    radio.outbox.queue_status(0, 0, 0)
    for packet_id in range(100):
        radio.submit(packet_id + 1)
    await asyncio.sleep(DEFAULT_PATIENCE + 1)
    # One each time the radio might have room again.
    assert radio.outbox.counters["sent"] <= DEFAULT_PATIENCE / FULL_QUEUE_RETRY
    assert radio.error(100) == RoutingError.RATE_LIMIT_EXCEEDED


async def test_full_radio_recovers(radio: Radio) -> None:
    """Nothing is sent while the radio's queue is full; the rest follows when it has room."""
    radio.answers = False
    radio.submit(1)
    radio.outbox.queue_status(0, 0, 1)
    for packet_id in (2, 3, 4):
        radio.submit(packet_id)
    await asyncio.sleep(FULL_QUEUE_RETRY - 0.5)
    assert radio.ids == [1]
    radio.answers = True
    radio.outbox.queue_status(0, 3, 0)
    await asyncio.sleep(0.1)
    assert radio.ids == [1, 2, 3, 4]


async def test_bound(radio: Radio) -> None:
    """One that floods hears it at once, and does not keep others from sending."""
    radio.outbox.close()
    for packet_id in range(1, MAX_QUEUED_PER_SENDER + 1):
        assert radio.submit(packet_id) is Admission.QUEUED
    assert radio.submit(1000) is Admission.FULL
    assert radio.outbox.find(1000) is None
    assert 1000 not in radio.queued
    assert radio.outbox.room_for("phone") == 0
    assert radio.submit(1001, sender="other") is Admission.QUEUED
    assert radio.outbox.counters["outbox_full"] == 1
    # Traceroutes could not all leave in time, long before there is no room.
    taken = [radio.submit(2000 + index, PORT.TRACEROUTE_APP, sender="third") for index in range(6)]
    assert taken == [Admission.QUEUED] * 4 + [Admission.FULL] * 2


async def test_withdrawn(radio: Radio) -> None:
    """What nobody waits for any more is not sent; what has left cannot be called back."""
    radio.answers = False
    radio.submit(1)
    assert not radio.outbox.withdraw(1)
    radio.outbox.close()
    radio.submit(2)
    assert radio.outbox.withdraw(1)
    assert radio.outbox.withdraw(2)
    assert not radio.outbox.withdraw(2)
    assert not radio.outbox.withdraw(3)
    assert (len(radio.outbox), radio.error(2)) == (0, RoutingError.NO_INTERFACE)
    radio.outbox.open()
    await asyncio.sleep(60)
    assert radio.ids == [1]


async def test_command_lost_amid_flight(radio: Radio) -> None:
    """A radio may have carried it out before it went away, and would do so once more."""
    radio.answers = False
    for packet_id in (1, 2):
        radio.submit(packet_id, PORT.ADMIN_APP, repeatable=False)
    await asyncio.sleep(LEAST_GAP / 2)
    radio.outbox.close()
    assert radio.changes == [(1, FAILED, False)]
    assert radio.error(1) == RoutingError.TIMEOUT
    radio.answers = True
    radio.outbox.open()
    await asyncio.sleep(1)
    # The second one had not left.
    assert radio.ids == [1, 2]
    assert radio.state(2) is SENT


async def test_link_lost_amid_flight(radio: Radio) -> None:
    """What the radio never answered for is sent again, before the rest, with its id and order."""
    radio.answers = False
    for packet_id in range(1, 6):
        radio.submit(packet_id)
    await asyncio.sleep(0.025)
    assert radio.ids == [1, 2, 3]
    radio.outbox.queue_status(0, 16, 1)
    radio.outbox.close()
    await asyncio.sleep(30)
    assert radio.changes == [(1, SENT, False)]
    radio.answers = True
    radio.outbox.open()
    await asyncio.sleep(1)
    assert radio.ids == [1, 2, 3, 2, 3, 4, 5]
    assert [radio.state(packet_id) for packet_id in range(1, 6)] == [SENT] * 5


async def test_radio_that_takes_no_bytes(radio: Radio) -> None:
    """A link that has just gone costs nothing."""
    radio.is_there = False
    assert radio.submit(1) is Admission.QUEUED
    assert radio.outbox.counters["sent"] == 0
    radio.outbox.close()
    radio.is_there = True
    radio.outbox.open()
    await asyncio.sleep(1)
    assert radio.state(1) is SENT


async def test_unanswered_packet(radio: Radio) -> None:
    """The radio is asked whether it is there; a packet of which it never speaks is given up."""
    radio.answers = False
    radio.submit(1)
    await asyncio.sleep(ASK_AFTER + 0.1)
    assert radio.heartbeats == 1
    assert radio.changes == []
    await asyncio.sleep(ANSWER_TIMEOUT - ASK_AFTER)
    assert radio.heartbeats == 1
    assert radio.ids == [1], "the radio drops a number that it knows without a word"
    assert radio.changes == [(1, FAILED, False)]
    assert radio.error(1) == RoutingError.TIMEOUT
    assert radio.outbox.counters == {"sent": 1, "unanswered": 1}


async def test_heartbeat_proves_what_was_read(radio: Radio) -> None:
    """Reports get lost in the radio; what it answers later proves the packets before it."""
    radio.answers = False
    radio.answers_heartbeats = True
    for packet_id in (1, 2, 3):
        radio.submit(packet_id)
    await asyncio.sleep(ASK_AFTER - 0.1)
    # Of its own accord the radio tells of room in its queue: that proves nothing.
    radio.outbox.queue_status(0, 16, 0)
    assert radio.changes == []
    await asyncio.sleep(1)
    assert radio.changes == [(1, SENT, False), (2, SENT, False), (3, SENT, False)]
    assert radio.ids == [1, 2, 3]
    assert "unanswered" not in radio.outbox.counters


async def test_evicted_queue_status(radio: Radio) -> None:
    """The radio keeps only two: a later one proves that the earlier packets were taken."""
    radio.answers = False
    for packet_id in (1, 2, 3, 4):
        radio.submit(packet_id)
    await asyncio.sleep(1)
    radio.outbox.queue_status(0, 12, 3)
    assert radio.changes == [(1, SENT, False), (2, SENT, False), (3, SENT, False)]
    assert radio.state(4) is QUEUED
    # The radio's own packets have ids that nobody knows here.
    radio.outbox.queue_status(0, 12, 999)
    assert radio.state(4) is QUEUED


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (32, RoutingError.RATE_LIMIT_EXCEEDED),
        (33, RoutingError.NO_INTERFACE),
        (34, RoutingError.NO_INTERFACE),
        (7, RoutingError.TOO_LARGE),
        (9, RoutingError.DUTY_CYCLE_LIMIT),
    ],
)
async def test_refused_by_the_radio(radio: Radio, result: int, error: RoutingError) -> None:
    """Its own numbers mean other things than the mesh's; earlier packets are not concerned."""
    radio.answers = False
    radio.submit(1)
    radio.submit(2)
    await asyncio.sleep(1)
    radio.outbox.queue_status(result, 14, 2)
    assert radio.changes == [(1, SENT, False), (2, FAILED, False)]
    assert radio.error(2) == error
    assert radio.outbox.counters["refused_by_radio"] == 1


async def test_packet_to_the_own_node(radio: Radio) -> None:
    """The radio says that it keeps the packet: no error."""
    radio.answers = False
    radio.submit(1)
    radio.outbox.queue_status(35, 16, 1)
    assert radio.changes == [(1, SENT, False)]


async def test_repeated_packet(radio: Radio) -> None:
    """A client that sends again what is on its way gets the same answer, and nothing is doubled."""
    radio.outbox.close()
    radio.submit(1)
    assert radio.submit(1) is Admission.REPEATED
    assert radio.submit(1, raw=b"other") is Admission.ID_IN_USE
    assert radio.submit(1, sender="other", raw=b"other") is Admission.ID_IN_USE
    assert len(radio.outbox) == 1
    radio.outbox.open()
    await asyncio.sleep(1)
    assert radio.state(1) is SENT
    assert radio.submit(1) is Admission.REPEATED, "the radio would drop it without a word"
    assert radio.ids == [1]
    assert radio.queued == [1], "it is told once"
    assert radio.outbox.counters == {"sent": 1, "repeated": 2, "id_in_use": 2}


async def test_repeated_by_another_connection(radio: Radio) -> None:
    """A client that lost its connection repeats by the next: what follows is told to that one."""
    radio.outbox.close()
    radio.submit(1, sender="before")
    assert radio.submit(1, sender="now") is Admission.REPEATED
    outgoing = radio.outbox.find(1)
    assert outgoing is not None
    assert outgoing.sender == "now"
    radio.submit(2, sender=HOME_ASSISTANT)
    assert radio.submit(2, sender="now") is Admission.ID_IN_USE, "that is nobody's else"
    radio.outbox.open()
    await asyncio.sleep(1)
    assert radio.ids == [1, 2]
    assert radio.submit(1, sender="later") is Admission.REPEATED


async def test_radio_forgets_ids(radio: Radio) -> None:
    """What it does not remember any more may be sent again: after twenty others, or anew."""
    for packet_id in range(1, RADIO_MEMORY + 1):
        radio.submit(packet_id)
    await asyncio.sleep(1)
    assert radio.submit(1) is Admission.REPEATED
    radio.submit(100)
    await asyncio.sleep(1)
    assert radio.submit(1) is Admission.QUEUED
    assert radio.submit(100, raw=b"other") is Admission.ID_IN_USE
    radio.outbox.close()
    radio.outbox.open()
    assert radio.submit(100, raw=b"other") is Admission.QUEUED


async def test_acknowledgements(radio: Radio) -> None:
    """Relayed, then delivered; what comes behind the last word changes nothing."""
    radio.submit(1)
    await asyncio.sleep(1)
    radio.outbox.acknowledge(1, 0, by_recipient=False)
    radio.outbox.acknowledge(1, 0, by_recipient=False)
    radio.outbox.acknowledge(1, 0, by_recipient=True)
    radio.outbox.acknowledge(1, 5, by_recipient=False)
    radio.outbox.acknowledge(1, 0, by_recipient=False)
    radio.outbox.acknowledge(999, 0, by_recipient=True)
    assert radio.changes == [(1, SENT, False), (1, RELAYED, True), (1, DELIVERED, True)]


async def test_failure_on_the_mesh(radio: Radio) -> None:
    """No relay was heard: it failed, until its recipient says otherwise after all."""
    radio.submit(1)
    await asyncio.sleep(1)
    radio.outbox.acknowledge(1, RoutingError.MAX_RETRANSMIT, by_recipient=False)
    assert radio.error(1) == RoutingError.MAX_RETRANSMIT
    radio.outbox.acknowledge(1, 0, by_recipient=False)
    radio.outbox.acknowledge(1, 0, by_recipient=True)
    assert radio.changes == [(1, SENT, False), (1, FAILED, True), (1, DELIVERED, True)]


async def test_acknowledged_before_the_queue_status(radio: Radio) -> None:
    """The mesh's word is proof enough; the radio's adds nothing, and nothing is sent again."""
    radio.answers = False
    radio.submit(1)
    radio.submit(2)
    await asyncio.sleep(1)
    radio.outbox.acknowledge(1, 0, by_recipient=True)
    radio.outbox.acknowledge(2, RoutingError.NO_CHANNEL, by_recipient=False)
    radio.outbox.queue_status(0, 16, 1)
    radio.outbox.queue_status(0, 16, 2)
    await asyncio.sleep(60)
    assert radio.changes == [(1, SENT, False), (1, DELIVERED, True), (2, FAILED, True)]
    assert radio.ids == [1, 2]


async def test_acknowledged_while_it_waits_to_be_repeated(radio: Radio) -> None:
    """The mesh's word came over the new connection: repeating it is needless."""
    radio.answers = False
    radio.submit(1)
    radio.submit(2)
    await asyncio.sleep(1)
    radio.outbox.close()
    radio.outbox.acknowledge(1, 0, by_recipient=False)
    radio.outbox.acknowledge(2, RoutingError.MAX_RETRANSMIT, by_recipient=False)
    radio.outbox.open()
    await asyncio.sleep(1)
    assert radio.ids == [1, 2]
    assert radio.state(1) is RELAYED
    assert radio.state(2) is FAILED


async def test_who_is_told_may_send(radio: Radio) -> None:
    """A packet that is submitted from within a change upsets no book."""
    radio.answers = False
    radio.on_change = lambda outgoing: radio.submit(outgoing.packet_id + 100) and None
    for packet_id in (1, 2, 3):
        radio.submit(packet_id)
    await asyncio.sleep(1)
    radio.outbox.queue_status(0, 16, 3)
    await asyncio.sleep(1)
    assert radio.ids == [1, 2, 3, 101, 102, 103]
    radio.on_change = lambda outgoing: radio.submit(outgoing.packet_id + 1000) and None
    for flight in radio.outbox._in_flight.values():
        flight.sent_at = radio.clock() - ANSWER_TIMEOUT
        flight.is_asked = True
    radio.outbox.queue_status(0, 16, 999)
    assert [radio.state(packet_id) for packet_id in (101, 102, 103)] == [FAILED] * 3
    await asyncio.sleep(1)
    assert sorted(radio.ids[6:]) == [1101, 1102, 1103]


async def test_other_radio(radio: Radio) -> None:
    """What was meant for one radio is not given to another."""
    radio.answers = False
    radio.submit(1)
    radio.submit(2)
    radio.outbox.fail_all(RoutingError.NO_INTERFACE)
    assert sorted(radio.changes) == [(1, FAILED, False), (2, FAILED, False)]
    await asyncio.sleep(60)
    assert radio.ids == [1]


async def test_frames_that_are_no_packets(radio: Radio) -> None:
    """They take their turn, and are for a radio that is there."""
    assert radio.outbox.submit_raw("phone", b"\0")
    assert radio.outbox.submit_raw("phone", b"\0")
    await asyncio.sleep(60)
    assert radio.ids == [0, 0], "nobody answers for them"
    radio.outbox.close()
    assert not radio.outbox.submit_raw("phone", b"\0")
    assert len(radio.outbox) == 0


async def test_memory_is_bounded(radio: Radio, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest packets are forgotten, but none that still waits."""
    monkeypatch.setattr(outbox, "REMEMBERED", 50)
    radio.submit(1, PORT.TRACEROUTE_APP)
    radio.submit(2, PORT.TRACEROUTE_APP)
    for packet_id in range(3, 120):
        radio.submit(packet_id)
        await asyncio.sleep(LEAST_GAP * 1.5)
    assert radio.state(2) is QUEUED
    known = [packet_id for packet_id in range(1, 120) if radio.outbox.find(packet_id)]
    assert known == [2, *range(71, 120)]
    await asyncio.sleep(60)
    books = [len(value) for value in vars(radio.outbox).values() if hasattr(value, "__len__")]
    assert max(books) == 50
