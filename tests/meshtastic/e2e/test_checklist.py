"""The ten things that a shared Meshtastic node has to get right, one after the other.

Each is shown in more detail in the files beside this one; here they stand together.
"""

import asyncio
import itertools
import socket
import time

from meshtastic.protobuf import admin_pb2, mesh_pb2
import pytest

from custom_components.meshmonitor.meshtastic import pacing, wire
from tests.clients.meshtastic_phone import BROADCAST, MeshtasticPhone, frame
from tests.meshtastic.e2e.conftest import OpenStage
from tests.meshtastic.e2e.stage import PORT, Stage
from tests.simulators import meshtastic_phone_api
from tests.simulators.meshtastic_config import NodeConfig
from tests.simulators.meshtastic_faults import Cut

ADMIN = admin_pb2.AdminMessage
NOT_AUTHORIZED = 33
BURST = 100
"""Texts that the radio says at once."""
MOST_UNREAD = 32 << 20
"""Bytes that a system and the virtual node may hold for a client that does not read."""


def _want(nonce: int) -> bytes:
    return frame(mesh_pb2.ToRadio(want_config_id=nonce).SerializeToString())


def _completes(phone: MeshtasticPhone) -> list[int]:
    return [m.config_complete_id for m in phone.messages() if m.HasField("config_complete_id")]


async def test_1_framing(stage: Stage) -> None:
    """Wake-up bytes, garbage and split markers: the frame behind them is found."""
    for before in (
        [b"\x94" * 4],
        [b"\xc3" * 32],
        [b"garbage \x94", b"\xc3\x00\x00"],
        [b"\x94\xc3\x02\x01"],
        [b"\x94\xc3\x00\x00"],
        [bytes(range(256)) * 20],
    ):
        phone = await stage.connect()
        request = _want(9)
        for piece in (*before, request[:1], request[1:]):
            phone.write(piece)
            await asyncio.sleep(0.01)
        await phone.wait_for(lambda phone=phone: _completes(phone) == [9])  # type: ignore[misc]


async def test_2_nonces(stage: Stage) -> None:
    """Every nonce, repeated and overlapping: one answer behind the other, never interleaved."""
    phone = await stage.connect()
    nonces = [69420, 69421, 69421, 123456, 0, 69420]
    phone.write(b"".join(map(_want, nonces)))
    await phone.wait_for(lambda: len(_completes(phone)) == len(nonces))
    assert _completes(phone) == nonces
    dump: list[mesh_pb2.FromRadio] = []
    sizes = []
    for message in phone.messages():
        dump.append(message)
        if message.HasField("config_complete_id"):
            infos = sum(m.HasField("my_info") for m in dump)
            assert infos == (0 if message.config_complete_id == 69421 else 1)
            sizes.append(len(dump))
            dump = []
    assert sizes[0] == sizes[5]
    assert sizes[1] == sizes[2]
    assert sizes[3] == sizes[4] == sizes[0] + sizes[1] - 2
    assert len(stage.node.want_configs) == 1


async def test_3_connections(stage: Stage) -> None:
    """Two of one phone, a storm of them, one that does not read, one that is half closed."""
    first, second = await stage.phone(), await stage.phone()
    for number in range(20):
        visitor = MeshtasticPhone(stage.port)
        await visitor.connect()
        visitor.send(mesh_pb2.ToRadio(want_config_id=number))
        visitor.reset()
        await visitor.close()
    # One that does its handshake and never reads a byte.
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(stuck, ("127.0.0.1", stage.port))
    await loop.sock_sendall(stuck, _want(3))
    # One that says that it will send no more, behind its request.
    half = MeshtasticPhone(stage.port)
    await half.connect()
    half.write(_want(4))
    half.write_eof()
    await half.wait_for(lambda: _completes(half) == [4])
    await half.wait_closed()
    await half.close()

    await stage.until(lambda: stage.client_count == 3)
    text = mesh_pb2.MeshPacket(to=BROADCAST, id=1)
    setattr(text, "from", stage.node.peer(0).num)
    text.decoded.portnum = PORT.TEXT_MESSAGE_APP
    text.decoded.payload = bytes(233)
    text.public_key = bytes(220)
    burst = frame(mesh_pb2.FromRadio(packet=text).SerializeToString()) * BURST
    sent = 0
    while stage.client_count == 3:
        assert sent < MOST_UNREAD
        expected = len(first.payloads) + BURST
        await stage.node.send_junk(burst)
        sent += len(burst)
        await first.wait_for(lambda expected=expected: len(first.payloads) == expected)  # type: ignore[misc]
    stuck.close()
    assert stage.client_count == 2
    await second.wait_for(lambda: len(second.payloads) == len(first.payloads))
    assert second.payloads == first.payloads
    assert (first.closed, second.closed) == (False, False)
    assert stage.source.link.sessions == 1


async def test_4_heartbeats(stage: Stage) -> None:
    """Each is answered with a QueueStatus, and none reaches the radio."""
    phone = await stage.phone()
    for nonce in (0, 1, 7):
        phone.heartbeat(nonce)
    await phone.wait_for(lambda: len(phone.queue_statuses(0)) == 3)
    await stage.settle()
    assert stage.node.heartbeats == [0]
    assert stage.node.tally["nodeinfo_pings"] == 0


async def test_5_a_text(stage: Stage) -> None:
    """Reported to its sender, shown to the others, acknowledged to all; twice is once; id 0."""
    a, b, c = [await stage.phone() for _ in range(3)]
    packet_id = a.send_text("hello")
    a.send_text("hello", packet_id=packet_id)
    for phone in (a, b, c):
        assert await phone.outcome(packet_id) == [0]
    a.send_text("no id", packet_id=0)
    for phone in (b, c):
        await phone.wait_for(lambda phone=phone: len(phone.texts()) == 2)  # type: ignore[misc]
    given = b.packets(PORT.TEXT_MESSAGE_APP)[1].id
    await a.outcome(given)
    await stage.settle()
    assert given
    assert [s.mesh_packet_id for s in a.queue_statuses()] == [packet_id, packet_id, given]
    for phone in (b, c):
        assert phone.texts() == ["hello", "no id"]
        assert phone.queue_statuses() == []
    assert a.texts() == []
    assert stage.node.texts() == ["hello", "no id"]


async def test_6_pacing(open_stage: OpenStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three texts in a second, and two traceroutes: nothing is refused, nothing lost."""
    windows = {PORT.TEXT_MESSAGE_APP: 0.4, PORT.TRACEROUTE_APP: 0.6}
    for module in (pacing, meshtastic_phone_api):
        monkeypatch.setattr(module, "WINDOWS", windows)
    stage = await open_stage()
    phones = [await stage.phone() for _ in range(3)]
    ids = [phone.send_text(f"{number}") for number, phone in enumerate(phones)]
    routes = [
        phone.send_data(PORT.TRACEROUTE_APP, b"", to=stage.node.peer(0).num, want_response=True)
        for phone in phones[:2]
    ]
    for phone, packet_id in zip(phones, ids, strict=True):
        assert await phone.outcome(packet_id) == [0]
    for packet_id in routes:
        await phones[2].wait_for(lambda packet_id=packet_id: phones[2].responses(packet_id))  # type: ignore[misc]
    for portnum, window in windows.items():
        times = [r.at for r in stage.node.received if r.message.packet.decoded.portnum == portnum]
        assert min(b - a for a, b in itertools.pairwise(times)) >= window
    assert not any(key.startswith("rate_limited") for key in stage.node.tally)


async def test_7_administration(stage: Stage) -> None:
    """Questions are answered with the radio away, changes refused, files and unknowns as well."""
    phone = await stage.phone()
    stage.node.refuse()
    stage.node.drop()
    for question in (
        ADMIN(get_owner_request=True),
        ADMIN(get_config_request=ADMIN.ConfigType.LORA_CONFIG),
        ADMIN(get_channel_request=1),
    ):
        assert isinstance(await phone.ask_admin(question, stage.own), ADMIN)
    order = ADMIN(set_owner=mesh_pb2.User(long_name="x"))
    assert await phone.ask_admin(order, stage.own) == NOT_AUTHORIZED
    assert await phone.ask_admin(ADMIN(set_time_only=1), stage.own) == 0
    unknown = phone.send_data(PORT.ADMIN_APP, wire.varint_field(250, 1), to=stage.own)
    assert await phone.outcome(unknown) == [NOT_AUTHORIZED]
    step = mesh_pb2.ToRadio()
    step.xmodemPacket.seq = 1
    phone.send(step)
    await phone.barrier()
    assert stage.source.counters["refused_file_transfer"] == 1


async def test_8_losses(open_stage: OpenStage) -> None:
    """Broken off amid a dump, lost amid a replay, and another radio in its place."""
    stage = await open_stage(started=False)
    stage.node.faults.cut = Cut(after_frames=15)
    await stage.source.start()
    held = await stage.connect()
    dump = await held.want_config(1)
    assert len(dump) > 40
    replaying = await stage.connect()
    replaying.write(_want(2))
    stage.node.drop()
    await replaying.wait_for(lambda: _completes(replaying) == [2])
    assert replaying.payloads[:-1] == dump[:-1]
    await stage.until_ready(sessions=2)
    stage.node.become(0x7777)
    await stage.node.reboot()
    await held.wait_closed()
    await replaying.wait_closed()
    await stage.until_ready(sessions=3)
    fresh = await stage.phone()
    assert [m.my_info.my_node_num for m in fresh.messages() if m.HasField("my_info")] == [0x7777]


@pytest.mark.parametrize("number", [19, 30])
async def test_9_lossless(stage: Stage, number: int) -> None:
    """What no schema knows, and a zero that is said, arrive as they came."""
    phone = await stage.phone()
    unknown = wire.bytes_field(number, b"\x08\x01")
    data = wire.varint_field(1, 1) + wire.bytes_field(2, b"zero")
    packet = wire.fixed32_field(1, stage.node.peer(0).num) + wire.fixed32_field(2, BROADCAST)
    packet += wire.bytes_field(4, data) + wire.fixed32_field(6, 3) + wire.varint_field(12, 0)
    zero = wire.bytes_field(2, packet)
    await stage.node.send_raw(unknown)
    await stage.node.send_raw(zero)
    await stage.settle()
    assert unknown in phone.payloads
    assert zero in phone.payloads


async def test_10_ten_clients_and_250_nodes(open_stage: OpenStage) -> None:
    """All are served, while what the radio says goes on."""
    stage = await open_stage(NodeConfig(nodes=250))
    phones = [await stage.connect() for _ in range(10)]
    started = time.monotonic()
    dumps = await asyncio.gather(*(phone.want_config(7, 30) for phone in phones))
    assert all(dump == dumps[0] for dump in dumps)
    nodes = [m for m in map(mesh_pb2.FromRadio.FromString, dumps[0]) if m.HasField("node_info")]
    assert len(nodes) == 250
    await stage.node.say(stage.node.peer(0).num, "meanwhile")
    for phone in phones:
        await phone.wait_for(lambda phone=phone: phone.texts() == ["meanwhile"])  # type: ignore[misc]
    # Far more than it takes: how fast it is, is measured elsewhere.
    assert time.monotonic() - started < 30
    assert len(stage.node.want_configs) == 1
