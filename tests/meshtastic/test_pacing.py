"""The radio's limits, kept for all senders together and shared fairly between them."""

import pytest

from custom_components.meshmonitor.meshtastic.pacing import (
    DEFAULT_PATIENCE,
    FULL_QUEUE_RETRY,
    LEAST_GAP,
    MAX_QUEUED,
    MAX_QUEUED_PER_SENDER,
    PATIENCE,
    PORT,
    QUEUE_LENGTH,
    WINDOW_MARGIN,
    WINDOWS,
    Pacer,
    Urgency,
)
from tests.meshtastic.parcels import FREE, RADIO_WINDOWS, drain, fill, parcel


@pytest.mark.parametrize(("portnum", "window"), RADIO_WINDOWS.items())
def test_window(portnum: int, window: float) -> None:
    """It is measured from the last packet that was sent, whoever sent it, however long ago."""
    pacer = Pacer()
    fill(pacer, parcel(1, portnum, "a"), parcel(2, portnum, "b"), now=100.0)
    taken = pacer.take(100.0)
    assert taken is not None
    assert taken.packet_id == 1
    assert pacer.take(100.0 + window) is None, "the radio's clock is its own"
    due = pacer.next_due(100.0, can_send=True)
    assert due is not None
    assert due == pytest.approx(window + WINDOW_MARGIN)
    taken = pacer.take(100.0 + due)
    assert taken is not None
    assert taken.packet_id == 2
    fill(pacer, parcel(3, portnum), now=500.0)
    assert pacer.take(500.0) is not None


def test_windows_are_the_firmware_s() -> None:
    """No window is missing, and none is there that the radio does not have."""
    assert WINDOWS == RADIO_WINDOWS


def test_windows_of_port_numbers_are_apart() -> None:
    """Only the smallest gap is between packets of different port numbers."""
    pacer = Pacer()
    ports = [*RADIO_WINDOWS, FREE, FREE, PORT.ROUTING_APP]
    fill(pacer, *(parcel(index, port) for index, port in enumerate(ports)))
    times = sorted(drain(pacer).values())
    assert times[-1] == pytest.approx((len(ports) - 1) * LEAST_GAP, abs=0.001)
    assert len(set(times)) == len(ports)


def test_windows_outlast_a_connection() -> None:
    """Firmware that keeps them would refuse the first packet of the next without a word."""
    pacer = Pacer()
    fill(pacer, parcel(1), parcel(2))
    assert pacer.take(0.0) is not None
    pacer.session_started(1.0)
    assert pacer.take(1.0) is None
    assert pacer.take(2.0 + WINDOW_MARGIN) is not None


def test_window_counts_from_the_report() -> None:
    """A radio that reads late may read two packets at once: the second waits for its word."""
    pacer = Pacer()
    fill(pacer, parcel(1), parcel(2), parcel(3, FREE), parcel(4))
    taken = pacer.take(0.0)
    assert taken is not None
    pacer.await_report(taken)
    other = pacer.take(50.0)
    assert other is not None
    assert other.packet_id == 3, "other port numbers do not wait"
    pacer.await_report(other)
    assert pacer.take(60.0) is None
    pacer.reported(3, 61.0)
    pacer.reported(1, 62.0)
    assert pacer.take(64.0) is None
    taken = pacer.take(62.0 + 2.0 + WINDOW_MARGIN)
    assert taken is not None
    pacer.await_report(taken)
    assert pacer.accepts("b", PORT.TEXT_MESSAGE_APP, 65.0)
    pacer.session_started(70.0)
    assert pacer.take(70.0) is not None, "a new connection reports on nothing of the old one"


def test_what_is_no_packet_takes_no_room() -> None:
    """The radio's queue is for packets; other frames are never reported on."""
    pacer = Pacer()
    fill(pacer, *(parcel(0, FREE) for _ in range(3 * QUEUE_LENGTH)))
    fill(pacer, *(parcel(index + 1, FREE) for index in range(QUEUE_LENGTH)))
    assert max(drain(pacer, free=None).values()) < 1.0


def test_senders_take_turns() -> None:
    """Who has sent comes last the next time, however much is waiting, and a newcomer fits in."""
    pacer = Pacer()
    fill(pacer, *(parcel(index, sender="a") for index in range(10, 15)))
    fill(pacer, *(parcel(index, sender="b") for index in range(20, 23)))
    first = pacer.take(0.0)
    fill(pacer, parcel(30, sender="c"))
    assert first is not None
    assert [first.packet_id, *drain(pacer)] == [10, 20, 11, 30, 21, 12, 22, 13, 14]


def test_the_more_urgent_goes_first() -> None:
    """Where somebody is waiting comes before what is asked for, and that before routine."""
    pacer = Pacer()
    ports = [PORT.TELEMETRY_APP, FREE, PORT.NODEINFO_APP, PORT.ROUTING_APP, PORT.TEXT_MESSAGE_APP]
    for index, port in enumerate(ports):
        fill(pacer, parcel(index, port, sender=str(index)))
    assert list(drain(pacer)) == [3, 4, 1, 0, 2]
    assert parcel(1, FREE).urgency is Urgency.REQUEST


def test_a_long_wait_blocks_nothing_else() -> None:
    """Neither the sender's other port numbers nor other senders wait for a closed window."""
    pacer = Pacer()
    fill(pacer, *(parcel(index, PORT.TRACEROUTE_APP) for index in range(3)))
    fill(pacer, parcel(10, FREE), parcel(11), parcel(12, FREE, "b"), parcel(13, sender="b"))
    sent = drain(pacer)
    assert [packet_id for packet_id, at in sent.items() if at < 0.1] == [11, 12, 0, 10]
    assert sent[13] == pytest.approx(2.0 + WINDOW_MARGIN, abs=0.01)
    assert sent[1] == pytest.approx(30.26, abs=0.02)
    assert sent[2] == pytest.approx(60.51, abs=0.02)


def test_order_within_a_port_number_is_kept() -> None:
    """What a sender writes arrives in the order in which it was written."""
    pacer = Pacer()
    fill(pacer, *(parcel(index, FREE) for index in range(50)))
    assert list(drain(pacer)) == list(range(50))


def test_one_sender_s_bound() -> None:
    """One that floods is refused, and others are not."""
    pacer = Pacer()
    fill(pacer, *(parcel(index, FREE) for index in range(MAX_QUEUED_PER_SENDER)))
    assert pacer.room_for("a") == 0
    assert not pacer.accepts("a", FREE, 0.0)
    assert pacer.room_for("b") == MAX_QUEUED_PER_SENDER
    assert pacer.accepts("b", FREE, 0.0)
    assert pacer.take(0.0) is not None
    assert pacer.room_for("a") == 1


def test_bound_of_all() -> None:
    """Many senders together cannot fill the memory either."""
    pacer = Pacer()
    for index in range(MAX_QUEUED):
        fill(pacer, parcel(index, FREE, sender=str(index % 5)))
    assert len(pacer) == MAX_QUEUED
    assert pacer.room_for("newcomer") == 0
    assert not pacer.accepts("newcomer", FREE, 0.0)
    assert len(pacer.clear()) == MAX_QUEUED
    assert pacer.room_for("newcomer") == MAX_QUEUED_PER_SENDER


@pytest.mark.parametrize("portnum", RADIO_WINDOWS)
@pytest.mark.parametrize("since_last", [0.0, 1.5, 1000.0])
def test_what_could_not_leave_in_time_is_refused_at_once(portnum: int, since_last: float) -> None:
    """Nobody waits for minutes to hear that it was in vain; whoever is let in gets through."""
    pacer = Pacer()
    fill(pacer, parcel(0, portnum))
    assert pacer.take(0.0) is not None
    now, count = since_last, 0
    while pacer.accepts(str(count % 4), portnum, now):
        count += 1
        pacer.put(parcel(count, portnum, str(count % 4)), now)
    patience = PATIENCE.get(portnum, DEFAULT_PATIENCE)
    assert count >= (patience - 2 * WINDOWS[portnum]) // (WINDOWS[portnum] + WINDOW_MARGIN)
    sent = drain(pacer, now)
    assert len(sent) == count
    assert max(sent.values()) < now + patience
    assert pacer.accepts("a", FREE, now), "another port number is not concerned"


def test_waiting_too_long() -> None:
    """A packet leaves the queue when its time is over, and only then."""
    pacer = Pacer()
    fill(pacer, parcel(1), parcel(2, PORT.POSITION_APP), parcel(3, FREE, "b"), now=10.0)
    assert pacer.next_due(10.0, can_send=False) == pytest.approx(60.0)
    assert pacer.expired(69.9) == []
    assert [late.packet_id for late in pacer.expired(70.0)] == [2]
    assert [late.packet_id for late in pacer.expired(130.0)] == [3]
    assert len(pacer) == 1
    assert pacer.room_for("b") == MAX_QUEUED_PER_SENDER
    assert [late.packet_id for late in pacer.expired(610.0)] == [1]
    assert pacer.next_due(610.0, can_send=True) is None


def test_full_radio() -> None:
    """What has no room in the radio waits here, and is tried again when it says nothing more."""
    pacer = Pacer()
    fill(pacer, *(parcel(index, FREE) for index in range(5)))
    pacer.queue_status(0, 0.0)
    assert pacer.take(1.0) is None
    assert pacer.next_due(1.0, can_send=True) == pytest.approx(FULL_QUEUE_RETRY - 1.0)
    assert pacer.take(FULL_QUEUE_RETRY) is not None
    assert pacer.take(FULL_QUEUE_RETRY + 1) is None, "one was to be tried"
    pacer.queue_status(2, 7.0)
    assert pacer.take(7.0) is not None
    assert pacer.take(7.1) is not None
    assert pacer.take(7.2) is None, "there was room for two"
    pacer.queue_status(QUEUE_LENGTH, 7.3)
    assert pacer.take(7.3) is not None


def test_silent_radio() -> None:
    """A radio that never says how much room it has gets what its queue holds, then a trickle."""
    pacer = Pacer()
    fill(pacer, *(parcel(index + 1, FREE) for index in range(QUEUE_LENGTH + 3)))
    times = list(drain(pacer, free=None).values())
    assert times[QUEUE_LENGTH - 1] < 1.0
    gaps = [times[at] - times[at - 1] for at in range(QUEUE_LENGTH, len(times))]
    assert gaps == [pytest.approx(FULL_QUEUE_RETRY, abs=0.01)] * 3


def test_new_connection_has_an_empty_queue() -> None:
    """What filled the radio's queue before has nothing to do with the new connection."""
    pacer = Pacer()
    fill(pacer, parcel(1, FREE))
    pacer.queue_status(0, 0.0)
    pacer.session_started(1.0)
    assert pacer.take(1.0) is not None


def test_put_back() -> None:
    """It goes first of its sender's, with its id and its old deadline, whatever room there is."""
    pacer = Pacer()
    fill(pacer, *(parcel(index, FREE) for index in range(MAX_QUEUED_PER_SENDER)))
    taken = [pacer.take(1.0), pacer.take(2.0)]
    fill(pacer, parcel(1000, FREE), parcel(1001, FREE), now=2.0)
    for one in reversed(taken):
        assert one is not None
        pacer.put_back(one)
    assert pacer.room_for("a") == 0
    assert list(drain(pacer, 3.0))[:3] == [0, 1, 2]
    pacer.put_back(parcel(5, FREE))
    assert [late.packet_id for late in pacer.expired(DEFAULT_PATIENCE)] == [5]


def test_what_need_not_be_sent_any_more() -> None:
    """A packet can be taken away by its id; others stay."""
    pacer = Pacer()
    fill(pacer, parcel(1), parcel(2), parcel(3), parcel(4, sender="b"))
    pacer.remove(2)
    pacer.remove(4)
    pacer.remove(99)
    assert list(drain(pacer)) == [1, 3]


def test_port_numbers_leave_no_trace() -> None:
    """A client may use any of four thousand million port numbers: none of them is remembered."""
    pacer = Pacer()
    for index in range(1000):
        fill(pacer, parcel(index, 1000 + index), now=float(index))
        assert pacer.take(float(index)) is not None
        pacer.queue_status(QUEUE_LENGTH, float(index))
    sizes = [len(value) for value in vars(pacer).values() if hasattr(value, "__len__")]
    assert max(sizes) <= len(RADIO_WINDOWS)


def test_payload_stays_out_of_logs() -> None:
    """A packet that is printed does not show what it carries."""
    assert "frame" not in repr(parcel(1))
