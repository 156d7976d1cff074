"""Packets both ways: whatever they are, they arrive as they left."""

import asyncio
import logging

from meshtastic.protobuf import mesh_pb2, telemetry_pb2
import pytest

from custom_components.meshmonitor.mesh.model import Origin
from custom_components.meshmonitor.mesh.source import MeshEvent, MessageReceived
from custom_components.meshmonitor.meshtastic import wire
from tests.clients.meshtastic_phone import BROADCAST, frame
from tests.meshtastic.e2e.conftest import OpenStage
from tests.meshtastic.e2e.stage import PORT, Stage
from tests.simulators.meshtastic_config import NodeConfig

UNKNOWN_PORT = 301
ANY_PORTS = [
    PORT.TEXT_MESSAGE_APP,
    PORT.PAXCOUNTER_APP,
    PORT.POSITION_APP,
    PORT.WAYPOINT_APP,
    PORT.ALERT_APP,
    PORT.STORE_FORWARD_APP,
    PORT.TELEMETRY_APP,
    PORT.TRACEROUTE_APP,
    PORT.ATAK_PLUGIN,
    PORT.PRIVATE_APP,
    UNKNOWN_PORT,
]


async def test_a_phone_sends_on_any_port_and_not_a_byte_is_changed(stage: Stage) -> None:
    """Explicit zeros, fields that no schema knows, and fields out of order included."""
    phone = await stage.phone()
    sent = []
    for portnum in ANY_PORTS:
        data = wire.bytes_field(2, b"\x08\x00") + wire.varint_field(1, portnum)
        data += wire.varint_field(3, 0) + wire.varint_field(77, 7)
        packet = wire.fixed32_field(6, 0xABCD00 + portnum) + wire.bytes_field(4, data)
        packet += wire.varint_field(9, 3) + wire.fixed32_field(2, stage.node.peer(0).num)
        packet += wire.varint_field(3, 0) + wire.bytes_field(99, b"new")
        sent.append(wire.bytes_field(1, packet))
        phone.write(frame(sent[-1]))
    await stage.node.wait_for(lambda: len(stage.node.packets()) == len(sent))
    packets = [r.payload for r in stage.node.received if r.message.HasField("packet")]
    assert sorted(packets) == sorted(sent)


async def test_every_phone_hears_what_the_radio_hears(stage: Stage) -> None:
    """Whatever port it is on, and whatever the phone has asked for."""
    phones = [await stage.phone(nonce=nonce) for nonce in (1, 69420, 69421)]
    peer = stage.node.peer(1).num
    ports = [*ANY_PORTS, PORT.NODEINFO_APP, PORT.NEIGHBORINFO_APP]
    for portnum in ports:
        await stage.node.send_data(peer, portnum, b"\x08\x01\x3a\x00")  # type: ignore[arg-type]
    await stage.settle()
    for phone in phones:
        heard = [p for p in phone.packets() if getattr(p, "from") == peer]
        assert [p.decoded.portnum for p in heard] == ports
        assert {p.decoded.payload for p in heard} == {b"\x08\x01\x3a\x00"}


async def test_a_variant_that_no_schema_knows_reaches_every_phone(stage: Stage) -> None:
    """Byte for byte, once."""
    phones = [await stage.phone(), await stage.phone()]
    payloads = [wire.bytes_field(number, b"\x0a\x03abc") for number in (19, 30, 1000)]
    for payload in payloads:
        await stage.node.send_raw(payload)
    await stage.settle()
    for phone in phones:
        assert [phone.payloads.count(payload) for payload in payloads] == [1, 1, 1]


async def test_who_follows_packets_costs_no_phone_its_text(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault in what is made of a packet comes behind its hand-over, and ends nothing."""
    phone = await stage.phone()
    peer = stage.node.peer(1).num

    def fail(event: MeshEvent) -> None:
        assert not isinstance(event, MessageReceived), "a fault in a listener"

    unsubscribe = stage.source.subscribe(fail)
    for text in (b"one", b"two"):
        await stage.node.send_data(peer, PORT.TEXT_MESSAGE_APP, text)
    await stage.settle()
    assert [p.decoded.payload for p in phone.packets()][:2] == [b"one", b"two"]
    assert caplog.text.count("error in following a packet") == 2
    unsubscribe()
    await stage.node.send_data(peer, PORT.TEXT_MESSAGE_APP, b"three")
    await stage.settle()
    assert b"three" in [p.decoded.payload for p in phone.packets()]
    assert stage.source.link.sessions == 1


async def test_explicit_zeros_and_unknown_fields_of_a_packet_arrive_as_they_came(
    stage: Stage,
) -> None:
    """Explicit zeros and unknown fields of a packet arrive as they came."""
    phone = await stage.phone()
    data = wire.varint_field(1, PORT.TEXT_MESSAGE_APP) + wire.bytes_field(2, b"\xff\xfe no utf-8")
    packet = wire.fixed32_field(1, stage.node.peer(0).num) + wire.fixed32_field(2, BROADCAST)
    packet += wire.bytes_field(4, data) + wire.fixed32_field(6, 4711) + wire.fixed32_field(7, 0)
    packet += wire.varint_field(12, 0) + wire.varint_field(22, 1) + wire.bytes_field(200, b"new")
    payload = wire.varint_field(1, 0) + wire.bytes_field(2, packet)
    await stage.node.send_raw(payload)
    await stage.settle()
    assert payload in phone.payloads


async def test_an_undecryptable_packet_is_passed_on(stage: Stage) -> None:
    """An undecryptable packet is passed on."""
    phone = await stage.phone()
    packet = mesh_pb2.MeshPacket(to=BROADCAST, channel=77, encrypted=b"\x01\x02\x03", id=9)
    setattr(packet, "from", stage.node.peer(2).num)
    await stage.node.send_packet(packet)
    await stage.settle()
    assert mesh_pb2.FromRadio(packet=packet).SerializeToString() in phone.payloads


async def test_the_order_of_what_the_radio_says_is_kept(open_stage: OpenStage) -> None:
    """The order of what the radio says is kept."""
    stage = await open_stage(NodeConfig(to_phone_queue=1000))
    phones = [await stage.phone() for _ in range(3)]
    said = [f"text {number}" for number in range(200)]
    for text in said:
        await stage.node.say(stage.node.peer(0).num, text)
    for phone in phones:
        await phone.wait_for(lambda phone=phone: len(phone.texts()) == 200)  # type: ignore[misc]
        assert phone.texts() == said
    heard = [event.message.text for event in stage.told(MessageReceived)]
    assert heard == said


async def test_the_order_of_what_a_phone_says_is_kept(stage: Stage) -> None:
    """The order of what a phone says is kept."""
    phone = await stage.phone()
    sent = [b"%d" % number for number in range(50)]
    for payload in sent:
        phone.send_data(PORT.PRIVATE_APP, payload, want_ack=False)
    await stage.node.wait_for(lambda: len(stage.node.packets(PORT.PRIVATE_APP)) == 50, 10)
    assert [p.decoded.payload for p in stage.node.packets(PORT.PRIVATE_APP)] == sent


async def test_ten_milliseconds_lie_between_two_packets(stage: Stage) -> None:
    """Ten milliseconds lie between two packets."""
    first, second = await stage.phone(), await stage.phone()
    for number in range(10):
        for phone in (first, second):
            phone.send_data(PORT.PRIVATE_APP, b"%d" % number, want_ack=False)
    await stage.node.wait_for(lambda: len(stage.node.packets()) == 20)
    times = [r.at for r in stage.node.received if r.message.HasField("packet")]
    # What was written apart may be read together; it can not be written together.
    assert times[-1] - times[0] > 0.15


async def test_answers_of_other_nodes_reach_every_phone(stage: Stage) -> None:
    """Answers of other nodes reach every phone."""
    asking, other = await stage.phone(), await stage.phone()
    peer = stage.node.peer(2)
    route = asking.send_data(
        PORT.TRACEROUTE_APP,
        mesh_pb2.RouteDiscovery().SerializeToString(),
        to=peer.num,
        want_response=True,
    )
    request = telemetry_pb2.Telemetry(device_metrics=telemetry_pb2.DeviceMetrics())
    measured = asking.send_data(
        PORT.TELEMETRY_APP, request.SerializeToString(), to=peer.num, want_response=True
    )
    place = asking.send_data(PORT.POSITION_APP, b"", to=peer.num, want_response=True)
    for phone in (asking, other):
        for packet_id in (route, measured, place):
            await phone.wait_for(
                lambda phone=phone, packet_id=packet_id: phone.responses(packet_id)  # type: ignore[misc]
            )
    (answer,) = other.responses(route)
    discovery = mesh_pb2.RouteDiscovery.FromString(answer.decoded.payload)
    assert list(discovery.route) == list(peer.route)


async def test_junk_before_a_frame_harms_nothing(stage: Stage) -> None:
    """Wake-up bytes of apps, log text, and frames that are none."""
    for junk in (
        bytes.fromhex("c3" * 32),
        bytes.fromhex("94949494"),
        b"\x94\xc3\x02\x01" + bytes(513),
        b"\x94\xc3\x00\x00",
        b"INFO | a line of log text\r\n",
        b"\x94\xc3\x00\x03\xff\xff\xff",
        b"\x94\xc3\xff\xff",
    ):
        phone = await stage.connect()
        phone.write(junk)
        await phone.want_config(3)
        phone.write(junk)
        packet_id = phone.send_data(PORT.PRIVATE_APP, b"still here")
        assert await phone.outcome(packet_id) == [0]


async def test_frames_may_be_cut_anywhere(stage: Stage) -> None:
    """Frames may be cut anywhere."""
    phone = await stage.connect()
    for byte in frame(mesh_pb2.ToRadio(want_config_id=9).SerializeToString()):
        phone.write(bytes([byte]))
        await asyncio.sleep(0.002)
    await phone.wait_for(lambda: any(m.config_complete_id == 9 for m in phone.messages()))


async def test_a_frame_whose_rest_never_comes_is_given_up(
    open_stage: OpenStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands inside of what was taken for its body is found."""
    monkeypatch.setattr("custom_components.meshmonitor.mesh.virtual_node.TICK", 0.05)
    package = "custom_components.meshmonitor.meshtastic"
    monkeypatch.setattr(f"{package}.virtual_node.PARTIAL_FRAME_TIMEOUT", 0.1)
    stage = await open_stage()
    phone = await stage.connect()
    phone.write(b"\x94\xc3\x00\xc8" + bytes(20))
    await phone.want_config(4)
    # The same from the radio's side.
    monkeypatch.setattr(f"{package}.session.PARTIAL_FRAME_TIMEOUT", 0.1)
    await stage.node.send_junk(b"\x94\xc3\x01\x00half")
    await stage.node.say(stage.node.peer(0).num, "behind it")
    await phone.wait_for(lambda: phone.texts() == ["behind it"])


async def test_junk_of_the_radio_harms_nothing(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """Junk of the radio harms nothing."""
    phone = await stage.phone()
    before = len(phone.payloads)
    await stage.node.send_junk(b"\x94\x94DEBUG | text \xc3")
    await stage.node.send_oversize_frame()
    await stage.node.send_empty_frame()
    for payload in (
        b"\xff\xff\xff",
        wire.bytes_field(2, b"\xff"),
        wire.bytes_field(2, wire.bytes_field(4, b"\x0a")),
        wire.bytes_field(4, b"\xff\xff"),
        wire.bytes_field(11, b"\x08"),
        wire.bytes_field(16, b"\xff\xff"),
    ):
        await stage.node.send_raw(payload)
    await stage.settle()
    # A message that is damaged inside ends the connection of some apps.
    assert len(phone.payloads) == before + 1
    assert stage.source.counters["malformed_frames"] >= 5
    assert stage.source.link.sessions == 1
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


async def test_a_text_of_a_phone_is_told_with_its_origin(stage: Stage) -> None:
    """A text of a phone is told with its origin."""
    phone = await stage.phone()
    phone.send_text("from a phone")
    await stage.until(lambda: stage.told(MessageReceived))
    (event,) = stage.told(MessageReceived)
    assert event.message.origin is Origin.PHONE
    assert event.message.text == "from a phone"
    assert event.message.client == next(iter(stage.source.virtual_node.clients))
