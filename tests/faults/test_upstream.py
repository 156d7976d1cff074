"""Whatever the radio or the way to it does: apps are served again by themselves, and nothing leaks.

The table `FAULTS` is tried in full on both protocols: on a connection in use, with an app that is
there, and, where the fault can be there from the start, on the very first connection.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
import time
from typing import Any, Final

import pytest

from custom_components.meshmonitor.mesh import link
from custom_components.meshmonitor.mesh.source import Problem
from tests.mesh.peers import open_files

from .rigs import Rig, open_rig

DAY: Final = 86400.0
PROTOCOLS: Final = ("meshtastic", "meshcore")


async def _nothing(rig: Rig) -> None:
    """Change nothing."""


async def _fails(rig: Rig) -> None:
    """Wait until the link has failed twice."""
    await rig.until(lambda: rig.source.link.failures >= 2, "two failures")


async def _comes_back(rig: Rig) -> None:
    """Wait for a connection that was begun with what is wrong, and is a session all the same."""
    await rig.until(lambda: rig.network.visits > rig.visits_before, "a new connection")
    await rig.until_ready()


async def _is_lost(rig: Rig) -> None:
    """Wait until the link is known to be lost."""
    await rig.until(lambda: not rig.source.link.is_ready, "the loss")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong, and how long."""

    begin: Callable[[Rig], None]
    breaks: bool = True
    """Whether the present connection is ended too, so that the next one meets the fault."""
    lasts: Callable[[Rig], Awaitable[None]] = _fails
    end: Callable[[Rig], Awaitable[None]] = _nothing
    from_start: bool = True
    """Whether it can be there before the first connection."""


def _set(**changes: Any) -> Callable[[Rig], None]:
    def change(rig: Rig) -> None:
        for name, value in changes.items():
            setattr(rig.network, name, value)

    return change


def _reset(**changes: Any) -> Callable[[Rig], Awaitable[None]]:
    async def change(rig: Rig) -> None:
        _set(**changes)(rig)
        rig.network.end()

    return change


async def _accept(rig: Rig) -> None:
    await rig.network.accept()


def _cut(after: Callable[[Rig], int]) -> Fault:
    def begin(rig: Rig) -> None:
        rig.network.cut_after = after(rig)

    return Fault(begin=begin, lasts=_comes_back)


def _greeting(make: Callable[[Rig], bytes]) -> Fault:
    def begin(rig: Rig) -> None:
        rig.network.greeting = make(rig)

    return Fault(begin=begin, lasts=_comes_back)


FAULTS: Final = {
    "refused": Fault(begin=lambda rig: rig.network.refuse(), end=_accept),
    "swallowed by a black hole": Fault(begin=lambda rig: rig.network.swallow(), end=_accept),
    "silent after connecting": Fault(begin=_set(is_silent=True), end=_reset(is_silent=False)),
    "half-open": Fault(
        begin=_set(is_dead=True),
        breaks=False,
        lasts=_is_lost,
        end=_reset(is_dead=False),
        from_start=False,
    ),
    "ended": Fault(begin=_set(), lasts=_comes_back, from_start=False),
    "reset": Fault(
        begin=lambda rig: rig.network.end(by_reset=True),
        breaks=False,
        lasts=_comes_back,
        from_start=False,
    ),
    "ended amid an envelope": _cut(lambda rig: rig.header - 1),
    "ended behind an envelope": _cut(lambda rig: rig.header),
    "ended amid a message": _cut(lambda rig: rig.header + 5),
    "ended amid the dump": _cut(lambda rig: 450),
    "debug text, oversize and empty messages": _greeting(lambda rig: rig.junk),
    "much debug text": _greeting(lambda rig: rig.junk * 500),
    "a marker and nothing behind it": _greeting(lambda rig: rig.marker),
    "junk on a quiet line": Fault(
        begin=lambda rig: rig.network.say(rig.junk), breaks=False, lasts=_nothing, from_start=False
    ),
    "one byte at a time": Fault(begin=_set(is_dribbling=True), lasts=_comes_back),
}


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> str:
    """Return one protocol after the other."""
    name: str = request.param
    return name


def timers() -> list[str]:
    """Return the timers of the integration that are still to fire."""
    loop: Any = asyncio.get_running_loop()
    return [
        repr(handle)
        for handle in loop._scheduled
        if not handle.cancelled() and "custom_components.meshmonitor" in repr(handle)
    ]


async def leaves_nothing(rig: Rig, tasks: set[asyncio.Task[Any]], files: int) -> None:
    """Stop a rig, and see that no task, timer or socket of its source is left."""
    await rig.stop()
    await rig.until(lambda: rig.network.open == 0, "the end of all connections")
    await rig.until(lambda: open_files() <= files, "the end of all sockets")
    names = {task.get_name() for task in asyncio.all_tasks() - tasks}
    assert not [name for name in names if "meshmonitor" in name]
    assert timers() == []


async def is_sound(rig: Rig, *clients: Any) -> None:
    """See that apps are served, old and new, and that the radio had one conversation at a time."""
    await rig.until_ready()
    for client in (*clients, await rig.client()):
        await rig.is_served(client)
    assert rig.network.most_open <= 1
    assert rig.overlapping() == 0


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_connection_in_use(protocol: str, fault: Fault) -> None:
    """The app that is there stays, and it and others are served again without help."""
    async with open_rig(protocol) as rig:
        tasks, files = asyncio.all_tasks(), open_files()
        await rig.source.start()
        await rig.until_ready()
        client = await rig.client()
        await rig.is_served(client)
        rig.visits_before = rig.network.visits
        fault.begin(rig)
        if fault.breaks:
            rig.network.end()
        await fault.lasts(rig)
        assert len(await rig.read_all(client)) > 4, "served meanwhile, from what is known"
        await fault.end(rig)
        await is_sound(rig, client)
        assert not rig.is_closed(client)
        await leaves_nothing(rig, tasks, files)


@pytest.mark.parametrize(
    "fault",
    [fault for fault in FAULTS.values() if fault.from_start],
    ids=[name for name, fault in FAULTS.items() if fault.from_start],
)
async def test_the_first_connection(protocol: str, fault: Fault) -> None:
    """The first app is served as soon as there is something to serve, and never a part of it."""
    async with open_rig(protocol) as rig:
        tasks, files = asyncio.all_tasks(), open_files()
        fault.begin(rig)
        await rig.source.start()
        await fault.lasts(rig)
        await fault.end(rig)
        await rig.until_ready()
        await is_sound(rig)
        await leaves_nothing(rig, tasks, files)


async def test_amid_the_handshakes_of_apps(protocol: str) -> None:
    """Apps that are reading when the radio goes away read all of it."""
    async with open_rig(protocol) as rig:
        await rig.source.start()
        await rig.until_ready()
        clients = [await rig.client() for _ in range(5)]
        whole = await rig.read_all(clients[0])
        readings = [asyncio.create_task(rig.read_all(client)) for client in clients]
        await asyncio.sleep(0)
        rig.network.end(by_reset=True)
        for reading in readings:
            assert await reading == whole
        await is_sound(rig, *clients)


@pytest.mark.parametrize("seconds", [0.0, 0.5], ids=["fast", "slow"])
async def test_a_restart(protocol: str, seconds: float) -> None:
    """It costs one new session."""
    async with open_rig(protocol) as rig:
        await rig.source.start()
        await rig.until_ready()
        client = await rig.client()
        await rig.reboot(seconds)
        await rig.until(lambda: rig.source.link.sessions == 2, "the second session")
        await is_sound(rig, client)
        assert rig.source.link.sessions == 2


async def test_another_program_takes_it_again_and_again(
    protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is noticed at the third time, reported, backed off from, and over when it is over."""
    monkeypatch.setattr(link, "QUICK_LOSS", 1.0)
    async with open_rig(protocol) as rig:
        await rig.source.start()
        for number in range(3):
            await rig.until(lambda number=number: rig.source.link.sessions == number + 1)
            await rig.until_ready()
            assert rig.problems(Problem.CONTENDED) == []
            rig.network.end()
            await _is_lost(rig)
        client = await rig.client()
        await rig.until(lambda: rig.problems(Problem.CONTENDED) == [True], "the report")
        lost_at = time.monotonic()
        await rig.until_ready()
        assert time.monotonic() - lost_at >= link.CONTENDED_DELAY * 0.7
        await is_sound(rig, client)
        await rig.until(lambda: rig.problems(Problem.CONTENDED) == [True, False], "its end")
        assert not rig.source.link.is_contended


async def test_another_radio(protocol: str) -> None:
    """Apps are let go, are served by the new one only, and the owner is told until it is back."""
    async with open_rig(protocol) as rig:
        await rig.source.start()
        await rig.until_ready()
        client = await rig.client()
        before = await rig.read_all(client)
        await rig.replace()
        rig.network.end()
        await rig.until(lambda: rig.is_closed(client), "the end of the app's connection")
        await rig.until(lambda: rig.problems(Problem.OTHER_IDENTITY) == [True], "the report")
        fresh = await rig.client()
        assert await rig.read_all(fresh) != before
        await is_sound(rig, fresh)
        await rig.replace()
        rig.network.end()
        await rig.until(lambda: rig.problems(Problem.OTHER_IDENTITY) == [True, False], "its end")
        await is_sound(rig)


async def test_a_serial_port_that_is_pulled(protocol: str) -> None:
    """It is opened again when it is there again, and as the only one."""
    async with open_rig(protocol, serial=True) as rig:
        tasks = asyncio.all_tasks()
        await rig.source.start()
        await rig.until_ready()
        client = await rig.client()
        for _ in range(2):
            rig.unplug()
            await _fails(rig)
            assert len(await rig.read_all(client)) > 4
            rig.plug_in()
            await is_sound(rig, client)
        await rig.stop()
        assert not [t for t in asyncio.all_tasks() - tasks if "meshmonitor" in t.get_name()]
        assert timers() == []


@pytest.mark.parametrize("jumps", [(400 * DAY, 0.0), (-400 * DAY, 0.0), (2 * DAY, -2 * DAY)])
async def test_the_clock_jumps(
    protocol: str, jumps: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a session nor a message is lost by it, before and after the radio is read anew."""
    real = time.time
    async with open_rig(protocol) as rig:
        await rig.source.start()
        await rig.until_ready()
        client = await rig.client()
        for number, jump in enumerate(jumps, start=1):
            monkeypatch.setattr(time, "time", lambda jump=jump: real() + jump)
            await is_sound(rig, client)
            assert rig.source.link.sessions == number
            rig.network.end()
            await rig.until(lambda number=number: rig.source.link.sessions == number + 1)
            await is_sound(rig, client)
