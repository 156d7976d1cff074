"""What makes a client's message ambiguous, without I/O.

A rule that judges a message must read it exactly as the radio will. The radio's parser (nanopb) and
others disagree about fields that occur twice, about more than one member of a oneof, about known
fields of another wire type and about numbers that are too wide. No client sends any of these, so
they are named here for the policy to refuse.
"""

from collections.abc import Collection, Container, Iterable, Mapping
from enum import StrEnum
from typing import Final

from . import wire

MAX_UINT32: Final = 0xFFFFFFFF
_MIN_NEGATIVE_INT32: Final = (1 << 64) - (1 << 31)


class Violation(StrEnum):
    """One way in which a message is ambiguous, or in which no radio would take it."""

    MALFORMED = "malformed"
    """A message inside is no protobuf message."""
    REPEATED_FIELD = "repeated_field"
    """A field that may stand once stands more than once."""
    SEVERAL_VARIANTS = "several_variants"
    """More than one member of a oneof is there."""
    WRONG_TYPE = "wrong_type"
    """A known field has another field's wire type."""
    NUMBER_TOO_WIDE = "number_too_wide"
    """A number does not fit the 32 bits that the radio keeps of it."""
    NO_CONTENT = "no_content"
    """No member of a oneof is there."""
    TOO_LARGE = "too_large"
    """More bytes than the radio accepts."""


def find_violations(
    fields: Iterable[wire.Field],
    known: Mapping[int, int],
    variants: Collection[int] = (),
    signed: Container[int] = (),
) -> set[Violation]:
    """Return what is ambiguous about the fields of one message.

    Args:
        fields: The message's fields as they stand.
        known: The wire type of every singular field of the schema, by field number. Fields of
            other numbers are newer than the schema and are not judged.
        variants: The numbers of the members of the message's oneof, of which one must be there;
            empty for a message without one.
        signed: The numbers of the ``int32`` fields, in which negative numbers are 64 bits wide.
    """
    found: set[Violation] = set()
    seen: set[int] = set()
    variants_seen: set[int] = set()
    for field in fields:
        number = field.number
        if number in variants:
            variants_seen.add(number)
        if number not in known:
            continue
        if number in seen:
            found.add(Violation.REPEATED_FIELD)
        seen.add(number)
        if field.wire_type != known[number]:
            found.add(Violation.WRONG_TYPE)
        elif (
            field.wire_type == wire.VARINT
            and field.number_value > MAX_UINT32
            and not (number in signed and field.number_value >= _MIN_NEGATIVE_INT32)
        ):
            found.add(Violation.NUMBER_TOO_WIDE)
    if len(variants_seen) > 1:
        found.add(Violation.SEVERAL_VARIANTS)
    elif variants and not variants_seen:
        found.add(Violation.NO_CONTENT)
    return found
