"""Recordings of real firmware, served as a radio: what it said is what the phones get."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

from meshtastic.protobuf import mesh_pb2
import pytest

from custom_components.meshmonitor.mesh.transport import TcpEndpoint
from custom_components.meshmonitor.meshtastic import wire
from tests.meshtastic.e2e.stage import PORT, Served
from tests.simulators.meshtastic_dump import complete_frame
from tests.simulators.recording import (
    MESHTASTIC_2_7,
    MESHTASTIC_2_8,
    RecordedNode,
    dump_frames,
    live_frames,
)

REGION_PRESETS = 19
"""A variant of ``FromRadio`` that the published schema does not know."""
RX_TIME = 7
RX_RSSI = 12

BOTH = pytest.mark.parametrize("path", [MESHTASTIC_2_7, MESHTASTIC_2_8], ids=["2.7", "2.8"])


class Replayed(Served):
    """A source that holds a recording."""

    def __init__(self, node: RecordedNode) -> None:
        """Prepare a source for `node`."""
        super().__init__(TcpEndpoint(node.host, node.port), hide_secrets=False)
        self.node = node


@pytest.fixture
async def replayed(socket_enabled: None, short_times: None, path: Path) -> AsyncIterator[Replayed]:
    """Return a source that has read the first full dump of a recording."""
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(RecordedNode(path))
        served = Replayed(node)
        stack.push_async_callback(served.stop)
        await served.start()
        yield served


@BOTH
async def test_a_replay_is_the_recording(replayed: Replayed, path: Path) -> None:
    """Byte for byte, in its order, but for the nonce."""
    recorded = dump_frames(path)[:-1]
    own = mesh_pb2.FromRadio.FromString(recorded[0]).my_info.my_node_num
    nums = [mesh_pb2.FromRadio.FromString(frame).node_info.num for frame in recorded]
    config = [f for f, num in zip(recorded, nums, strict=True) if num in {0, own}]
    nodes = [f for f, num in zip(recorded, nums, strict=True) if num]
    phone = await replayed.connect()
    for nonce, expected in ((5, recorded), (0, recorded), (69420, config), (69421, nodes)):
        assert await phone.want_config(nonce) == [*expected, complete_frame(nonce)]
    assert len(replayed.node.want_configs) == 1


@BOTH
async def test_what_real_firmware_said_live_arrives_as_it_came(
    replayed: Replayed, path: Path
) -> None:
    """In its order. What is one client's own business, or no packet, is not passed on."""
    phones = [await replayed.phone(), await replayed.phone()]
    starts = [len(phone.payloads) for phone in phones]
    played = await replayed.node.play()
    expected = [frame for frame in played if _is_for_all(frame)]
    assert len(expected) > 15
    for phone, start in zip(phones, starts, strict=True):
        await phone.wait_for(lambda phone=phone: expected[-1] in phone.payloads)  # type: ignore[misc]
        heard = [p for p in phone.payloads[start:] if mesh_pb2.FromRadio.FromString(p) is not None]
        kept = [p for p in heard if p in set(expected)]
        assert kept == expected
        assert [p for p in heard if p not in set(played)] == []
    assert replayed.source.counters.get("malformed_frames", 0) == 0


def _is_for_all(payload: bytes) -> bool:
    """Tell whether a live frame is the whole mesh's: a packet that answers no local question."""
    message = mesh_pb2.FromRadio.FromString(payload)
    data = message.packet.decoded
    # The answers to administration belong to a client that is not here, and 2.8's stored readings
    # to those who did their handshake with the radio.
    return (
        message.HasField("packet")
        and data.portnum != PORT.ADMIN_APP
        and not (
            message.packet.priority == mesh_pb2.MeshPacket.Priority.BACKGROUND
            and message.packet.transport_mechanism
        )
    )


@pytest.mark.parametrize("path", [MESHTASTIC_2_8], ids=["2.8"])
async def test_a_variant_newer_than_the_schema_is_in_every_replay(replayed: Replayed) -> None:
    """In its slot, unharmed."""
    (unknown,) = [
        f for f in dump_frames(MESHTASTIC_2_8) if wire.scan(f)[0].number == REGION_PRESETS
    ]
    assert mesh_pb2.FromRadio.FromString(unknown).WhichOneof("payload_variant") is None
    phone = await replayed.connect()
    for nonce, times in ((5, 1), (69420, 1), (69421, 0)):
        dump = await phone.want_config(nonce)
        assert dump.count(unknown) == times


@pytest.mark.parametrize("path", [MESHTASTIC_2_8], ids=["2.8"])
async def test_an_explicit_zero_arrives(replayed: Replayed) -> None:
    """The published classes would lose it: in their schema the field has no presence."""
    recorded = next(frame for frame in live_frames(MESHTASTIC_2_8) if _is_for_all(frame))
    packet = wire.value_bytes(recorded, wire.last(wire.scan(recorded), 2))
    packet = wire.replace_field(packet, RX_RSSI, wire.varint_field(RX_RSSI, 0))
    packet = wire.replace_field(packet, RX_TIME, wire.fixed32_field(RX_TIME, 0))
    zero = wire.bytes_field(2, packet)
    assert len(mesh_pb2.FromRadio.FromString(zero).SerializeToString()) < len(zero)
    replayed.node.live.insert(0, zero)
    phones = [await replayed.phone(), await replayed.phone()]
    await replayed.node.play()
    for phone in phones:
        await phone.wait_for(lambda phone=phone: zero in phone.payloads)  # type: ignore[misc]


@BOTH
async def test_the_nodes_are_the_firmwares_own_after_all_that_was_heard(
    replayed: Replayed, path: Path
) -> None:
    """As in its last dump, but for the own name, which an earlier client had changed."""
    await replayed.node.play()
    phone = await replayed.connect()
    dumps = _full_dumps(path)
    await replayed.until(lambda: replayed.source.counters["packets_received"] > 15)
    dump = await phone.want_config(5)
    known, expected = _known_nodes(dump), _known_nodes(dumps[-1])
    assert known.keys() == expected.keys()
    own = mesh_pb2.FromRadio.FromString(dump[0]).my_info.my_node_num
    assert {n: u for n, u in known.items() if n != own} == {
        n: u for n, u in expected.items() if n != own
    }


def _full_dumps(path: Path) -> list[list[bytes]]:
    dumps: list[list[bytes]] = []
    try:
        while True:
            dumps.append(dump_frames(path, occurrence=len(dumps)))
    except IndexError:
        return dumps


def _known_nodes(dump: list[bytes]) -> dict[int, bytes]:
    messages = map(mesh_pb2.FromRadio.FromString, dump)
    return {
        m.node_info.num: m.node_info.user.SerializeToString()
        for m in messages
        if m.HasField("node_info")
    }
