"""Fixtures: a simulated radio, a source that shares it, and as many apps as a test wants."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from custom_components.meshmonitor.mesh.transport import TcpEndpoint
from tests.simulators.meshcore_companion import CompanionConfig, SimulatedCompanion

from .stage import Stage

type OpenStage = Callable[..., Awaitable[Stage]]


@pytest.fixture
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything take less time that a person would wait for."""
    package = "custom_components.meshmonitor"
    for name, seconds in {
        "mesh.link.BACKOFF_FIRST": 0.02,
        "mesh.link.BACKOFF_LAST": 0.2,
        "mesh.link.CONTENDED_DELAY": 0.3,
        "meshcore.commander.COMMAND_TIMEOUT": 0.6,
        "meshcore.commander.STREAM_TIMEOUT": 0.6,
        "meshcore.commander.QUIET_PERIOD": 0.1,
        "meshcore.reading.CONTACT_RETRY": 0.05,
        "meshcore.switchboard.PATIENCE": 1.0,
        "meshcore.virtual_node.HOLD_TIMEOUT": 0.5,
    }.items():
        monkeypatch.setattr(f"{package}.{name}", seconds)


@pytest.fixture
async def radio(socket_enabled: None, short_times: None) -> AsyncIterator[SimulatedCompanion]:
    """Return a radio with five neighbours."""
    async with SimulatedCompanion(CompanionConfig()) as companion:
        yield companion


@pytest.fixture
async def open_stage(socket_enabled: None, short_times: None) -> AsyncIterator[OpenStage]:
    """Return what opens a stage: a source for that radio, with those options."""
    async with AsyncExitStack() as stack:

        async def open_one(
            radio: SimulatedCompanion, *, started: bool = True, **options: object
        ) -> Stage:
            stage = Stage(TcpEndpoint(radio.host, radio.port), **options)  # type: ignore[arg-type]
            stack.push_async_callback(stage.stop)
            if started:
                await stage.start()
            return stage

        yield open_one


@pytest.fixture
async def stage(radio: SimulatedCompanion, open_stage: OpenStage) -> Stage:
    """Return a stage with all options at their defaults."""
    return await open_stage(radio)
