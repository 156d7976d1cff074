"""What takes a person's patience takes a test's."""

import pytest

from custom_components.meshmonitor.meshtastic import pacing
from tests.simulators import meshtastic_phone_api

_PACKAGE = "custom_components.meshmonitor"


@pytest.fixture(autouse=True)
def _load_custom_integrations() -> None:
    """Do without Home Assistant, which these tests have no use for."""


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch, socket_enabled: None) -> None:
    """Let everything take less time that a person would wait for."""
    for name, seconds in {
        "mesh.link.CONNECT_TIMEOUT": 0.2,
        "mesh.link.BACKOFF_FIRST": 0.02,
        "mesh.link.BACKOFF_LAST": 0.1,
        "mesh.link.CONTENDED_DELAY": 0.2,
        "meshtastic.session.FIRST_FRAME_TIMEOUT": 1.0,
        "meshtastic.session.PROGRESS_TIMEOUT": 1.0,
        "meshtastic.switchboard.RESYNC_DELAY": 0.05,
        "meshtastic.pacing.WINDOW_MARGIN": 0.1,
        "meshcore.commander.COMMAND_TIMEOUT": 1.0,
        "meshcore.commander.STREAM_TIMEOUT": 1.0,
        "meshcore.commander.QUIET_PERIOD": 0.1,
        "meshcore.radio.COLLECT_INTERVAL": 0.3,
        "meshcore.radio._TICK": 0.1,
        "meshcore.reading.CONTACT_RETRY": 0.05,
    }.items():
        monkeypatch.setattr(f"{_PACKAGE}.{name}", seconds)
    for module in (pacing, meshtastic_phone_api):
        windows = {port: seconds / 20 for port, seconds in module.WINDOWS.items()}
        monkeypatch.setattr(module, "WINDOWS", windows)
