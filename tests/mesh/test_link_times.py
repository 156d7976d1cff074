"""The link's patience: how long it waits, what it forgives, when it finds itself disturbed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import override

import pytest

from custom_components.meshmonitor.mesh.link import (
    BACKOFF_LAST,
    CONTENDED_AFTER,
    CONTENDED_DELAY,
    GONE_AFTER,
    LASTING_SESSION,
    QUICK_LOSS,
    Backoff,
    Link,
)
from custom_components.meshmonitor.mesh.model import LinkState, LinkStatus
from custom_components.meshmonitor.mesh.transport import TcpEndpoint
from tests.mesh.peers import READY, BlackHole, Listener, Talk, Visit
from tests.ports import free_port
from tests.virtual_time import virtual_time


@dataclass
class Watched(Talk):
    """What is said over a link whose every change of state is noted with its time."""

    clock: Callable[[], float]
    times: list[tuple[float, LinkState]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._began = self.clock()

    @override
    def on_status(self, status: LinkStatus) -> None:
        """Note a status."""
        super().on_status(status)
        if not self.times or self.times[-1][1] is not status.state:
            self.times.append((self.clock() - self._began, status.state))

    def start(self, port: int, jitter: float) -> None:
        """Begin, with waits that are as long as possible for 1, as short as possible for 0."""
        self.link = Link(
            TcpEndpoint("127.0.0.1", port),
            self,
            name="test",
            on_status=self.on_status,
            clock=self.clock,
            backoff=Backoff(lambda: jitter),
        )
        self.link.start()

    @property
    def waits(self) -> list[float]:
        """Seconds from each loss to the next attempt."""
        return [
            round(until - since, 2)
            for (since, state), (until, _) in pairwise(self.times)
            if state is LinkState.WAITING
        ]


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    """Return a link in the making, where time jumps."""
    with virtual_time() as clock:
        made = Watched(clock)
        yield made
        await made.link.stop()


@pytest.fixture
async def radio(watched: Watched) -> AsyncIterator[Listener]:
    """Return a radio in the network, which is there as long as the link is."""
    async with Listener() as made:
        yield made
        await watched.link.stop()


def test_backoff() -> None:
    """Each wait is up to twice the one before, to a minute, and never less than three quarters."""
    assert [Backoff(lambda: 1.0).next_delay() for _ in range(2)] == [1.0, 1.0]
    longest, shortest = Backoff(lambda: 1.0), Backoff(lambda: 0.0)
    steps = [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert [longest.next_delay() for _ in steps] == steps
    assert [shortest.next_delay() for _ in steps] == [step * 0.75 for step in steps]
    longest.reset()
    assert [longest.next_delay(at_least=30.0) for _ in range(7)] == [30, 30, 30, 30, 30, 32, 60]
    drawn = {Backoff().next_delay() for _ in range(20)}
    assert len(drawn) > 1, "two links that were lost together do not come back together"
    assert all(0.75 <= delay <= 1.0 for delay in drawn)


@pytest.mark.parametrize("jitter", [1.0, 0.0])
async def test_refused(watched: Watched, jitter: float) -> None:
    """A radio that is away is asked less and less often."""
    watched.start(free_port(), jitter)
    await asyncio.sleep(300)
    share = 0.75 + jitter / 4
    steps = [1, 2, 4, 8, 16, 32, 60, 60]
    assert watched.waits[: len(steps)] == pytest.approx([step * share for step in steps], abs=0.05)


async def test_black_hole(watched: Watched) -> None:
    """The time that an attempt takes comes on top of the wait: never are there two."""
    with BlackHole() as hole:
        watched.start(hole.port, 1.0)
        await asyncio.sleep(100)
        attempts = [
            round(until - since, 1)
            for (since, state), (until, _) in pairwise(watched.times)
            if state is LinkState.CONNECTING
        ]
        assert attempts == [10.0] * 6
        assert watched.waits == pytest.approx([1, 2, 4, 8, 16], abs=0.05)
        await watched.link.stop()


def session_of(seconds: float) -> Callable[[Visit], None]:
    """Return what completes each handshake at once, and ends the session so much later."""

    def serve(visit: Visit) -> None:
        visit.transport.write(READY)
        visit.close_in(seconds)

    return serve


async def test_short_sessions_are_no_success(watched: Watched, radio: Listener) -> None:
    """A radio that closes soon after each handshake is asked less and less often."""
    radio.on_visit = session_of(LASTING_SESSION - 1)
    watched.start(radio.port, 1.0)
    await asyncio.sleep(200)
    assert watched.waits == pytest.approx([1, 2, CONTENDED_DELAY, CONTENDED_DELAY], abs=0.05)
    assert watched.link.status.sessions == 5


async def test_lasting_session_is_forgiven(watched: Watched, radio: Listener) -> None:
    """After one that was in use for a while, the next attempt comes soon."""
    # So that nobody looks between the moment from which it counts and the loss.
    watched.tick_delay = 7.0
    watched.start(radio.port, 1.0)
    for seconds in (1, LASTING_SESSION + 0.5, QUICK_LOSS + 1, 1, 1):
        radio.on_visit = session_of(seconds)
        await radio.visit()
    await radio.visit()
    assert watched.waits == pytest.approx([1, 1, 1, 2, 4], abs=0.05)


async def test_open_connection_is_no_session(watched: Watched, radio: Listener) -> None:
    """One that never got beyond its handshake is no reason to come back soon."""
    radio.on_visit = lambda visit: visit.close_in(100)
    watched.start(radio.port, 1.0)
    for _ in range(4):
        await radio.visit()
    assert watched.waits == pytest.approx([1, 2, 4], abs=0.05)
    assert not watched.link.status.is_contended, "nobody was in a hurry"


async def test_contended(watched: Watched, radio: Listener) -> None:
    """Another program that takes the radio again and again is noticed, and given room."""
    radio.on_visit = session_of(5)
    watched.start(radio.port, 1.0)
    for _ in range(CONTENDED_AFTER):
        await radio.visit()
        assert not watched.link.status.is_contended
    await radio.visit()
    assert watched.link.status.is_contended
    radio.on_visit = session_of(QUICK_LOSS + 20)
    await radio.visit()
    assert watched.waits == pytest.approx([1, 2, CONTENDED_DELAY, CONTENDED_DELAY], abs=0.05)
    assert radio.most_open == 1
    # A session that stays is the end of it, while it lasts.
    radio.on_visit = session_of(5)
    await radio.visit()
    contended = [(status.is_contended, status.is_ready) for status in watched.statuses]
    assert contended[-6:] == [
        (True, False),
        (True, True),
        (False, True),
        (False, False),
        (False, False),
        (False, False),
    ]
    await radio.visit()
    await radio.visit()
    assert not watched.link.status.is_contended, "it takes three in a row again"


async def test_a_radio_that_is_gone_is_not_fought_for(watched: Watched) -> None:
    """What was noticed of another program holds over a restart of the radio, and no longer."""
    async with Listener() as radio:
        port = radio.port
        radio.on_visit = session_of(5)
        watched.start(port, 1.0)
        for _ in range(CONTENDED_AFTER + 1):
            visit = await radio.visit()
        await visit.closed.wait()
    # The first failure is the loss itself.
    while watched.link.status.failures <= GONE_AFTER:
        assert watched.link.status.is_contended
        await asyncio.sleep(1)
    assert watched.link.status.last_error == "Connection refused"
    assert not watched.statuses[-1].is_contended
    async with Listener(port=port) as radio:
        radio.on_visit = session_of(5)
        for _ in range(CONTENDED_AFTER):
            await radio.visit()
            assert not watched.link.status.is_contended, "it takes three in a row again"
        await radio.visit()
        assert watched.link.status.is_contended
        await watched.link.stop()


async def test_our_own_doing_is_no_contention(watched: Watched, radio: Listener) -> None:
    """Connections that we drop, and those that last, are no sign of another program."""
    watched.start(radio.port, 0.0)
    for turn in range(12):
        visit = await radio.visit()
        # Two quick losses in a row, then one that breaks the row.
        if turn % 3 < 2:
            visit.transport.close()
        else:
            await asyncio.sleep(QUICK_LOSS + 1 if turn % 2 else 0.1)
            watched.link.drop("no answer to heartbeats")
        await visit.closed.wait()
    await asyncio.sleep(1)
    assert not watched.link.status.is_contended
    assert max(watched.waits) <= BACKOFF_LAST


async def test_restarts_that_we_cause_are_no_contention(watched: Watched, radio: Listener) -> None:
    """Settings, one after the other, that each have the radio restart cost no patience."""
    radio.on_visit = session_of(5)
    watched.start(radio.port, 1.0)
    for _ in range(CONTENDED_AFTER + 2):
        visit = await radio.visit()
        await asyncio.sleep(1)
        watched.link.expect_restart()
        await visit.closed.wait()
    await asyncio.sleep(0.5)
    assert not watched.link.status.is_contended
    assert watched.waits == pytest.approx([1] * len(watched.waits), abs=0.05)
    for _ in range(CONTENDED_AFTER + 1):
        await radio.visit()
    assert watched.link.status.is_contended, "it holds for the connection it was said of"
