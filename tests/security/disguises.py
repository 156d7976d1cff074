"""Every way in which a command may be made to look like something else."""

from collections.abc import Callable
from typing import Final

from custom_components.meshmonitor.meshtastic.wire import bytes_field, fixed32_field, varint_field
from tests.clients.meshtastic_phone import BROADCAST, frame

ADMIN: Final = 6
TEXT: Final = 1
SIMULATOR: Final = 69
REMOTE: Final = 0x0A000002
FOREIGN: Final = 0x0A000003

type Disguise = Callable[[bytes, int], bytes]
"""Takes an ``AdminMessage`` and the radio's number, and returns the bytes to write."""


def data(payload: bytes, portnum: int = ADMIN, extra: bytes = b"") -> bytes:
    """Return a ``Data``."""
    return varint_field(1, portnum) + bytes_field(2, payload) + extra


def packet(
    content: bytes, to: int, *, sender: int = 0, number: int = 77, extra: bytes = b""
) -> bytes:
    """Return a ``MeshPacket`` with a ``Data`` that asks for an answer."""
    head = fixed32_field(1, sender) if sender else b""
    return (
        head
        + fixed32_field(2, to)
        + bytes_field(4, content)
        + fixed32_field(6, number)
        + varint_field(10, 1)
        + extra
    )


def to_radio(content: bytes, extra: bytes = b"") -> bytes:
    """Return the frame of a ``ToRadio`` with a packet."""
    return frame(bytes_field(1, content) + extra)


def _addressed(to: int | None, *, sender: int = 0, number: int = 77) -> Disguise:
    return lambda command, own: to_radio(
        packet(data(command), own if to is None else to, sender=sender, number=number)
    )


def _around(extra: bytes, *, inside: bool = False) -> Disguise:
    def make(command: bytes, own: int) -> bytes:
        if inside:
            return to_radio(packet(data(command, extra=extra), own))
        return to_radio(packet(data(command), own, extra=extra))

    return make


def _content(make: Callable[[bytes], bytes]) -> Disguise:
    return lambda command, own: to_radio(packet(make(command), own))


def _raw(make: Callable[[bytes, int], bytes]) -> Disguise:
    return lambda command, own: frame(make(command, own))


def _whole(command: bytes, own: int) -> bytes:
    return to_radio(packet(data(command), own))


def _encrypted(command: bytes, own: int) -> bytes:
    return to_radio(fixed32_field(2, own) + bytes_field(5, data(command)) + fixed32_field(6, 77))


def _both(command: bytes, own: int) -> bytes:
    content = packet(data(b"hello", TEXT), own)
    return to_radio(content + bytes_field(5, data(command)))


def _compressed(command: bytes) -> bytes:
    return data(varint_field(1, ADMIN) + bytes_field(2, command), SIMULATOR)


DISGUISES: Final[dict[str, Disguise]] = {
    "to the node": _addressed(None),
    "to nobody's radio": _addressed(1),
    "to all": _addressed(BROADCAST),
    "to a remote node": _addressed(REMOTE),
    "to nobody": _addressed(0),
    "from the node": lambda command, own: to_radio(packet(data(command), own, sender=own)),
    "from another": _addressed(None, sender=FOREIGN),
    "from another to all": _addressed(BROADCAST, sender=FOREIGN),
    "without id": _addressed(None, number=0),
    "encrypted": _encrypted,
    "encrypted and not": _both,
    "as if encrypted by key": _around(varint_field(17, 1) + bytes_field(16, bytes(32))),
    "on a channel for administration": _around(varint_field(3, 1)),
    "by another radio": _around(varint_field(14, 1) + varint_field(21, 1)),
    "as an answer": _around(fixed32_field(6, 99), inside=True),
    "for another by a relay": _around(fixed32_field(4, REMOTE) + fixed32_field(5, 1), inside=True),
    "with unknown fields": _around(bytes_field(999, b"x"), inside=True),
    "with an unknown command": _content(lambda command: data(command + varint_field(500, 1))),
    "behind an unknown command": _content(lambda command: data(varint_field(500, 1) + command)),
    "behind a question": _content(lambda command: data(varint_field(3, 1) + command)),
    "before a question": _content(lambda command: data(command + varint_field(3, 1))),
    "twice": _content(lambda command: data(command + command)),
    "in a group": _content(lambda command: data(b"\x0b" + command + b"\x0c")),
    "with another port first": _content(lambda command: varint_field(1, TEXT) + data(command)),
    "with another port last": _content(lambda command: data(command) + varint_field(1, TEXT)),
    "with a long port": _content(lambda command: b"\x08\x86\x80\x00" + bytes_field(2, command)),
    "with a port beyond 32 bits": _content(
        lambda command: b"\x08\x86\x80\x80\x80\x10" + bytes_field(2, command)
    ),
    "with a port beyond 64 bits": _content(
        lambda command: b"\x08\x86\x80\x80\x80\x80\x80\x80\x80\x80\x02" + bytes_field(2, command)
    ),
    "with a port of another type": _content(
        lambda command: fixed32_field(1, ADMIN) + bytes_field(2, command)
    ),
    "with another payload first": _content(
        lambda command: (
            varint_field(1, ADMIN) + bytes_field(2, b"\x18\x01") + bytes_field(2, command)
        )
    ),
    "with another payload last": _content(
        lambda command: data(command) + bytes_field(2, b"\x18\x01")
    ),
    "behind other content": lambda command, own: to_radio(
        packet(data(b"hello", TEXT), own) + bytes_field(4, data(command))
    ),
    "before other content": lambda command, own: to_radio(
        packet(data(command), own) + bytes_field(4, data(b"hello", TEXT))
    ),
    "port and payload apart": lambda command, own: to_radio(
        packet(bytes_field(2, command), own) + bytes_field(4, varint_field(1, ADMIN))
    ),
    "to another first": lambda command, own: to_radio(
        fixed32_field(2, REMOTE) + packet(data(command), own)
    ),
    "to another last": lambda command, own: to_radio(
        packet(data(command), own) + fixed32_field(2, REMOTE)
    ),
    "simulated": _content(_compressed),
    "too large": _content(lambda command: data(command + bytes_field(500, bytes(230)))),
    "beside a heartbeat": lambda command, own: to_radio(
        packet(data(command), own), bytes_field(7, b"")
    ),
    "behind another packet": _raw(
        lambda command, own: (
            bytes_field(1, packet(data(b"hello", TEXT), own))
            + bytes_field(1, packet(data(command), own))
        )
    ),
    "before another packet": _raw(
        lambda command, own: (
            bytes_field(1, packet(data(command), own))
            + bytes_field(1, packet(data(b"hello", TEXT), own))
        )
    ),
    "as an unknown message": _raw(lambda command, own: bytes_field(50, packet(data(command), own))),
    "as a file transfer": _raw(
        lambda command, own: bytes_field(5, varint_field(1, 1) + bytes_field(4, command))
    ),
    "as MQTT": _raw(
        lambda command, own: bytes_field(
            6,
            bytes_field(1, b"msh/2/e/LongFast/!0a000002")
            + bytes_field(2, bytes_field(1, packet(data(command), own, sender=FOREIGN))),
        )
    ),
    "inside a text": _content(lambda command: data(_whole(command, 1), TEXT)),
    "behind an oversize header": lambda command, own: b"\x94\xc3\xff\xff" + _whole(command, own),
    "inside a longer frame": lambda command, own: frame(_whole(command, own) + b"\0" * 8),
    "behind wake-up bytes": lambda command, own: b"\xc3" * 32 + _whole(command, own),
    "behind half a frame": lambda command, own: b"\x94\xc3\x00\x04\x0a" + _whole(command, own),
    "in an empty shell": lambda command, own: b"\x94\xc3\x00\x00" + _whole(command, own),
}
