"""The same stage as for the end-to-end tests, and the time that real clients take."""

from tests.meshtastic.e2e.conftest import _load_custom_integrations, open_stage, short_times, stage

__all__ = ["_load_custom_integrations", "open_stage", "short_times", "stage"]
