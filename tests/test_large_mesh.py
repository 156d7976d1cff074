"""A mesh is taken up piece by piece, and nothing that happens between two pieces is lost.

Every piece is made a turn of its own here, so that a small mesh has as many turns as a large one.
"""

import asyncio
from dataclasses import replace
from datetime import timedelta
import time
from typing import Any

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import STATE_OFF, STATE_ON, STATE_UNAVAILABLE
from homeassistant.core import Event, HomeAssistant, State, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
    async_fire_time_changed,
)

from custom_components.meshmonitor import turns
from custom_components.meshmonitor.const import DOMAIN
from custom_components.meshmonitor.coordinator import MeshMonitorCoordinator
from custom_components.meshmonitor.devices import NodeShown
from custom_components.meshmonitor.mesh.source import NodeChanged
from custom_components.meshmonitor.meshtastic.mirror import Mirror
from custom_components.meshmonitor.presence import PresenceChanged, PresenceFound
from custom_components.meshmonitor.status import virtual_node_status
from custom_components.meshmonitor.storage import SAVE_DELAY
from tests.ha import (
    PATIENCE,
    coordinator_of,
    make_entry,
    node_id,
    set_up,
    set_up_without_radio,
    state_of,
    virtual_node,
    wait_until,
)
from tests.simulators.meshtastic_config import NodeConfig
from tests.simulators.meshtastic_node import SimulatedNode

pytestmark = pytest.mark.usefixtures("unload", "short_turns")

ALL = {"nodes": {"mode": "all", "expire_days": 0}}
NONE = {"nodes": {"mode": "gateway"}}
PEERS = 25
SOME = 4


@pytest.fixture
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every piece of long work be a turn."""
    monkeypatch.setattr(turns, "TURN", 0.0)


@pytest.fixture(name="crowd")
async def crowd_fixture(socket_enabled: None) -> SimulatedNode:
    """Return a radio with many nodes, which does not listen yet."""
    return SimulatedNode(NodeConfig(nodes=PEERS + 1))


def states_of_nodes(hass: HomeAssistant, entry: MockConfigEntry) -> dict[str, State]:
    """Return the states of all enabled entities of nodes, by their unique ids."""
    found: dict[str, State] = {}
    for entity in er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id):
        if "_!" in entity.unique_id and not entity.disabled:
            state = hass.states.get(entity.entity_id)
            assert state is not None, entity.entity_id
            found[entity.unique_id] = state
    return found


class Shown:
    """The nodes that become devices."""

    def __init__(self, coordinator: MeshMonitorCoordinator) -> None:
        """Begin to listen."""
        self.node_ids: list[str] = []
        self._some = asyncio.Event()
        coordinator.subscribe(NodeShown, self._note)

    def _note(self, event: NodeShown) -> None:
        self.node_ids.append(event.node_id)
        if len(self.node_ids) == SOME:
            self._some.set()

    async def some(self) -> None:
        """Wait until some nodes are devices, but not all of them."""
        await asyncio.wait_for(self._some.wait(), PATIENCE)
        assert SOME <= len(self.node_ids) < PEERS


async def test_packets_between_pieces(
    hass: HomeAssistant, crowd: SimulatedNode, caplog: pytest.LogCaptureFixture
) -> None:
    """While nodes become devices, they send on: each has its entities once, with what it said."""
    async with crowd as node:
        entry = make_entry(node, options=NONE)
        coordinator = await set_up(hass, entry)
        peers = list(node.mesh.peers.values())
        amid: list[int] = []

        @callback
        def heard(event: NodeChanged) -> None:
            amid.append(len(coordinator.devices.shown))

        coordinator.subscribe(NodeChanged, heard)
        shown = Shown(coordinator)
        hass.config_entries.async_update_entry(entry, options=ALL)
        for peer in peers:
            await node.say(peer.num, "hello")
        await wait_until(lambda: len(amid) >= PEERS, "what all said")
        await hass.async_block_till_done()
        # Some were heard before their turn, and some after it.
        assert any(1 < count <= PEERS for count in amid)
        assert sorted(shown.node_ids) == sorted(f"!{peer.num:08x}" for peer in peers)
        states = states_of_nodes(hass, entry)
        for peer in peers:
            name = f"{node_id(node)}_!{peer.num:08x}"
            assert states[f"{name}_online"].state == STATE_ON
            known = coordinator.source.node(f"!{peer.num:08x}")
            assert known is not None
            assert known.last_heard is not None
            shown_time = states[f"{name}_last_heard"].state
            assert shown_time == time.strftime(
                "%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(known.last_heard)
            )
        assert "does not generate unique IDs" not in caplog.text
        assert "Error" not in caplog.text


async def test_apps_are_served_before_all_entities_are_there(
    hass: HomeAssistant, crowd: SimulatedNode
) -> None:
    """And the status says so."""
    async with crowd as node:
        entry = make_entry(node, options=ALL | virtual_node())
        await set_up(hass, entry)
        assert await hass.config_entries.async_unload(entry.entry_id)
        setup = asyncio.create_task(hass.config_entries.async_setup(entry.entry_id))

        def is_served() -> bool:
            (status,) = virtual_node_status(hass)["sources"]
            return status["isRunning"] and entry.state is ConfigEntryState.SETUP_IN_PROGRESS

        await wait_until(is_served, "a virtual node amid the setup")
        assert await setup


async def test_choice_changes_between_pieces(hass: HomeAssistant, crowd: SimulatedNode) -> None:
    """What the owner chose last holds, however far the earlier choice had come."""
    async with crowd as node:
        entry = make_entry(node, options=NONE)
        coordinator = await set_up(hass, entry)
        shown = Shown(coordinator)
        hass.config_entries.async_update_entry(entry, options=ALL)
        await shown.some()
        hass.config_entries.async_update_entry(entry, options=NONE)
        await hass.async_block_till_done()
        assert coordinator.devices.shown == {node_id(node)}
        own = f"{node_id(node)}_{node_id(node)}_"
        assert all(name.startswith(own) for name in states_of_nodes(hass, entry))


async def test_all_are_there_when_it_is_set_up(hass: HomeAssistant, crowd: SimulatedNode) -> None:
    """Whoever waits for the set-up finds every entity, with what was stored; so it goes away."""
    async with crowd as node:
        entry = make_entry(node, options=ALL)
        await set_up(hass, entry)
        before = states_of_nodes(hass, entry)
        assert len(before) > 3 * PEERS
        assert await hass.config_entries.async_unload(entry.entry_id)
        gone = states_of_nodes(hass, entry)
        assert gone.keys() == before.keys()
        assert {state.state for state in gone.values()} == {STATE_UNAVAILABLE}
        node.refuse()
        assert await hass.config_entries.async_setup(entry.entry_id)
        after = states_of_nodes(hass, entry)
        own = f"{node_id(node)}_{node_id(node)}_"
        assert after.keys() == before.keys()
        for name, state in after.items():
            expected = STATE_UNAVAILABLE if name.startswith(own) else before[name].state
            assert state.state == expected, name
        await hass.async_block_till_done()


async def test_saved_amid_traffic(
    hass: HomeAssistant, hass_storage: dict[str, Any], crowd: SimulatedNode
) -> None:
    """It is saved by and by, piece by piece; what is said meanwhile is saved the next time."""
    async with crowd as node:
        entry = make_entry(node, options=NONE)
        coordinator = await set_up(hass, entry)
        key = f"{DOMAIN}.{entry.entry_id}"
        assert key not in hass_storage
        for text in ("first", "second"):
            async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=SAVE_DELAY + 1))
            for num in node.mesh.peers:
                await node.say(num, text)
            await wait_until(lambda text=text: said(coordinator, text) == PEERS, text)  # type: ignore[misc]
            await hass.async_block_till_done()
            kept = hass_storage[key]["data"]
            assert kept.keys() == {"source", "messages", "devices", "waypoints"}
            mirror = Mirror()
            mirror.restore(kept["source"]["mirror"])
            assert mirror.state is not None
            assert len(mirror.state.nodes) == PEERS + 1
        kept = hass_storage[key]["data"]
        assert sum(one["message"]["text"] == "first" for one in kept["messages"]) == PEERS


def said(coordinator: MeshMonitorCoordinator, text: str) -> int:
    """Return how many messages of a text are known."""
    return sum(logged.message.text == text for logged in coordinator.messages)


async def test_unloaded_amid_it(hass: HomeAssistant, crowd: SimulatedNode) -> None:
    """What was not begun then is not done, and comes with the next set-up."""
    async with crowd as node:
        entry = make_entry(node, options=NONE)
        shown = Shown(await set_up(hass, entry))
        hass.config_entries.async_update_entry(entry, options=ALL)
        await shown.some()
        few = len(shown.node_ids)
        assert await hass.config_entries.async_unload(entry.entry_id)
        await hass.async_block_till_done()
        assert len(shown.node_ids) == few
        assert await hass.config_entries.async_setup(entry.entry_id)
        assert len(coordinator_of(entry).devices.shown) == PEERS + 1
        assert len(states_of_nodes(hass, entry)) > 3 * PEERS
        await wait_until(lambda: coordinator_of(entry).is_available, "the link")


async def test_who_is_there_at_first_did_not_come(
    hass: HomeAssistant, crowd: SimulatedNode
) -> None:
    """They show as online without an event, and are counted once, not one after the other."""
    async with crowd as node:
        peers = list(node.mesh.peers)
        for num in peers[SOME:]:
            node.state.nodes[num].last_heard = round(time.time()) - 60
        node.refuse()
        entry = make_entry(node, options=ALL)
        coordinator = await set_up_without_radio(hass, entry)
        came: list[PresenceChanged] = []
        found: list[PresenceFound] = []
        coordinator.subscribe(PresenceChanged, came.append)
        coordinator.subscribe(PresenceFound, found.append)
        states = async_capture_events(hass, "state_changed")
        await node.listen()
        await wait_until(lambda: coordinator.is_available, "the link")
        await hass.async_block_till_done()
        assert came == []
        assert len(found) == PEERS - SOME
        online = state_of(hass, "sensor", f"{node_id(node)}_nodes_online").entity_id
        assert figures(states, online)[-1] == str(PEERS - SOME)
        assert set(figures(states, online)) <= {STATE_UNAVAILABLE, "0", str(PEERS - SOME)}
        names = [f"{node_id(node)}_!{num:08x}_online" for num in peers]
        values = [states_of_nodes(hass, entry)[name].state for name in names]
        assert values == [STATE_OFF] * SOME + [STATE_ON] * (PEERS - SOME)

        # Whom it has heard when it comes back, did come.
        states.clear()
        for num in peers[:SOME]:
            node.state.nodes[num].last_heard = round(time.time())
        node.drop()
        await wait_until(lambda: len(came) == SOME, "their coming")
        await hass.async_block_till_done()
        assert {event.node_id for event in came} == {f"!{num:08x}" for num in peers[:SOME]}
        assert figures(states, online) in (
            [STATE_UNAVAILABLE, str(PEERS - SOME), str(PEERS)],
            [STATE_UNAVAILABLE, str(PEERS)],
        )
        assert len(found) == PEERS - SOME


def figures(events: list[Event[Any]], entity_id: str) -> list[str]:
    """Return the states that an entity went through."""
    return [
        event.data["new_state"].state
        for event in events
        if event.data["entity_id"] == entity_id and event.data["new_state"] is not None
    ]


async def test_what_did_not_change_is_not_written(
    hass: HomeAssistant, crowd: SimulatedNode, all_enabled: None
) -> None:
    """That a node was heard again changes when it was heard: not where it is, nor its battery."""
    async with crowd as node:
        entry = make_entry(node, options=ALL)
        coordinator = await set_up(hass, entry)
        peer = next(iter(node.mesh.peers))
        await node.say(peer, "hello")
        await wait_until(lambda: coordinator.presence.is_online(f"!{peer:08x}"), "its coming")
        await hass.async_block_till_done()
        known = coordinator.source.node(f"!{peer:08x}")
        assert known is not None
        assert known.position is not None
        assert known.last_heard is not None
        before = {
            state.entity_id: state.last_reported for state in states_of_nodes(hass, entry).values()
        }
        heard = replace(known, last_heard=known.last_heard + 1)
        coordinator.source.emit(NodeChanged(heard, is_new=False))
        coordinator.source.emit(NodeChanged(heard, is_new=False))
        await hass.async_block_till_done()
        written = {
            name
            for name, state in states_of_nodes(hass, entry).items()
            if state.last_reported != before[state.entity_id]
        }
        assert written == {f"{node_id(node)}_!{peer:08x}_last_heard"}


async def test_a_text_leaves_readings_alone(hass: HomeAssistant, crowd: SimulatedNode) -> None:
    """What the radio told of a battery was not measured when the node said something else."""
    async with crowd as node:
        coordinator = await set_up(hass, make_entry(node, options=ALL))
        peer = next(
            num for num, known in node.state.nodes.items() if known.device_metrics.battery_level
        )
        key = f"{node_id(node)}_!{peer:08x}_device_battery_level"
        before = state_of(hass, "sensor", key)
        await node.say(peer, "hello")
        await wait_until(lambda: coordinator.presence.is_online(f"!{peer:08x}"), "its coming")
        await hass.async_block_till_done()
        assert state_of(hass, "sensor", key).last_reported == before.last_reported
        measured = node.state.nodes[peer].device_metrics
        measured.battery_level -= 1
        # The radio is read anew, and knows better.
        node.drop()
        await wait_until(
            lambda: state_of(hass, "sensor", key).state == str(float(measured.battery_level)),
            "the newer reading",
        )
        after = state_of(hass, "sensor", key)
        assert after.attributes["measured_at"] > before.attributes["measured_at"]
