"""Ready-made traffic. A text holds the moment in which it was sent."""

from collections.abc import Iterable, Iterator
import random
import re
from typing import Final

from meshtastic.protobuf import mesh_pb2, telemetry_pb2

from tests.simulators.meshtastic_mesh import PORTS, Port
from tests.simulators.meshtastic_node import SimulatedNode

from .dialects import meshcore_command, meshcore_push, meshtastic_frame

_STAMP: Final = re.compile(rb"@@(\d{20})@@")
BLANK: Final = b"@@" + b"0" * 20 + b"@@"
SHORTEST_TEXT: Final = len(BLANK)
KINDS: Final = ("text", "position", "telemetry", "node_info")


def stamp(frame: bytes, now: int) -> bytes:
    """Return a frame whose text says that it was sent now, by `time.monotonic_ns`."""
    return frame.replace(BLANK, b"@@%020d@@" % now, 1)


def delays(chunks: Iterable[tuple[int, bytes]]) -> Iterator[float]:
    """Yield how many seconds each stamped frame was on its way.

    Args:
        chunks: A stream's pieces, each with its time of arrival. A stamp that is cut in two
            arrived with its second part.
    """
    rest = b""
    for at, chunk in chunks:
        data = rest + chunk
        end = 0
        for found in _STAMP.finditer(data):
            yield (at - int(found[1])) / 1e9
            end = found.end()
        rest = data[max(end, len(data) - SHORTEST_TEXT + 1) :]


def meshtastic_packets(
    node: SimulatedNode,
    kind: str,
    count: int,
    size: int = SHORTEST_TEXT,
    senders: int | None = None,
) -> list[bytes]:
    """Return frames of packets from all over a radio's mesh, each sender in its turn.

    Args:
        node: The radio.
        kind: One of `KINDS`.
        count: How many.
        size: Bytes of a text.
        senders: From how many nodes; None for all. Few send once a second by their packets' times,
            which lie ahead then, as real ones do not send two packets in a second.
    """
    peers = list(node.mesh.peers.values())[:senders]
    begun = node.now()
    if senders is not None:
        begun = max(begun, 1 + max(node.state.nodes[peer.num].last_heard for peer in peers))
    frames: list[bytes] = []
    for number in range(count):
        peer = peers[number % len(peers)]
        now = begun if senders is None else begun + number // senders
        port, payload = _content(node, kind, number, size)
        if kind == "node_info":
            payload = peer.user.SerializeToString()
        packet = node.mesh.from_air(peer, port, payload, now=now)
        frames.append(meshtastic_frame(mesh_pb2.FromRadio(packet=packet).SerializeToString()))
    return frames


def _content(node: SimulatedNode, kind: str, number: int, size: int) -> tuple[Port, bytes]:
    match kind:
        case "text":
            return PORTS.TEXT_MESSAGE_APP, BLANK.ljust(size, b".")
        case "position":
            position = mesh_pb2.Position(
                latitude_i=520000000 + 1000 * number,
                longitude_i=51000000 + 1000 * number,
                altitude=number % 100,
                time=node.now(),
                precision_bits=32,
            )
            return PORTS.POSITION_APP, position.SerializeToString()
        case "telemetry":
            metrics = telemetry_pb2.DeviceMetrics(
                battery_level=20 + number % 80, voltage=3.5 + number % 50 / 100, air_util_tx=1.5
            )
            telemetry = telemetry_pb2.Telemetry(time=node.now(), device_metrics=metrics)
            return PORTS.TELEMETRY_APP, telemetry.SerializeToString()
        case "node_info":
            return PORTS.NODEINFO_APP, b""
    raise ValueError(f"no packets of kind {kind}")


def meshtastic_outgoing(packet_id: int) -> bytes:
    """Return a client's packet with a stamp, on a port number that is not paced."""
    packet = mesh_pb2.MeshPacket(id=packet_id, to=0xFFFFFFFF, hop_limit=3)
    packet.decoded.portnum = PORTS.PRIVATE_APP
    packet.decoded.payload = BLANK
    return meshtastic_frame(mesh_pb2.ToRadio(packet=packet).SerializeToString())


def meshcore_receptions(count: int) -> list[bytes]:
    """Return pushes that tell of packets on the air (``PUSH_CODE_LOG_RX_DATA``)."""
    return [meshcore_push(b"\x88\x18\xb0" + BLANK) for _ in range(count)]


def meshcore_outgoing() -> bytes:
    """Return a client's packet with a stamp that no other client is told of.

    It is ``CMD_SEND_CONTROL_DATA``: a discovery, which goes on the air and is not kept anywhere.
    """
    return meshcore_command(b"\x37\x80" + BLANK)


def outgoing(protocol: str) -> bytes:
    """Return a client's packet that was never sent before, with a stamp."""
    if protocol == "meshtastic":
        return meshtastic_outgoing(random.randrange(1, 1 << 31))
    return meshcore_outgoing()
