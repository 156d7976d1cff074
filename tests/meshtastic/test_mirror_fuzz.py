"""Whatever a radio sends: nothing raises, and what clients get stays well-formed."""

import json
from typing import Final

from hypothesis import HealthCheck, given, settings, strategies as st

from custom_components.meshmonitor.meshtastic import packets, wire
from custom_components.meshmonitor.meshtastic.decode import Decoder
from custom_components.meshmonitor.meshtastic.framing import FrameDecoder
from custom_components.meshmonitor.meshtastic.mirror import Mirror
from custom_components.meshmonitor.meshtastic.replay import ReplayKind
from tests.meshtastic.recorded import NOW, VERSIONS, captured, connections, heard

RECORDED: Final = [
    payload
    for version in VERSIONS
    for connection in connections(version).values()
    for payload in (*connection.dump, *connection.live)
]
DUMPS: Final = [connections(version)[2].dump for version in VERSIONS]

thorough = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def whole_field(number: int, value: int | bytes) -> bytes:
    """Return a field of the type that fits the value."""
    if isinstance(value, bytes):
        return wire.bytes_field(number, value)
    return wire.varint_field(number, value)


def messages(depth: int = 3) -> st.SearchStrategy[bytes]:
    """Return well-formed messages of any fields, with messages in them."""
    leaf = st.one_of(st.integers(0, (1 << 64) - 1), st.integers(0, 300), st.binary(max_size=24))
    value = st.one_of(leaf, messages(depth - 1)) if depth else leaf
    numbers = st.one_of(st.integers(1, 24), st.integers(25, 110))
    scalar = st.builds(whole_field, numbers, value)
    fixed = st.builds(wire.fixed32_field, numbers, st.integers(0, 0xFFFFFFFF))
    return st.lists(st.one_of(scalar, fixed), max_size=6).map(b"".join)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Return a recorded frame with a few bytes changed, lost or added."""
    data = bytearray(draw(st.sampled_from(RECORDED)))
    for _ in range(draw(st.integers(0, 4))):
        position = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 2)):
            case 0 if position < len(data):
                data[position] = draw(st.integers(0, 255))
            case 1:
                del data[position:]
            case _:
                data[position:position] = draw(st.binary(min_size=1, max_size=6))
    return bytes(data)


@st.composite
def mesh_packets(draw: st.DrawFn) -> bytes:
    """Return a packet of a few nodes on a port that is read here, with any content."""
    ports = (1, 3, 4, 5, 6, 7, 8, 10, 11, 34, 36, 65, 67, 70, 71, 256)
    replay = draw(st.booleans())
    fields = {"rx_rssi": None, "priority": 10, "relay_node": 0, "data_bitfield": None}
    return heard(
        draw(st.sampled_from((0, 1, 0x0A000001, 0x0A000002, 0x0A0000FF, 0xD913C49C, 0xFFFFFFFF))),
        draw(st.sampled_from(ports)),
        draw(st.one_of(st.binary(max_size=40), messages(), st.just(b""))),
        to=draw(st.sampled_from((0xFFFFFFFF, 1, 0x0A000001, 0x0A000002))),
        rx_time=draw(st.one_of(st.none(), st.integers(0, 0xFFFFFFFF))),
        hop_limit=draw(st.integers(0, 0xFFFFFFFF)),
        hop_start=draw(st.integers(0, 7)),
        channel=draw(st.integers(0, 300)),
        rx_snr=draw(st.floats(width=32)),
        data_request_id=draw(st.integers(0, 3)),
        data_emoji=draw(st.integers(0, 1)),
        data_reply_id=draw(st.integers(0, 1)),
        **(fields if replay else {}),
    )


variants = st.builds(
    whole_field, st.sampled_from((2, 3, 4, 5, 9, 10, 13, 15, 17, 19, 30)), messages()
)
frames = st.one_of(st.binary(max_size=60), messages(), damaged(), mesh_packets(), variants)


def is_usable(mirror: Mirror) -> None:
    """See that all that can be asked of a mirror is answered."""
    decoder = Decoder(mirror)
    decoder.channels()
    decoder.identity()
    nodes = decoder.nodes(NOW)
    assert mirror.state is not None
    assert len(nodes) == len(mirror.state.nodes)
    for kind in ReplayKind:
        for redacted in (True, False):
            replay = mirror.replay(kind, redacted=redacted)
            assert replay is not None
            payloads = FrameDecoder().feed(replay.data)
            assert len(payloads) == replay.frames
            for payload in payloads:
                assert packets.variant(payload)[0]
        for frame in mirror.after_complete(kind):
            (payload,) = FrameDecoder().feed(frame)
            assert packets.is_replay(packets.variant(payload)[1])
    mirror.is_managed()
    restored = Mirror()
    restored.restore(json.loads(json.dumps(mirror.snapshot())))
    assert restored.snapshot() == mirror.snapshot()


@thorough
@given(st.sampled_from(DUMPS), st.lists(st.tuples(st.integers(0, 50), frames), max_size=8))
def test_any_capture(dump: list[bytes], strays: list[tuple[int, bytes]]) -> None:
    """Strange frames amid a dump leave a mirror that answers, or none."""
    mirror = Mirror()
    mirror.begin_capture()
    told = list(dump)
    for position, payload in strays:
        told.insert(position, payload)
    for payload in told:
        mirror.capture(payload)
    if mirror.complete_capture().is_complete:
        is_usable(mirror)
    else:
        assert not mirror.has_snapshot


@thorough
@given(st.sampled_from(DUMPS), st.lists(frames, max_size=8))
def test_any_live_frames(dump: list[bytes], live: list[bytes]) -> None:
    """Strange frames in use leave a mirror that answers."""
    mirror = captured(dump)
    for payload in live:
        change = mirror.live(payload, NOW)
        assert change.new_nodes <= change.nodes
    is_usable(mirror)


@thorough
@given(st.sampled_from(DUMPS), st.lists(st.one_of(st.binary(max_size=40), messages()), max_size=6))
def test_any_commands(dump: list[bytes], commands: list[bytes]) -> None:
    """Strange commands leave a mirror that answers."""
    mirror = captured(dump)
    for payload in commands:
        mirror.apply_admin(payload)
    is_usable(mirror)


@thorough
@given(st.sampled_from(DUMPS), st.lists(frames, max_size=8))
def test_any_packets(dump: list[bytes], live: list[bytes]) -> None:
    """Reading never raises."""
    decoder = Decoder(captured(dump))
    for payload in live:
        decoder.packet(payload, NOW)
        try:
            number, value = packets.variant(payload)
        except wire.WireError:
            continue
        if number == packets.PACKET:
            decoder.packet(value, NOW)


@thorough
@given(
    st.recursive(
        st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=8), st.just("IgIIAQ==")),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(st.sampled_from(("version", "frames", "nodes")), inner),
        ),
        max_leaves=12,
    )
)
def test_any_snapshot(content: object) -> None:
    """What is none is a ValueError, and nothing else."""
    mirror = Mirror()
    if isinstance(content, dict):
        content["version"] = 1
    try:
        mirror.restore(content)
    except ValueError:
        assert not mirror.has_snapshot
