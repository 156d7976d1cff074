"""Long work is done in pieces, in order, and between two of them others have their turn."""

import asyncio
from collections.abc import Iterator
import itertools
import logging

from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.meshmonitor import turns
from custom_components.meshmonitor.turns import Turn, Turns


@pytest.fixture(name="work")
def work_fixture(hass: HomeAssistant) -> Turns:
    """Return turns of an entry."""
    entry = MockConfigEntry(domain="meshmonitor", title="Base")
    entry.add_to_hass(hass)
    return Turns(hass, entry)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every piece be long enough for a turn."""
    monkeypatch.setattr(turns, "TURN", 0.0)


def pieces(seen: list[str], name: str, count: int) -> Iterator[None]:
    """Note each piece of some work."""
    for number in range(count):
        seen.append(f"{name}{number}")
        yield


async def test_in_order(hass: HomeAssistant, work: Turns) -> None:
    """One work comes after the other, none of it at once, and the end is waited for."""
    seen: list[str] = []
    work.add(pieces(seen, "a", 2))
    work.add(pieces(seen, "b", 1))
    assert seen == []
    await work.done()
    assert seen == ["a0", "a1", "b0"]
    work.add(pieces(seen, "c", 1))
    # Home Assistant waits for it, too, as for all that belongs to a start.
    await hass.async_block_till_done()
    assert seen[3:] == ["c0"]


@pytest.mark.usefixtures("short")
async def test_done_waits_for_what_was_given_before(work: Turns) -> None:
    """What a piece adds comes later, and is not waited for."""
    seen: list[str] = []

    def growing() -> Iterator[None]:
        work.add(pieces(seen, "later", 1))
        seen.append("now")
        yield

    work.add(growing())
    await work.done()
    assert seen == ["now"]
    await work.done()
    assert seen == ["now", "later0"]


@pytest.mark.usefixtures("short")
async def test_others_have_their_turn(work: Turns) -> None:
    """Between two turns of long work, whatever else is due is done."""
    seen: list[str] = []

    async def other() -> None:
        while len(seen) < 8:
            seen.append("other")
            await asyncio.sleep(0)

    work.add(pieces(seen, "a", 4))
    await asyncio.gather(work.done(), other())
    kinds = ["other" if name == "other" else "a" for name in seen]
    assert kinds.count("a") == 4
    assert all(pair != ("a", "a") for pair in itertools.pairwise(kinds))


@pytest.mark.usefixtures("short")
async def test_a_coroutine_takes_turns() -> None:
    """So does work that has to be awaited."""
    seen: list[str] = []

    async def long(name: str) -> None:
        turn = Turn()
        for _ in range(3):
            seen.append(name)
            await turn.end_if_due()

    await asyncio.gather(long("a"), long("b"))
    assert seen == ["a", "b"] * 3


async def test_a_fault_ends_one_work(work: Turns, caplog: pytest.LogCaptureFixture) -> None:
    """Only that which has it; what comes after is done."""
    seen: list[str] = []

    def faulty() -> Iterator[None]:
        yield
        raise ValueError("no such node")

    work.add(faulty())
    work.add(pieces(seen, "a", 1))
    with caplog.at_level(logging.ERROR):
        await work.done()
    assert seen == ["a0"]
    assert "Base: error in long work" in caplog.text
    assert "no such node" in caplog.text


@pytest.mark.usefixtures("short")
async def test_stopped(work: Turns) -> None:
    """Nothing more is done, and nobody waits for it."""
    seen: list[str] = []

    def stopping() -> Iterator[None]:
        seen.append("stop")
        work.stop()
        yield

    work.add(stopping())
    work.add(pieces(seen, "a", 3))
    async with asyncio.timeout(5):
        await work.done()
        work.add(pieces(seen, "b", 1))
        await work.done()
    await asyncio.sleep(0)
    assert seen == ["stop"]
