"""A protobuf field scanner and splicer that never loses a byte, without I/O.

Generated classes drop explicit zeros and refuse strings that are no UTF-8, and a schema that is
older than the firmware knows nothing of its newest fields. So frames are looked at and changed as
what they are on the wire: a sequence of (tag, value) pairs (protobuf.dev, "Encoding").
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5

_MAX_VARINT_BYTES: Final = 10


class WireError(ValueError):
    """The bytes are no well-formed protobuf message."""


class Field(NamedTuple):
    """One field as it stands on the wire."""

    number: int
    """The field's number in its message."""
    wire_type: int
    """`VARINT`, `FIXED64`, `BYTES` or `FIXED32`."""
    start: int
    """Where its tag begins."""
    value_start: int
    """Where its value begins: behind the tag and, for `BYTES`, behind the length."""
    end: int
    """Where the next field begins."""
    number_value: int
    """The value of a `VARINT`, `FIXED32` or `FIXED64`, unsigned; 0 for `BYTES`."""


# A named tuple's own constructor takes keywords, and three times as long.
_new_field: Final = tuple.__new__
_from_bytes: Final = int.from_bytes


def scan(data: bytes) -> list[Field]:
    """Return the fields of a message in the order in which they stand.

    Raises:
        WireError: A tag, length or value is cut off or impossible, or a field is a group, which
            Meshtastic never uses.
    """
    fields: list[Field] = []
    position = 0
    end = len(data)
    try:
        while position < end:
            start = position
            # Nearly every varint is one byte: calls for these would be most of the time.
            tag = data[position]
            position += 1
            if tag >= 0x80:
                tag, position = read_varint(data, start)
            number = tag >> 3
            if not 0 < number < 1 << 29:
                raise WireError("impossible field number")
            wire_type = tag & 7
            value = 0
            value_start = position
            if wire_type == VARINT:
                value = data[position]
                position += 1
                if value >= 0x80:
                    value, position = read_varint(data, value_start)
            elif wire_type == BYTES:
                size = data[position]
                value_start += 1
                if size >= 0x80:
                    size, value_start = read_varint(data, position)
                position = value_start + size
            elif wire_type == FIXED32:
                position += 4
                value = _from_bytes(data[value_start:position], "little")
            elif wire_type == FIXED64:
                position += 8
                value = _from_bytes(data[value_start:position], "little")
            else:
                raise WireError("group or unknown wire type")
            if position > end:
                raise WireError("field is cut off")
            fields.append(
                _new_field(Field, (number, wire_type, start, value_start, position, value))
            )
    except IndexError:
        raise WireError("varint is cut off") from None
    return fields


def tag(number: int, wire_type: int) -> int:
    """Return what stands before the value of such a field."""
    return number << 3 | wire_type


def values(data: bytes) -> tuple[dict[int, int], dict[int, bytes]]:
    """Return the numbers and the byte strings of a message, by their tags; of two the last.

    It is for what is read from every packet: no places, and a field of another wire type than the
    schema's is not found, which is how generated classes treat it.

    Raises:
        WireError: As `scan`.
    """
    numbers: dict[int, int] = {}
    strings: dict[int, bytes] = {}
    position = 0
    end = len(data)
    try:
        while position < end:
            key = data[position]
            position += 1
            if key >= 0x80:
                key, position = read_varint(data, position - 1)
            if not 8 <= key < 1 << 32:
                raise WireError("impossible field number")
            wire_type = key & 7
            start = position
            if wire_type == VARINT:
                value = data[position]
                position += 1
                if value >= 0x80:
                    value, position = read_varint(data, start)
                numbers[key] = value
                # A varint cannot end behind the message.
                continue
            if wire_type == BYTES:
                size = data[position]
                start += 1
                if size >= 0x80:
                    size, start = read_varint(data, position)
                position = start + size
                strings[key] = data[start:position]
            elif wire_type == FIXED32:
                position += 4
                numbers[key] = _from_bytes(data[start:position], "little")
            elif wire_type == FIXED64:
                position += 8
                numbers[key] = _from_bytes(data[start:position], "little")
            else:
                raise WireError("group or unknown wire type")
            if position > end:
                raise WireError("field is cut off")
    except IndexError:
        raise WireError("varint is cut off") from None
    return numbers, strings


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the varint at a position and the position behind it.

    Raises:
        WireError: It is cut off or longer than ten bytes.
    """
    try:
        byte = data[position]
        if byte < 0x80:
            return byte, position + 1
        result = byte & 0x7F
        shift = 7
        for index in range(position + 1, position + _MAX_VARINT_BYTES):
            byte = data[index]
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                return result & 0xFFFFFFFFFFFFFFFF, index + 1
            shift += 7
    except IndexError:
        raise WireError("varint is cut off") from None
    raise WireError("varint is too long")


def last(fields: Iterable[Field], number: int) -> Field | None:
    """Return the field of that number which counts: parsers take the last one."""
    found = None
    for field in fields:
        if field.number == number:
            found = field
    return found


def value_bytes(data: bytes, field: Field | None) -> bytes:
    """Return the value of a `BYTES` field; nothing where it is absent or of another type."""
    if field is None or field.wire_type != BYTES:
        return b""
    return data[field.value_start : field.end]


def value_int(field: Field | None, default: int = 0) -> int:
    """Return the unsigned value of a number field; the default where it is absent or no number."""
    if field is None or field.wire_type == BYTES:
        return default
    return field.number_value


def lone_number(encoded: bytes) -> int:
    """Return the unsigned value of a whole, well-formed field that stands by itself.

    The same as `value_int` of a scan, in a fraction of the time for what is common.
    """
    size = len(encoded)
    if encoded[0] < 0x80:
        wire_type = encoded[0] & 7
        if size == 2 and wire_type == VARINT:
            return encoded[1]
        if size == 5 and wire_type == FIXED32:
            return _from_bytes(encoded[1:], "little")
    return value_int(scan(encoded)[0])


def lone_bytes(encoded: bytes) -> bytes:
    """Return the value of a whole, well-formed field that stands by itself, as `value_bytes`."""
    if encoded[0] < 0x80 and encoded[0] & 7 == BYTES and encoded[1] < 0x80:
        return encoded[2:]
    return value_bytes(encoded, scan(encoded)[0])


def encode_varint(value: int) -> bytes:
    """Return an unsigned number below 2**64 as a varint."""
    if value < 0x80:
        return bytes((value,))
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def varint_field(number: int, value: int) -> bytes:
    """Return a whole `VARINT` field, also for the value 0."""
    return encode_varint(number << 3 | VARINT) + encode_varint(value)


def fixed32_field(number: int, value: int) -> bytes:
    """Return a whole `FIXED32` field, also for the value 0."""
    return encode_varint(number << 3 | FIXED32) + value.to_bytes(4, "little")


def bytes_field(number: int, value: bytes) -> bytes:
    """Return a whole `BYTES` field, also for an empty value."""
    return encode_varint(number << 3 | BYTES) + encode_varint(len(value)) + value


def replace_field(data: bytes, number: int, replacement: bytes) -> bytes:
    """Return the message with every field of that number replaced by one ready-made field.

    The replacement takes the place of the first one, or the end of the message where there was
    none; empty bytes remove the field. Everything else stays byte for byte.

    Raises:
        WireError: The message is malformed.
    """
    parts: list[bytes] = []
    copied = 0
    placed = False
    for field in scan(data):
        if field.number != number:
            continue
        parts.append(data[copied : field.start])
        if not placed:
            parts.append(replacement)
            placed = True
        copied = field.end
    parts.append(data[copied:])
    if not placed:
        parts.append(replacement)
    return b"".join(parts)
