"""All entities of both protocols, as they are shown."""

from datetime import datetime
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.util import dt as dt_util
from meshtastic.protobuf import mesh_pb2, paxcount_pb2, portnums_pb2, telemetry_pb2
import pytest
from syrupy.assertion import SnapshotAssertion

from tests.ha import companion_id, make_companion_entry, make_entry, node_id, set_up, wait_until
from tests.simulators.meshcore_companion import SimulatedCompanion
from tests.simulators.meshtastic_node import SimulatedNode

pytestmark = pytest.mark.usefixtures("unload", "all_enabled")

ALL: Final = {"nodes": {"mode": "all", "expire_days": 0}}
MEASURED: Final = 1_790_000_000
COUNTED: Final = ("_packets_received", "_packets_sent", "_refusals", "_queue_length")
RECENT: Final = 1_795_010_000
"""What the simulated radios remember is older; what they hear now is newer."""


def plain(value: Any, ids: dict[str, str]) -> Any:
    """Return a value without what differs from one run to the next."""
    if isinstance(value, dict):
        return {key: plain(item, ids) for key, item in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [plain(item, ids) for item in value]
    if not isinstance(value, str):
        return value if value is None or isinstance(value, int | float) else str(value)
    moment = dt_util.parse_datetime(value)
    if isinstance(moment, datetime) and moment.tzinfo is not None:
        return "<recent>" if moment.timestamp() > RECENT else value
    return ids.get(value, value)


def shown(hass: HomeAssistant, entry_id: str) -> dict[str, Any]:
    """Return all that there is to see of the entities of an entry."""
    devices = dr.async_entries_for_config_entry(dr.async_get(hass), entry_id)
    ids = {device.id: f"<{device.name}>" for device in devices} | {entry_id: "<entry>"}
    found: dict[str, Any] = {}
    for entity in er.async_entries_for_config_entry(er.async_get(hass), entry_id):
        state = hass.states.get(entity.entity_id)
        if state is not None and entity.unique_id.endswith(COUNTED):
            # Told at most once a second: when exactly, differs.
            state = State(state.entity_id, "<count>")
        found[f"{entity.domain} {entity.unique_id}"] = {
            "entity_id": entity.entity_id,
            "device": ids.get(entity.device_id or ""),
            "name": entity.original_name,
            "category": None if entity.entity_category is None else entity.entity_category.value,
            "translation_key": entity.translation_key,
            "state": None if state is None else plain(state.state, ids),
            "attributes": None if state is None else plain(dict(state.attributes), ids),
        }
    return dict(sorted(found.items()))


def fill(message: Message) -> None:
    """Give every field of a message a value of its own."""
    for field in message.DESCRIPTOR.fields:
        if field.type == FieldDescriptor.TYPE_STRING:
            setattr(message, field.name, "all is well")
        elif field.type == FieldDescriptor.TYPE_FLOAT:
            number = field.number + 0.25
            if field.is_repeated:
                getattr(message, field.name).extend([number, number + 1])
            else:
                setattr(message, field.name, number)
        else:
            setattr(message, field.name, 40 + field.number)


async def measure_everything(node: SimulatedNode, num: int) -> None:
    """Let a peer send every reading that the published schema has."""
    for variant in telemetry_pb2.Telemetry.DESCRIPTOR.oneofs_by_name["variant"].fields:
        telemetry = telemetry_pb2.Telemetry(time=MEASURED)
        fill(getattr(telemetry, variant.name))
        await node.send_telemetry(num, telemetry)
    counted = paxcount_pb2.Paxcount()
    fill(counted)
    ports = portnums_pb2.PortNum
    await node.send_data(num, ports.PAXCOUNTER_APP, counted.SerializeToString())
    status = mesh_pb2.StatusMessage(status="Out for lunch")
    await node.send_data(num, ports.NODE_STATUS_APP, status.SerializeToString())
    await node.send_data(num, ports.DETECTION_SENSOR_APP, b"Door detected")


async def test_meshtastic(
    hass: HomeAssistant, node: SimulatedNode, snapshot: SnapshotAssertion
) -> None:
    """A node, its neighbours, and one of them that measures everything that can be measured."""
    entry = make_entry(node, options=ALL)
    await set_up(hass, entry)
    peer = node.peer(0)
    await measure_everything(node, peer.num)
    registry = er.async_get(hass)
    last = f"{node_id(node)}_!{peer.num:08x}_detection"
    await wait_until(lambda: registry.async_get_entity_id("binary_sensor", "meshmonitor", last))
    await hass.async_block_till_done()
    assert shown(hass, entry.entry_id) == snapshot


async def test_meshcore(
    hass: HomeAssistant, companion: SimulatedCompanion, snapshot: SnapshotAssertion
) -> None:
    """A companion, its contacts, and a repeater that was asked how it is."""
    entry = make_companion_entry(companion, options=ALL)
    coordinator = await set_up(hass, entry)
    for name in ("Ridge", "Weather"):
        peer = companion.mesh.peer(name).key.hex()
        await coordinator.source.login(peer, "password")
        await hass.services.async_call(
            "button",
            "press",
            {
                "entity_id": er.async_get(hass).async_get_entity_id(
                    "button",
                    "meshmonitor",
                    f"{companion_id(companion)}_{peer}_request_"
                    + ("status" if name == "Ridge" else "telemetry"),
                )
            },
            blocking=True,
        )
    await hass.async_block_till_done()
    assert shown(hass, entry.entry_id) == snapshot
