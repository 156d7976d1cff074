"""Whatever Home Assistant does with an entry amid traffic, it ends clean and costs no message."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import json
from typing import Any

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import EVENT_HOMEASSISTANT_STOP
from homeassistant.core import HomeAssistant
from meshtastic.protobuf import mesh_pb2
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.meshmonitor.const import DOMAIN
from custom_components.meshmonitor.mesh import link
from tests.clients.meshtastic_phone import MeshtasticPhone, frame
from tests.ha import coordinator_of, make_entry, set_up, virtual_node, wait_until
from tests.ports import free_port
from tests.simulators.meshtastic_node import SimulatedNode

pytestmark = pytest.mark.usefixtures("unload", "quick")

HERE, ELSEWHERE = "127.0.0.41", "127.0.0.42"
WANT_CONFIG = frame(mesh_pb2.ToRadio(want_config_id=7).SerializeToString())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connect again soon."""
    monkeypatch.setattr(link, "BACKOFF_FIRST", 0.02)


@asynccontextmanager
async def phone(port: int, address: str = HERE) -> AsyncIterator[MeshtasticPhone]:
    """Return a phone that has done its handshake, and what follows it."""
    client = MeshtasticPhone(port)
    await client.connect(local_host=address)
    try:
        await client.want_config(timeout=15)
        await client.barrier()
        yield client
    finally:
        await client.close()


async def visit(entry: MockConfigEntry, port: int, address: str = HERE) -> list[str]:
    """Do a handshake, leave, and return the texts that came."""
    clients = coordinator_of(entry).source.virtual_node.clients
    before = len(clients)
    async with phone(port, address) as client:
        texts = client.texts()
    await wait_until(lambda: len(clients) == before, "the end of the visit")
    return texts


async def say(entry: MockConfigEntry, node: SimulatedNode, text: str) -> None:
    """Let somebody of the mesh say something, and wait until it is here."""
    source = coordinator_of(entry).source
    before = source.counters["packets_received"]
    await node.say(node.peer(0).num, text)
    await wait_until(lambda: source.counters["packets_received"] > before, text)


@pytest.mark.parametrize("what", ["reload", "unload", "disable", "stop"])
@pytest.mark.parametrize("sent", [b"", WANT_CONFIG[:5], WANT_CONFIG], ids=["none", "half", "all"])
async def test_amid_a_handshake(
    hass: HomeAssistant, node: SimulatedNode, what: str, sent: bytes
) -> None:
    """Clients amid their handshake, answered or waiting for a radio, are in nobody's way."""
    port = free_port()
    node.faults.mute = True
    entry = make_entry(node, options=virtual_node(port))
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
        node.faults.mute = False
        node.drop()
        async with phone(port) as client:
            assert client.payloads


async def test_reload_costs_no_message(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Messages for those that are away survive reloads; those that were there get none twice."""
    port = free_port()
    entry = make_entry(node, options=virtual_node(port))
    await set_up(hass, entry)
    assert await visit(entry, port) == []
    async with phone(port, ELSEWHERE) as there:
        for number in range(3):
            await say(entry, node, f"text {number}")
            await there.wait_for(lambda number=number: f"text {number}" in there.texts())  # type: ignore[misc]
            assert await hass.config_entries.async_reload(entry.entry_id)
            await wait_until(lambda: coordinator_of(entry).is_available, "the link")
            await there.wait_closed()
            await there.close()
            await there.connect(local_host=ELSEWHERE)
            await there.want_config()
            await there.barrier()
        assert there.texts() == ["text 0", "text 1", "text 2"]
    assert await visit(entry, port) == ["text 0", "text 1", "text 2"]
    assert await visit(entry, port) == []


async def test_home_assistant_stops_and_starts(
    hass: HomeAssistant, hass_storage: dict[str, Any], node: SimulatedNode
) -> None:
    """What waits is in the file when Home Assistant stops, and is there when it starts."""
    port = free_port()
    entry = make_entry(node, options=virtual_node(port))
    await set_up(hass, entry)
    await visit(entry, port)
    await say(entry, node, "before")
    hass.bus.async_fire(EVENT_HOMEASSISTANT_STOP)
    await hass.async_block_till_done()
    kept = json.loads(json.dumps(hass_storage[f"{DOMAIN}.{entry.entry_id}"]))
    assert await hass.config_entries.async_unload(entry.entry_id)
    hass_storage[f"{DOMAIN}.{entry.entry_id}"] = kept
    assert await hass.config_entries.async_setup(entry.entry_id)
    await wait_until(lambda: coordinator_of(entry).is_available, "the link")
    assert await visit(entry, port) == ["before"]


async def test_options_change_amid_traffic(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Options that change amid traffic cost nobody a message, nor a connection without need."""
    port = free_port()
    entry = make_entry(node, options=virtual_node(port))
    await set_up(hass, entry)
    async with phone(port) as client:
        for number in range(12):
            await node.say(node.peer(0).num, f"text {number}")
            options = virtual_node(
                port,
                allow_admin_commands=bool(number % 2),
                max_clients=2 + number % 3,
                hide_secrets=bool(number % 3),
                allowed_networks=["127.0.0.0/8"] if number % 4 else ["0.0.0.0/0"],
            )
            hass.config_entries.async_update_entry(entry, options=options)
        await client.wait_for(lambda: len(client.texts()) == 12)
        await hass.async_block_till_done()
        assert client.texts() == [f"text {number}" for number in range(12)]
        assert not client.closed
        moved = free_port()
        hass.config_entries.async_update_entry(entry, options=virtual_node(moved))
        await client.wait_closed()
    await say(entry, node, "moved")
    assert await visit(entry, moved) == ["moved"]
    assert coordinator_of(entry).source.link.sessions == 1


async def test_two_entries(
    hass: HomeAssistant, node: SimulatedNode, other_node: SimulatedNode
) -> None:
    """Two entries know nothing of each other: neither their clients nor what those missed."""
    ports = free_port(), free_port()
    entry = make_entry(node, options=virtual_node(ports[0]))
    other = make_entry(other_node, title="Hill", options=virtual_node(ports[1]))
    await set_up(hass, entry)
    await set_up(hass, other)
    await visit(entry, ports[0])
    async with phone(ports[1]) as stays:
        await say(entry, node, "at the base")
        assert await hass.config_entries.async_reload(entry.entry_id)
        await wait_until(lambda: coordinator_of(entry).is_available, "the link")
        await say(other, other_node, "on the hill")
        await stays.wait_for(lambda: stays.texts() == ["on the hill"])
        assert await visit(entry, ports[0]) == ["at the base"]
        assert await hass.config_entries.async_unload(entry.entry_id)
        await stays.barrier()
    await say(other, other_node, "later")
    assert await visit(other, ports[1]) == ["later"]


async def test_removal_erases_everything(
    hass: HomeAssistant, hass_storage: dict[str, Any], node: SimulatedNode
) -> None:
    """Removal amid use erases what was kept, and what is added anew starts empty."""
    port = free_port()
    entry = make_entry(node, options=virtual_node(port))
    await set_up(hass, entry)
    await visit(entry, port)
    await say(entry, node, "private")
    async with phone(port, ELSEWHERE) as client:
        assert await hass.config_entries.async_remove(entry.entry_id)
        await client.wait_closed()
    await hass.async_block_till_done()
    assert f"{DOMAIN}.{entry.entry_id}" not in hass_storage
    again = make_entry(node, options=virtual_node(port))
    await set_up(hass, again)
    assert await visit(again, port) == []


def _without(*path: str) -> Any:
    def damage(data: dict[str, Any]) -> None:
        for key in path[:-1]:
            data = data[key]
        del data[path[-1]]

    return damage


def _with(value: Any, *path: str) -> Any:
    def damage(data: dict[str, Any]) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        _without("source"),
        _without("source", "messages"),
        _without("source", "mirror"),
        _with({"version": 99}, "source", "messages"),
        _with({"version": 99}, "source", "mirror"),
        _with([], "source"),
        _with(["x"], "source", "messages", "entries"),
        _with({"a": "b"}, "source", "messages", "places"),
        _with("no base64", "source", "mirror", "frames"),
        _with(None, "messages"),
        _with([{"message": None, "delivery": None}], "messages"),
        _with(None, "devices"),
        _with([], "devices", "forgotten"),
        _with({"!00000001": "x"}, "devices", "forgotten"),
        _with(None, "waypoints"),
        _with([{"waypoint_id": "1", "name": "x", "latitude": "y", "longitude": 1}], "waypoints"),
        lambda data: data.clear(),
    ],
)
async def test_damaged_storage(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    node: SimulatedNode,
    caplog: pytest.LogCaptureFixture,
    damage: Any,
) -> None:
    """A damaged or older file is said once, costs what was in it, and nothing else."""
    port = free_port()
    entry = make_entry(node, options=virtual_node(port))
    await set_up(hass, entry)
    await say(entry, node, "kept")
    assert await hass.config_entries.async_unload(entry.entry_id)
    key = f"{DOMAIN}.{entry.entry_id}"
    damage(hass_storage[key]["data"])
    assert await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.LOADED
    assert caplog.text.count("starting empty") == 1
    await wait_until(lambda: coordinator_of(entry).is_available, "the link")
    assert await visit(entry, port) == []
    await say(entry, node, "after")
    assert await hass.config_entries.async_reload(entry.entry_id)
    assert caplog.text.count("starting empty") == 1
    await wait_until(lambda: coordinator_of(entry).is_available, "the link")
    assert await visit(entry, port) == ["after"]
