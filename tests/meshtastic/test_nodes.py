"""What nodes say of themselves, also malformed, and whether a radio stores the same."""

from meshtastic.protobuf import mesh_pb2, telemetry_pb2
import pytest

from custom_components.meshmonitor.meshtastic import nodes, packets

MALFORMED = b"\x12\x7f"


def test_public_key() -> None:
    """One is 32 bytes; anything else is none."""
    assert nodes.public_key(mesh_pb2.User(public_key=bytes(32)).SerializeToString()) == bytes(32)
    assert nodes.public_key(mesh_pb2.User(public_key=b"short").SerializeToString()) is None
    assert nodes.public_key(None) is None
    assert nodes.public_key(MALFORMED) is None


@pytest.mark.parametrize(
    ("stored", "same", "other"),
    [
        (
            mesh_pb2.Position(latitude_i=1, longitude_i=2),
            mesh_pb2.Position(latitude_i=1, longitude_i=2, time=5, sats_in_view=4),
            mesh_pb2.Position(latitude_i=1, longitude_i=3),
        ),
        (
            mesh_pb2.Position(latitude_i=1, altitude=7),
            mesh_pb2.Position(latitude_i=1, altitude=7, ground_speed=3),
            mesh_pb2.Position(latitude_i=1, altitude=8),
        ),
    ],
)
def test_positions_are_the_same_by_their_place(
    stored: mesh_pb2.Position, same: mesh_pb2.Position, other: mesh_pb2.Position
) -> None:
    """A radio keeps no more of them than that."""
    key = (packets.POSITION, 0)
    first = stored.SerializeToString()
    assert nodes.says_the_same(key, first, same.SerializeToString())
    assert not nodes.says_the_same(key, first, other.SerializeToString())


def test_other_readings_are_the_same_whenever_they_were_measured() -> None:
    """Or to the letter, where they state no time."""
    early, late, other = (
        telemetry_pb2.Telemetry(
            time=time, environment_metrics=telemetry_pb2.EnvironmentMetrics(temperature=degrees)
        ).SerializeToString()
        for time, degrees in ((1, 20.5), (2, 20.5), (2, 21.0))
    )
    key = (packets.TELEMETRY, 3)
    assert nodes.says_the_same(key, early, late)
    assert not nodes.says_the_same(key, late, other)
    status = (packets.NODE_STATUS, 0)
    assert nodes.says_the_same(status, b"all well", b"all well")
    assert not nodes.says_the_same(status, b"all well", b"help")
