"""Fixtures: a simulated node, a source that shares it, and as many phones as a test wants."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final

import pytest

from custom_components.meshmonitor.mesh.transport import SerialEndpoint, TcpEndpoint
from custom_components.meshmonitor.meshtastic import pacing
from tests.meshtastic.e2e.stage import Stage
from tests.simulators import meshtastic_phone_api
from tests.simulators.meshtastic_config import NodeConfig
from tests.simulators.meshtastic_node import SimulatedNode

type OpenStage = Callable[..., Awaitable[Stage]]

_FASTER: Final = 20.0
"""By how much the radio's rate limits are shortened, on both sides alike."""
_MARGIN: Final = 0.1
"""Seconds of grace on top of them: the two sides share one event loop, which may be busy."""


@pytest.fixture(autouse=True)
def _load_custom_integrations() -> None:
    """Do without Home Assistant, which these tests have no use for."""


@pytest.fixture
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything take less time that a person would wait for."""
    package = "custom_components.meshmonitor"
    monkeypatch.setattr(f"{package}.mesh.link.BACKOFF_FIRST", 0.02)
    monkeypatch.setattr(f"{package}.mesh.link.BACKOFF_LAST", 0.2)
    monkeypatch.setattr(f"{package}.mesh.link.CONTENDED_DELAY", 0.3)
    monkeypatch.setattr(f"{package}.meshtastic.switchboard.RESYNC_DELAY", 0.1)
    monkeypatch.setattr(f"{package}.meshtastic.pacing.WINDOW_MARGIN", _MARGIN)
    for module in (pacing, meshtastic_phone_api):
        windows = {port: seconds / _FASTER for port, seconds in module.WINDOWS.items()}
        monkeypatch.setattr(module, "WINDOWS", windows)


@pytest.fixture
async def open_stage(socket_enabled: None, short_times: None) -> AsyncIterator[OpenStage]:
    """Return what opens a stage: a node of that configuration, and a source with those options."""
    async with AsyncExitStack() as stack:

        async def open_one(
            config: NodeConfig | None = None, *, started: bool = True, **options: object
        ) -> Stage:
            node = await stack.enter_async_context(SimulatedNode(config))
            stage = Stage(node, TcpEndpoint(node.host, node.port), **options)
            stack.push_async_callback(stage.stop)
            if started:
                await stage.start()
            return stage

        yield open_one


@pytest.fixture
async def stage(open_stage: OpenStage) -> Stage:
    """Return a stage with a 2.7 node and all options at their defaults."""
    return await open_stage()


@pytest.fixture
async def serial_node(socket_enabled: None) -> AsyncIterator[tuple[SimulatedNode, str]]:
    """Return a node at a serial port, with boot messages and log lines, and the port's path."""
    async with SimulatedNode() as node:
        yield node, node.serve_pty(log_lines=True)


@pytest.fixture
async def open_serial_stage(socket_enabled: None, short_times: None) -> AsyncIterator[OpenStage]:
    """Return what opens a stage whose radio is at a serial port."""
    async with AsyncExitStack() as stack:

        async def open_one(
            config: NodeConfig | None = None,
            *,
            started: bool = True,
            log_lines: bool = False,
            **options: object,
        ) -> Stage:
            node = await stack.enter_async_context(SimulatedNode(config))
            device = node.serve_pty(log_lines=log_lines)
            stage = Stage(node, SerialEndpoint(device), **options)
            stack.push_async_callback(stage.stop)
            if started:
                await stage.start()
            return stage

        yield open_one
