"""The stages of the protocols' own tests, with limits that are not what is tested here."""

import pytest

from tests.meshtastic.e2e.conftest import _load_custom_integrations, open_stage, short_times, stage  # noqa: F401


@pytest.fixture(autouse=True)
def no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a client send as much as it likes, garbage too."""
    monkeypatch.setattr("custom_components.meshmonitor.mesh.client.WORK_LIMIT", 1e9)
    monkeypatch.setattr("custom_components.meshmonitor.mesh.admission.GARBAGE_LIMIT", 1e9)
