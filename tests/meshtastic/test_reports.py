"""Waypoints, routes, neighbours and reports out of packets."""

from meshtastic.protobuf import mesh_pb2, paxcount_pb2
import pytest

from custom_components.meshmonitor.mesh.model import RouteHop, Traceroute, Waypoint
from custom_components.meshmonitor.meshtastic import packets, wire
from custom_components.meshmonitor.meshtastic.decode import Decoder
from custom_components.meshmonitor.meshtastic.reports import (
    NeighborReport,
    StatusReport,
    TelemetryReport,
)
from tests.meshtastic.reading import read
from tests.meshtastic.recorded import NOW, connections, decoder_of, heard, mirror_of, packet_in

OWN = 0x0A000001
OTHER = 0x0A000002
STRANGER = 0x0A0000FF


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
