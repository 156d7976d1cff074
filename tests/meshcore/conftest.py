"""What the tests of the MeshCore rooms share."""

import pytest


@pytest.fixture
def enable_custom_integrations() -> None:
    """Start no Home Assistant: these rooms do not know it."""
