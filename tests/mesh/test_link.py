"""The link: connecting, losing, waiting, stopping, over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Callable
import itertools
import logging
import socket

import pytest

from custom_components.meshmonitor.mesh import link as link_module
from custom_components.meshmonitor.mesh.link import Link
from custom_components.meshmonitor.mesh.model import LinkState
from custom_components.meshmonitor.mesh.transport import TcpEndpoint
from tests.mesh.peers import FAREWELL, READY, BlackHole, Listener, Talk, Visit, open_files, until
from tests.ports import free_port

CONNECTING = LinkState.CONNECTING
HANDSHAKE = LinkState.HANDSHAKE
READY_STATE = LinkState.READY
WAITING = LinkState.WAITING
STOPPED = LinkState.STOPPED

type MakeTalk = Callable[..., Talk]


@pytest.fixture
async def make_talk(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MakeTalk]:
    """Return what starts a link that waits hardly at all, and stops it in the end."""
    monkeypatch.setattr(link_module, "BACKOFF_FIRST", 0.01)
    monkeypatch.setattr(link_module, "BACKOFF_LAST", 0.01)
    monkeypatch.setattr(link_module, "CONTENDED_DELAY", 0.01)
    talks: list[Talk] = []

    def make(port: int, host: str = "127.0.0.1") -> Talk:
        talk = Talk()
        talk.link = Link(TcpEndpoint(host, port), talk, name="test", on_status=talk.on_status)
        talk.link.start()
        talks.append(talk)
        return talk

    yield make
    for talk in talks:
        await talk.link.stop()


@pytest.fixture
async def radio() -> AsyncIterator[Listener]:
    """Return a radio in the network."""
    async with Listener() as made:
        yield made


def link_tasks() -> list[str]:
    """Return the links that are at work."""
    return [
        task.get_name()
        for task in asyncio.all_tasks()
        if task.get_name().startswith("meshmonitor link") and not task.done()
    ]


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the link has logged."""
    return [record.getMessage() for record in caplog.records if record.name == link_module.__name__]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
async def test_connection(make_talk: MakeTalk, host: str) -> None:
    """Bytes go both ways, and the states are told in order."""
    async with Listener("127.0.0.1" if host == "localhost" else host) as radio:
        talk = make_talk(radio.port, host)
        visit = await radio.visit()
        await until(lambda: visit.received == b"hello")
        assert talk.link.status.state is HANDSHAKE
        assert not talk.link.status.is_ready
        visit.transport.write(b"some")
        await until(lambda: talk.received == b"some")
        visit.transport.write(READY)
        await talk.reach(READY_STATE)
        assert talk.link.write(b" and more")
        await until(lambda: visit.received == b"hello and more")
        assert talk.states == [CONNECTING, HANDSHAKE, READY_STATE]
        status = talk.link.status
        assert (status.sessions, status.failures, status.last_error) == (1, 0, None)
        assert status.connected_since is not None
        talk.link.mark_handshake()
        assert talk.link.status.state is HANDSHAKE
        assert talk.link.status.connected_since is None


async def test_refused(make_talk: MakeTalk) -> None:
    """Nothing listens there: it is tried again, and said why in the system's words."""
    talk = make_talk(free_port())
    await until(lambda: talk.states.count(WAITING) >= 3)
    assert talk.states[:5] == [CONNECTING, WAITING, CONNECTING, WAITING, CONNECTING]
    assert talk.statuses[1].last_error == "Connection refused"
    assert talk.link.status.failures >= 3
    assert talk.events == []
    assert not talk.link.write(b"nobody is there")


async def test_black_hole(make_talk: MakeTalk, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt that nobody answers ends, and the next one begins only then."""
    monkeypatch.setattr(link_module, "CONNECT_TIMEOUT", 0.05)
    with BlackHole() as hole:
        before = open_files()
        talk = make_talk(hole.port)
        attempts = 0
        while talk.states.count(WAITING) < 4:
            attempts = max(attempts, open_files() - before)
            await asyncio.sleep(0.002)
        assert talk.link.status.last_error == "no connection within 0.05 s"
        assert attempts == 1


@pytest.mark.parametrize("host", ["no..name", "x" * 70 + ".local"])
async def test_host_that_is_none(
    make_talk: MakeTalk, host: str, names: None, caplog: pytest.LogCaptureFixture
) -> None:
    """A name that cannot be resolved is no end of the link."""
    talk = make_talk(4403, host)
    await until(lambda: talk.states.count(WAITING) >= 2)
    assert talk.link.status.last_error == "UnicodeEncodeError"
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda visit: visit.transport.close(), "closed by the radio"),
        (lambda visit: visit.reset(), "ConnectionResetError"),
    ],
    ids=["EOF", "RST"],
)
@pytest.mark.parametrize("is_ready", [False, True])
async def test_lost(
    make_talk: MakeTalk,
    radio: Listener,
    end: Callable[[Visit], None],
    reason: str,
    is_ready: bool,
) -> None:
    """A connection that the radio ends is opened again."""
    talk = make_talk(radio.port)
    for _ in range(3):
        visit = await radio.visit()
        if is_ready:
            visit.transport.write(READY)
            await talk.reach(READY_STATE)
        await until(lambda v=visit: v.received)  # type: ignore[misc]
        end(visit)
        await visit.closed.wait()
        await until(lambda: talk.events[-1] == "closed")
        await until(lambda: talk.link.status.last_error == reason)
    assert radio.most_open == 1
    whole = [event for event in talk.events if event != "data"]
    assert whole[:6] == ["opened", "closed"] * 3
    await talk.reach(HANDSHAKE)
    assert talk.link.status.failures == (1 if is_ready else 3)


async def test_never_two_connections(make_talk: MakeTalk, radio: Listener) -> None:
    """However often it is started, dropped and reset, the radio sees one visitor at a time."""
    talk = make_talk(radio.port)
    for turn in range(20):
        talk.link.start()
        visit = await radio.visit()
        if turn % 2:
            visit.reset()
        else:
            talk.link.drop("just so")
            talk.link.drop("and again")
        await visit.closed.wait()
    assert radio.most_open == 1
    assert link_tasks() == ["meshmonitor link test"]
    # A new one may be told of before the old one is, but is not opened.
    pairs = itertools.pairwise(event for event in talk.events if event != "data")
    assert all(pair in {("opened", "closed"), ("closed", "opened")} for pair in pairs)


async def test_dropped_connection_says_nothing_more(make_talk: MakeTalk, radio: Listener) -> None:
    """What arrives behind a drop is of no connection; what is written is not taken."""
    talk = make_talk(radio.port)
    visit = await radio.visit()
    await talk.reach(HANDSHAKE)
    visit.transport.write(b"late")
    talk.link.drop("too slow")
    assert not talk.link.write(b"lost")
    talk.link.drop("another reason")
    await visit.closed.wait()
    await until(lambda: talk.states.count(WAITING) == 1)
    assert talk.link.status.last_error == "too slow"
    assert talk.events[:2] == ["opened", "closed"]
    assert b"lost" not in visit.received


async def test_loss_and_return_are_logged_once(
    make_talk: MakeTalk, caplog: pytest.LogCaptureFixture
) -> None:
    """A radio that is away for days is worth two lines."""
    caplog.set_level(logging.INFO, link_module.__name__)
    port = free_port()
    talk = make_talk(port)
    await until(lambda: talk.states.count(WAITING) >= 5)
    async with Listener(port=port) as radio:
        for _ in range(3):
            # It answers, but never gets as far as a session.
            (await radio.visit()).transport.close()
        visit = await radio.visit()
        visit.transport.write(READY)
        await talk.reach(READY_STATE)
        expected = [
            f"test: no connection to 127.0.0.1:{port}: Connection refused; trying again",
            f"test: connected to 127.0.0.1:{port}",
        ]
        assert said(caplog) == expected
    await until(lambda: talk.states.count(WAITING) >= 12)
    await talk.link.stop()
    expected.append(f"test: no connection to 127.0.0.1:{port}: closed by the radio; trying again")
    assert said(caplog) == expected


async def test_radio_that_stops_reading(make_talk: MakeTalk, radio: Listener) -> None:
    """What it does not take is not heaped up: the connection is ended."""
    radio.on_visit = lambda visit: visit.transport.pause_reading()
    talk = make_talk(radio.port)
    visit = await radio.visit()
    await talk.reach(HANDSHAKE)
    written = 0
    while talk.link.write(bytes(16384)):
        written += 16384
        await asyncio.sleep(0)
        assert written < 64 << 20
    await until(lambda: talk.states.count(WAITING) == 1)
    assert talk.statuses[2].last_error == "radio stopped reading"
    visit.transport.resume_reading()
    await visit.closed.wait()


@pytest.mark.parametrize("is_ready", [False, True])
async def test_farewell(make_talk: MakeTalk, radio: Listener, is_ready: bool) -> None:
    """The radio is told at the end, behind everything else, and its place is free at once."""
    talk = make_talk(radio.port)
    visit = await radio.visit()
    if is_ready:
        visit.transport.write(READY)
        await talk.reach(READY_STATE)
    await talk.reach(READY_STATE if is_ready else HANDSHAKE)
    talk.link.write(b" last words ")
    await talk.link.stop()
    await visit.closed.wait()
    assert visit.received == b"hello last words " + FAREWELL
    assert talk.states[-2:] == [READY_STATE if is_ready else HANDSHAKE, STOPPED]
    assert talk.link.status.last_error is None
    assert talk.events[-1] == "closed"
    assert not talk.link.write(b"too late")


async def test_stop_is_no_loss(
    make_talk: MakeTalk, radio: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    """What was wanted is neither logged nor counted as a failure."""
    talk = make_talk(radio.port)
    await radio.visit()
    await talk.reach(HANDSHAKE)
    await talk.link.stop()
    assert talk.link.status.failures == 0
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_stop_leaves_nothing(make_talk: MakeTalk, monkeypatch: pytest.MonkeyPatch) -> None:
    """In whatever state it is stopped, no task or socket is left."""
    monkeypatch.setattr(link_module, "_FAREWELL_TIMEOUT", 0.05)
    monkeypatch.setattr(link_module, "BACKOFF_FIRST", 30.0)
    async with Listener() as radio:
        with BlackHole() as hole:
            before = open_files()
            for port, state in [
                (hole.port, CONNECTING),
                (free_port(), WAITING),
                (radio.port, HANDSHAKE),
                (radio.port, READY_STATE),
            ]:
                radio.on_visit = lambda visit, s=state: (  # type: ignore[misc]
                    visit.transport.write(READY) if s is READY_STATE else None
                )
                talk = make_talk(port)
                await talk.reach(state)
                await talk.link.stop()
                await talk.link.stop()
                await until(lambda: radio.open == 0)
                assert talk.states[-1] is STOPPED
                assert link_tasks() == []
                assert open_files() == before


async def test_stop_in_any_turn(make_talk: MakeTalk, radio: Listener) -> None:
    """Also amid the few turns of the loop that opening a connection takes."""
    before = open_files()
    for turns in range(12):
        talk = make_talk(radio.port)
        for _ in range(turns):
            await asyncio.sleep(0)
        await talk.link.stop()
        assert talk.link.status.state is STOPPED
        assert link_tasks() == []
        assert talk.events.count("opened") == talk.events.count("closed")
        await until(lambda: radio.open == 0 and open_files() == before)


async def test_stop_does_not_wait_for_a_radio_that_does_not_read(
    make_talk: MakeTalk, radio: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The farewell is said in vain, for a moment."""
    monkeypatch.setattr(link_module, "_FAREWELL_TIMEOUT", 0.05)
    monkeypatch.setattr(link_module, "_MAX_UNSENT", 64 << 20)
    radio.on_visit = lambda visit: visit.transport.pause_reading()
    talk = make_talk(radio.port)
    visit = await radio.visit()
    await talk.reach(HANDSHAKE)
    talk.link.write(bytes(32 << 20))
    await talk.link.stop()
    assert talk.events[-1] == "closed"
    assert link_tasks() == []
    visit.transport.abort()


async def test_stop_that_is_cancelled(
    make_talk: MakeTalk, radio: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has no patience for the farewell leaves no task behind either."""
    monkeypatch.setattr(link_module, "_MAX_UNSENT", 64 << 20)
    radio.on_visit = lambda visit: visit.transport.pause_reading()
    talk = make_talk(radio.port)
    visit = await radio.visit()
    await talk.reach(HANDSHAKE)
    talk.link.write(bytes(32 << 20))
    stopping = asyncio.create_task(talk.link.stop())
    await asyncio.sleep(0.01)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    await until(lambda: link_tasks() == [])
    visit.transport.abort()


async def test_start_again(make_talk: MakeTalk, radio: Listener) -> None:
    """A link that was stopped can be used again."""
    talk = make_talk(radio.port)
    await radio.visit()
    await talk.link.stop()
    talk.link.start()
    visit = await radio.visit()
    visit.transport.write(READY)
    await talk.reach(READY_STATE)
    assert radio.most_open == 1


async def test_fault_of_ours_costs_a_connection(
    make_talk: MakeTalk, radio: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever talks over the link, or is told of it, cannot end it by an exception."""
    talk = make_talk(radio.port)
    talk.tick_error = ValueError("a fault")
    for _ in range(2):
        visit = await radio.visit()
        await visit.closed.wait()
    await until(lambda: talk.link.status.last_error == "ValueError")
    assert "a fault" in caplog.text
    talk.tick_error = None
    talk.statuses = None  # type: ignore[assignment]
    visit = await radio.visit()
    while visit.transport.is_closing():
        visit = await radio.visit()
    visit.transport.write(READY)
    await talk.reach(READY_STATE)
    assert "error in telling the state" in caplog.text
    talk.statuses = []


async def test_socket_is_prompt_and_watched(make_talk: MakeTalk, radio: Listener) -> None:
    """Nothing is held back, and a dead peer is found by the system where nobody else finds it."""
    talk = make_talk(radio.port)
    (await radio.visit()).transport.write(READY)
    await talk.reach(READY_STATE)
    assert talk.link._stream is not None
    transport = talk.link._stream._transport
    assert transport is not None
    sock = transport.get_extra_info("socket")
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    # Within three heartbeats: unacknowledged ones keep the system from probing.
    assert 0 < sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 90_000
