"""The radio's limits, kept for all senders together and shared fairly between them."""

from collections import Counter
from typing import Final, override

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
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
    Parcel,
    Urgency,
)

RADIO_WINDOWS: Final[dict[int, float]] = {
    PORT.TEXT_MESSAGE_APP: 2.0,
    PORT.TRACEROUTE_APP: 30.0,
    PORT.POSITION_APP: 10.0,
    PORT.WAYPOINT_APP: 10.0,
    PORT.ALERT_APP: 10.0,
    PORT.TELEMETRY_APP: 10.0,
}
"""What the firmware refuses, whatever the code under test believes."""
FREE: Final = PORT.PRIVATE_APP
"""A port number without a window."""


def parcel(packet_id: int, portnum: int = PORT.TEXT_MESSAGE_APP, sender: str = "a") -> Parcel:
    """Return one packet."""
    return Parcel(packet_id=packet_id, portnum=portnum, sender=sender, payload=b"frame")


def fill(pacer: Pacer, *parcels: Parcel, now: float = 0.0) -> None:
    """Queue packets that there is room for."""
    for one in parcels:
        assert pacer.accepts(one.sender, one.portnum, now)
        pacer.put(one, now)


def drain(pacer: Pacer, now: float = 0.0, *, free: int | None = QUEUE_LENGTH) -> dict[int, float]:
    """Return when each packet goes out, by id, to a radio that says so much about its room."""
    sent: dict[int, float] = {}
    while (due := pacer.next_due(now, can_send=True)) is not None:
        now += due + 1e-6
        assert not pacer.expired(now), "nothing may wait in vain here"
        while (taken := pacer.take(now)) is not None:
            sent[taken.packet_id] = round(now, 3)
            if free is not None:
                pacer.queue_status(free, now)
    return sent


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
    """A packet can be taken away by its id, or all of a sender's; others keep theirs."""
    pacer = Pacer()
    fill(pacer, parcel(1), parcel(2), parcel(3), parcel(4, sender="b"), parcel(5, sender="b"))
    pacer.remove(2)
    pacer.remove(99)
    assert [gone.packet_id for gone in pacer.drop_sender("a")] == [1, 3]
    assert pacer.drop_sender("a") == []
    assert list(drain(pacer)) == [4, 5]


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


class PacerMachine(RuleBasedStateMachine):
    """Any sequence of use: no window is broken, no bound passed, nothing lost or doubled."""

    def __init__(self) -> None:
        super().__init__()
        self.pacer = Pacer()
        self.now = 0.0
        self.ids = 0
        self.waiting: Counter[int] = Counter()
        self.put_back_extra = 0
        self.sent: list[tuple[float, Parcel]] = []

    @initialize(now=st.sampled_from([0.0, 1e6]))
    def begin(self, now: float) -> None:
        """The clock may show anything."""
        self.now = now

    @rule(
        sender=st.sampled_from("abcd"),
        portnum=st.sampled_from([*RADIO_WINDOWS, FREE, PORT.ROUTING_APP, 4_000_000]),
        count=st.integers(1, 120),
    )
    def put(self, sender: str, portnum: int, count: int) -> None:
        """A sender writes."""
        for _ in range(count):
            if not self.pacer.accepts(sender, portnum, self.now):
                break
            self.ids += 1
            self.waiting[self.ids] += 1
            self.pacer.put(parcel(self.ids, portnum, sender), self.now)

    @rule(seconds=st.floats(0.0, 40.0))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds

    @rule()
    def wait_as_told(self) -> None:
        """The caller comes back when it was told to: then there is something to do."""
        due = self.pacer.next_due(self.now, can_send=True)
        assert (due is None) == (not self.waiting)
        if due is None:
            return
        assert due <= max(PATIENCE.values())
        self.now += due + 1e-6
        assert self.take() is not None or self.expire()

    @rule()
    def send(self) -> None:
        """One packet may go."""
        self.take()

    @rule()
    def give_up(self) -> None:
        """Some waited too long."""
        self.expire()

    def take(self) -> Parcel | None:
        """Return what goes, which the radio would take."""
        taken = self.pacer.take(self.now)
        if taken is not None:
            self.leave([taken])
            self.check_windows(taken)
            self.sent.append((self.now, taken))
        return taken

    def expire(self) -> list[Parcel]:
        """Return what waited too long."""
        late = self.pacer.expired(self.now)
        self.leave(late)
        assert all(self.now >= one.expires_at for one in late)
        return late

    @rule(free=st.integers(0, QUEUE_LENGTH))
    def queue_status(self, free: int) -> None:
        """The radio says how much room it has."""
        self.pacer.queue_status(free, self.now)

    @precondition(lambda self: self.sent)
    @rule()
    def put_back(self) -> None:
        """The radio never answered."""
        _, last = self.sent[-1]
        if last.packet_id not in self.waiting:
            self.waiting[last.packet_id] += 1
            self.put_back_extra += 1
            self.pacer.put_back(last)

    @rule(sender=st.sampled_from("abcd"))
    def drop_sender(self, sender: str) -> None:
        """A sender goes."""
        gone = self.pacer.drop_sender(sender)
        self.leave(gone)
        assert {one.sender for one in gone} <= {sender}
        assert self.pacer.drop_sender(sender) == []

    @rule()
    def new_session(self) -> None:
        """The radio comes back."""
        self.pacer.session_started(self.now)

    @invariant()
    def bounds(self) -> None:
        """Everything is accounted for."""
        assert len(self.pacer) == self.waiting.total()
        assert len(self.pacer) <= MAX_QUEUED + self.put_back_extra

    def leave(self, parcels: list[Parcel]) -> None:
        """Something came out: it was in, once."""
        for one in parcels:
            assert self.waiting.pop(one.packet_id) == 1

    def check_windows(self, taken: Parcel) -> None:
        """The radio would take it."""
        if self.sent:
            assert self.now - self.sent[-1][0] >= LEAST_GAP - 1e-9
        window = RADIO_WINDOWS.get(taken.portnum, 0.0)
        for at, earlier in reversed(self.sent):
            if self.now - at >= window:
                break
            assert earlier.portnum != taken.portnum

    @override
    def teardown(self) -> None:
        """What is left comes out as well."""
        self.leave(self.pacer.clear())
        assert not self.waiting
        assert len(self.pacer) == 0


TestPacerMachine = PacerMachine.TestCase
TestPacerMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
