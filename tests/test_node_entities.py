"""The entities of nodes: what they show, when they are written, and that they survive."""

from dataclasses import replace
from datetime import timedelta
import time
from typing import Any

from homeassistant.const import STATE_OFF, STATE_ON, STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util
from meshtastic.protobuf import mesh_pb2, portnums_pb2, telemetry_pb2
import pytest
from pytest_homeassistant_custom_component.common import (
    async_capture_events,
    async_fire_time_changed,
)

from custom_components.meshmonitor.const import DOMAIN
from custom_components.meshmonitor.mesh.model import Delivery, DeliveryState, Telemetry
from custom_components.meshmonitor.mesh.source import (
    DeliveryChanged,
    NodeChanged,
    NodeRemoved,
    Problem,
    ProblemChanged,
)
from custom_components.meshmonitor.meshcore import lpp
from custom_components.meshmonitor.meshcore.decode import lpp_telemetry
from custom_components.meshmonitor.node_entity import NodeEntity
from custom_components.meshmonitor.readings_environment import reading_description
from tests.ha import coordinator_of, make_entry, node_id, set_up, state_of, wait_until
from tests.simulators.meshtastic_config import NodeConfig
from tests.simulators.meshtastic_mesh import Peer
from tests.simulators.meshtastic_node import SimulatedNode

pytestmark = pytest.mark.usefixtures("unload")

ALL = {"nodes": {"mode": "all", "expire_days": 0}}
DETECTION = portnums_pb2.PortNum.DETECTION_SENSOR_APP


def unique_id(node: SimulatedNode, peer: Peer, key: str) -> str:
    """Return the unique id of a peer's entity."""
    return f"{node_id(node)}_!{peer.num:08x}_{key}"


def is_there(hass: HomeAssistant, platform: str, unique_id: str) -> bool:
    """Return whether there is an entity."""
    return er.async_get(hass).async_get_entity_id(platform, DOMAIN, unique_id) is not None


def device_metrics(**values: Any) -> telemetry_pb2.Telemetry:
    """Return readings of a node's own."""
    return telemetry_pb2.Telemetry(
        time=round(time.time()), device_metrics=telemetry_pb2.DeviceMetrics(**values)
    )


def environment(**values: Any) -> telemetry_pb2.Telemetry:
    """Return readings of a node's surroundings."""
    return telemetry_pb2.Telemetry(
        time=round(time.time()), environment_metrics=telemetry_pb2.EnvironmentMetrics(**values)
    )


async def test_battery_and_power(hass: HomeAssistant, node: SimulatedNode) -> None:
    """More than full means that external power is there."""
    await set_up(hass, make_entry(node, options=ALL))
    peer = node.peer(0)
    battery = unique_id(node, peer, "device_battery_level")
    powered = unique_id(node, peer, "powered")
    for level, shown, power in ((101, "100.0", STATE_ON), (100, "100.0", STATE_OFF)):
        await node.send_telemetry(peer.num, device_metrics(battery_level=level))
        await wait_until(lambda: state_of(hass, "binary_sensor", powered).state == power)  # noqa: B023
        assert state_of(hass, "sensor", battery).state == shown
    await node.send_telemetry(peer.num, device_metrics(battery_level=0))
    await wait_until(lambda: state_of(hass, "sensor", battery).state == "0.0")
    await node.send_telemetry(peer.num, device_metrics(voltage=3.9))
    await wait_until(lambda: state_of(hass, "sensor", battery).state == STATE_UNKNOWN)
    assert state_of(hass, "binary_sensor", powered).state == STATE_UNKNOWN


async def test_created_when_first_seen(hass: HomeAssistant, node: SimulatedNode) -> None:
    """What a node never measured has no sensor; zero is a reading, no number is none."""
    await set_up(hass, make_entry(node, options=ALL))
    peer = next(peer for peer in node.mesh.peers.values() if peer.environment is None)
    key = unique_id(node, peer, "environment_temperature")
    assert not is_there(hass, "sensor", key)
    measured = environment(temperature=0.0, relative_humidity=float("nan"))
    await node.send_telemetry(peer.num, measured)
    await wait_until(lambda: is_there(hass, "sensor", key))
    await hass.async_block_till_done()
    state = state_of(hass, "sensor", key)
    assert float(state.state) == 0
    heard = dt_util.parse_datetime(state.attributes["measured_at"])
    assert heard is not None
    assert heard.timestamp() == measured.time
    assert not is_there(hass, "sensor", unique_id(node, peer, "environment_relative_humidity"))


async def test_relay(hass: HomeAssistant, node: SimulatedNode, all_enabled: None) -> None:
    """Who handed on what was heard of a node is known, also after a restart."""
    entry = make_entry(node, options=ALL)
    await set_up(hass, entry)
    peer = next(peer for peer in node.mesh.peers.values() if peer.route)
    key = unique_id(node, peer, "relay")
    await node.send_node_info(peer.num)
    await wait_until(lambda: is_there(hass, "sensor", key))
    await hass.async_block_till_done()
    relay = state_of(hass, "sensor", key).state
    assert relay.endswith(f"{peer.route[0] & 0xFF:02x}")
    node.refuse()
    node.drop()
    assert await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()
    assert state_of(hass, "sensor", key).state == relay


async def test_statistics_and_metrics_are_one(
    hass: HomeAssistant, node: SimulatedNode, all_enabled: None
) -> None:
    """The same figure of two messages is one sensor, which shows the newer."""
    await set_up(hass, make_entry(node, options=ALL))
    key = f"{node_id(node)}_{node_id(node)}_device_channel_utilization"
    now = round(time.time())
    sent = f"{node_id(node)}_{node_id(node)}_local_stats_num_packets_tx"
    for moment, used in ((now - 5, 12.5), (now - 600, 9.5)):
        stats = telemetry_pb2.LocalStats(channel_utilization=used, num_packets_tx=round(used))
        await node.send_own_telemetry(telemetry_pb2.Telemetry(time=moment, local_stats=stats))
        await wait_until(lambda: is_there(hass, "sensor", sent))
        await hass.async_block_till_done()
        await wait_until(lambda: state_of(hass, "sensor", sent).state == str(round(used)))  # noqa: B023
    await node.send_own_telemetry(
        telemetry_pb2.Telemetry(
            time=now - 60, device_metrics=telemetry_pb2.DeviceMetrics(channel_utilization=7.5)
        )
    )
    await wait_until(lambda: state_of(hass, "sensor", key).state == "7.5")
    assert not is_there(hass, "sensor", key.replace("device", "local_stats"))


async def test_the_radios_own_readings(hass: HomeAssistant, node: SimulatedNode) -> None:
    """They are part of the radio's device, and there while it is."""
    coordinator = await set_up(hass, make_entry(node, options={"nodes": {"mode": "gateway"}}))
    battery = f"{node_id(node)}_{node_id(node)}_device_battery_level"
    entity = er.async_get(hass).async_get(
        er.async_get(hass).async_get_entity_id("sensor", DOMAIN, battery) or ""
    )
    assert entity is not None
    assert entity.device_id == coordinator.device_id
    assert not is_there(hass, "binary_sensor", f"{node_id(node)}_{node_id(node)}_online")
    assert state_of(hass, "sensor", battery).state == "100.0"
    node.refuse()
    node.drop()
    await wait_until(lambda: state_of(hass, "sensor", battery).state == STATE_UNAVAILABLE)


async def test_a_packet_writes_only_its_nodes_entities(
    hass: HomeAssistant, socket_enabled: None, monkeypatch: pytest.MonkeyPatch, all_enabled: None
) -> None:
    """However large the mesh, a packet writes what it changes of its sender, and nothing else."""
    written: list[str] = []
    write = NodeEntity.async_write_ha_state

    def note(self: NodeEntity) -> None:
        written.append(str(self.unique_id))
        write(self)

    for nodes in (12, 120):
        async with SimulatedNode(NodeConfig(nodes=nodes)) as node:
            entry = make_entry(node, options=ALL)
            await set_up(hass, entry)
            peer = node.peer(0)
            await node.send_telemetry(peer.num, device_metrics(battery_level=50, voltage=3.7))
            battery = unique_id(node, peer, "device_battery_level")
            await wait_until(lambda: is_there(hass, "sensor", battery))  # noqa: B023
            await wait_until(lambda: state_of(hass, "sensor", battery).state == "50.0")  # noqa: B023
            await hass.async_block_till_done()
            states = async_capture_events(hass, "state_changed")
            with monkeypatch.context() as patched:
                patched.setattr(NodeEntity, "async_write_ha_state", note)
                written.clear()
                await node.send_telemetry(peer.num, device_metrics(battery_level=49, voltage=3.6))
                await wait_until(lambda: state_of(hass, "sensor", battery).state == "49.0")  # noqa: B023
                await hass.async_block_till_done()
            prefix = unique_id(node, peer, "")
            shown = {name.removeprefix(prefix) for name in written}
            assert {"device_battery_level", "device_voltage"} <= shown
            # How well and when it was heard may differ; where it is and whether it is there, not.
            assert shown <= {
                *("device_battery_level", "device_voltage"),
                *("last_heard", "snr", "rssi"),
            }
            assert len(written) == len(shown)
            counted = {"packets_received"}
            registry = er.async_get(hass)
            for event in states:
                entity = registry.async_get(event.data["entity_id"])
                assert entity is not None
                key = entity.unique_id.removeprefix(f"{node_id(node)}_")
                assert entity.unique_id.startswith(prefix) or key in counted, entity.unique_id
            assert await hass.config_entries.async_remove(entry.entry_id)
            await hass.async_block_till_done()


async def test_states_survive_a_restart(hass: HomeAssistant, node: SimulatedNode) -> None:
    """They are there at once, marked by when they were heard, though the radio is away."""
    entry = make_entry(node, options=ALL)
    await set_up(hass, entry)
    peer = node.peer(0)
    await node.send_telemetry(peer.num, environment(temperature=21.5))
    await node.send_data(peer.num, DETECTION, b"Door detected")
    keys = {
        ("sensor", unique_id(node, peer, "environment_temperature")),
        ("sensor", unique_id(node, peer, "device_battery_level")),
        ("sensor", unique_id(node, peer, "last_heard")),
        ("binary_sensor", unique_id(node, peer, "online")),
        ("device_tracker", unique_id(node, peer, "position")),
    }
    detection = unique_id(node, peer, "detection")
    await wait_until(lambda: is_there(hass, "binary_sensor", detection))
    await hass.async_block_till_done()
    before = {key: state_of(hass, *key) for key in keys}
    node.refuse()
    node.drop()
    assert await hass.config_entries.async_unload(entry.entry_id)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert not coordinator_of(entry).is_available
    for key in keys:
        state = state_of(hass, *key)
        assert state.state == before[key].state
        assert state.state not in {STATE_UNKNOWN, STATE_UNAVAILABLE}
        assert state.attributes == before[key].attributes
    # It reports moments, and this one is over.
    assert state_of(hass, "binary_sensor", detection).state == STATE_OFF


async def test_online(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A node is online when it is heard; the radio counts how many are."""
    coordinator = await set_up(hass, make_entry(node, options=ALL))
    peer = node.peer(3)
    key = unique_id(node, peer, "online")
    assert state_of(hass, "binary_sensor", key).state == STATE_OFF
    assert state_of(hass, "sensor", f"{node_id(node)}_nodes_online").state == "0"
    await node.say(peer.num, "hello")
    await wait_until(lambda: state_of(hass, "binary_sensor", key).state == STATE_ON)
    assert state_of(hass, "sensor", f"{node_id(node)}_nodes_online").state == "1"
    coordinator.source.emit(NodeRemoved(f"!{peer.num:08x}"))
    await hass.async_block_till_done()
    assert state_of(hass, "binary_sensor", key).state == STATE_UNAVAILABLE
    assert state_of(hass, "sensor", f"{node_id(node)}_nodes_known").state == "11"


async def test_tracker(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Where a node is, how precisely that is told, and how it moves."""
    coordinator = await set_up(hass, make_entry(node, options=ALL))
    peer = node.peer(0)
    key = unique_id(node, peer, "position")
    position = mesh_pb2.Position(
        latitude_i=520_000_000,
        longitude_i=50_000_000,
        altitude=-3,
        precision_bits=16,
        ground_speed=36,
        ground_track=90_00000,
        sats_in_view=7,
        time=round(time.time()),
    )
    await node.send_position(peer.num, position)
    await wait_until(
        lambda: state_of(hass, "device_tracker", key).attributes.get("latitude") == 52.0
    )
    attributes = state_of(hass, "device_tracker", key).attributes
    assert attributes["longitude"] == 5.0
    assert attributes["gps_accuracy"] == pytest.approx(364.77, abs=0.1)
    assert attributes["altitude"] == -3
    assert attributes["speed"] == 10.0
    assert attributes["course"] == 90.0
    assert attributes["satellites"] == 7
    assert attributes["source_type"] == "gps"

    # What does not say where it is changes nothing, and is no event.
    states = async_capture_events(hass, "state_changed")
    known = coordinator.source.node(f"!{peer.num:08x}")
    assert known is not None
    coordinator.source.emit(NodeChanged(replace(known, position=None), is_new=False))
    await hass.async_block_till_done()
    tracker = state_of(hass, "device_tracker", key)
    assert tracker.attributes["latitude"] == 52.0
    assert tracker.entity_id not in {event.data["entity_id"] for event in states}


async def test_buttons(hass: HomeAssistant, node: SimulatedNode, all_enabled: None) -> None:
    """Each of them asks over the air, and what is answered shows."""
    await set_up(hass, make_entry(node, options=ALL))
    peer = next(peer for peer in node.mesh.peers.values() if peer.position and not peer.route)

    async def press(key: str) -> None:
        entity_id = state_of(hass, "button", key).entity_id
        await hass.services.async_call("button", "press", {"entity_id": entity_id}, blocking=True)

    position = unique_id(node, peer, "position")
    peer.position = mesh_pb2.Position(latitude_i=10_000_000, longitude_i=20_000_000)
    await press(unique_id(node, peer, "request_position"))
    assert state_of(hass, "device_tracker", position).attributes["latitude"] == 1.0
    await press(f"{node_id(node)}_send_advert")
    await wait_until(
        lambda: any(
            packet.decoded.portnum == portnums_pb2.PortNum.NODEINFO_APP for packet in node.packets()
        )
    )
    node.refuse()
    node.drop()
    traceroute = unique_id(node, peer, "traceroute")
    await wait_until(lambda: state_of(hass, "button", traceroute).state == STATE_UNAVAILABLE)
    assert not is_there(hass, "button", f"{node_id(node)}_{node_id(node)}_traceroute")


async def test_button_without_answer(
    hass: HomeAssistant, node: SimulatedNode, all_enabled: None
) -> None:
    """Who presses is told when nobody answers."""
    await set_up(hass, make_entry(node, options=ALL))
    peer = node.peer(0)
    peer.refuses = mesh_pb2.Routing.Error.NO_RESPONSE
    entity_id = state_of(hass, "button", unique_id(node, peer, "request_telemetry")).entity_id
    with pytest.raises(HomeAssistantError) as caught:
        await hass.services.async_call("button", "press", {"entity_id": entity_id}, blocking=True)
    assert caught.value.translation_domain == DOMAIN


async def test_detections(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A detection lasts a while, or until the node says that it is over."""
    coordinator = await set_up(hass, make_entry(node, options=ALL))
    peer, other = node.peer(0), node.peer(1)
    key = unique_id(node, peer, "detection")
    assert not is_there(hass, "binary_sensor", key)

    def state() -> str:
        return state_of(hass, "binary_sensor", key).state

    await node.send_data(peer.num, DETECTION, b"Door detected")
    await wait_until(lambda: is_there(hass, "binary_sensor", key))
    await hass.async_block_till_done()
    assert state() == STATE_ON
    await node.send_data(peer.num, DETECTION, b"Door state: 0")
    await wait_until(lambda: state() == STATE_OFF)
    await node.send_data(peer.num, DETECTION, b"Door state: 1")
    await wait_until(lambda: state() == STATE_ON)
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=61))
    await hass.async_block_till_done()
    assert state() == STATE_OFF
    await node.send_data(other.num, DETECTION, b"Gate detected")
    await wait_until(lambda: is_there(hass, "binary_sensor", unique_id(node, other, "detection")))
    await hass.async_block_till_done()
    assert state() == STATE_OFF
    # The node ceases to be a device, and becomes one again.
    entry = coordinator.entry
    for options in ({"nodes": {"mode": "gateway"}}, ALL):
        hass.config_entries.async_update_entry(entry, options=options)
        await hass.async_block_till_done()
        assert not is_there(hass, "binary_sensor", key)
    await node.send_data(peer.num, DETECTION, b"Door detected")
    await wait_until(lambda: is_there(hass, "binary_sensor", key))
    await hass.async_block_till_done()
    assert state() == STATE_ON


async def test_problems(hass: HomeAssistant, node: SimulatedNode) -> None:
    """What only the owner can put right is visible."""
    coordinator = await set_up(hass, make_entry(node))
    for problem in Problem:
        key = f"{node_id(node)}_{problem.value}"
        assert state_of(hass, "binary_sensor", key).state == STATE_OFF
        for is_active, state in ((True, STATE_ON), (False, STATE_OFF)):
            placeholders = {"expected": "!1", "found": "!2"}
            coordinator.source.emit(ProblemChanged(problem, is_active, placeholders))
            assert state_of(hass, "binary_sensor", key).state == state


async def test_deliveries(hass: HomeAssistant, node: SimulatedNode, all_enabled: None) -> None:
    """What became of messages is counted."""
    coordinator = await set_up(hass, make_entry(node))
    for state in (DeliveryState.SENT, DeliveryState.DELIVERED, DeliveryState.FAILED):
        coordinator.source.emit(DeliveryChanged(Delivery(message_id="1", state=state)))
    delivered = state_of(hass, "sensor", f"{node_id(node)}_messages_delivered")
    assert delivered.state == "1"
    assert delivered.attributes["sent"] == 1
    assert delivered.attributes["queued"] == 0
    assert state_of(hass, "sensor", f"{node_id(node)}_messages_failed").state == "1"
    refusals = state_of(hass, "sensor", f"{node_id(node)}_refusals")
    assert refusals.state == "0"


async def test_a_reading_without_a_time(
    hass: HomeAssistant, node: SimulatedNode, all_enabled: None
) -> None:
    """Who has no clock has no time of starting either."""
    coordinator = await set_up(hass, make_entry(node, options=ALL))
    peer = node.peer(0)
    known = coordinator.source.node(f"!{peer.num:08x}")
    assert known is not None
    telemetry = Telemetry(kind="device", values={"uptime_seconds": 5, "new": 1})
    changed = replace(known, telemetry={"device": telemetry}, role="emperor")
    coordinator.source.emit(NodeChanged(changed, is_new=False))
    state = state_of(hass, "sensor", unique_id(node, peer, "device_uptime_seconds"))
    assert state.state == STATE_UNKNOWN
    assert state.attributes["measured_at"] is None
    assert state_of(hass, "sensor", unique_id(node, peer, "role")).state == STATE_UNKNOWN


def test_every_reading_of_meshcore_is_shown() -> None:
    """On the node's own channel and on others; in the units of Meshtastic."""
    for channel in (1, 2):
        for kind, form in lpp.TYPES.items():
            blob = bytes([channel, kind]) + bytes([1] * form.size * len(form.fields))
            readings, _ = lpp_telemetry(blob, 1.0)
            for telemetry in readings.values():
                for name in telemetry.values:
                    description = reading_description(telemetry.kind, name)
                    assert description is not None, name
                    value = description.value_fn(telemetry, telemetry.values[name])
                    assert value is not None
                    placeholders = description.translation_placeholders
                    assert placeholders == (None if channel == 1 else {"channel": "2"})
    readings, _ = lpp_telemetry(bytes([1, 117, 0, 250, 1, 130, 0, 0, 1, 0]), 1.0)
    assert readings["environment"].values == {"current": 250, "distance": 256}
    assert reading_description("environment", "mystery_2") is None
    assert reading_description("mystery", "ch1_voltage") is None
