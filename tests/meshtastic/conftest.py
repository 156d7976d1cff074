"""What the tests of this room share."""

from collections.abc import AsyncIterator

import pytest

from tests.meshtastic.receiver import Radio
from tests.virtual_time import virtual_time


@pytest.fixture(autouse=True)
def _load_custom_integrations() -> None:
    """Do without Home Assistant, which this room knows nothing of."""


@pytest.fixture
async def radio() -> AsyncIterator[Radio]:
    """Return a radio that has been read, at the end of an outbox, where time jumps."""
    with virtual_time() as clock:
        made = Radio(clock)
        made.outbox.open()
        yield made
        made.outbox.stop()
        assert len(made.outbox) == 0
