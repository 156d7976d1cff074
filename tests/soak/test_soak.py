"""A short life; `scripts/soak` lives longer."""

from collections.abc import Iterator

import pytest

from tests.soak.world import World, shorten_times


@pytest.fixture(autouse=True)
def _load_custom_integrations() -> None:
    """Do without Home Assistant, which has no part in it."""


@pytest.fixture
def _short_times() -> Iterator[None]:
    """Let everything take less time than people would wait."""
    undo = shorten_times()
    yield
    undo()


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.usefixtures("socket_enabled", "_short_times")
async def test_a_short_life_balances(seed: int) -> None:
    """Every text that entered reaches everyone, once and in order, and nothing is left behind."""
    world = World(seed, apps=8)
    await world.run(epochs=1, steps=400)
    assert world.totals["texts"] > 100
    assert world.totals["deliveries"] > 7 * world.totals["texts"]
