"""What Home Assistant does with an entry costs the apps of a MeshCore radio no message either."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import json
from typing import Any

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import EVENT_HOMEASSISTANT_STOP
from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.meshmonitor.const import DOMAIN
from custom_components.meshmonitor.mesh import link
from tests.ha import (
    coordinator_of,
    make_companion_entry,
    make_entry,
    set_up,
    virtual_node,
    wait_until,
)
from tests.meshcore.e2e.app import App
from tests.ports import free_port
from tests.simulators.meshcore_companion import SimulatedCompanion
from tests.simulators.meshtastic_node import SimulatedNode

pytestmark = pytest.mark.usefixtures("unload", "quick")

HELLO = b"<\x02\x00\x16\x03<\x0b\x00\x01\x03      app"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connect again soon."""
    monkeypatch.setattr(link, "BACKOFF_FIRST", 0.02)


@asynccontextmanager
async def app(port: int, name: str = "app") -> AsyncIterator[App]:
    """Return an app that has done its greeting."""
    client = await App.connect(port)
    try:
        yield await client.hello(name=name)
    finally:
        await client.close()


async def visit(entry: MockConfigEntry, port: int, name: str = "app") -> list[str]:
    """Greet, fetch what waits, leave, and return the texts."""
    clients = coordinator_of(entry).source.virtual_node.clients
    before = len(clients)
    async with app(port, name) as client:
        texts = [frame[16:].decode() for frame in await client.drain()]
    await wait_until(lambda: len(clients) == before, "the end of the visit")
    return texts


async def say(entry: MockConfigEntry, radio: SimulatedCompanion, text: str) -> None:
    """Let somebody of the mesh say something, and wait until it is here."""
    log = coordinator_of(entry).messages
    radio.mesh.say("Bravo", text)
    await wait_until(lambda: text in [logged.message.text for logged in log], text)


@pytest.mark.parametrize("what", ["reload", "unload", "disable", "stop"])
@pytest.mark.parametrize("sent", [b"", HELLO[:2], HELLO], ids=["none", "half", "all"])
async def test_amid_a_greeting(
    hass: HomeAssistant, companion: SimulatedCompanion, what: str, sent: bytes
) -> None:
    """Apps amid their greeting, or waiting for a radio that says nothing, are in nobody's way."""
    port = free_port()
    companion.faults.deaf = True
    entry = make_companion_entry(companion, options=virtual_node(port))
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
    for _, writer in clients:
        writer.write(sent)
    there = coordinator_of(entry).source.virtual_node.clients
    await wait_until(lambda: [c.bytes_in for c in there.values()] == [len(sent)] * 5)
    match what:
        case "reload":
            assert await hass.config_entries.async_reload(entry.entry_id)
        case "unload":
            assert await hass.config_entries.async_unload(entry.entry_id)
        case "disable":
            options = {"virtual_node": {"enabled": False, "port": port}}
            hass.config_entries.async_update_entry(entry, options=options)
        case "stop":
            hass.bus.async_fire(EVENT_HOMEASSISTANT_STOP)
    for reader, writer in clients:
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()
    await hass.async_block_till_done()
    if what == "reload":
        companion.faults.deaf = False
        companion.close()
        async with app(port) as client:
            assert len(await client.contacts()) == 7


async def test_reload_costs_no_message(hass: HomeAssistant, companion: SimulatedCompanion) -> None:
    """Messages for those that are away survive reloads; those that were there get none twice."""
    port = free_port()
    entry = make_companion_entry(companion, options=virtual_node(port))
    await set_up(hass, entry)
    assert await visit(entry, port, "away") == []
    for number in range(3):
        async with app(port, "there") as there:
            await say(entry, companion, f"text {number}")
            await there.push(0x83)
            assert [frame[16:].decode() for frame in await there.drain()] == [f"text {number}"]
            assert await hass.config_entries.async_reload(entry.entry_id)
            await wait_until(lambda: coordinator_of(entry).is_available, "the link")
            await there.until(lambda there=there: there.is_closed)  # type: ignore[misc]
    assert await visit(entry, port, "there") == []
    assert await visit(entry, port, "away") == ["text 0", "text 1", "text 2"]
    assert await visit(entry, port, "away") == []


async def test_home_assistant_stops_and_starts(
    hass: HomeAssistant, hass_storage: dict[str, Any], companion: SimulatedCompanion
) -> None:
    """What waits is in the file when Home Assistant stops, and is there when it starts.

    Then apps are served at once, though the radio is away.
    """
    port = free_port()
    entry = make_companion_entry(companion, options=virtual_node(port))
    await set_up(hass, entry)
    await visit(entry, port)
    await say(entry, companion, "before")
    hass.bus.async_fire(EVENT_HOMEASSISTANT_STOP)
    await hass.async_block_till_done()
    kept = json.loads(json.dumps(hass_storage[f"{DOMAIN}.{entry.entry_id}"]))
    assert companion.device.settings.private_key.hex() not in json.dumps(kept)
    assert await hass.config_entries.async_unload(entry.entry_id)
    hass_storage[f"{DOMAIN}.{entry.entry_id}"] = kept
    await companion.away()
    assert await hass.config_entries.async_setup(entry.entry_id)
    async with app(port) as client:
        assert len(await client.contacts()) == 7
        assert [frame[16:] for frame in await client.drain()] == [b"before"]
    await companion.listen(companion.port)
    await wait_until(lambda: coordinator_of(entry).is_available, "the link")
    assert await visit(entry, port) == []


async def test_options_change_amid_traffic(
    hass: HomeAssistant, companion: SimulatedCompanion
) -> None:
    """Options that change amid traffic cost nobody a message, nor a connection without need."""
    port = free_port()
    entry = make_companion_entry(companion, options=virtual_node(port))
    await set_up(hass, entry)
    texts: list[bytes] = []
    async with app(port) as client:
        for number in range(12):
            companion.mesh.say("Bravo", f"text {number}", stamp=5000 + number)
            options = virtual_node(
                port,
                allow_admin_commands=bool(number % 2),
                max_clients=2 + number % 3,
                share_contacts=bool(number % 3),
                allowed_networks=["127.0.0.0/8"] if number % 4 else ["0.0.0.0/0"],
            )
            hass.config_entries.async_update_entry(entry, options=options)
            texts += [frame[16:] for frame in await client.drain()]
        await hass.async_block_till_done()
        async with asyncio.timeout(20):
            while len(texts) < 12:
                texts += [frame[16:] for frame in await client.drain()]
                await asyncio.sleep(0.01)
        assert texts == [b"text %d" % number for number in range(12)]
        assert not client.is_closed
        moved = free_port()
        hass.config_entries.async_update_entry(entry, options=virtual_node(moved))
        await client.until(lambda: client.is_closed)
    await say(entry, companion, "moved")
    assert await visit(entry, moved) == ["moved"]
    assert coordinator_of(entry).source.link.sessions == 1


async def test_two_entries_of_two_protocols(
    hass: HomeAssistant, companion: SimulatedCompanion, node: SimulatedNode
) -> None:
    """An entry of the other protocol that is reloaded or removed is nobody's business here."""
    port = free_port()
    entry = make_companion_entry(companion, options=virtual_node(port))
    other = make_entry(node, options=virtual_node())
    await set_up(hass, entry)
    await set_up(hass, other)
    async with app(port) as stays:
        assert await hass.config_entries.async_reload(other.entry_id)
        await say(entry, companion, "one")
        assert await hass.config_entries.async_remove(other.entry_id)
        await say(entry, companion, "two")
        assert [frame[16:] for frame in await stays.drain()] == [b"one", b"two"]
        assert not stays.is_closed


async def test_removal_erases_everything(
    hass: HomeAssistant, hass_storage: dict[str, Any], companion: SimulatedCompanion
) -> None:
    """Removal amid use erases what was kept, and what is added anew starts empty."""
    port = free_port()
    entry = make_companion_entry(companion, options=virtual_node(port))
    await set_up(hass, entry)
    await visit(entry, port)
    await say(entry, companion, "private")
    async with app(port, "other") as client:
        assert await hass.config_entries.async_remove(entry.entry_id)
        await client.until(lambda: client.is_closed)
    await hass.async_block_till_done()
    assert f"{DOMAIN}.{entry.entry_id}" not in hass_storage
    again = make_companion_entry(companion, options=virtual_node(port))
    await set_up(hass, again)
    assert await visit(again, port) == []


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("mirror", None),
        ("mirror", []),
        ("mirror", {"version": 99}),
        ("inbox", None),
        ("inbox", []),
        ("inbox", {"next": 1, "items": ["x"], "places": {}}),
        ("inbox", {"next": "x", "items": [], "places": {}}),
        ("inbox", {"next": 1, "items": [], "places": {"app": "x"}}),
        ("inbox", {"next": 1, "items": [[1, 2.0, "no hex", None]], "places": {}}),
        ("inbox", {"next": 1, "items": [[1, "x", "07", None]], "places": {}}),
    ],
)
async def test_damaged_storage(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    companion: SimulatedCompanion,
    caplog: pytest.LogCaptureFixture,
    part: str,
    value: Any,
) -> None:
    """A damaged or older file is said once, costs what was in it, and nothing else."""
    port = free_port()
    entry = make_companion_entry(companion, options=virtual_node(port))
    await set_up(hass, entry)
    await visit(entry, port)
    await say(entry, companion, "kept")
    assert await hass.config_entries.async_unload(entry.entry_id)
    hass_storage[f"{DOMAIN}.{entry.entry_id}"]["data"]["source"][part] = value
    assert await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.LOADED
    assert caplog.text.count("starting empty") == 1
    await wait_until(lambda: coordinator_of(entry).is_available, "the link")
    assert await visit(entry, port) == []
    await say(entry, companion, "after")
    assert await hass.config_entries.async_reload(entry.entry_id)
    assert caplog.text.count("starting empty") == 1
    await wait_until(lambda: coordinator_of(entry).is_available, "the link")
    assert await visit(entry, port) == ["after"]
