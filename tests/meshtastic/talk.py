"""What the tests of a talk with a radio say and read."""

from collections.abc import Callable, Iterable
from typing import Final

from meshtastic.protobuf import mesh_pb2

from custom_components.meshmonitor.meshtastic.framing import FrameDecoder, encode
from custom_components.meshmonitor.meshtastic.session import (
    HEARTBEAT,
    EventKind,
    Phase,
    Session,
    Step,
)

NONCE: Final = 0x1234
WAKE: Final = b"\xc3" * 32


def nonces(*numbers: int) -> Callable[[], int]:
    """Return what gives these numbers, one a call."""
    return iter(numbers).__next__


def session(*numbers: int, is_serial: bool = False) -> Session:
    """Return a session that asks with these nonces."""
    return Session(nonces(*(numbers or (NONCE,))), is_serial=is_serial)


def from_radio(**fields: object) -> bytes:
    """Return a frame as the radio writes it."""
    return encode(mesh_pb2.FromRadio(**fields).SerializeToString())  # type: ignore[arg-type]


MY_INFO: Final = from_radio(my_info=mesh_pb2.MyNodeInfo(my_node_num=7))
PACKET: Final = from_radio(packet=mesh_pb2.MeshPacket(id=9, to=1))
COMPLETE: Final = from_radio(config_complete_id=NONCE)
REBOOTED: Final = from_radio(rebooted=True)
BANNER: Final = b"\r\n\r\n//\\ E S H T /\\ S T / C\r\n\r\n"
LOG_RECORD: Final = from_radio(log_record=mesh_pb2.LogRecord(message="[Router] Rx"))
HEARTBEAT_ANSWER: Final = from_radio(queueStatus=mesh_pb2.QueueStatus(free=16, maxlen=16))
PACKET_ANSWER: Final = from_radio(
    queueStatus=mesh_pb2.QueueStatus(free=15, maxlen=16, mesh_packet_id=77)
)


def asked(written: bytes) -> list[mesh_pb2.ToRadio]:
    """Return what was written to the radio."""
    return [mesh_pb2.ToRadio.FromString(payload) for payload in FrameDecoder().feed(written)]


def phase(made: Session) -> Phase:
    """Return how far a session is, which the type checker takes for unchanged otherwise."""
    return made.phase


def kinds(steps: Iterable[Step]) -> list[EventKind]:
    """Return what kinds of events came."""
    return [event.kind for step in steps for event in step.events]


def live(now: float, *, answers_heartbeats: bool) -> Session:
    """Return a session whose dump was complete, and its first heartbeat sent, at this moment."""
    made = session()
    made.open(now)
    assert made.receive(MY_INFO + COMPLETE, now).write == encode(HEARTBEAT)
    if answers_heartbeats:
        made.receive(HEARTBEAT_ANSWER, now)
    return made
