"""A running Home Assistant, and a browser that looks at it."""

import asyncio
from collections.abc import AsyncIterator
import os
from pathlib import Path
import shutil
from typing import Final

from playwright.async_api import async_playwright
import pytest

from scripts.develop import HOME
from scripts.home_assistant import PROJECT, HomeAssistant
from tests.ports import free_port

from .screen import Screen

ARTEFACTS: Final = PROJECT / ".artifacts" / "browser"
REQUIRED: Final = "MESHMONITOR_REQUIRE_BROWSER"
"""Set where a missing browser is a failure, not a reason to skip."""
FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(name="chromium", scope="session")
def chromium_fixture() -> str:
    """Return where the browser is; skip where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is not None:
        return found
    if os.environ.get(REQUIRED):
        pytest.fail("there is no Chromium on this machine, and it is required")
    pytest.skip("there is no Chromium on this machine (package chromium)")


@pytest.fixture(name="home_assistant")
async def home_assistant_fixture(
    chromium: str, socket_enabled: None, tmp_path: Path
) -> AsyncIterator[HomeAssistant]:
    """Yield a Home Assistant that runs, in a process of its own."""
    home_assistant = HomeAssistant(tmp_path / "home_assistant", free_port())
    home_assistant.prepare(*HOME)
    running = asyncio.create_task(home_assistant.run())
    try:
        connected = asyncio.create_task(home_assistant.connect())
        await asyncio.wait((running, connected), return_when=asyncio.FIRST_COMPLETED)
        assert connected.done(), f"Home Assistant ended with status {running.result()}"
        await connected
        yield home_assistant
    finally:
        await home_assistant.disconnect()
        running.cancel()
        await asyncio.wait([running])


@pytest.fixture(name="screen")
async def screen_fixture(chromium: str, home_assistant: HomeAssistant) -> AsyncIterator[Screen]:
    """Yield a browser's window on Home Assistant's page; keep what it showed last."""
    shutil.rmtree(ARTEFACTS, ignore_errors=True)
    async with (
        async_playwright() as playwright,
        await playwright.chromium.launch(executable_path=chromium, args=FLAGS) as browser,
        await browser.new_context(
            viewport={"width": 1280, "height": 900}, reduced_motion="reduce"
        ) as context,
    ):
        screen = Screen(await context.new_page(), home_assistant.url, ARTEFACTS)
        try:
            yield screen
        finally:
            await screen.picture("last")
