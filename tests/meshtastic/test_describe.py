"""The mirrored radio, its nodes, channels and places, in the terms of the mesh model."""

from typing import Any

from meshtastic.protobuf import channel_pb2, config_pb2, mesh_pb2, telemetry_pb2
import pytest

from custom_components.meshmonitor.mesh.model import Channel, Identity, Position
from custom_components.meshmonitor.meshtastic import describe, packets, wire
from custom_components.meshmonitor.meshtastic.decode import Decoder
from custom_components.meshmonitor.meshtastic.mirror import Mirror
from tests.meshtastic.reading import following
from tests.meshtastic.recorded import (
    NOW,
    VERSIONS,
    captured,
    connections,
    decoder_of,
    heard,
    mirror_of,
)

OWN = 0x0A000001
OTHER = 0x0A000002
STRANGER = 0x0A0000FF


def test_identity() -> None:
    """Name, board and firmware of the radio."""
    assert decoder_of("2.7.26", 2).identity() == Identity(
        node_id="!0a000001",
        name="Recorder",
        short_name="REC",
        hardware="Portduino",
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
    assert identity.hardware == "Portduino"


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
            assert node.hardware == "Portduino"
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


def test_who_handed_a_node_s_packet_on() -> None:
    """The neighbour whose number ends so; where several do, or none is known, the end alone."""
    mirror = mirror_of("2.7.26", 2)
    decoder = Decoder(mirror)
    relays = [0x0B0000C4, 0x0C0000C4]

    def relay_of(**fields: Any) -> str | None:
        mirror.live(heard(OTHER, 1, b"x", **fields), NOW)
        node = decoder.node(OTHER)
        assert node is not None
        return node.relay

    assert relay_of() is None
    relayed = {"hop_limit": 2, "relay_node": 0xC4}
    assert relay_of(**relayed) == "c4"
    mirror.live(heard(relays[0], 1, b"x"), NOW)
    assert relay_of(**relayed) == "!0b0000c4"
    mirror.live(heard(relays[1], 1, b"x", hop_limit=1, relay_node=0), NOW)
    assert relay_of(**relayed) == "!0b0000c4", "the other one is far away"
    mirror.live(heard(relays[1], 1, b"x"), NOW)
    assert relay_of(**relayed) == "c4"
    assert relay_of(**relayed, via_mqtt=True) is None
    assert relay_of(hop_limit=2, relay_node=0) is None
    assert relay_of(**relayed) == "c4"
    assert relay_of() is None


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
    assert node.hardware == "Heltec V3"
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
