"""What real firmware said, out of the recordings in tests/fixtures."""

from dataclasses import dataclass, field
from functools import cache
import json
from pathlib import Path
from typing import Any, Final

from meshtastic.protobuf import mesh_pb2

from custom_components.meshmonitor.meshtastic import packets, wire
from custom_components.meshmonitor.meshtastic.decode import Decoder
from custom_components.meshmonitor.meshtastic.framing import FrameDecoder
from custom_components.meshmonitor.meshtastic.mirror import MAX_NODES, Mirror
from custom_components.meshmonitor.meshtastic.replay import ReplayKind

FIXTURES: Final = Path(__file__).resolve().parent.parent / "fixtures"
VERSIONS: Final = ("2.7.26", "2.8.0-dev")
NOW: Final = 1_795_350_700.0
"""A little after the recordings, Unix seconds."""

_WANT_CONFIG_ID: Final = 3
_CONFIG_COMPLETE: Final = 7


@dataclass
class Connection:
    """One connection of a recording: a request, what answered it, and what came after."""

    nonce: int = -1
    dump: list[bytes] = field(default_factory=list)
    """From the request to its end, without the end."""
    live: list[bytes] = field(default_factory=list)
    """What the radio said behind that."""


@cache
def connections(version: str) -> dict[int, Connection]:
    """Return the connections of one recording by number."""
    found: dict[int, Connection] = {}
    is_complete: set[int] = set()
    for line in (FIXTURES / f"meshtastic-firmware-{version}.jsonl").read_text().splitlines():
        record = json.loads(line)
        if "frame" not in record:
            continue
        number = record["conn"]
        connection = found.setdefault(number, Connection())
        payload = bytes.fromhex(record["frame"])
        variants = [item for item in wire.scan(payload) if item.number != packets.ID]
        if record["from"] == "client":
            if variants and variants[0].number == _WANT_CONFIG_ID:
                connection.nonce = variants[0].number_value
        elif variants[0].number == _CONFIG_COMPLETE:
            is_complete.add(number)
        elif number in is_complete:
            connection.live.append(payload)
        else:
            connection.dump.append(payload)
    return found


def captured(dump: list[bytes], *, max_nodes: int = MAX_NODES) -> Mirror:
    """Return a mirror that has captured a dump."""
    mirror = Mirror(max_nodes=max_nodes)
    mirror.begin_capture()
    for payload in dump:
        assert mirror.capture(payload)
    assert mirror.complete_capture().is_complete
    return mirror


def mirror_of(version: str, connection: int = 1) -> Mirror:
    """Return a mirror that has captured what was said on one connection."""
    return captured(connections(version)[connection].dump)


def decoder_of(version: str, connection: int = 1) -> Decoder:
    """Return a decoder on top of such a mirror."""
    return Decoder(mirror_of(version, connection))


def heard(sender: int, portnum: int, payload: bytes = b"", **fields: Any) -> bytes:
    """Return a ``FromRadio`` with a packet that LoRa brought directly, as firmware writes it.

    Args:
        sender: Its number.
        portnum: What it carries.
        payload: Its content.
        fields: More fields of the ``MeshPacket``, or other values for those that are set here,
            None for none; those of its ``Data`` begin with ``data_``.
    """
    values: dict[str, Any] = {
        "from": sender,
        "to": packets.BROADCAST,
        "id": 0x1234_5678,
        "rx_time": int(NOW) - 5,
        "rx_snr": 6.5,
        "rx_rssi": -60,
        "hop_limit": 3,
        "hop_start": 3,
        "relay_node": sender & 0xFF,
        "transport_mechanism": 1,
        "data_portnum": portnum,
        "data_payload": payload,
        "data_bitfield": 0,
    } | fields
    packet = mesh_pb2.MeshPacket()
    packet.decoded.SetInParent()
    for name, value in values.items():
        if value is None:
            continue
        if name.startswith("data_"):
            setattr(packet.decoded, name.removeprefix("data_"), value)
        else:
            setattr(packet, name, value)
    return mesh_pb2.FromRadio(packet=packet).SerializeToString()


def packet_in(payload: bytes) -> bytes:
    """Return the ``MeshPacket`` that a ``FromRadio`` holds."""
    number, value = packets.variant(payload)
    assert number == packets.PACKET
    return value


def node_info_in(payload: bytes) -> mesh_pb2.NodeInfo:
    """Return the ``NodeInfo`` that a ``FromRadio`` holds."""
    return mesh_pb2.FromRadio.FromString(payload).node_info


def replayed(
    mirror: Mirror, kind: ReplayKind = ReplayKind.FULL, *, redacted: bool = False
) -> list[bytes]:
    """Return the payloads of a replay."""
    replay = mirror.replay(kind, redacted=redacted)
    assert replay is not None
    payloads = FrameDecoder().feed(replay.data)
    assert len(payloads) == replay.frames
    assert replay.size == len(replay.data)
    return payloads


def raw_node(mirror: Mirror, num: int) -> bytes:
    """Return a node's frame as a client would get it."""
    frames = replayed(mirror, ReplayKind.NODES)
    return next(payload for payload in frames if node_info_in(payload).num == num)


def node_of(mirror: Mirror, num: int) -> mesh_pb2.NodeInfo:
    """Return a node's info as a client would get it."""
    return node_info_in(raw_node(mirror, num))


def many_nodes(count: int) -> list[bytes]:
    """Return a dump with so many other nodes."""
    recording = connections("2.7.26")[2].dump
    others = [
        mesh_pb2.FromRadio(
            node_info=mesh_pb2.NodeInfo(
                num=0x2000_0000 + index,
                user=mesh_pb2.User(
                    id=f"!{0x2000_0000 + index:08x}",
                    long_name=f"Node {index}",
                    short_name=f"{index:04}",
                    public_key=index.to_bytes(32),
                ),
                snr=5.25,
                last_heard=int(NOW) - index,
                hops_away=index % 4,
            )
        ).SerializeToString()
        for index in range(count)
    ]
    first_file = next(
        index
        for index, payload in enumerate(recording)
        if packets.variant(payload)[0] == packets.FILE_INFO
    )
    return [*recording[:first_file], *others, *recording[first_file:]]
