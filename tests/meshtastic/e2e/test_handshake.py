"""The configuration handshake as a client sees it."""

import asyncio

from meshtastic.protobuf import mesh_pb2
import pytest

from tests.clients.meshtastic_phone import MeshtasticPhone, frame
from tests.meshtastic.e2e.conftest import OpenStage
from tests.meshtastic.e2e.stage import PORT, Stage
from tests.simulators.meshtastic_client import RawClient
from tests.simulators.meshtastic_config import Flavour, NodeConfig
from tests.simulators.meshtastic_faults import OnConnect

ONLY_CONFIG = 69420
ONLY_NODES = 69421
HOLD_TIMEOUT = "custom_components.meshmonitor.meshtastic.virtual_node.HOLD_TIMEOUT"


def _kinds(payloads: list[bytes]) -> list[str | None]:
    return [mesh_pb2.FromRadio.FromString(p).WhichOneof("payload_variant") for p in payloads]


def _without_clock(payloads: list[bytes]) -> list[bytes]:
    """Return a dump without the times that the radio fills in at each request."""
    made = []
    for payload in payloads:
        message = mesh_pb2.FromRadio.FromString(payload)
        if message.node_info.is_favorite:
            message.node_info.ClearField("last_heard")
            message.node_info.position.ClearField("time")
            made.append(message.SerializeToString())
        else:
            made.append(payload)
    return made


async def test_a_phone_that_says_nothing_hears_nothing(stage: Stage) -> None:
    """A phone that says nothing hears nothing."""
    phone = await stage.connect()
    talking = await stage.phone()
    await stage.node.say(stage.node.peer(0).num, "hello")
    await talking.wait_for(talking.texts)
    assert phone.payloads == []


@pytest.mark.parametrize("flavour", ["2.7", "2.8"])
async def test_every_nonce_is_answered_as_the_radio_answers_it(
    open_stage: OpenStage, flavour: Flavour
) -> None:
    """Byte for byte, but for the times that the radio fills in at each request."""
    stage = await open_stage(NodeConfig(flavour=flavour, nodes=30), hide_secrets=False)
    nonces = (ONLY_CONFIG, ONLY_NODES, 0, 1, 77, 0xFFFFFFFF)
    through = [await (await stage.connect()).want_config(nonce) for nonce in nonces]
    assert len(stage.node.want_configs) == 1
    await stage.source.stop()
    async with await RawClient.connect(stage.node.host, stage.node.port) as client:
        for nonce, dump in zip(nonces, through, strict=True):
            assert _without_clock(dump) == _without_clock(await client.want_config(nonce))
            assert len(dump) > 25


async def test_a_second_request_is_answered_behind_the_first_one(stage: Stage) -> None:
    """A second request is answered behind the first one."""
    phone = await stage.connect()
    asked = (ONLY_CONFIG, ONLY_NODES, 5, 5, 0)
    phone.write(
        b"".join(
            frame(mesh_pb2.ToRadio(want_config_id=nonce).SerializeToString()) for nonce in asked
        )
    )
    await phone.wait_for(lambda: _kinds(phone.payloads).count("config_complete_id") == len(asked))
    dumps: list[list[bytes]] = [[]]
    for payload in phone.payloads:
        dumps[-1].append(payload)
        if _kinds([payload]) == ["config_complete_id"]:
            dumps.append([])
    assert dumps.pop() == []
    lone = await stage.connect()
    for nonce, dump in zip(asked, dumps, strict=True):
        assert dump == await lone.want_config(nonce)
    assert len(stage.node.want_configs) == 1


async def test_what_comes_before_the_handshake_is_delivered_behind_it(stage: Stage) -> None:
    """What comes before the handshake is delivered behind it."""
    early = await stage.connect()
    live = await stage.phone()
    await stage.node.say(stage.node.peer(0).num, "early")
    await live.wait_for(live.texts)
    dump = await early.want_config(ONLY_CONFIG)
    await early.wait_for(early.texts)
    assert "packet" not in _kinds(dump)
    assert early.texts() == ["early"]


async def test_only_so_many_early_frames_are_kept_and_texts_longest(stage: Stage) -> None:
    """Only so many early frames are kept and texts longest."""
    early = await stage.connect()
    live = await stage.phone()
    await stage.node.say(stage.node.peer(0).num, "keep me")
    for _ in range(80):
        await stage.node.send_own_telemetry()
    await stage.settle()
    await live.wait_for(lambda: len(live.packets(PORT.TELEMETRY_APP)) == 80)
    await early.want_config()
    await early.barrier()
    assert early.texts() == ["keep me"]
    assert 0 < len(early.packets(PORT.TELEMETRY_APP)) < 64


async def test_routine_takes_no_place_of_what_is_worth_more(stage: Stage) -> None:
    """Routine takes no place of what is worth more."""
    early = await stage.connect()
    await stage.phone()
    peer = stage.node.peer(0).num
    for number in range(64):
        await stage.node.send_data(peer, PORT.WAYPOINT_APP, b"\x08" + bytes([number + 1]))
    await stage.node.send_own_telemetry()
    await stage.settle()
    await early.want_config()
    await early.barrier()
    assert len(early.packets(PORT.WAYPOINT_APP)) == 64
    assert early.packets(PORT.TELEMETRY_APP) == []


async def test_a_request_without_a_snapshot_is_answered_when_there_is_one(
    open_stage: OpenStage,
) -> None:
    """A request without a snapshot is answered when there is one."""
    stage = await open_stage(started=False)
    stage.node.faults.on_connect = OnConnect.BLACK_HOLE
    await stage.source.start()
    await stage.until(lambda: stage.node.connected)
    phone = await stage.connect()
    phone.heartbeat(3)
    phone.send(mesh_pb2.ToRadio(want_config_id=ONLY_CONFIG))
    await phone.barrier()
    assert set(_kinds(phone.payloads)) == {"queueStatus"}
    stage.node.faults.on_connect = OnConnect.SERVE
    stage.node.drop()
    await phone.wait_for(lambda: "config_complete_id" in _kinds(phone.payloads))
    assert _kinds(phone.payloads).count("my_info") == 1


async def test_a_request_that_cannot_be_answered_in_time_ends_the_connection(
    open_stage: OpenStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that cannot be answered in time ends the connection."""
    monkeypatch.setattr(HOLD_TIMEOUT, 0.2)
    stage = await open_stage(started=False)
    stage.node.faults.on_connect = OnConnect.BLACK_HOLE
    await stage.source.start()
    phone, patient = await stage.connect(), await stage.connect()
    phone.send(mesh_pb2.ToRadio(want_config_id=1))
    await phone.wait_closed()
    assert phone.payloads == []
    await patient.barrier()
    assert not patient.closed


async def test_the_last_snapshot_is_served_while_the_radio_is_away(stage: Stage) -> None:
    """The last snapshot is served while the radio is away."""
    stage.node.refuse()
    stage.node.drop()
    await stage.until(lambda: not stage.source.link.is_ready)
    phone = await stage.connect()
    dump = await phone.want_config(ONLY_CONFIG)
    assert _kinds(dump)[0] == "my_info"
    phone.heartbeat(1)
    await phone.barrier()


async def test_heartbeats_are_answered_here_and_go_no_further(stage: Stage) -> None:
    """With nonce 1 the radio would announce itself over the air."""
    phone = await stage.connect()
    for number, nonce in enumerate((0, 1, 2, 7), start=1):
        phone.heartbeat(nonce)
        await phone.wait_for(lambda number=number: len(phone.queue_statuses()) == number)  # type: ignore[misc]
    await stage.phone()
    await stage.settle()
    for status in phone.queue_statuses():
        assert (status.mesh_packet_id, status.res, status.maxlen) == (0, 0, 16)
        assert status.free > 0
    assert stage.node.heartbeats == [0]
    assert stage.node.tally["nodeinfo_pings"] == 0


async def test_disconnect_ends_that_client_only(stage: Stage) -> None:
    """Disconnect ends that client only."""
    leaving, staying = await stage.phone(), await stage.phone()
    leaving.send(mesh_pb2.ToRadio(disconnect=True))
    await leaving.wait_closed()
    await stage.settle()
    assert not staying.closed
    assert stage.node.tally["disconnects"] == 0
    assert stage.node.connected
    await stage.until(lambda: stage.client_count == 1)


async def test_two_connections_of_one_phone_live_side_by_side(stage: Stage) -> None:
    """Two connections of one phone live side by side."""
    first, second = await stage.phone(nonce=ONLY_CONFIG), await stage.phone(nonce=ONLY_CONFIG)
    await stage.node.say(stage.node.peer(0).num, "both")
    await first.wait_for(first.texts)
    await second.wait_for(second.texts)
    assert first.texts() == second.texts() == ["both"]


async def test_a_storm_of_reconnects_leaves_nothing_behind(stage: Stage) -> None:
    """A storm of reconnects leaves nothing behind."""

    async def come_and_go(number: int) -> None:
        phone = MeshtasticPhone(stage.port)
        await phone.connect()
        if number % 3:
            await phone.want_config(number)
        if number % 2:
            phone.reset()
        await phone.close()

    for _ in range(5):
        await asyncio.gather(*(come_and_go(number) for number in range(12)))
    await stage.until(lambda: stage.client_count == 0)
    assert stage.node.want_configs == stage.node.want_configs[:1]
    phone = await stage.phone()
    assert not phone.closed
