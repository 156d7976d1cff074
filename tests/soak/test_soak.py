"""Short lives; `scripts/soak` lives longer."""

from collections.abc import Iterator

import pytest

from .meshcore_world import MeshCoreWorld
from .meshtastic_world import MeshtasticWorld

type Kind = type[MeshCoreWorld | MeshtasticWorld]


@pytest.fixture(autouse=True)
def _load_custom_integrations() -> None:
    """Do without Home Assistant, which has no part in it."""


@pytest.fixture(params=[MeshtasticWorld, MeshCoreWorld])
def kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    """Return one protocol after the other, with everything taking less time than people wait."""
    world: Kind = request.param
    undo = world.shorten_times()
    yield world
    undo()


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.usefixtures("socket_enabled")
async def test_a_short_life_balances(kind: Kind, seed: int) -> None:
    """Every text that entered reaches everyone, once and in order, and nothing is left behind."""
    world = kind(seed, apps=8)
    await world.run(epochs=1, steps=400)
    assert world.totals["texts"] > 30
    assert world.totals["deliveries"] > 6 * world.totals["texts"]
