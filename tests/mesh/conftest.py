"""What the tests of this room share."""

import pytest
from pytest_homeassistant_custom_component import plugins
import pytest_socket


@pytest.fixture(autouse=True)
def _load_custom_integrations() -> None:
    """Do without Home Assistant, which this room knows nothing of."""


@pytest.fixture(autouse=True)
def _local_sockets(socket_enabled: None) -> None:
    """Let this host talk to itself, at each of its addresses."""
    pytest_socket.socket_allow_hosts(["127.0.0.0/8", "::1"])


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let names be resolved by the system, for those that it refuses without asking anybody."""
    monkeypatch.setattr("socket.getaddrinfo", plugins._real_getaddrinfo)
