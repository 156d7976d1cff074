"""Which nodes of a mesh are devices, and that they come and go as their owner wants."""

from dataclasses import replace
from datetime import timedelta
import time
from types import SimpleNamespace
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_fire_time_changed
from pytest_homeassistant_custom_component.typing import WebSocketGenerator

from custom_components.meshmonitor.devices import NodeChoice, NodeMode, node_identifier
from custom_components.meshmonitor.mesh.model import Node
from custom_components.meshmonitor.mesh.source import NodeChanged
from tests.ha import (
    coordinator_of,
    make_companion_entry,
    make_entry,
    node_id,
    set_up,
    virtual_node,
    wait_until,
)
from tests.simulators.meshcore_companion import SimulatedCompanion
from tests.simulators.meshtastic_config import NodeConfig
from tests.simulators.meshtastic_mesh import Peer
from tests.simulators.meshtastic_node import SimulatedNode

pytestmark = pytest.mark.usefixtures("unload")

NOW = 1_000_000_000.0
DAY = 86400


def peer_id(peer: Peer) -> str:
    """Return a peer's node id."""
    return f"!{peer.num:08x}"


def favorite_of(node: SimulatedNode) -> Peer:
    """Return the peer that is a favourite."""
    return next(peer for peer in node.mesh.peers.values() if node.state.nodes[peer.num].is_favorite)


def nodes(mode: str, *, expire_days: int = 0, **options: Any) -> dict[str, Any]:
    """Return the options of an entry for these devices."""
    return {"nodes": {"mode": mode, "expire_days": expire_days, **options}}


def devices(hass: HomeAssistant, entry: MockConfigEntry) -> dict[str, dr.DeviceEntry]:
    """Return the devices of an entry's nodes by node id, without the radio's."""
    prefix = f"{entry.unique_id}_"
    return {
        name.removeprefix(prefix): device
        for device in dr.async_entries_for_config_entry(dr.async_get(hass), entry.entry_id)
        if isinstance(device, dr.DeviceEntry)
        for _, name in device.identifiers
        if name.startswith(prefix)
    }


@pytest.mark.parametrize(
    ("choice", "node", "expected"),
    [
        (NodeChoice(), Node(node_id="a"), False),
        (NodeChoice(), Node(node_id="a", is_favorite=True), True),
        (NodeChoice(), Node(node_id="a", is_favorite=True, last_heard=NOW - 29 * DAY), True),
        (NodeChoice(), Node(node_id="a", is_favorite=True, last_heard=NOW - 31 * DAY), False),
        (NodeChoice(expire_days=0), Node(node_id="a", is_favorite=True, last_heard=1.0), True),
        (NodeChoice(picked=frozenset("a")), Node(node_id="a", last_heard=1.0), True),
        (NodeChoice(mode=NodeMode.ALL), Node(node_id="a"), True),
        (NodeChoice(mode=NodeMode.ALL), Node(node_id="a", last_heard=1.0), False),
        (NodeChoice(mode=NodeMode.GATEWAY), Node(node_id="a", is_favorite=True), False),
        (NodeChoice(mode=NodeMode.GATEWAY, picked=frozenset("a")), Node(node_id="a"), False),
    ],
)
def test_choice(choice: NodeChoice, node: Node, expected: bool) -> None:
    """The rule, for each mode."""
    assert choice.wants(node, NOW) is expected


async def test_favorites_by_default(hass: HomeAssistant, node: SimulatedNode) -> None:
    """What the owner marked in the app is what interests him here; the tree is a proper one."""
    entry = make_entry(node, options=nodes("favorites"))
    coordinator = await set_up(hass, entry)
    [(favorite, device)] = devices(hass, entry).items()
    assert favorite == peer_id(favorite_of(node))
    assert device.via_device_id == coordinator.device_id
    assert device.name == favorite_of(node).user.long_name
    assert device.model == "T-Beam"
    assert device.manufacturer == "Meshtastic"
    assert device.serial_number == favorite
    assert coordinator.devices.shown == {favorite, node_id(node)}
    assert coordinator.devices.known == 12


async def test_favorites_follow_the_app(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A node that is marked becomes a device, one that is unmarked ceases to be one."""
    entry = make_entry(node, options=nodes("favorites"))
    coordinator = await set_up(hass, entry)
    peer = list(node.mesh.peers.values())[2]
    prefix = f"{node_id(node)}_{peer_id(peer)}_"

    known = coordinator.source.node(peer_id(peer))
    assert known is not None
    for is_favorite in (True, False, True):
        changed = replace(known, is_favorite=is_favorite)
        coordinator.source.emit(NodeChanged(changed, is_new=False))
        await hass.async_block_till_done()
        assert (peer_id(peer) in devices(hass, entry)) is is_favorite
        entities = er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
        assert any(entity.unique_id.startswith(prefix) for entity in entities) is is_favorite
        assert (hass.states.get("binary_sensor.water_tower_online") is not None) is is_favorite


async def test_options_apply_without_a_reload(hass: HomeAssistant, node: SimulatedNode) -> None:
    """The link does not notice which nodes are devices."""
    entry = make_entry(node, options=nodes("favorites"))
    coordinator = await set_up(hass, entry)
    peers = list(node.mesh.peers.values())
    favorite, other = peer_id(favorite_of(node)), peer_id(peers[3])
    for options, expected in (
        (nodes("gateway", picked=[other]), set()),
        (nodes("favorites", picked=[other]), {favorite, other}),
        (nodes("all"), {peer_id(peer) for peer in peers}),
        (nodes("favorites"), {favorite}),
    ):
        hass.config_entries.async_update_entry(entry, options=options)
        await hass.async_block_till_done()
        assert set(devices(hass, entry)) == expected
    assert coordinator_of(entry) is coordinator
    assert node.tally["connections"] == 1


async def test_new_nodes_appear_and_names_follow(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A node that is heard for the first time is a device at once, called as it calls itself."""
    entry = make_entry(node, options=nodes("all"))
    await set_up(hass, entry)
    peer = node.mesh.add(0x0C0FFEE0, "Coffee House", "COFF")
    await node.say(peer.num, "hello")
    await wait_until(lambda: peer_id(peer) in devices(hass, entry))
    assert devices(hass, entry)[peer_id(peer)].name == peer_id(peer)
    await node.send_node_info(peer.num)
    await wait_until(lambda: devices(hass, entry)[peer_id(peer)].name == "Coffee House")
    assert devices(hass, entry)[peer_id(peer)].model == "T-Beam"
    peer.user.long_name = "Tea House"
    await node.send_node_info(peer.num)
    await wait_until(lambda: devices(hass, entry)[peer_id(peer)].name == "Tea House")
    await hass.async_block_till_done()


async def test_two_sources_that_hear_the_same_node(
    hass: HomeAssistant, node: SimulatedNode, other_node: SimulatedNode
) -> None:
    """Each has a device of its own, with entities of its own."""
    entries = [make_entry(one, options=nodes("all")) for one in (node, other_node)]
    for one, entry in zip((node, other_node), entries, strict=True):
        await set_up(hass, entry)
        one.mesh.add(0x0C0FFEE0, "Coffee House", "COFF")
        await one.send_node_info(0x0C0FFEE0)
        await wait_until(lambda: "!0c0ffee0" in devices(hass, entry))  # noqa: B023
        await hass.async_block_till_done()
    first, second = (devices(hass, entry)["!0c0ffee0"] for entry in entries)
    assert first.id != second.id
    assert first.via_device_id != second.via_device_id


async def test_silent_nodes_are_tidied_away(
    hass: HomeAssistant, node: SimulatedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a day, while there is a radio to hear with; those that were picked stay."""
    now = time.time()
    silent, picked, heard = node.peer(0), node.peer(1), node.peer(2)
    for peer in node.mesh.peers.values():
        node.state.nodes[peer.num].last_heard = round(now - 9.5 * DAY)
    node.state.nodes[heard.num].last_heard = round(now)
    entry = make_entry(
        node, options=nodes("all", expire_days=10, picked=[peer_id(picked), "!00000009"])
    )
    coordinator = await set_up(hass, entry)
    assert len(devices(hass, entry)) == 11
    registry = dr.async_get(hass)
    registry.async_get_or_create(
        config_entry_id=entry.entry_id,
        identifiers={node_identifier(node_id(node), "!0000000a")},
    )
    tomorrow = dt_util.utcnow() + timedelta(days=1, minutes=1)
    node.refuse()
    node.drop()
    await wait_until(lambda: not coordinator.is_available)
    monkeypatch.setattr(
        "custom_components.meshmonitor.devices.time", SimpleNamespace(time=lambda: now + DAY)
    )
    async_fire_time_changed(hass, tomorrow)
    await hass.async_block_till_done()
    assert len(devices(hass, entry)) == 12
    await node.listen()
    await wait_until(lambda: coordinator.is_available)
    async_fire_time_changed(hass, tomorrow + timedelta(days=1))
    await hass.async_block_till_done()
    assert set(devices(hass, entry)) == {peer_id(picked), peer_id(heard)}
    await node.say(silent.num, "here again")
    await wait_until(lambda: peer_id(silent) in devices(hass, entry))
    await hass.async_block_till_done()


async def test_forgotten_by_the_radio(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A full radio forgets nodes that it hears again: their entities wait."""
    entry = make_entry(node, options=nodes("all"))
    coordinator = await set_up(hass, entry)
    gone = peer_id(node.peer(0))
    coordinator.devices.node_removed(gone)
    assert coordinator.devices.known == 11
    assert gone in devices(hass, entry)
    assert coordinator.devices.node(gone) is None
    coordinator.devices.node_removed("!00000009")
    await node.say(node.peer(0).num, "here")
    await wait_until(lambda: coordinator.devices.node(gone) is not None)
    assert coordinator.devices.known == 12


async def test_deleting_devices(
    hass: HomeAssistant, node: SimulatedNode, hass_ws_client: WebSocketGenerator
) -> None:
    """A node's device can be deleted; it comes back with the node. The radio's cannot."""
    assert await async_setup_component(hass, "config", {})
    entry = make_entry(node, options={**nodes("all"), **virtual_node()})
    coordinator = await set_up(hass, entry)
    client = await hass_ws_client(hass)
    peer = node.peer(0)

    async def delete(device_id: str) -> bool:
        await client.send_json_auto_id(
            {
                "type": "config/device_registry/remove_config_entry",
                "config_entry_id": entry.entry_id,
                "device_id": device_id,
            }
        )
        response = await client.receive_json()
        await hass.async_block_till_done()
        return bool(response["success"])

    assert not await delete(coordinator.device_id)
    assert await delete(devices(hass, entry)[peer_id(peer)].id)
    assert peer_id(peer) not in devices(hass, entry)
    assert await hass.config_entries.async_reload(entry.entry_id)
    coordinator = coordinator_of(entry)
    await wait_until(lambda: coordinator.is_available)
    await hass.async_block_till_done()
    assert peer_id(peer) not in devices(hass, entry)
    assert len(devices(hass, entry)) == 10
    await node.say(peer.num, "still here")
    await wait_until(lambda: peer_id(peer) in devices(hass, entry))
    await hass.async_block_till_done()
    assert hass.states.get("binary_sensor.windmill_online") is not None


async def test_meshcore(hass: HomeAssistant, companion: SimulatedCompanion) -> None:
    """Contacts are nodes like any others."""
    entry = make_companion_entry(companion, options=nodes("all"))
    await set_up(hass, entry)
    names = {device.name for device in devices(hass, entry).values()}
    assert names == {peer.name for peer in companion.mesh.peers.values()}


async def test_damaged_choice(hass: HomeAssistant, node: SimulatedNode) -> None:
    """An entry that says nonsense is not set up, and says so."""
    entry = make_entry(node, options={"nodes": {"mode": "some"}})
    entry.add_to_hass(hass)
    assert not await hass.config_entries.async_setup(entry.entry_id)
    assert entry.error_reason_translation_key == "invalid_entry"


async def test_a_thousand_nodes(hass: HomeAssistant, socket_enabled: None) -> None:
    """A large mesh floods nothing unless it is asked for, and then it works."""
    async with SimulatedNode(NodeConfig(nodes=1000)) as node:
        entry = make_entry(node, options=nodes("favorites"))
        coordinator = await set_up(hass, entry)
        assert coordinator.devices.known == 1000
        assert len(devices(hass, entry)) == 1
        registry = er.async_get(hass)
        few = len(er.async_entries_for_config_entry(registry, entry.entry_id))
        assert few < 80
        hass.config_entries.async_update_entry(entry, options=nodes("all"))
        await hass.async_block_till_done()
        assert len(devices(hass, entry)) == 999
        entities = er.async_entries_for_config_entry(registry, entry.entry_id)
        of_nodes = [entity for entity in entities if "_!" in entity.unique_id]
        enabled = [entity for entity in of_nodes if entity.disabled_by is None]
        assert len(enabled) / 999 < 6
        assert len(enabled) < len(of_nodes) / 2
        assert await hass.config_entries.async_unload(entry.entry_id)
        await hass.async_block_till_done()


async def test_changed_while_away(hass: HomeAssistant, node: SimulatedNode) -> None:
    """What was chosen while the source was not set up holds when it is."""
    entry = make_entry(node, options=nodes("all"))
    await set_up(hass, entry)
    assert len(devices(hass, entry)) == 11
    assert await hass.config_entries.async_unload(entry.entry_id)
    node.refuse()
    hass.config_entries.async_update_entry(entry, options=nodes("favorites"))
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert set(devices(hass, entry)) == {peer_id(favorite_of(node))}


async def test_deleted_and_forgotten(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A deletion is remembered as long as the radio knows the node."""
    entry = make_entry(node, options=nodes("all"))
    coordinator = await set_up(hass, entry)
    stranger = dr.async_get(hass).async_get_or_create(
        config_entry_id=entry.entry_id,
        identifiers={node_identifier(node_id(node), "!0000000a")},
    )
    known = peer_id(node.peer(0))
    assert coordinator.devices.may_delete(stranger)
    assert coordinator.devices.may_delete(devices(hass, entry)[known])
    assert set(coordinator.devices.snapshot()["forgotten"]) == {"!0000000a", known}
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(days=1, minutes=1))
    await hass.async_block_till_done()
    assert set(coordinator.devices.snapshot()["forgotten"]) == {known}
    assert {known, "!0000000a"}.isdisjoint(devices(hass, entry))
