"""What one client or Home Assistant sends, all the others see."""

import asyncio
import time

from meshtastic.protobuf import mesh_pb2, portnums_pb2
import pytest

from custom_components.meshmonitor.mesh.model import Waypoint
from custom_components.meshmonitor.mesh.source import OutgoingText
from custom_components.meshmonitor.meshtastic import wire
from tests.clients.meshtastic_phone import BROADCAST, frame
from tests.meshtastic.e2e.conftest import OpenStage
from tests.meshtastic.e2e.stage import PORT, Stage
from tests.simulators.meshtastic_config import NodeConfig


async def test_a_text_is_echoed_once_to_all_others_as_the_nodes_own(stage: Stage) -> None:
    """A text is echoed once to all others as the nodes own."""
    sender, *others = [await stage.phone() for _ in range(3)]
    before = int(time.time())
    packet_id = sender.send_text("hello", channel=1, reply_id=77, emoji=1)
    assert await sender.outcome(packet_id) == [0]
    await stage.settle()
    assert sender.texts() == []
    for phone in others:
        (echo,) = phone.packets(PORT.TEXT_MESSAGE_APP)
        assert getattr(echo, "from") == stage.own
        assert (echo.id, echo.to, echo.channel) == (packet_id, BROADCAST, 1)
        assert (echo.decoded.reply_id, echo.decoded.emoji) == (77, 1)
        assert (echo.hop_limit, echo.hop_start) == (3, 3)
        assert before <= echo.rx_time <= time.time()
        assert not echo.want_ack
        assert echo.transport_mechanism == 0
        assert (echo.rx_rssi, echo.rx_snr, echo.public_key) == (0, 0.0, b"")
        kinds = [m.packet.decoded.portnum for m in phone.messages() if m.HasField("packet")]
        # The acknowledgement of what is not there yet would be lost.
        assert kinds.index(PORT.TEXT_MESSAGE_APP) < kinds.index(PORT.ROUTING_APP)


async def test_a_private_text_keeps_its_flag_and_loses_its_key(stage: Stage) -> None:
    """A private text keeps its flag and loses its key."""
    sender, other = await stage.phone(), await stage.phone()
    peer = stage.node.peer(0)
    packet = mesh_pb2.MeshPacket(
        id=5,
        to=peer.num,
        want_ack=True,
        hop_limit=2,
        pki_encrypted=True,
        public_key=peer.user.public_key,
    )
    packet.decoded.portnum = PORT.TEXT_MESSAGE_APP
    packet.decoded.payload = b"secret"
    sender.send(mesh_pb2.ToRadio(packet=packet))
    assert await sender.outcome(5) == [0]
    await other.wait_for(other.texts)
    (echo,) = other.packets(PORT.TEXT_MESSAGE_APP)
    assert echo.pki_encrypted
    assert echo.public_key == b""
    assert echo.to == peer.num
    assert stage.node.packets()[0].public_key == peer.user.public_key


async def test_an_echo_keeps_what_no_schema_knows(stage: Stage) -> None:
    """An echo keeps what no schema knows."""
    sender, other = await stage.phone(), await stage.phone()
    data = wire.varint_field(1, 1) + wire.bytes_field(2, b"x") + wire.bytes_field(50, b"new")
    packet = wire.fixed32_field(2, BROADCAST) + wire.bytes_field(4, data)
    packet += wire.fixed32_field(6, 8) + wire.bytes_field(60, b"newer")
    sender.write(frame(wire.bytes_field(1, packet)))
    await other.wait_for(lambda: other.packets(PORT.TEXT_MESSAGE_APP))
    payload = next(p for p in other.payloads if wire.bytes_field(4, data) in p)
    assert wire.bytes_field(50, b"new") in payload
    assert wire.bytes_field(60, b"newer") in payload


async def test_a_waypoint_is_echoed(stage: Stage) -> None:
    """A waypoint is echoed."""
    sender, other = await stage.phone(), await stage.phone()
    waypoint = mesh_pb2.Waypoint(id=9, latitude_i=1, longitude_i=2, name="here")
    packet_id = sender.send_data(PORT.WAYPOINT_APP, waypoint.SerializeToString())
    await sender.outcome(packet_id)
    await stage.settle()
    (echo,) = other.packets(PORT.WAYPOINT_APP)
    assert mesh_pb2.Waypoint.FromString(echo.decoded.payload) == waypoint
    assert sender.packets(PORT.WAYPOINT_APP) == []


@pytest.mark.parametrize(
    "portnum",
    [PORT.POSITION_APP, PORT.TELEMETRY_APP, PORT.TRACEROUTE_APP, PORT.PRIVATE_APP],
)
async def test_nothing_else_is_echoed(
    stage: Stage, portnum: portnums_pb2.PortNum.ValueType
) -> None:
    """Nothing else is echoed."""
    sender, other = await stage.phone(), await stage.phone()
    sender.send_data(portnum, b"", to=stage.node.peer(0).num, want_ack=False)
    await stage.node.wait_for(lambda: stage.node.packets(portnum))
    await stage.settle()
    assert [p for p in other.packets() if getattr(p, "from") == stage.own] == []


async def test_nothing_is_echoed_before_the_radio_took_it(open_stage: OpenStage) -> None:
    """Nothing is echoed before the radio took it."""
    stage = await open_stage()
    sender, other = await stage.phone(), await stage.phone()
    stage.node.faults.mute = True
    packet_id = sender.send_text("not yet")
    await stage.node.wait_for(stage.node.texts)
    await other.barrier()
    assert other.texts() == []
    assert len(sender.queue_statuses(packet_id)) == 1
    stage.node.faults.mute = False
    stage.node.pump()
    await other.wait_for(lambda: other.texts() == ["not yet"])


async def test_a_refused_text_is_not_echoed(stage: Stage) -> None:
    """A refused text is not echoed."""
    sender, other = await stage.phone(), await stage.phone()
    packet_id = sender.send_text("nowhere", channel=6)
    await sender.outcome(packet_id)
    await stage.settle()
    assert other.texts() == []


async def test_what_home_assistant_sends_is_shown_to_all(stage: Stage) -> None:
    """What home assistant sends is shown to all."""
    phones = [await stage.phone(), await stage.phone()]
    message = await stage.source.send_text(OutgoingText(text="from home", channel=1))
    waypoint = await stage.source.send_waypoint(
        Waypoint(waypoint_id="", name="gate", latitude=1.0, longitude=2.0), channel=0
    )
    for phone in phones:
        await phone.wait_for(lambda phone=phone: phone.packets(PORT.WAYPOINT_APP))  # type: ignore[misc]
        (text,) = phone.packets(PORT.TEXT_MESSAGE_APP)
        assert text.decoded.payload == b"from home"
        assert (getattr(text, "from"), text.channel) == (stage.own, 1)
        assert int(message.message_id, 16) == text.id
        (place,) = phone.packets(PORT.WAYPOINT_APP)
        assert mesh_pb2.Waypoint.FromString(place.decoded.payload).id == int(
            waypoint.waypoint_id, 16
        )
        await phone.outcome(text.id)
    assert stage.node.texts() == ["from home"]


async def test_a_text_of_one_that_has_left_is_shown_to_the_others(stage: Stage) -> None:
    """A script sends and ends; the others see it, also those of the same machine."""
    script, beside = await stage.phone(), await stage.phone()
    elsewhere = await stage.phone(local_host="127.0.0.5")
    stage.node.refuse()
    stage.node.drop()
    await stage.until(lambda: not stage.source.link.is_ready)
    packet_id = script.send_text("sent and gone")
    await script.wait_for(lambda: script.queue_statuses(packet_id))
    await script.close()
    stage.live.remove(script)
    await stage.until(lambda: stage.client_count == 2)
    await stage.node.listen()
    for phone in (beside, elsewhere):
        await phone.wait_for(lambda phone=phone: phone.texts() == ["sent and gone"])  # type: ignore[misc]
        assert await phone.outcome(packet_id) == [0]
    await stage.settle()
    assert beside.texts() == elsewhere.texts() == stage.node.texts() == ["sent and gone"]


async def test_a_phone_amid_its_handshake_gets_the_echo_behind_it(stage: Stage) -> None:
    """A phone amid its handshake gets the echo behind it."""
    sender, early = await stage.phone(), await stage.connect()
    packet_id = sender.send_text("early")
    await sender.outcome(packet_id)
    await early.barrier()
    assert early.texts() == []
    await early.want_config(69420)
    await early.wait_for(lambda: early.texts() == ["early"])


async def test_many_texts_of_many_phones_are_shown_exactly_once(open_stage: OpenStage) -> None:
    """Many texts of many phones are shown exactly once."""
    stage = await open_stage(NodeConfig(ack_delay=0.01))
    phones = [await stage.phone() for _ in range(4)]

    async def talk(number: int) -> None:
        for count in range(3):
            packet_id = phones[number].send_text(f"{number}.{count}")
            await phones[number].outcome(packet_id, 20)

    await asyncio.gather(*(talk(number) for number in range(4)))
    await stage.settle()
    said = {f"{number}.{count}" for number in range(4) for count in range(3)}
    assert sorted(stage.node.texts()) == sorted(said)
    for number, phone in enumerate(phones):
        own = {f"{number}.{count}" for count in range(3)}
        assert sorted(phone.texts()) == sorted(said - own)
