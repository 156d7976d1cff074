"""Recorded sessions and texts, in the terms of the mesh model."""

from meshtastic.protobuf import mesh_pb2, portnums_pb2, storeforward_pb2
import pytest

from custom_components.meshmonitor.mesh.model import (
    Message,
    MessageKind,
    Origin,
    Position,
    RouteHop,
    Traceroute,
)
from custom_components.meshmonitor.meshtastic import packets
from custom_components.meshmonitor.meshtastic.reports import (
    Acknowledgement,
    PositionReport,
    TelemetryReport,
)
from tests.meshtastic.reading import following, message, read
from tests.meshtastic.recorded import NOW, connections, decoder_of, heard

OWN = 0x0A000001
OTHER = 0x0A000002
STRANGER = 0x0A0000FF


def test_recorded_texts() -> None:
    """One for all and one for us alone."""
    _, _, found = following("2.7.26")
    texts = [item for item in found if isinstance(item, Message)]
    assert [(item.text, item.kind, item.sender_name) for item in texts] == [
        ("hi from the next node", MessageKind.CHANNEL, "Sim Node 1"),
        ("greetings from two hops away", MessageKind.CHANNEL, "Sim Node 2"),
        ("direct to you", MessageKind.DIRECT, "Sim Node 1"),
    ]
    assert texts[0] == Message(
        message_id="53d6b87e",
        kind=MessageKind.CHANNEL,
        origin=Origin.RADIO,
        text="hi from the next node",
        sender_id="!0a000002",
        sender_name="Sim Node 1",
        channel=0,
        channel_name="ShortFast",
        hops=0,
        snr=5.25,
        rssi=-63,
        time=NOW,
    )
    assert texts[2].recipient_id == "!0a000001"
    assert texts[2].channel is None
    assert texts[2].channel_name is None


def test_recorded_acknowledgements() -> None:
    """From the radio itself, where it heard a relay; from the recipient; and a refusal."""
    _, _, found = following("2.7.26")
    answers = [item for item in found if isinstance(item, Acknowledgement)]
    assert answers[0] == Acknowledgement(
        request_id=786322910, sender=OWN, recipient=OWN, error=None
    )
    assert (
        Acknowledgement(request_id=3932154335, sender=0x0A000003, recipient=OWN, error=None)
        in answers
    )
    assert (
        Acknowledgement(request_id=3910936032, sender=OTHER, recipient=OWN, error="no_response")
        in answers
    )
    _, _, found = following("2.8.0-dev")
    errors = [item.error for item in found if isinstance(item, Acknowledgement)]
    assert "pki_send_fail_public_key" in errors


def test_recorded_measurements_and_places() -> None:
    """Each at the node that sent it."""
    _, decoder, found = following("2.7.26")
    kinds = {
        (item.node_id, item.telemetry.kind) for item in found if isinstance(item, TelemetryReport)
    }
    assert kinds == {
        ("!0a000001", "device"),
        ("!0a000002", "device"),
        ("!0a000003", "environment"),
    }
    place = Position(
        latitude=52.3501568,
        longitude=4.9020928,
        altitude=3.0,
        accuracy=2918.19,
        speed=0.0,
        course=0.0,
        satellites=9,
        time=1795350230,
    )
    places = [item for item in found if isinstance(item, PositionReport)]
    assert {item.node_id for item in places} == {"!0a000002"}
    assert places[-1].position == place
    assert not places[-1].is_history
    node = decoder.node(OTHER, NOW)
    assert node is not None
    assert node.position == place
    assert node.telemetry["device"].values["battery_level"] == 87
    answered = [item for item in found if isinstance(item, TelemetryReport) and item.request_id]
    assert [item.request_id for item in answered] == [952200673]


def test_recorded_traceroute() -> None:
    """The way there and back, with the signal of each hop."""
    _, _, found = following("2.7.26")
    assert [item for item in found if isinstance(item, Traceroute)] == [
        Traceroute(
            node_id="!0a000003",
            towards=(RouteHop(node_id="!0a000003", snr=6.25),),
            back=(RouteHop(node_id="!0a000001", snr=6.75),),
            request_id="87be89e3",
        )
    ]


def test_signal_of_a_message_is_that_of_its_packet() -> None:
    """Hops, SNR and RSSI; none where nothing was measured."""
    decoder = decoder_of("2.7.26", 2)
    found = message(decoder, heard(OTHER, 1, "héllo".encode(), hop_limit=1, rx_snr=-2.5))
    assert found.text == "héllo"
    assert (found.hops, found.snr, found.rssi) == (2, -2.5, -60)
    assert found.time == int(NOW) - 5
    silent = heard(OTHER, 1, b"x", rx_snr=None, rx_rssi=None, hop_start=0, data_bitfield=None)
    found = message(decoder, silent)
    assert (found.hops, found.snr, found.rssi) == (None, None, None)
    exact = message(decoder, heard(OTHER, 1, b"x", rx_snr=None))
    assert exact.snr == 0.0


def test_message_of_an_unknown_node() -> None:
    """It has an id, and no name."""
    found = message(decoder_of("2.7.26"), heard(STRANGER, 1, b"x"))
    assert found.sender_id == "!0a0000ff"
    assert found.sender_name is None


@pytest.mark.parametrize("pki", [True, False])
def test_direct_message(pki: bool) -> None:
    """It used a channel's key, or the key pair of both nodes."""
    found = message(decoder_of("2.7.26"), heard(OTHER, 1, b"x", to=OWN, pki_encrypted=pki))
    assert found.kind is MessageKind.DIRECT
    assert found.recipient_id == "!0a000001"
    assert found.channel == (None if pki else 0)
    assert found.channel_name == (None if pki else "ShortFast")


def test_reply_and_reaction() -> None:
    """A reaction answers something; an emoji alone is a text."""
    decoder = decoder_of("2.7.26")
    reply = message(decoder, heard(OTHER, 1, b"yes", data_reply_id=0xABC))
    assert (reply.kind, reply.reply_id) == (MessageKind.CHANNEL, "00000abc")
    thumb = "\N{THUMBS UP SIGN}".encode()
    reaction = message(decoder, heard(OTHER, 1, thumb, data_reply_id=0xABC, data_emoji=1))
    assert (reaction.kind, reaction.reply_id) == (MessageKind.REACTION, "00000abc")
    assert reaction.text == "\N{THUMBS UP SIGN}"
    assert message(decoder, heard(OTHER, 1, thumb, data_emoji=1)).kind is MessageKind.CHANNEL
    private = message(decoder, heard(OTHER, 1, thumb, data_reply_id=1, data_emoji=1, to=OWN))
    assert private.kind is MessageKind.REACTION
    assert private.recipient_id == "!0a000001"


def test_alert_and_detection() -> None:
    """An alert is one; a sensor's text is a message of its node."""
    decoder = decoder_of("2.7.26")
    assert message(decoder, heard(OTHER, packets.ALERT, b"fire")).kind is MessageKind.ALERT
    detection = message(decoder, heard(OTHER, packets.DETECTION_SENSOR, b"Door detected"))
    assert (detection.kind, detection.text) == (MessageKind.DETECTION, "Door detected")


def test_text_that_is_no_utf8() -> None:
    """What can be read is shown."""
    found = message(decoder_of("2.7.26"), heard(OTHER, 1, b"caf\xe9"))
    assert found.text == "caf\N{REPLACEMENT CHARACTER}"


def test_message_that_a_router_kept() -> None:
    """It is history, from the one who wrote it."""
    decoder = decoder_of("2.7.26", 2)
    kind = storeforward_pb2.StoreAndForward.RequestResponse
    kept = storeforward_pb2.StoreAndForward(rr=kind.ROUTER_TEXT_BROADCAST, text=b"earlier")
    frame = heard(OTHER, packets.STORE_FORWARD, kept.SerializeToString(), to=OWN)
    found = message(decoder, frame)
    assert found.is_history
    assert (found.kind, found.text, found.sender_name) == (
        MessageKind.CHANNEL,
        "earlier",
        "Sim Node 1",
    )
    kept.rr = kind.ROUTER_TEXT_DIRECT
    frame = heard(OTHER, packets.STORE_FORWARD, kept.SerializeToString(), to=OWN)
    assert message(decoder, frame).kind is MessageKind.DIRECT
    beat = storeforward_pb2.StoreAndForward(rr=kind.ROUTER_HEARTBEAT)
    assert read(decoder, heard(OTHER, packets.STORE_FORWARD, beat.SerializeToString())) == []


def test_message_of_a_phone_or_of_home_assistant() -> None:
    """It is the radio's own, also where the client left the number out; nothing was measured."""
    decoder = decoder_of("2.7.26", 2)
    packet = mesh_pb2.MeshPacket(id=5, to=OTHER, channel=0, hop_limit=3)
    packet.decoded.portnum = portnums_pb2.TEXT_MESSAGE_APP
    packet.decoded.payload = b"from afar"
    (found,) = decoder.packet(
        packet.SerializeToString(), NOW, origin=Origin.PHONE, client="192.0.2.5"
    )
    assert found == Message(
        message_id="00000005",
        kind=MessageKind.DIRECT,
        origin=Origin.PHONE,
        text="from afar",
        sender_id="!0a000001",
        sender_name="Recorder",
        recipient_id="!0a000002",
        channel=0,
        channel_name="ShortFast",
        time=NOW,
        client="192.0.2.5",
    )


def test_own_packet_that_a_relay_repeated() -> None:
    """Its signal is not ours."""
    frame = connections("2.8.0-dev")[2].live[-1]
    found = message(decoder_of("2.8.0-dev", 2), frame)
    assert found.sender_name == "Recorder"
    assert found.hops is found.snr is found.rssi is None


@pytest.mark.parametrize(
    ("portnum", "reason"),
    [(packets.TEXT_MESSAGE_COMPRESSED, "compressed_text"), (66, None), (256, None), (4711, None)],
    ids=["compressed", "range test", "private", "unknown"],
)
def test_what_is_no_message(portnum: int, reason: str | None) -> None:
    """Clients get it all the same; here it is at most counted."""
    decoder = decoder_of("2.7.26")
    assert read(decoder, heard(OTHER, portnum, b"seq 7")) == []
    assert dict(decoder.counters) == ({reason: 1} if reason else {})


def test_message_between_others() -> None:
    """It is not for us."""
    assert read(decoder_of("2.7.26"), heard(OTHER, 1, b"psst", to=STRANGER)) == []


def test_encrypted_packet_is_counted() -> None:
    """Nobody here can read it."""
    decoder = decoder_of("2.7.26")
    packet = mesh_pb2.MeshPacket(encrypted=b"secret")
    setattr(packet, "from", OTHER)
    assert decoder.packet(packet.SerializeToString(), NOW) == []
    assert decoder.counters["encrypted"] == 1
