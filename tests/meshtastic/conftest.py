"""What the tests of this room share."""

import pytest


@pytest.fixture(autouse=True)
def _load_custom_integrations() -> None:
    """Do without Home Assistant, which this room knows nothing of."""
