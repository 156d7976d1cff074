"""What the tests of the simulators share."""

from collections.abc import AsyncIterator

import pytest

from tests.simulators.meshtastic_client import RawClient
from tests.simulators.meshtastic_config import ManualClock, NodeConfig
from tests.simulators.meshtastic_node import SimulatedNode


@pytest.fixture(autouse=True)
def _load_custom_integrations() -> None:
    """Do without Home Assistant, which these tests have no use for."""


@pytest.fixture
def clock() -> ManualClock:
    """Return the clock of `node`."""
    return ManualClock()


@pytest.fixture
async def node(socket_enabled: None, clock: ManualClock) -> AsyncIterator[SimulatedNode]:
    """Return a node of the 2.7 flavour with eleven peers."""
    async with SimulatedNode(NodeConfig(), clock=clock) as made:
        yield made


@pytest.fixture
async def client(node: SimulatedNode) -> AsyncIterator[RawClient]:
    """Return a client of `node` that has done its handshake."""
    async with await RawClient.connect(node.host, node.port) as made:
        await made.want_config(1)
        yield made
