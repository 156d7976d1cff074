"""One owner's first evening with MeshMonitor, seen through a browser."""

import asyncio
import re
import socket

from playwright.async_api import TimeoutError as PlaywrightTimeoutError, expect

from scripts.home_assistant import HomeAssistant
from tests.clients.meshtastic_phone import MeshtasticPhone
from tests.ports import free_port
from tests.simulators.meshcore_companion import SimulatedCompanion
from tests.simulators.meshtastic_node import SimulatedNode

from .screen import INTEGRATION, PATIENCE, Screen

expect.set_options(timeout=PATIENCE)

HOST = "127.0.0.1"
SOURCE = "Simulated Base"
SHARE = "Share this radio with apps"
CONFIGURE = "Allow clients to configure the radio"


async def add_with_mistakes(screen: Screen, node: SimulatedNode, virtual_node_port: int) -> None:
    """Add a Meshtastic source; each mistake is explained, and what was typed stays."""
    await screen.begin_to_add("Meshtastic node in the network")
    await expect(screen.field("Port*")).to_have_value("4403")
    await expect(screen.field("Listen at")).not_to_be_visible()

    await screen.field("Host*").fill("my radio!")
    await screen.submit('"my radio!" is not a host name or an IP address.')

    await screen.field("Host*").fill(HOST)
    with socket.socket() as silent:
        # Bound and not listening: whoever connects is refused, and nobody else gets the port.
        silent.bind((HOST, 0))
        await screen.field("Port*").fill(str(silent.getsockname()[1]))
        await screen.submit("Nothing answers there.")
    await screen.picture("1-nothing-answers")

    await screen.field("Port*").fill(str(node.port))
    await screen.form.get_by_role("button", name="Virtual node").click()
    await screen.switch(SHARE).click()
    with socket.create_server((HOST, 0)) as other:
        taken = other.getsockname()[1]
        await screen.field("Port").fill(str(taken))
        await screen.submit(f"Another program on this host uses port {taken}.")
    assert await screen.is_on(SHARE)
    await screen.picture("2-port-in-use")

    await screen.field("Port").fill(str(virtual_node_port))
    await screen.submit("Nodes that Simulated Base knows: 12.")
    await screen.picture("3-nodes")
    await screen.form.get_by_role("radio", name="All nodes").click()
    await screen.submit("Name and assign")
    await screen.finish()


async def watch_a_message(screen: Screen, node: SimulatedNode) -> None:
    """See a message arrive on the radio's page, and read it among what happened."""
    device = await screen.open_device(SOURCE, SOURCE)
    await expect(device.get_by_text("Message to a channel")).to_have_count(0)
    await node.say(node.peer(0).num, "Anyone on the ridge?")
    await expect(device.get_by_text("Message to a channel").first).to_be_visible()
    await expect(device.get_by_text("received “Anyone on the ridge?”")).to_be_visible()
    await screen.picture("4-radio")

    await screen.open("/logbook")
    sentence = f"received “Anyone on the ridge?” from {node.peer(0).user.long_name} on LongFast"
    await expect(screen.page.locator("ha-panel-logbook").get_by_text(sentence)).to_be_visible()


async def share_with_a_phone(screen: Screen, virtual_node_port: int) -> None:
    """See a phone connect to the virtual node, and what it sends."""
    device = await screen.open_device(SOURCE, f"{SOURCE} virtual node")
    states = device.locator("ha-device-entities-card")
    await expect(states).to_contain_text("Running")
    await expect(states).to_contain_text(re.compile(r"0\s+Clients"))
    async with MeshtasticPhone(virtual_node_port) as phone:
        await phone.want_config()
        await expect(states).to_contain_text(re.compile(r"1\s+Clients"))
        await screen.picture("5-virtual-node")
        phone.send_text("Nearly at the top")
        await screen.open("/logbook")
        activity = screen.page.locator("ha-panel-logbook")
        sentence = "sent “Nearly at the top” to LongFast for a phone"
        await expect(activity.get_by_text(sentence)).to_be_visible()
        # Each message is there once.
        await expect(activity.get_by_text("Message to a channel")).to_have_count(0)
        await screen.picture("6-activity")


async def look_at_the_map(screen: Screen, node: SimulatedNode) -> None:
    """See nodes where they said that they are."""
    devices = screen.page.get_by_role("tab", name="Devices")
    await screen.open("/map")
    try:
        await devices.wait_for(timeout=PATIENCE / 3)
    except PlaywrightTimeoutError:
        # The page that comes before Home Assistant has told its states has no list beside the map.
        await screen.open("/map")
    await devices.click()
    name = node.peer(0).user.long_name
    await expect(screen.page.get_by_role("button", name=name, exact=True)).to_be_visible()
    await expect(screen.page.get_by_role("tabpanel").get_by_text(name)).to_be_visible()
    await screen.picture("7-map")


async def change_an_option(screen: Screen) -> None:
    """Change how the virtual node serves; it is remembered."""
    await screen.open(INTEGRATION)
    for wanted in (True, False):
        await screen.source(SOURCE).get_by_role("button", name="Configure").click()
        await expect(screen.form.get_by_text("Notifications")).to_be_visible()
        # What the page cannot put into words, it says so itself.
        await expect(screen.form.get_by_text("Error")).to_have_count(0)
        await screen.form.get_by_text("Virtual node").click()
        assert await screen.is_on(SHARE)
        assert await screen.is_on(CONFIGURE) is not wanted
        await screen.picture("8-options" if wanted else "9-options-kept")
        await screen.switch(CONFIGURE).click()
        await screen.submit("Options successfully saved.")
        await screen.finish()


async def take(port: int) -> socket.socket:
    """Listen at a port as soon as it is let go: a source that is disabled takes its time."""
    async with asyncio.timeout(PATIENCE / 1000):
        while True:
            try:
                return socket.create_server(("", port))
            except OSError:
                await asyncio.sleep(0.1)


async def follow_a_repair(screen: Screen, virtual_node_port: int) -> None:
    """Be told that another program took the virtual node's port, and choose another one."""
    await screen.choose(SOURCE, "Disable")
    await screen.page.get_by_role("button", name="Disable", exact=True).click()
    enable = screen.source(SOURCE).get_by_role("button", name="Enable", exact=True)
    await enable.wait_for()
    with await take(virtual_node_port):
        await enable.click()
        await screen.open("/config/repairs")
        repairs = screen.page.locator("ha-config-repairs")
        await repairs.get_by_text(f"The virtual node of {SOURCE} cannot listen").click()
        problem = screen.page.get_by_text(f"Port {virtual_node_port} cannot be used")
        await expect(problem).to_be_visible()
        await screen.picture("10-repair")
        await screen.page.get_by_role("button", name="Submit", exact=True).click()
        await screen.form.get_by_text("What is to be changed?").wait_for()
        await screen.form.get_by_text("Virtual node").click()
        await expect(screen.field("Port")).to_have_value(str(virtual_node_port))
        await screen.field("Port").fill(str(free_port()))
        await screen.picture("11-repair-leads-on")
        await screen.submit("Options successfully saved.")
        await screen.finish()
        await expect(screen.page.get_by_text("There are currently no repairs")).to_be_visible()


async def add_meshcore(screen: Screen, companion: SimulatedCompanion) -> None:
    """Add a MeshCore source, without any mistake."""
    await screen.begin_to_add("MeshCore companion in the network")
    await screen.field("Host*").fill(HOST)
    await screen.field("Port*").fill(str(companion.port))
    await screen.form.get_by_role("button", name="Virtual node").click()
    await screen.switch(SHARE).click()
    await screen.field("Port").fill(str(free_port()))
    await screen.submit("Devices for")
    await screen.submit("Name and assign")
    await screen.finish()
    await screen.open(INTEGRATION)
    names = screen.page.locator("ha-config-entry-device-row")
    for name in (SOURCE, companion.config.name):
        await expect(names.get_by_text(f"{name} virtual node")).to_be_visible()
    await screen.picture("12-two-radios")


async def test_first_evening(
    home_assistant: HomeAssistant,
    screen: Screen,
    node: SimulatedNode,
    companion: SimulatedCompanion,
) -> None:
    """From logging in to a second radio."""
    virtual_node_port = free_port()
    await screen.log_in()
    await add_with_mistakes(screen, node, virtual_node_port)
    await watch_a_message(screen, node)
    await share_with_a_phone(screen, virtual_node_port)
    await look_at_the_map(screen, node)
    await change_an_option(screen)
    await follow_a_repair(screen, virtual_node_port)
    await add_meshcore(screen, companion)
    sources = {source["title"]: source["state"] for source in await home_assistant.sources()}
    assert sources == {SOURCE: "loaded", companion.config.name: "loaded"}
