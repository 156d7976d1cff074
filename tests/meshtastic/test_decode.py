"""Packets and the mirror, in the terms of the mesh model."""

from typing import Any

from meshtastic.protobuf import (
    channel_pb2,
    config_pb2,
    mesh_pb2,
    paxcount_pb2,
    portnums_pb2,
    storeforward_pb2,
    telemetry_pb2,
)
import pytest

from custom_components.meshmonitor.mesh.model import (
    Channel,
    Identity,
    Message,
    MessageKind,
    Origin,
    Position,
    RouteHop,
    Traceroute,
    Waypoint,
)
from custom_components.meshmonitor.meshtastic import describe, packets, wire
from custom_components.meshmonitor.meshtastic.decode import Decoder
from custom_components.meshmonitor.meshtastic.mirror import Mirror
from custom_components.meshmonitor.meshtastic.reports import (
    Acknowledgement,
    Decoded,
    NeighborReport,
    PositionReport,
    StatusReport,
    TelemetryReport,
)
from tests.meshtastic.recorded import (
    NOW,
    VERSIONS,
    captured,
    connections,
    decoder_of,
    heard,
    mirror_of,
    packet_in,
)

OWN = 0x0A000001
OTHER = 0x0A000002
STRANGER = 0x0A0000FF


def read(decoder: Decoder, payload: bytes, **arguments: Any) -> list[Decoded]:
    """Return what the packet of a ``FromRadio`` says."""
    return decoder.packet(packet_in(payload), NOW, **arguments)


def message(decoder: Decoder, payload: bytes, **arguments: Any) -> Message:
    """Return the message that a packet is."""
    (found,) = read(decoder, payload, **arguments)
    assert isinstance(found, Message)
    return found


def following(version: str) -> tuple[Mirror, Decoder, list[Decoded]]:
    """Return what was made of a whole recorded session."""
    mirror = mirror_of(version)
    decoder = Decoder(mirror)
    found: list[Decoded] = []
    for payload in connections(version)[1].live:
        mirror.live(payload, NOW)
        if packets.variant(payload)[0] == packets.PACKET:
            found += read(decoder, payload)
    assert not decoder.counters
    return mirror, decoder, found


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


def test_identity() -> None:
    """Name, board and firmware of the radio."""
    assert decoder_of("2.7.26", 2).identity() == Identity(
        node_id="!0a000001",
        name="Recorder",
        short_name="REC",
        hardware="portduino",
        firmware="2.7.26.54e0d8d",
    )
    assert Decoder(Mirror()).identity() is None


def test_radio_without_a_name() -> None:
    """It is called by its id."""
    dump = list(connections("2.7.26")[1].dump)
    dump[2] = mesh_pb2.FromRadio(node_info=mesh_pb2.NodeInfo(num=OWN)).SerializeToString()
    identity = Decoder(captured(dump)).identity()
    assert identity is not None
    assert identity.name == "!0a000001"
    assert identity.short_name is None
    assert identity.hardware == "portduino"


@pytest.mark.parametrize("version", VERSIONS)
def test_nodes(version: str) -> None:
    """All that the radio knows, the own one marked."""
    mirror, decoder, _ = following(version)
    nodes = decoder.nodes(NOW)
    assert mirror.state is not None
    assert len(nodes) == len(mirror.state.nodes)
    own = [node for node in nodes.values() if node.is_own]
    assert [node.node_id for node in own] == [f"!{mirror.my_node_num:08x}"]
    for node_id, node in nodes.items():
        assert node.node_id == node_id
        if not node.is_own:
            assert node.hops_away == 0
            assert node.snr is not None
            assert node.rssi is not None
            assert node.last_heard == NOW
            assert node.role == "client"
            assert node.hardware == "portduino"
            assert node.public_key is not None
            assert len(node.public_key) == 64
    assert decoder.node(4711) is None
    assert Decoder(Mirror()).nodes() == {}
    assert Decoder(Mirror()).channels() == []


def test_node_that_only_was_heard() -> None:
    """Nothing is made up for it."""
    mirror = mirror_of("2.7.26")
    mirror.live(heard(STRANGER, 1, b"x", hop_limit=1), NOW)
    node = Decoder(mirror).node(STRANGER, NOW)
    assert node is not None
    assert node.name is node.short_name is node.hardware is node.role is node.public_key is None
    assert node.hops_away == 2
    assert (node.snr, node.rssi, node.position, node.status) == (None, None, None, None)
    assert node.telemetry == {}
    assert node.is_messageable


def test_relayed_node_has_no_signal() -> None:
    """What was measured was the relay."""
    mirror = mirror_of("2.7.26", 2)
    decoder = Decoder(mirror)
    mirror.live(heard(OTHER, 1, b"x", rx_rssi=-44), NOW)
    node = decoder.node(OTHER)
    assert node is not None
    assert (node.snr, node.rssi) == (6.5, -44)
    mirror.live(heard(OTHER, 1, b"x", hop_limit=1), NOW)
    node = decoder.node(OTHER)
    assert node is not None
    assert node.snr is node.rssi is None


def test_flags_of_nodes() -> None:
    """As the radio tells them."""
    info = mesh_pb2.NodeInfo(
        num=STRANGER,
        user=mesh_pb2.User(
            long_name="Röuter",
            short_name="R",
            hw_model=mesh_pb2.HELTEC_V3,
            role=config_pb2.Config.DeviceConfig.ROUTER_LATE,
            is_licensed=True,
            is_unmessagable=True,
        ),
        via_mqtt=True,
        is_favorite=True,
        is_ignored=True,
        last_heard=int(NOW) + 1_000_000,
    )
    mirror = mirror_of("2.7.26")
    mirror.live(mesh_pb2.FromRadio(node_info=info).SerializeToString(), NOW)
    node = Decoder(mirror).node(STRANGER, NOW)
    assert node is not None
    assert node.name == "Röuter"
    assert node.hardware == "heltec_v3"
    assert node.role == "router_late"
    assert node.is_licensed
    assert node.via_mqtt
    assert node.is_favorite
    assert node.is_ignored
    assert not node.is_messageable
    assert node.last_heard is None
    assert node.hops_away is None


def test_names_that_are_no_utf8() -> None:
    """Old firmware passes them on."""
    info = wire.varint_field(1, STRANGER) + wire.bytes_field(2, wire.bytes_field(2, b"N\xffde"))
    mirror = mirror_of("2.7.26")
    mirror.live(wire.bytes_field(packets.NODE_INFO, info), NOW)
    node = Decoder(mirror).node(STRANGER)
    assert node is not None
    assert node.name == "N\N{REPLACEMENT CHARACTER}de"


def test_newer_capture_counts_more_than_what_was_heard() -> None:
    """While the link was away, the radio heard what we did not."""
    mirror = mirror_of("2.7.26", 2)
    place = mesh_pb2.Position(latitude_i=1, longitude_i=2).SerializeToString()
    old = telemetry_pb2.Telemetry(device_metrics=telemetry_pb2.DeviceMetrics(battery_level=1))
    mirror.live(heard(OTHER, packets.POSITION, place), NOW)
    mirror.live(heard(OTHER, packets.TELEMETRY, old.SerializeToString()), NOW)
    mirror.begin_capture()
    for payload in connections("2.7.26")[2].dump:
        mirror.capture(payload)
    mirror.complete_capture()
    node = Decoder(mirror).node(OTHER)
    assert node is not None
    assert node.position is not None
    assert node.position.latitude == 52.3501568
    assert node.telemetry["device"].values["battery_level"] == 87


def test_channels() -> None:
    """The nameless primary one bears the preset's name; unused slots are none."""
    mirror = mirror_of("2.8.0-dev")
    decoder = Decoder(mirror)
    assert decoder.channels() == [Channel(index=0, name="LongFast", is_primary=True)]
    for index, name in ((1, "Admin"), (3, "")):
        channel = channel_pb2.Channel(
            index=index,
            role=channel_pb2.Channel.SECONDARY,
            settings=channel_pb2.ChannelSettings(name=name),
        )
        mirror.live(mesh_pb2.FromRadio(channel=channel).SerializeToString(), NOW)
    lora = config_pb2.Config.LoRaConfig(
        use_preset=True, modem_preset=config_pb2.Config.LoRaConfig.MEDIUM_SLOW
    )
    mirror.live(mesh_pb2.FromRadio(config=config_pb2.Config(lora=lora)).SerializeToString(), NOW)
    assert decoder.channels() == [
        Channel(index=0, name="MediumSlow", is_primary=True),
        Channel(index=1, name="Admin"),
        Channel(index=3, name="Channel 3"),
    ]
    lora.use_preset = False
    mirror.live(mesh_pb2.FromRadio(config=config_pb2.Config(lora=lora)).SerializeToString(), NOW)
    assert decoder.channels()[0].name == "Custom"


# Texts


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
    assert (detection.kind, detection.text) == (MessageKind.CHANNEL, "Door detected")


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


# Waypoints, routes, neighbours, reports


def test_waypoint() -> None:
    """Set, and withdrawn by a time that is past."""
    decoder = decoder_of("2.7.26")
    sent = mesh_pb2.Waypoint(
        id=4711,
        latitude_i=52_1000000,
        longitude_i=-4_2000000,
        name="camp",
        description="tent",
        icon=0x1F3D5,
        expire=int(NOW) + 3600,
    )
    (found,) = read(decoder, heard(OTHER, packets.WAYPOINT, sent.SerializeToString()))
    assert found == Waypoint(
        waypoint_id="00001267",
        name="camp",
        latitude=52.1,
        longitude=-4.2,
        description="tent",
        icon="\N{CAMPING}",
        expires=NOW + 3600,
        sender_id="!0a000002",
    )
    sent.expire = 1
    (found,) = read(decoder, heard(OTHER, packets.WAYPOINT, sent.SerializeToString()))
    assert isinstance(found, Waypoint)
    assert found.latitude is found.longitude is None
    sent.expire = 0
    sent.latitude_i = sent.longitude_i = 0
    sent.icon = 0xDC00
    (found,) = read(decoder, heard(OTHER, packets.WAYPOINT, sent.SerializeToString()))
    assert isinstance(found, Waypoint)
    assert (found.latitude, found.longitude, found.expires, found.icon) == (0.0, 0.0, None, None)
    sent.id = 0
    assert read(decoder, heard(OTHER, packets.WAYPOINT, sent.SerializeToString())) == []


def test_traceroute_over_relays() -> None:
    """An unknown signal is none; a way that was not traced is empty."""
    decoder = decoder_of("2.7.26")
    route = mesh_pb2.RouteDiscovery(
        route=[STRANGER, 0xFFFFFFFF],
        snr_towards=[-20, -128, 12],
        route_back=[STRANGER],
        snr_back=[0, -5],
    )
    frame = heard(
        OTHER, packets.TRACEROUTE, route.SerializeToString(), to=OWN, data_request_id=0xABC
    )
    (found,) = read(decoder, frame)
    assert found == Traceroute(
        node_id="!0a000002",
        towards=(
            RouteHop(node_id="!0a0000ff", snr=-5.0),
            RouteHop(node_id="!ffffffff"),
            RouteHop(node_id="!0a000002", snr=3.0),
        ),
        back=(
            RouteHop(node_id="!0a0000ff", snr=0.0),
            RouteHop(node_id="!0a000001", snr=-1.25),
        ),
        request_id="00000abc",
    )
    old = mesh_pb2.RouteDiscovery(route=[STRANGER])
    frame = heard(OTHER, packets.TRACEROUTE, old.SerializeToString(), to=OWN, data_request_id=1)
    (found,) = read(decoder, frame)
    assert isinstance(found, Traceroute)
    assert found.towards == (RouteHop(node_id="!0a0000ff"), RouteHop(node_id="!0a000002"))
    assert found.back == ()


def test_unpacked_traceroute() -> None:
    """A parser must take both forms of a repeated number."""
    payload = (
        wire.fixed32_field(1, STRANGER)
        + wire.varint_field(2, 8)
        + wire.varint_field(2, (1 << 64) - 4)
    )
    frame = heard(OTHER, packets.TRACEROUTE, payload, to=OWN, data_request_id=1)
    (found,) = read(decoder_of("2.7.26"), frame)
    assert isinstance(found, Traceroute)
    assert found.towards == (
        RouteHop(node_id="!0a0000ff", snr=2.0),
        RouteHop(node_id="!0a000002", snr=-1.0),
    )


def test_question_for_a_route_is_no_answer() -> None:
    """Others trace us, too."""
    route = mesh_pb2.RouteDiscovery(route=[STRANGER]).SerializeToString()
    decoder = decoder_of("2.7.26")
    assert read(decoder, heard(OTHER, packets.TRACEROUTE, route, to=OWN)) == []
    foreign = heard(OTHER, packets.TRACEROUTE, route, to=STRANGER, data_request_id=5)
    assert read(decoder, foreign) == []


def test_neighbours() -> None:
    """Whom a node hears, and how well."""
    sent = mesh_pb2.NeighborInfo(
        node_id=OTHER,
        neighbors=[
            mesh_pb2.Neighbor(node_id=STRANGER, snr=-3.5),
            mesh_pb2.Neighbor(node_id=OWN),
            mesh_pb2.Neighbor(node_id=0),
        ],
    )
    frame = heard(OTHER, packets.NEIGHBOR_INFO, sent.SerializeToString())
    assert read(decoder_of("2.7.26"), frame) == [
        NeighborReport(
            node_id="!0a000002",
            neighbors=(
                RouteHop(node_id="!0a0000ff", snr=-3.5),
                RouteHop(node_id="!0a000001"),
            ),
        )
    ]


def test_status_and_people_counter() -> None:
    """They are told, and kept with the node."""
    mirror = mirror_of("2.7.26")
    decoder = Decoder(mirror)
    status = mesh_pb2.StatusMessage(status="on the hill").SerializeToString()
    people = paxcount_pb2.Paxcount(wifi=3, ble=4).SerializeToString()
    frames = [
        heard(OTHER, packets.NODE_STATUS, status),
        heard(OTHER, packets.PAXCOUNTER, people),
    ]
    for frame in frames:
        mirror.live(frame, NOW)
    assert read(decoder, frames[0]) == [StatusReport(node_id="!0a000002", status="on the hill")]
    (found,) = read(decoder, frames[1])
    assert isinstance(found, TelemetryReport)
    node = decoder.node(OTHER)
    assert node is not None
    assert node.status == "on the hill"
    assert node.telemetry["paxcounter"] == found.telemetry
    assert found.telemetry.values["ble"] == 4


def test_history_is_no_news() -> None:
    """What firmware 2.8 tells again has no time of reception."""
    mirror = mirror_of("2.8.0-dev", 5)
    decoder = Decoder(mirror)
    frame = connections("2.8.0-dev")[5].live[-1]
    mirror.live(frame, NOW)
    (found,) = read(decoder, frame)
    assert isinstance(found, TelemetryReport)
    assert found.is_history
    assert found.telemetry.time is None
    node = decoder.node(packets.parse_packet(packet_in(frame)).sender)
    assert node is not None
    assert node.last_heard is None
    assert node.telemetry["device"] == found.telemetry


@pytest.mark.parametrize("portnum", [3, 5, 8, 34, 36, 65, 67, 70, 71])
@pytest.mark.parametrize("content", [b"\x0a", b"\xff" * 30, b"\x12\x7f\x00", b"\x0a\x03abc"])
def test_broken_content_says_nothing_wrong(portnum: int, content: bytes) -> None:
    """It never raises; what it gives is of the expected kind."""
    decoder = decoder_of("2.7.26")
    for found in read(decoder, heard(OTHER, portnum, content, to=OWN, data_request_id=7)):
        assert isinstance(found, StatusReport | NeighborReport | Traceroute)
    assert decoder.packet(b"\xff", NOW) == []
    assert decoder.counters["malformed"]


# Places


def place(**fields: Any) -> Position | None:
    """Return what is made of a ``Position``."""
    message = mesh_pb2.Position(**fields)
    return describe.decode_position(message.SerializeToString(), NOW, NOW)


def test_units_of_a_place() -> None:
    """Degrees, metres, metres per second, and what time it was."""
    assert place(
        latitude_i=-33_8688197,
        longitude_i=151_2092955,
        altitude=-12,
        ground_speed=36,
        ground_track=270_50000,
        sats_in_view=7,
        precision_bits=32,
        time=int(NOW) - 100,
        timestamp=int(NOW) - 110,
    ) == Position(
        latitude=-33.8688197,
        longitude=151.2092955,
        altitude=-12.0,
        speed=10.0,
        course=270.5,
        satellites=7,
        time=NOW - 110,
    )


def test_place_with_as_little_as_possible() -> None:
    """What was not sent is not known; the equator is a place."""
    assert place(longitude_i=4_0000000) == Position(latitude=0.0, longitude=4.0, time=NOW)
    found = place(latitude_i=1, longitude_i=1, altitude=0, ground_speed=0)
    assert found is not None
    assert (found.altitude, found.speed) == (0.0, 0.0)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"time": int(NOW)},
        {"latitude_i": 0, "longitude_i": 0},
        {"latitude_i": 90_0000001, "longitude_i": 1},
        {"latitude_i": 1, "longitude_i": -180_0000001},
    ],
)
def test_no_place(fields: dict[str, int]) -> None:
    """Only a time, the point off Africa that a receiver without a fix tells, or none on earth."""
    assert place(**fields) is None


@pytest.mark.parametrize(
    ("bits", "metres"),
    [(0, None), (10, 23345.48), (13, 2918.19), (19, 45.6), (31, 0.01), (32, None), (33, None)],
)
def test_blur(bits: int, metres: float | None) -> None:
    """Each bit halves it; the apps draw the same circles."""
    assert describe.accuracy(bits) == metres
