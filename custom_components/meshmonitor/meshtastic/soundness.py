"""Whether a frame of a configuration came whole, without I/O.

A radio whose USB port does not take all of a frame drops the rest of it (meshtastic/firmware,
pull request 10976), and the frames that follow fill the gap: what then stands in the frame has its
length and not its content.
"""

from contextlib import suppress
import re
from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError
from meshtastic.protobuf import mesh_pb2

from . import wire

_HEADER: Final = re.compile(rb"\x94\xc3[\x00-\x02]")
"""How every frame begins. By chance that stands in one of a hundred thousand public keys."""
_FROM_RADIO: Final = mesh_pb2.FromRadio.DESCRIPTOR
_USER: Final = mesh_pb2.User.DESCRIPTOR


def is_sound(payload: bytes) -> bool:
    """Return whether a ``FromRadio`` is one down to its innermost messages and texts.

    One in which another frame begins is not, even where what it says is newer than the schema.

    Nothing else is judged of fields that are newer, nor are the names that other people gave
    their nodes: some are no UTF-8.

    Args:
        payload: As it came. Any bytes will do; nothing is raised.
    """
    if _HEADER.search(payload):
        return False
    with suppress(DecodeError):
        # Most are what any reader takes, and this one is much faster than ours.
        mesh_pb2.FromRadio.FromString(payload)
        return True
    try:
        _check(payload, _FROM_RADIO)
    except wire.WireError, UnicodeDecodeError:
        return False
    return True


def _check(message: bytes, kind: Descriptor) -> None:
    """Read all of a message.

    Raises:
        wire.WireError: It is malformed, or one in it.
        UnicodeDecodeError: A text in it is none.
    """
    for item in wire.scan(message):
        field = kind.fields_by_number.get(item.number)
        if field is None or item.wire_type != wire.BYTES:
            continue
        if field.message_type is not None:
            _check(message[item.value_start : item.end], field.message_type)
        elif field.type == FieldDescriptor.TYPE_STRING and kind is not _USER:
            message[item.value_start : item.end].decode()
