"""Every administrative command, in every disguise: what reaches the radio is what the table allows.

The clients have no privilege. What counts is what the simulated radio received, read with the
published schema's own classes.
"""

import asyncio
import base64

from google.protobuf.descriptor import FieldDescriptor
from meshtastic.protobuf import admin_pb2, mesh_pb2
import pytest

from tests.clients.meshtastic_phone import MeshtasticPhone
from tests.meshtastic.e2e.conftest import OpenStage
from tests.meshtastic.e2e.stage import PORT, Stage
from tests.security.disguises import DISGUISES, Disguise
from tests.simulators.meshtastic_state import DISPLAY_PIN, FIXED_PIN, MQTT_PASSWORD, WIFI_PSK

ADMIN = admin_pb2.AdminMessage
VARIANTS = [field for field in ADMIN.DESCRIPTOR.fields if field.containing_oneof is not None]
HARMLESS = {"heartbeat", "want_config_id", "packet", "disconnect", None}
MQTT = "mqttClientProxyMessage"
"""What one client may carry for the radio, which executes no command that comes this way."""


def command(field: FieldDescriptor) -> bytes:
    """Return an ordinary message of a variant."""
    message = ADMIN()
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        getattr(message, field.name).SetInParent()
    elif field.type == FieldDescriptor.TYPE_STRING:
        setattr(message, field.name, "/prefs/config.proto")
    else:
        setattr(message, field.name, 1)
    return message.SerializeToString()


async def _drained(stage: Stage, phone: MeshtasticPhone) -> None:
    """Wait until all that was sent has been judged, and what may go on has gone on."""
    await phone.barrier()
    await stage.until(lambda: not stage.source.counters["queue_length"], timeout=60)
    packet_id = phone.send_text("the end")
    await phone.wait_for(lambda: phone.queue_statuses(packet_id))
    await stage.until(lambda: "the end" in stage.node.texts(), timeout=60)


def _check_radio(stage: Stage) -> None:
    """See that the radio got nothing but questions, and from its own client."""
    for received in stage.node.received:
        message = mesh_pb2.ToRadio()
        message.ParseFromString(received.payload)
        assert message.WhichOneof("payload_variant") in HARMLESS | {MQTT}
        assert (
            message.SerializeToString()
            == mesh_pb2.ToRadio.FromString(received.payload).SerializeToString()
        )
        packet = message.packet
        assert not packet.HasField("encrypted")
        assert getattr(packet, "from") in {0, stage.own}
        assert packet.decoded.portnum != PORT.SIMULATOR_APP
        if packet.decoded.portnum == PORT.ADMIN_APP:
            name = ADMIN.FromString(packet.decoded.payload).WhichOneof("payload_variant") or ""
            assert name.startswith("get_"), name
            assert name.endswith("_request"), name
            assert packet.to == stage.own
    for executed in stage.node.admin_messages():
        assert (executed.WhichOneof("payload_variant") or "").startswith("get_")
    assert stage.node.restarts == []


@pytest.mark.parametrize("disguise", DISGUISES.values(), ids=DISGUISES)
async def test_no_disguise_gets_a_command_to_the_radio(stage: Stage, disguise: Disguise) -> None:
    """No disguise gets a command to the radio."""
    state = [c.SerializeToString() for c in stage.node.state.configs.values()]
    names = stage.node.state.user.SerializeToString()
    phone = await stage.phone()
    for field in VARIANTS:
        phone.write(disguise(command(field), stage.own))
    await _drained(stage, phone)
    _check_radio(stage)
    assert [c.SerializeToString() for c in stage.node.state.configs.values()] == state
    assert stage.node.state.user.SerializeToString() == names


@pytest.mark.parametrize("size", [1, 3, 7])
async def test_fragments_change_nothing(stage: Stage, size: int) -> None:
    """Commands in fragments, each in a segment of its own, are judged as whole ones."""
    phone = await stage.phone()
    stream = b"".join(DISGUISES["to the node"](command(field), stage.own) for field in VARIANTS)
    for start in range(0, len(stream), size):
        phone.write(stream[start : start + size])
        await asyncio.sleep(0)
    await _drained(stage, phone)
    _check_radio(stage)


async def test_all_at_once_from_several_clients(stage: Stage) -> None:
    """Everything at once from several clients is judged as one by one."""
    phones = [await stage.phone() for _ in range(3)]
    for disguise in DISGUISES.values():
        for field in VARIANTS[::3]:
            for phone in phones:
                phone.write(disguise(command(field), stage.own))
        await asyncio.sleep(0)
    for phone in phones:
        phone.write(bytes(600))
    await _drained(stage, phones[0])
    _check_radio(stage)


async def test_rights_are_those_of_the_moment(open_stage: OpenStage) -> None:
    """A right that is withdrawn is gone for those who are there, with the very next command."""
    stage = await open_stage(allow_admin_commands=True)
    phone = await stage.phone()
    rename = ADMIN(set_owner=mesh_pb2.User(long_name="Allowed", short_name="ALLW"))
    await phone.outcome(phone.send_admin(rename, stage.own))
    await stage.source.apply_virtual_node(stage.options(allow_admin_commands=False))
    rename.set_owner.long_name = "Not allowed"
    assert 33 in await phone.outcome(phone.send_admin(rename, stage.own))
    await _drained(stage, phone)
    assert stage.node.state.user.long_name == "Allowed"


@pytest.mark.parametrize("networks", [["10.0.0.0/8"], ["127.0.0.9"]])
async def test_this_host_has_no_privilege(open_stage: OpenStage, networks: list[str]) -> None:
    """An administrator is who is in an administrator's network: this very host as any other."""
    stage = await open_stage(allow_admin_commands=True, admin_networks=networks)
    phone = await stage.phone()
    rename = ADMIN(set_owner=mesh_pb2.User(long_name="Not allowed"))
    assert 33 in await phone.outcome(phone.send_admin(rename, stage.own))
    _check_radio(stage)


async def test_no_secret_leaves_by_any_path(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """No secret leaves by any path: dumps, answers, logs, storage, events, counters."""
    caplog.set_level("DEBUG")
    phone = await stage.phone()
    for nonce in (0, 1, 69420, 69421):
        await phone.want_config(nonce)
    for disguise in DISGUISES.values():
        for number in range(12):
            for query in (
                ADMIN(get_config_request=number),  # type: ignore[arg-type]
                ADMIN(get_module_config_request=number),  # type: ignore[arg-type]
                ADMIN(get_channel_request=number),
                ADMIN(get_owner_request=True),
            ):
                phone.write(disguise(query.SerializeToString(), stage.own))
        phone.write(bytes(600))
    await _drained(stage, phone)
    key = stage.node.state.private_key
    everything = b"".join(phone.payloads)
    stored = repr(stage.source.snapshot())
    told = repr(stage.events) + repr(stage.source.counters) + repr(stage.source.virtual_node.status)
    for secret in (key, WIFI_PSK.encode(), MQTT_PASSWORD.encode()):
        assert secret not in everything
    for text in (key.hex(), WIFI_PSK, MQTT_PASSWORD, str(FIXED_PIN), str(DISPLAY_PIN)):
        assert text not in told
        assert text not in caplog.text
    assert base64.b64encode(key).decode() not in stored
    assert key.hex() not in stored
    for frame in stage.source.snapshot()["mirror"]["frames"]:
        assert key not in base64.b64decode(frame)
