"""What this program writes itself, against the schema's own classes and real bytes."""

from pathlib import Path
from typing import Final

from hypothesis import given, strategies as st
from meshtastic.protobuf import mesh_pb2
import pytest

from custom_components.meshmonitor.meshtastic import client_frame, replies, wire
from custom_components.meshmonitor.meshtastic.admin import AdminQuery
from custom_components.meshmonitor.meshtastic.framing import encode
from tests.simulators.recording import MESHTASTIC_2_7, MESHTASTIC_2_8, read_recording

from .phone import BROADCAST, PORT, admin_packet, mesh_packet, parsed

OWN: Final = 0x0A000001
UINT32: Final = st.integers(0, 0xFFFFFFFF)


def from_radio(payload: bytes) -> mesh_pb2.FromRadio:
    """Return what a client reads, which must be all there is and in the schema's own form."""
    message = mesh_pb2.FromRadio.FromString(payload)
    assert message.SerializeToString() == payload
    return message


@pytest.mark.parametrize(
    ("payload", "frame"),
    [
        (replies.queue_status(0, 16, 16), "94c300065a0410101810"),
        (replies.config_complete(69420), "94c3000438ac9e04"),
        (replies.config_complete(0), "94c300023800"),
        (replies.rebooted(), "94c300024001"),
    ],
)
def test_known_bytes(payload: bytes, frame: str) -> None:
    """These are the very bytes that nodes send."""
    assert encode(payload).hex() == frame


@given(UINT32, UINT32, UINT32, UINT32)
def test_queue_status(res: int, free: int, maxlen: int, packet_id: int) -> None:
    """A queue status is written as the schema's own classes write it."""
    res &= 0x7FFFFFFF
    expected = mesh_pb2.FromRadio(
        queueStatus=mesh_pb2.QueueStatus(
            res=res, free=free, maxlen=maxlen, mesh_packet_id=packet_id
        )
    )
    assert replies.queue_status(res, free, maxlen, packet_id) == expected.SerializeToString()


@pytest.mark.parametrize("path", [MESHTASTIC_2_7, MESHTASTIC_2_8], ids=["2.7", "2.8"])
def test_recorded_replies(path: Path) -> None:
    """What a real node said of and to its client comes out byte for byte.

    It gives its answers a hop limit, which means nothing on the way to its own client, and at
    times a time of reception.
    """
    entries = [entry for entry in read_recording(path) if entry.kind == "frame"]
    requests = {}
    compared: dict[str, int] = {}
    for entry in entries:
        if entry.sender == "client":
            frame = client_frame.parse(entry.data)
            if isinstance(frame, client_frame.Packet):
                requests[frame.packet.id] = frame.packet
            continue
        message = mesh_pb2.FromRadio.FromString(entry.data)
        packet = message.packet
        own_answer = message.HasField("packet") and getattr(packet, "from") == packet.to
        if message.HasField("queueStatus"):
            status = message.queueStatus
            written = replies.queue_status(
                status.res, status.free, status.maxlen, status.mesh_packet_id
            )
        elif own_answer and packet.decoded.portnum == PORT.ROUTING_APP:
            written = replies.routing(
                packet.to,
                packet.decoded.request_id,
                mesh_pb2.Routing.FromString(packet.decoded.payload).error_reason,
                packet.id,
                rx_time=packet.rx_time,
            )
        elif own_answer and packet.decoded.portnum == PORT.ADMIN_APP:
            written = replies.response(
                packet.to,
                requests[packet.decoded.request_id],
                PORT.ADMIN_APP,
                packet.decoded.payload,
                packet.id,
                rx_time=packet.rx_time,
            )
        else:
            continue
        kind = str(message.WhichOneof("payload_variant"))
        compared[kind] = compared.get(kind, 0) + 1
        packet.ClearField("hop_limit")
        if own_answer:
            assert mesh_pb2.FromRadio.FromString(written) == message
        else:
            assert written == entry.data
    assert compared["queueStatus"] > 20
    assert compared["packet"] > 10


def test_refusal_as_documented() -> None:
    """A refusal has the form that apps were seen to understand."""
    payload = replies.routing(OWN, 0x11223344, 33, 0x55667788)
    assert payload.hex() == ("121e0d0100000a150100000a220b080512021821354433221135887766555878")


@pytest.mark.parametrize("error", [0, 33, 38])
def test_routing(error: int) -> None:
    """An acknowledgement and a refusal name their packet, at the node's highest priority."""
    packet = from_radio(replies.routing(OWN, 77, error, 88, channel=2, rx_time=99)).packet
    assert (getattr(packet, "from"), packet.to, packet.id) == (OWN, OWN, 88)
    assert (packet.channel, packet.rx_time) == (2, 99)
    assert packet.priority == mesh_pb2.MeshPacket.ACK
    assert (packet.decoded.portnum, packet.decoded.request_id) == (PORT.ROUTING_APP, 77)
    routing = mesh_pb2.Routing.FromString(packet.decoded.payload)
    assert routing.WhichOneof("variant") == "error_reason"
    assert routing.error_reason == error


def test_response() -> None:
    """An answer names its question, on the question's channel, encrypted where that was."""
    question = admin_packet(b"\x18\x01", to=OWN, packet_id=0xFFFFFFFE, channel=3)
    question.pki_encrypted = True
    payload = replies.response(OWN, parsed(question), PORT.ADMIN_APP, b"\x22\x00", 5)
    packet = from_radio(payload).packet
    assert (getattr(packet, "from"), packet.to, packet.id, packet.channel) == (OWN, OWN, 5, 3)
    assert (packet.priority, packet.want_ack) == (mesh_pb2.MeshPacket.RELIABLE, False)
    assert packet.pki_encrypted
    assert packet.decoded.request_id == 0xFFFFFFFE
    assert (packet.decoded.portnum, packet.decoded.payload) == (PORT.ADMIN_APP, b"\x22\x00")

    question.pki_encrypted = False
    plain = replies.response(OWN, parsed(question), PORT.TELEMETRY_APP, b"", 5, rx_time=6)
    packet = from_radio(plain).packet
    assert (packet.pki_encrypted, packet.rx_time) == (False, 6)


def test_notification() -> None:
    """A notification is a warning about a packet, in words."""
    payload = replies.client_notification("Not allowed", reply_id=0xFFFFFFFF, time=7)
    notification = from_radio(payload).clientNotification
    assert (notification.message, notification.reply_id) == ("Not allowed", 0xFFFFFFFF)
    assert (notification.time, notification.level) == (7, 30)
    general = from_radio(replies.client_notification("Hello")).clientNotification
    assert not general.HasField("reply_id")


def test_long_notification() -> None:
    """A long text is cut between its characters to what the app's field holds."""
    payload = replies.client_notification("é" * 300)
    message = from_radio(payload).clientNotification.message
    assert message == "é" * 199
    assert len(payload) < 512


def echoed(raw: bytes, packet_id: int = 5) -> mesh_pb2.MeshPacket:
    """Return what other clients see of a packet."""
    return mesh_pb2.FromRadio.FromString(replies.echo(OWN, raw, packet_id, 1_800_000_000)).packet


def test_echo() -> None:
    """Others see a text as the node's own: same id and content, heard over no radio."""
    sent = mesh_packet(
        b"hello", to=0x0A000002, packet_id=5, channel=2, hop_limit=4, reply_id=9, emoji=1
    )
    sent.public_key = b"k" * 32
    sent.pki_encrypted = True
    sent.rx_snr = 5.5
    sent.rx_rssi = -80
    sent.transport_mechanism = mesh_pb2.MeshPacket.TRANSPORT_API
    seen = echoed(sent.SerializeToString())

    expected = mesh_pb2.MeshPacket.FromString(sent.SerializeToString())
    setattr(expected, "from", OWN)
    for field in ("public_key", "rx_snr", "rx_rssi", "transport_mechanism", "want_ack"):
        expected.ClearField(field)
    expected.hop_start = 4
    expected.rx_time = 1_800_000_000
    assert seen == expected
    assert (seen.id, seen.decoded.reply_id, seen.decoded.emoji) == (5, 9, 1)
    assert seen.transport_mechanism == mesh_pb2.MeshPacket.TRANSPORT_INTERNAL


def test_echo_of_a_packet_without_id_or_hops() -> None:
    """An id that was chosen for its sender is shown to the others."""
    sent = mesh_packet(packet_id=0, hop_limit=0, sender=OWN)
    seen = echoed(sent.SerializeToString(), packet_id=0xABCD)
    assert (seen.id, seen.hop_limit, seen.hop_start) == (0xABCD, 0, 0)
    assert getattr(seen, "from") == OWN


def test_echo_loses_nothing() -> None:
    """Newer fields, explicit zeros and bytes that are no text reach the others as they came."""
    data = (
        wire.varint_field(1, 1)
        + wire.bytes_field(2, b"\xff\xfe")
        + wire.varint_field(9, 0)
        + wire.bytes_field(70, b"newer")
    )
    kept = wire.varint_field(3, 0) + wire.bytes_field(4, data) + wire.bytes_field(80, b"newer")
    raw = wire.fixed32_field(2, BROADCAST) + kept + wire.varint_field(10, 1)
    (frame,) = wire.scan(replies.echo(OWN, raw, 5, 0))
    packet = wire.value_bytes(replies.echo(OWN, raw, 5, 0), frame)
    assert packet == (
        wire.fixed32_field(1, OWN) + wire.fixed32_field(2, BROADCAST) + kept
    ) + wire.fixed32_field(6, 5)


def test_longest_echo_fits_a_frame() -> None:
    """A packet that was let in can be shown to the others."""
    raw = mesh_packet(b"x" * 233, packet_id=0, hop_limit=0xFFFFFFFF).SerializeToString()
    raw += wire.bytes_field(90, b"p" * (client_frame.MAX_PACKET - len(raw) - 4))
    assert len(raw) == client_frame.MAX_PACKET
    assert len(encode(replies.echo(OWN, raw, 5, 1_800_000_000))) <= 516
    assert len(encode(replies.for_radio(raw, 5))) <= 516


@given(UINT32.filter(bool))
def test_packet_with_an_id_is_not_touched(packet_id: int) -> None:
    """A packet that has its id goes to the radio as it came."""
    raw = mesh_packet(packet_id=packet_id).SerializeToString() + wire.varint_field(99, 0)
    assert replies.for_radio(raw, packet_id) == wire.bytes_field(1, raw)


@pytest.mark.parametrize("explicit", [b"", wire.fixed32_field(6, 0)], ids=["absent", "zero"])
def test_packet_gets_an_id(explicit: bytes) -> None:
    """A packet without an id gets one, and is otherwise as it came."""
    raw = mesh_packet(packet_id=0).SerializeToString()
    payload = replies.for_radio(raw + explicit, 0xABCD)
    expected = mesh_packet(packet_id=0xABCD)
    assert mesh_pb2.ToRadio.FromString(payload).packet == expected
    assert payload == wire.bytes_field(1, raw + wire.fixed32_field(6, 0xABCD))


def test_own_text() -> None:
    """A text of Home Assistant's is what an app would send."""
    raw = replies.own_packet(
        destination=0x0A000002,
        portnum=PORT.TEXT_MESSAGE_APP,
        payload="grüß dich".encode(),
        packet_id=0xABCD,
        channel=1,
        hop_limit=3,
        want_ack=True,
        reply_id=0x1234,
        emoji=1,
    )
    expected = mesh_packet(
        "grüß dich".encode(),
        to=0x0A000002,
        packet_id=0xABCD,
        channel=1,
        hop_limit=3,
        reply_id=0x1234,
        emoji=1,
    )
    expected.priority = mesh_pb2.MeshPacket.RELIABLE
    assert raw == expected.SerializeToString()
    frame = client_frame.parse(replies.for_radio(raw, 0xABCD))
    assert isinstance(frame, client_frame.Packet)
    assert frame.packet.violations == frozenset()


def test_own_packet_without_extras() -> None:
    """What is not asked for is not written."""
    raw = replies.own_packet(
        destination=BROADCAST, portnum=PORT.TRACEROUTE_APP, payload=b"", packet_id=1
    )
    packet = mesh_pb2.MeshPacket.FromString(raw)
    assert {field.name for field, _ in packet.ListFields()} == {"to", "decoded", "id"}
    assert not packet.decoded.want_response


def test_own_packet_is_too_long() -> None:
    """What no radio takes is not written."""
    with pytest.raises(replies.PayloadTooLongError):
        replies.own_packet(destination=BROADCAST, portnum=1, payload=b"x" * 234, packet_id=1)


def test_own_question() -> None:
    """The radio is asked for a setting as an app asks it."""
    raw = replies.admin_query(AdminQuery(14), OWN, 0xABCD)
    packet = mesh_pb2.MeshPacket.FromString(raw)
    assert (packet.to, packet.id, packet.want_ack) == (OWN, 0xABCD, False)
    assert packet.decoded.portnum == PORT.ADMIN_APP
    assert packet.decoded.want_response
    assert packet.decoded.payload == b"\x70\x01"
