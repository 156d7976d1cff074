"""What every test shares."""

# The meshtastic package starts a thread when it is imported, and keeps it. The harness takes it
# for one that a test has left behind unless it is there before the first test.
import meshtastic  # noqa: F401
import pytest

# The harness brings a custom_components package of its own, which would win if it were imported
# first: this integration would then not be found.
import custom_components.meshmonitor  # noqa: F401

pytest_plugins = ["tests.ha.fixtures"]


@pytest.fixture(autouse=True)
def _load_custom_integrations(enable_custom_integrations: None) -> None:
    """Let Home Assistant find this integration in every test."""
