"""The pacing of packets under any sequence of use."""

from collections import Counter
from typing import override

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from custom_components.meshmonitor.meshtastic.pacing import (
    LEAST_GAP,
    MAX_QUEUED,
    PATIENCE,
    PORT,
    QUEUE_LENGTH,
    Pacer,
    Parcel,
)
from tests.meshtastic.parcels import FREE, RADIO_WINDOWS, parcel


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
                gone = self.pacer.make_room(sender, portnum, self.now)
                if gone is None:
                    break
                self.leave([gone])
                assert gone.sender != sender
                assert self.pacer.accepts(sender, portnum, self.now)
            self.ids += 1
            self.waiting[self.ids] += 1
            self.pacer.put(parcel(self.ids, portnum, sender), self.now)

    @rule(sender=st.sampled_from("abcd"), portnum=st.sampled_from([*RADIO_WINDOWS, FREE]))
    def replace(self, sender: str, portnum: int) -> None:
        """A sender writes what makes its oldest needless."""
        for packet_id in self.pacer.waiting(sender, portnum)[:1]:
            self.ids += 1
            self.waiting[self.ids] += 1
            self.pacer.replace(packet_id, newer := parcel(self.ids, portnum, sender), self.now)
            self.leave([parcel(packet_id)])
            assert newer.queued_at == self.now

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
