"""A replay is what the radio said, byte for byte, as far as it was asked for."""

from meshtastic.protobuf import mesh_pb2
import pytest

from custom_components.meshmonitor.meshtastic import packets, wire
from custom_components.meshmonitor.meshtastic.framing import FrameDecoder, encode
from custom_components.meshmonitor.meshtastic.mirror import Mirror
from custom_components.meshmonitor.meshtastic.replay import Replay, ReplayKind
from tests.meshtastic.recorded import (
    NOW,
    VERSIONS,
    captured,
    connections,
    heard,
    many_nodes,
    mirror_of,
    node_info_in,
    replayed,
)

# Which connection of the recordings asked with which nonce: nothing changed between them.
FULL, ONLY_CONFIG, ONLY_NODES, ZERO, ONE = 2, 3, 4, 5, 6
REGION_PRESETS = 19


def variants(payloads: list[bytes]) -> list[int]:
    """Return the numbers of the variants."""
    return [packets.variant(payload)[0] for payload in payloads]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("answered", [FULL, ONLY_CONFIG, ONLY_NODES, ZERO, ONE])
def test_equals_what_the_firmware_answers(version: str, answered: int) -> None:
    """Whatever the nonce, the answer is the recorded one, byte for byte."""
    recording = connections(version)[answered]
    mirror = mirror_of(version, FULL)
    assert replayed(mirror, ReplayKind.for_nonce(recording.nonce)) == recording.dump


@pytest.mark.parametrize("version", VERSIONS)
def test_frames_stay_whole_in_every_chunk(version: str) -> None:
    """A chunk ends where a frame ends, so that chunks may be written one by one."""
    replay = mirror_of(version).replay(ReplayKind.FULL, redacted=False)
    assert replay is not None
    for chunk in replay.chunks:
        decoder = FrameDecoder()
        assert decoder.feed(chunk)
        assert decoder.partial_since is None


def test_unknown_variant_stays_in_its_place() -> None:
    """A variant newer than the schema arrives unharmed behind the metadata."""
    recording = connections("2.8.0-dev")[1].dump
    position = variants(recording).index(REGION_PRESETS)
    assert mesh_pb2.FromRadio.FromString(recording[position]).WhichOneof("payload_variant") is None
    payloads = replayed(mirror_of("2.8.0-dev"), ReplayKind.FULL)
    assert payloads[position] == recording[position]
    assert variants(payloads)[position - 1] == packets.METADATA


@pytest.mark.parametrize("nonce", [0, 1, 69419, 69422, 0xFFFFFFFF])
def test_only_two_nonces_are_special(nonce: int) -> None:
    """All others ask for everything."""
    assert ReplayKind.for_nonce(nonce) is ReplayKind.FULL


def test_nothing_to_replay_before_a_capture() -> None:
    """Nothing is invented."""
    mirror = Mirror()
    mirror.begin_capture()
    mirror.capture(connections("2.7.26")[1].dump[0])
    assert mirror.replay(ReplayKind.FULL, redacted=False) is None
    assert mirror.after_complete(ReplayKind.FULL) == []


def test_redacted_differs_in_the_secrets_alone() -> None:
    """Keys and passwords go, everything else stays as it is."""
    mirror = mirror_of("2.8.0-dev")
    plain = replayed(mirror, ReplayKind.CONFIG)
    redacted = replayed(mirror, ReplayKind.CONFIG, redacted=True)
    differing = [
        mesh_pb2.FromRadio.FromString(before)
        for before, after in zip(plain, redacted, strict=True)
        if before != after
    ]
    assert [
        frame.config.WhichOneof("payload_variant")
        or frame.moduleConfig.WhichOneof("payload_variant")
        for frame in differing
    ] == ["bluetooth", "security", "mqtt"]
    secret = differing[1].config.security.private_key
    assert len(secret) == 32
    assert secret not in b"".join(redacted)
    assert replayed(mirror, ReplayKind.CONFIG) == plain


def test_new_node_is_told_among_the_others() -> None:
    """It stands behind the other nodes, before the files, and is counted."""
    mirror = mirror_of("2.7.26")
    before = replayed(mirror, ReplayKind.FULL)
    assert mirror.live(heard(0x0A0000FF, packets.TEXT_MESSAGE, b"hello"), NOW).new_nodes
    after = replayed(mirror, ReplayKind.FULL)
    last_node = max(
        index for index, number in enumerate(variants(after)) if number == packets.NODE_INFO
    )
    assert node_info_in(after[last_node]).num == 0x0A0000FF
    assert after[:last_node][1:] + after[last_node + 1 :] == before[1:]
    assert mesh_pb2.FromRadio.FromString(after[0]).my_info.nodedb_count == 4
    assert after[last_node] in replayed(mirror, ReplayKind.NODES)
    assert after[last_node] not in replayed(mirror, ReplayKind.CONFIG)


def test_first_other_node_comes_before_the_files() -> None:
    """A radio that knew nobody gets its first node where the firmware would tell it."""
    recording = connections("2.7.26")[1].dump
    own = next(payload for payload in recording if variants([payload]) == [packets.NODE_INFO])
    mirror = captured(
        [
            payload
            for payload in recording
            if payload == own or variants([payload]) != [packets.NODE_INFO]
        ]
    )
    mirror.live(heard(0x0A0000FF, packets.TEXT_MESSAGE, b"hello"), NOW)
    numbers = variants(replayed(mirror, ReplayKind.FULL))
    position = len(numbers) - 1 - numbers[::-1].index(packets.NODE_INFO)
    assert numbers[position - 1] == packets.MODULE_CONFIG
    assert set(numbers[position + 1 :]) == {packets.FILE_INFO}
    assert len(replayed(mirror, ReplayKind.NODES)) == 2


def test_node_count_is_not_invented() -> None:
    """Firmware that does not count its nodes does not begin to."""
    recording = connections("2.7.26")[1].dump
    info = mesh_pb2.FromRadio.FromString(recording[0])
    info.my_info.ClearField("nodedb_count")
    mirror = captured([info.SerializeToString(), *recording[1:]])
    mirror.live(heard(0x0A0000FF, packets.TEXT_MESSAGE, b"hello"), NOW)
    assert replayed(mirror, ReplayKind.FULL)[0] == info.SerializeToString()


def chunks_of(replay: Replay | None) -> tuple[bytes, ...]:
    """Return the chunks of a replay."""
    assert replay is not None
    return replay.chunks


def test_a_thousand_nodes() -> None:
    """All are told in order; a change of one node joins a small part anew, and no other."""
    recording = many_nodes(1000)
    mirror = captured(recording)
    assert replayed(mirror, ReplayKind.FULL) == recording
    before = chunks_of(mirror.replay(ReplayKind.FULL, redacted=True))
    assert all(
        again is chunk
        for again, chunk in zip(
            chunks_of(mirror.replay(ReplayKind.FULL, redacted=True)), before, strict=True
        )
    )
    mirror.live(heard(0x2000_0000 + 500, packets.TEXT_MESSAGE, b"hello"), NOW)
    after = chunks_of(mirror.replay(ReplayKind.FULL, redacted=True))
    anew = [index for index, chunk in enumerate(after) if chunk is not before[index]]
    assert len(anew) == 1
    assert len(after[anew[0]]) < sum(map(len, after)) / 10
    assert len(replayed(mirror, ReplayKind.NODES)) == 1 + 2 + 1000


def test_removed_nodes_leave_no_gap() -> None:
    """Nodes come and go; the order of the others stays."""
    recording = many_nodes(200)
    mirror = captured(recording)
    for num in range(0x2000_0000, 0x2000_0000 + 200, 2):
        assert mirror.apply_admin(wire.varint_field(38, num)).removed_nodes == {num}
    left = [node_info_in(payload).num for payload in replayed(mirror, ReplayKind.NODES)]
    assert left[3:] == list(range(0x2000_0001, 0x2000_0000 + 200, 2))
    info = mesh_pb2.FromRadio.FromString(replayed(mirror, ReplayKind.FULL)[0])
    assert info.my_info.nodedb_count == len(left)


def test_places_of_removed_nodes_are_given_back() -> None:
    """However many come and go, no more is kept than of those that are there."""
    mirror = captured(connections("2.7.26")[2].dump, max_nodes=150)
    few = len(chunks_of(mirror.replay(ReplayKind.FULL, redacted=False)))
    for number in range(1000):
        mirror.live(heard(0x2000_0000 + number, packets.TEXT_MESSAGE, b"hello"), NOW + number)
    state = mirror.state
    assert state is not None
    assert len(state.nodes) == 150
    assert len(state.layout._pieces) <= few + 4


def test_own_node_is_the_first_of_the_nodes() -> None:
    """With its present values."""
    mirror = mirror_of("2.8.0-dev")
    own = mirror.my_node_num
    assert own is not None
    state = mirror.state
    assert state is not None
    key = state.own.public_key
    assert key is not None
    user = mesh_pb2.User(long_name="Renamed", short_name="RN", public_key=key)
    mirror.live(heard(own, packets.NODE_INFO_APP, user.SerializeToString()), NOW)
    nodes = replayed(mirror, ReplayKind.NODES)
    assert node_info_in(nodes[0]).num == own
    assert node_info_in(nodes[0]).user.long_name == "Renamed"
    assert replayed(mirror, ReplayKind.CONFIG)[2] == nodes[0]
    assert encode(nodes[0]) == chunks_of(mirror.replay(ReplayKind.NODES, redacted=True))[0]


def test_many_new_nodes_are_told_in_the_order_in_which_they_were_heard() -> None:
    """Between the last known node and the files, however many there are."""
    mirror = mirror_of("2.7.26")
    new = list(range(0x3000_0000, 0x3000_0000 + 150))
    for num in new:
        assert mirror.live(heard(num, packets.TEXT_MESSAGE, b"x"), NOW).new_nodes == {num}
    told = [node_info_in(payload).num for payload in replayed(mirror, ReplayKind.NODES)]
    assert told[3:] == new
    numbers = variants(replayed(mirror, ReplayKind.FULL))
    assert numbers[-6:] == [packets.FILE_INFO] * 6
    assert numbers[-156:-6] == [packets.NODE_INFO] * 150
