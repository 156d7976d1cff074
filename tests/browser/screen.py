"""What a person does with Home Assistant's page."""

from pathlib import Path
from typing import Final

from playwright.async_api import Locator, Page

from scripts.home_assistant import PASSWORD, USER

PATIENCE: Final = 30_000.0
"""Milliseconds until what should be on the page counts as missing, on a busy machine."""
INTEGRATION: Final = "/config/integrations/integration/meshmonitor"


class Screen:
    """One browser window with Home Assistant's page in it."""

    def __init__(self, page: Page, url: str, pictures: Path) -> None:
        """Use a window.

        Args:
            page: The window.
            url: Where Home Assistant is.
            pictures: The folder for what the window shows.
        """
        self.page = page
        self.url = url
        self._pictures = pictures
        page.set_default_timeout(PATIENCE)

    @property
    def form(self) -> Locator:
        """The dialog in which a source is added or changed."""
        return self.page.locator("dialog-data-entry-flow")

    async def picture(self, name: str) -> None:
        """Keep what the window shows, once it has stopped moving."""
        await self.page.evaluate(
            "Promise.allSettled(document.getAnimations({subtree: true})"
            ".filter(one => one.effect?.getComputedTiming().endTime < 5000)"
            ".map(one => one.finished))"
        )
        await self.page.screenshot(path=self._pictures / f"{name}.png")

    async def log_in(self) -> None:
        """Log in as the user of a development instance."""
        await self.page.goto(self.url)
        await self.page.get_by_label("Username").fill(USER)
        await self.page.get_by_label("Password", exact=True).fill(PASSWORD)
        await self.page.get_by_role("button", name="Log in").click()
        await self.page.locator("ha-sidebar").get_by_text("Settings").wait_for()

    async def open(self, path: str) -> None:
        """Go to another part of the page."""
        await self.page.goto(f"{self.url}{path}", wait_until="commit")

    async def begin_to_add(self, kind: str) -> None:
        """Open the form that adds a radio of a kind, as the menu calls it."""
        await self.open("/config/integrations/dashboard")
        await self.page.get_by_role("button", name="Add integration").click()
        brands = self.page.locator("dialog-add-integration")
        await brands.get_by_role("textbox").fill("MeshMonitor")
        await brands.get_by_text("MeshMonitor", exact=True).click()
        await self.form.get_by_text(kind, exact=True).click()
        await self.field("Host*").wait_for()

    def field(self, label: str) -> Locator:
        """Return a text or number field of the form."""
        text = self.form.get_by_role("textbox", name=label, exact=True)
        return text.or_(self.form.get_by_role("spinbutton", name=label, exact=True))

    def switch(self, label: str) -> Locator:
        """Return a switch of the form."""
        return self.form.locator("ha-selector").filter(has_text=label).locator("ha-switch")

    async def is_on(self, label: str) -> bool:
        """Return whether a switch of the form is on."""
        return await self.switch(label).get_by_role("switch").is_checked()

    async def submit(self, expected: str) -> None:
        """Send the form, and wait for a text in what comes next."""
        await self.form.get_by_role("button", name="Submit", exact=True).click()
        await self.form.get_by_text(expected).first.wait_for()

    async def finish(self) -> None:
        """Close a form that has nothing more to ask."""
        await self.form.get_by_role("button", name="finish").click()
        await self.form.get_by_role("button", name="finish").wait_for(state="detached")

    def source(self, name: str) -> Locator:
        """Return a source with its devices, on the integration's page."""
        return self.page.locator("ha-config-entry-row").filter(has_text=name)

    async def open_device(self, source: str, name: str) -> Locator:
        """Go to the page of a source's device and return it."""
        await self.open(INTEGRATION)
        rows = self.source(source).locator("ha-config-entry-device-row")
        await rows.filter(has_text=name).first.click()
        device = self.page.locator("ha-config-device-page")
        await device.get_by_text("Device info").wait_for()
        return device

    async def choose(self, source: str, action: str) -> None:
        """Take something from the menu of a source."""
        row = self.source(source)
        await row.get_by_role("button", name="Menu").first.click()
        await row.get_by_role("menuitem", name=action, exact=True).click()
