"""A mirror over a restart."""

import base64
import itertools
import json
from typing import Any

from meshtastic.protobuf import mesh_pb2, telemetry_pb2
import pytest

from custom_components.meshmonitor.meshtastic import packets
from custom_components.meshmonitor.meshtastic.mirror import Mirror
from custom_components.meshmonitor.meshtastic.mirror_store import dump_in_pieces
from custom_components.meshmonitor.meshtastic.nodes import LAST_HEARD
from custom_components.meshmonitor.meshtastic.replay import ReplayKind
from tests.meshtastic.recorded import (
    NOW,
    VERSIONS,
    captured,
    connections,
    heard,
    many_nodes,
    mirror_of,
    replayed,
)


def lived_in(version: str) -> Mirror:
    """Return a mirror after the recorded sessions."""
    mirror = mirror_of(version)
    for payload in connections(version)[1].live + connections(version)[2].live:
        mirror.live(payload, NOW)
    return mirror


def over_a_restart(mirror: Mirror) -> Mirror:
    """Return what is left of a mirror after a restart."""
    restored = Mirror()
    restored.restore(json.loads(json.dumps(mirror.snapshot())))
    return restored


@pytest.mark.parametrize("version", VERSIONS)
def test_all_but_the_private_key_comes_back(version: str) -> None:
    """Frames, readings and what is told after a dump."""
    mirror = lived_in(version)
    restored = over_a_restart(mirror)
    assert restored.is_restored
    assert not mirror.is_restored
    for kind in ReplayKind:
        before = replayed(mirror, kind)
        after = replayed(restored, kind)
        differing = [
            mesh_pb2.FromRadio.FromString(payload)
            for payload, other in zip(before, after, strict=True)
            if payload != other
        ]
        if kind is ReplayKind.NODES:
            assert not differing
        else:
            assert [frame.config.WhichOneof("payload_variant") for frame in differing] == [
                "security"
            ]
            assert not mesh_pb2.FromRadio.FromString(
                next(
                    other for payload, other in zip(before, after, strict=True) if payload != other
                )
            ).config.security.private_key
        assert restored.after_complete(kind) == mirror.after_complete(kind)
    assert restored.snapshot() == mirror.snapshot()
    assert mirror.state is not None
    assert restored.state is not None
    for num, record in mirror.state.nodes.items():
        other = restored.state.nodes[num]
        assert (other.rssi, other.relay) == (record.rssi, record.relay)
        assert other.heard_at == record.heard_at
        assert {key: reading.payload for key, reading in other.readings.items()} == {
            key: reading.payload for key, reading in record.readings.items()
        }
    own = mirror.my_node_num
    assert own is not None
    variant = 2
    assert restored.recent_telemetry(variant, NOW, 1) == mirror.recent_telemetry(variant, NOW, 1)


def test_private_key_is_nowhere_in_it() -> None:
    """Neither plain nor encoded."""
    mirror = mirror_of("2.8.0-dev")
    frames = [mesh_pb2.FromRadio.FromString(item) for item in connections("2.8.0-dev")[1].dump]
    security = next(frame.config.security for frame in frames if frame.config.HasField("security"))
    stored: Any = mirror.snapshot()["frames"]
    content = b"".join(base64.b64decode(frame) for frame in stored)
    assert len(security.private_key) == 32
    assert security.private_key not in content
    assert security.public_key in content


def test_first_capture_makes_it_whole_again() -> None:
    """The radio tells its key anew, and what was heard is still known."""
    restored = over_a_restart(lived_in("2.7.26"))
    dump = connections("2.7.26")[2].dump
    restored.begin_capture()
    for payload in dump:
        restored.capture(payload)
    change = restored.complete_capture().change
    assert not restored.is_restored
    assert not change.new_nodes
    assert replayed(restored, ReplayKind.FULL) == dump
    assert restored.state is not None
    assert any(record.readings for record in restored.state.nodes.values())


def test_nothing_comes_back_as_nothing() -> None:
    """Before the first capture there is nothing to keep."""
    assert Mirror().snapshot() == {}
    mirror = mirror_of("2.7.26")
    mirror.restore({})
    assert not mirror.has_snapshot
    assert not mirror.is_restored


def test_a_thousand_nodes_with_readings() -> None:
    """All of them come back."""
    mirror = captured(many_nodes(1000))
    for index in range(1000):
        sent = telemetry_pb2.Telemetry(
            environment_metrics=telemetry_pb2.EnvironmentMetrics(temperature=index / 10)
        )
        payload = sent.SerializeToString()
        mirror.live(heard(0x2000_0000 + index, packets.TELEMETRY, payload), NOW)
    restored = over_a_restart(mirror)
    assert replayed(restored, ReplayKind.NODES) == replayed(mirror, ReplayKind.NODES)
    assert restored.state is not None
    assert sum(bool(record.readings) for record in restored.state.nodes.values()) == 1000


def test_in_pieces_amid_traffic() -> None:
    """Nodes come, go and send while it is taken: those that were there at first are in it."""
    mirror = captured(many_nodes(20))
    state = mirror.state
    assert state is not None
    known = set(state.nodes)
    pieces = dump_in_pieces(state)
    taken = None
    for number in itertools.count():
        try:
            next(pieces)
        except StopIteration as end:
            taken = end.value
            break
        mirror.live(heard(0x2000_0000 + number % 20, packets.TEXT_MESSAGE, b"hello"), NOW)
        mirror.live(heard(0x3000_0000 + number, packets.TEXT_MESSAGE, b"here I am"), NOW)
        state.remove_node(0x2000_0000 + 2 * number)
    assert set(state.nodes) != known
    restored = Mirror()
    restored.restore(json.loads(json.dumps(taken)))
    assert restored.state is not None
    assert set(restored.state.nodes) == known
    assert restored.state.nodes[0x2000_0001].heard_at > 0


def test_when_metrics_were_heard() -> None:
    """Device metrics are as old as the radio told them, whatever was heard of the node since."""
    told = int(NOW) - 1000
    info = mesh_pb2.NodeInfo(num=0x2000_0000, last_heard=told)
    info.device_metrics.battery_level = 50
    mirror = captured(many_nodes(1))
    mirror.live(mesh_pb2.FromRadio(node_info=info).SerializeToString(), NOW)
    assert mirror.state is not None
    record = mirror.state.nodes[info.num]
    assert record.metrics_heard == told
    # The radio tells the same of it again, and something new.
    info.last_heard += 10
    mirror.live(mesh_pb2.FromRadio(node_info=info).SerializeToString(), NOW)
    assert record.metrics_heard == told
    info.device_metrics.battery_level = 49
    mirror.live(mesh_pb2.FromRadio(node_info=info).SerializeToString(), NOW)
    assert record.metrics_heard == told + 10
    told += 10
    mirror.live(heard(record.num, packets.TEXT_MESSAGE, b"hello"), NOW)
    assert record.number(LAST_HEARD) > told
    for kept in (mirror, over_a_restart(mirror)):
        assert kept.state is not None
        assert kept.state.nodes[record.num].metrics_heard == told
    # A snapshot of the first kind has no such time: then it is when the node was last heard.
    snapshot: Any = mirror.snapshot()
    for node in snapshot["nodes"]:
        del node[4:]
    restored = Mirror()
    restored.restore(snapshot)
    assert restored.state is not None
    later = restored.state.nodes[record.num]
    assert later.metrics_heard == later.number(LAST_HEARD)


def encoded(data: bytes) -> str:
    """Return bytes as a snapshot holds them."""
    return base64.b64encode(data).decode()


ANY_READING = ("nodes", 1, 3, 0)
MISSING = "missing"
"""In place of a value: there is none."""


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), 2),
        (("version",), MISSING),
        (("frames",), MISSING),
        (("frames",), "GhM="),
        (("frames", 0), 5),
        (("frames", 3), "!!!"),
        (("frames", 3), encoded(b"\x6a\x20short")),
        (("frames", 0), MISSING),
        (("nodes",), MISSING),
        (("nodes",), 5),
        (("nodes", 0), 5),
        (("nodes", 0, 0), 4711),
        (("nodes", 0, 1), "strong"),
        (("nodes", 0, 2), -1),
        (("nodes", 0, 3), MISSING),
        (("nodes", 0, 4), -1),
        (("nodes", 0, 4), "then"),
        ((*ANY_READING, 7), MISSING),
        ((*ANY_READING, 0), 1),
        ((*ANY_READING, 2), encoded(b"\x0a")),
        ((*ANY_READING, 3), "now"),
        ((*ANY_READING, 3), 1e12),
        ((*ANY_READING, 4), float("nan")),
        ((*ANY_READING, 5), 1e300),
        ((*ANY_READING, 6), -1),
        ((*ANY_READING, 7), encoded(b"\x08\x01")),
    ],
    ids=str,
)
def test_damage_is_noticed(path: tuple[str | int, ...], value: object) -> None:
    """Nothing of it is used, and what was there before is gone."""
    snapshot: Any = json.loads(json.dumps(lived_in("2.8.0-dev").snapshot()))
    Mirror().restore(snapshot)
    part = snapshot
    for step in path[:-1]:
        part = part[step]
    if value is MISSING:
        del part[path[-1]]
    else:
        part[path[-1]] = value
    mirror = mirror_of("2.7.26")
    with pytest.raises(ValueError):
        mirror.restore(snapshot)
    assert not mirror.has_snapshot
    assert not mirror.is_restored
    assert mirror.replay(ReplayKind.FULL, redacted=False) is None


@pytest.mark.parametrize("snapshot", [None, 5, "text", [], [1], {"version": 1}])
def test_what_is_no_snapshot_is_noticed(snapshot: object) -> None:
    """Whatever a file may hold."""
    with pytest.raises(ValueError):
        Mirror().restore(snapshot)
