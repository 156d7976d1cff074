"""The recordings are read right, and served byte for byte."""

from pathlib import Path

from meshtastic.protobuf import mesh_pb2
import pytest

from tests.simulators.meshtastic_client import RawClient
from tests.simulators.meshtastic_dump import ONLY_CONFIG, ONLY_NODES, REGION_PRESETS, complete_frame
from tests.simulators.recording import (
    MESHCORE,
    MESHTASTIC_2_7,
    MESHTASTIC_2_8,
    RecordedNode,
    dump_frames,
    live_frames,
    read_recording,
    recorded_dumps,
)

BOTH = pytest.mark.parametrize("path", [MESHTASTIC_2_7, MESHTASTIC_2_8])


@pytest.mark.parametrize(("path", "lines"), [(MESHTASTIC_2_7, 341), (MESHTASTIC_2_8, 347)])
def test_every_line_is_read(path: Path, lines: int) -> None:
    """Connections, frames and stray bytes."""
    entries = read_recording(path)
    assert len(entries) == lines
    assert [e.connection for e in entries if e.kind == "connect"] == [1, 2, 3, 4, 5, 6]
    assert [e.data for e in entries if e.kind == "stray"] == [b"\xc3" * 32]


def test_the_meshcore_recording_is_read_too() -> None:
    """Three connections; every frame has a sender and something in it."""
    entries = read_recording(MESHCORE)
    assert sum(e.kind == "connect" for e in entries) == 3
    frames = [e for e in entries if e.kind == "frame"]
    assert len(frames) > 100
    assert all(e.sender and e.data for e in frames)


@BOTH
def test_dumps_and_live_frames_are_told_apart(path: Path) -> None:
    """All frames of the node are in one or the other, once."""
    dumps = recorded_dumps(path)
    assert [d.kind for d in dumps] == ["full", "full", "config", "nodes", "full", "full"]
    assert [d.nonce for d in dumps[2:]] == [ONLY_CONFIG, ONLY_NODES, 0, 1]
    told = sum(len(d.frames) for d in dumps) + len(live_frames(path, None))
    said = [e for e in read_recording(path) if e.sender == "node" and e.kind == "frame"]
    assert told == len(said)
    assert dump_frames(path, "nodes") == list(dumps[3].frames)
    assert dump_frames(path, occurrence=1) == list(dumps[1].frames)
    live = [mesh_pb2.FromRadio.FromString(p) for p in live_frames(path)]
    assert not any(m.config_complete_id or m.HasField("node_info") for m in live)


@BOTH
async def test_a_recording_is_served_as_a_node(socket_enabled: None, path: Path) -> None:
    """Each dump with the nonce asked, heartbeats answered, live frames on demand."""
    async with (
        RecordedNode(path) as node,
        await RawClient.connect(node.host, node.port) as client,
    ):
        full = await client.want_config(424242)
        assert full == [*dump_frames(path)[:-1], complete_frame(424242)]
        assert (REGION_PRESETS in full) is (path == MESHTASTIC_2_8)
        assert await client.want_config(ONLY_CONFIG) == dump_frames(path, "config")
        assert await client.want_config(ONLY_NODES) == dump_frames(path, "nodes")
        client.heartbeat()
        await client.wait_for(client.queue_statuses)
        assert node.want_configs == [424242, ONLY_CONFIG, ONLY_NODES]

        before = len(client.payloads)
        live = live_frames(path)
        assert await node.play_one() == live[0]
        assert await node.play() == live[1:]
        assert await client.more(len(live), than=before) == live
        with pytest.raises(IndexError):
            await node.play_one()


async def test_a_later_dump_shows_what_the_live_frames_changed(socket_enabled: None) -> None:
    """The first one knows two nodes by number alone; the second one knows their names."""
    async with (
        RecordedNode(MESHTASTIC_2_7, full=1) as node,
        await RawClient.connect(node.host, node.port) as client,
    ):
        later = await client.want_config(1)

    def names(dump: list[bytes]) -> list[str]:
        frames = map(mesh_pb2.FromRadio.FromString, dump)
        return [f.node_info.user.long_name for f in frames if f.HasField("node_info")]

    assert names(dump_frames(MESHTASTIC_2_7)) == ["Sim Node 0", "", ""]
    assert names(later) == ["Recorder", "Sim Node 1", "Sim Node 2"]


async def test_the_newest_connection_wins(socket_enabled: None) -> None:
    """As at a real node."""
    async with (
        RecordedNode(MESHTASTIC_2_7) as node,
        await RawClient.connect(node.host, node.port) as older,
        await RawClient.connect(node.host, node.port) as newer,
    ):
        await older.end()
        assert await newer.want_config(1)
        assert node.connected
        node.drop()
        await newer.end()
