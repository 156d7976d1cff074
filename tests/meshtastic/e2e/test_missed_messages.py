"""A phone that was away finds what came meanwhile: in order, once, and as it was."""

import asyncio
import json
import socket

from meshtastic.protobuf import mesh_pb2
import pytest

from custom_components.meshmonitor.mesh.source import OutgoingText
from custom_components.meshmonitor.mesh.transport import TcpEndpoint
from custom_components.meshmonitor.meshtastic import virtual_node
from tests.clients.meshtastic_phone import MeshtasticPhone, frame
from tests.meshtastic.e2e.conftest import OpenStage
from tests.meshtastic.e2e.stage import PORT, Served, Stage

HERE = "127.0.0.21"
ELSEWHERE = "127.0.0.22"
FULL, CONFIG, NODES = 12345, 69420, 69421


async def _visit(stage: Served, local_host: str = HERE) -> MeshtasticPhone:
    """Do a handshake, wait for what follows it, and leave."""
    phone = await stage.phone(local_host=local_host)
    await phone.barrier()
    await _leave(stage, phone)
    return phone


async def _leave(stage: Served, phone: MeshtasticPhone) -> None:
    before = stage.client_count
    await phone.close()
    if phone in stage.live:
        stage.live.remove(phone)
    await stage.until(lambda: stage.client_count < before)


@pytest.mark.parametrize("nonces", [(FULL,), (CONFIG, NODES), (NODES,)])
async def test_messages_wait_for_one_that_was_here_before(
    stage: Stage, nonces: tuple[int, ...]
) -> None:
    """Messages wait for one that was here before, behind the end of its handshake."""
    watcher = await stage.phone(local_host=ELSEWHERE)
    await _visit(stage)
    peer = stage.node.peer(0).num
    ids = [await stage.node.say(peer, f"text {number}") for number in range(3)]
    ids.append(await stage.node.say(peer, "👍", reply_id=ids[0], reaction=True))
    ids.append(await stage.node.send_data(peer, PORT.ALERT_APP, b"alert"))
    await stage.node.send_data(peer, PORT.POSITION_APP, b"\x0d\x01\x00\x00\x00")
    await stage.settle()
    back = await stage.connect(local_host=HERE)
    for nonce in nonces:
        assert [p for p in back.packets() if p.id in ids] == []
        complete = (await back.want_config(nonce))[-1]
    await back.barrier()
    missed = [p for p in back.payloads if mesh_pb2.FromRadio.FromString(p).packet.id in ids]
    live = [p for p in watcher.payloads if mesh_pb2.FromRadio.FromString(p).packet.id in ids]
    assert missed == live
    assert [mesh_pb2.FromRadio.FromString(payload).packet.id for payload in missed] == ids
    assert back.payloads.index(missed[0]) > back.payloads.index(complete)
    assert (await _visit(stage)).texts() == []


async def test_one_that_was_never_here_gets_nothing_old(stage: Stage) -> None:
    """One that was never here gets nothing old, and none of its own messages."""
    phone = await stage.phone(local_host=HERE)
    packet_id = phone.send_text("mine")
    await phone.outcome(packet_id)
    await stage.source.send_text(OutgoingText(text="from home"))
    await phone.wait_for(lambda: phone.texts() == ["from home"])
    new = await stage.phone(local_host=ELSEWHERE)
    await new.barrier()
    assert new.texts() == []
    await _leave(stage, phone)
    assert (await _visit(stage)).texts() == []


async def test_what_others_sent_waits_too(stage: Stage) -> None:
    """What others and Home Assistant sent waits too, and nobody finds its own."""
    await _visit(stage)
    sender = await stage.phone(local_host=ELSEWHERE)
    await sender.outcome(sender.send_text("from a phone"))
    await stage.source.send_text(OutgoingText(text="from home"))
    await sender.wait_for(lambda: sender.texts() == ["from home"])
    await _leave(stage, sender)
    assert (await _visit(stage)).texts() == ["from a phone", "from home"]
    assert (await _visit(stage, ELSEWHERE)).texts() == []


async def test_nothing_is_missed_before_a_second_half_that_never_comes(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that asks for no nodes gets what comes, and leaves what was missed for another."""
    monkeypatch.setattr(virtual_node, "NODES_TIMEOUT", -1.0)
    await _visit(stage)
    await stage.node.say(stage.node.peer(0).num, "missed")
    await stage.settle()
    script = await stage.phone(nonce=CONFIG, local_host=HERE)
    await stage.node.say(stage.node.peer(0).num, "new")
    await stage.settle()
    assert script.texts() == []
    (client,) = stage.source.virtual_node.clients.values()
    client.tick(1e9, None)
    await script.barrier()
    assert script.texts() == ["new"]
    await _leave(stage, script)
    assert (await _visit(stage)).texts() == ["missed", "new"]


@pytest.mark.parametrize("ending", ["close", "reset", "disconnect", "stop"])
async def test_no_ending_costs_a_message_or_doubles_one(stage: Stage, ending: str) -> None:
    """However a connection ends, no message is lost and none comes twice."""
    peer = stage.node.peer(0).num
    phone = await stage.phone(local_host=HERE)
    await stage.node.say(peer, "there")
    await phone.wait_for(lambda: phone.texts() == ["there"])
    match ending:
        case "close":
            await phone.close()
        case "reset":
            phone.reset()
        case "disconnect":
            phone.send(mesh_pb2.ToRadio(disconnect=True))
        case "stop":
            await stage.source.apply_virtual_node(stage.options(enabled=False))
            await stage.source.apply_virtual_node(stage.options())
    await stage.until(lambda: stage.client_count == 0)
    stage.live.clear()
    await stage.node.say(peer, "away")
    await stage.until(lambda: stage.source.counters["packets_received"] >= 2)
    assert (await _visit(stage)).texts() == ["away"]


async def test_what_was_sent_to_a_phone_that_has_gone_is_not_lost(stage: Stage) -> None:
    """What was sent to a phone that has left the network unnoticed goes to its next connection."""
    gone = socket.socket()
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    gone.bind((HERE, 0))
    gone.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(gone, ("127.0.0.1", stage.port))
    handshake = frame(mesh_pb2.ToRadio(want_config_id=FULL).SerializeToString())
    await loop.sock_sendall(gone, handshake * 40)
    await stage.until(lambda: stage.client_count == 1)
    (client,) = stage.source.virtual_node.clients.values()
    # It reads nothing, so its system takes no more: as with a phone that is out of reach.
    await stage.until(lambda: client.position - client.acknowledged > 16_000)
    peer = stage.node.peer(0).num
    for number in range(3):
        await stage.node.say(peer, f"lost {number}")
    await stage.until(lambda: stage.source.counters["packets_received"] >= 3)
    back = await stage.phone(local_host=HERE)
    await back.barrier()
    assert back.texts() == ["lost 0", "lost 1", "lost 2"]
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    gone.close()
    await stage.until(lambda: stage.client_count == 1)
    await _leave(stage, back)
    assert (await _visit(stage)).texts() == []


async def test_it_survives_a_restart_of_home_assistant(open_stage: OpenStage) -> None:
    """It survives a restart of Home Assistant."""
    stage = await open_stage()
    peer = stage.node.peer(0).num
    await _visit(stage)
    stays = await stage.phone(local_host=ELSEWHERE)
    await stage.node.say(peer, "before")
    await stays.wait_for(stays.texts)
    snapshot = json.loads(json.dumps(stage.source.snapshot()))
    await stage.stop()
    stage.live.clear()
    again = Served(TcpEndpoint(stage.node.host, stage.node.port))
    again.source.restore(snapshot)
    await again.start()
    try:
        await stage.node.say(peer, "after")
        await again.until(lambda: again.source.counters["packets_received"] >= 1)
        assert (await _visit(again)).texts() == ["before", "after"]
        assert (await _visit(again, ELSEWHERE)).texts() == ["after"]
    finally:
        await again.stop()


async def test_it_can_be_turned_off(open_stage: OpenStage) -> None:
    """It can be turned off, at once and for good."""
    stage = await open_stage()
    peer = stage.node.peer(0).num
    await _visit(stage)
    await stage.node.say(peer, "kept")
    await stage.settle()
    await stage.source.apply_virtual_node(stage.options(keep_missed_messages=False))
    early = await stage.connect(local_host=ELSEWHERE)
    await early.barrier()
    await stage.node.say(peer, "not kept")
    await stage.settle()
    assert stage.source.snapshot()["messages"]["entries"] == []
    await early.want_config(FULL)
    await early.wait_for(lambda: early.texts() == ["not kept"])
    assert (await _visit(stage)).texts() == []


async def test_another_radio_leaves_nothing_of_the_first(open_stage: OpenStage) -> None:
    """What was said in the mesh of one radio is not told as said in that of another."""
    stage = await open_stage()
    await _visit(stage)
    await stage.node.say(stage.node.peer(0).num, "of the first")
    await stage.settle()
    stage.node.become(0x12345678)
    await stage.node.reboot()
    await stage.until_ready(sessions=2)
    assert (await _visit(stage)).texts() == []
