"""Messages that are kept are taken back only where each of them is one."""

from binascii import b2a_base64
import time
from typing import Any

from meshtastic.protobuf import mesh_pb2
import pytest

from custom_components.meshmonitor.meshtastic.framing import encode
from custom_components.meshmonitor.meshtastic.messages import Messages

TEXT = encode(mesh_pb2.FromRadio(packet=mesh_pb2.MeshPacket(id=9)).SerializeToString())


def kept(frame: bytes) -> dict[str, Any]:
    """Return what is stored of one message."""
    entry = [1, time.time(), b2a_base64(frame, newline=False).decode(), None]
    return {"version": 1, "next": 2, "entries": [entry], "places": {}}


def messages() -> Messages:
    """Return an empty log without phones."""
    return Messages(tuple, lambda: True)


def test_a_message_is_taken_back() -> None:
    """As it was, and known again when the radio repeats it."""
    made = messages()
    made.restore(kept(TEXT))
    assert made.snapshot()["entries"][0][2] == kept(TEXT)["entries"][0][2]
    made.tell(TEXT[4:], 0, 9)
    assert len(made.backlog) == 1
    made.tell(TEXT[4:], 0, 10)
    assert len(made.backlog) == 2


@pytest.mark.parametrize(
    "frame",
    [
        TEXT[4:],
        TEXT + b"more",
        encode(b"\x12"),
        encode(b"\x12\x01\x08"),
        encode(mesh_pb2.FromRadio(config_complete_id=5).SerializeToString()),
        encode(b""),
    ],
)
def test_what_is_no_message_is_not_taken_back(frame: bytes) -> None:
    """It would be sent to phones, of which some close their connection for it."""
    made = messages()
    with pytest.raises(ValueError, match="damaged"):
        made.restore(kept(frame))
    assert len(made.backlog) == 0
