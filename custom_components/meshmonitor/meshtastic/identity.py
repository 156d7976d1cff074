"""Who a node is: judging what clients claim about it, without I/O.

Names and keys that a client brings would be stored, by this radio (``add_contact``) or by others
(``NODEINFO_APP``); a wrong key ends all private messages with that node.
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from . import wire
from .strict import find_violations

_CONTACT_NUM: Final = 1
_CONTACT_USER: Final = 2
_CONTACT_SHOULD_IGNORE: Final = 3
_SHARED_CONTACT: Final = {
    _CONTACT_NUM: wire.VARINT,
    _CONTACT_USER: wire.BYTES,
    _CONTACT_SHOULD_IGNORE: wire.VARINT,
    4: wire.VARINT,  # manually_verified
}

_USER_MACADDR: Final = 4
_USER_PUBLIC_KEY: Final = 8
_USER: Final = {
    1: wire.BYTES,  # id
    2: wire.BYTES,  # long_name
    3: wire.BYTES,  # short_name
    _USER_MACADDR: wire.BYTES,
    5: wire.VARINT,  # hw_model
    6: wire.VARINT,  # is_licensed
    7: wire.VARINT,  # role
    _USER_PUBLIC_KEY: wire.BYTES,
    9: wire.VARINT,  # is_unmessagable
}
_USER_ALWAYS_SENT: Final = (1, 2, 3, 5, 6, 7, _USER_PUBLIC_KEY)
"""What makes an identity, in every version of the schema."""


class Contact(Enum):
    """How a contact that a client brings relates to what the radio remembers of that node."""

    KNOWN = auto()
    """The radio knows the node by this key."""
    NEW = auto()
    """It would add a node or a key, or make the radio ignore the node."""
    CONFLICTING = auto()
    """The radio knows the node by another key."""
    MALFORMED = auto()


def judge_contact(contact: bytes, user_of: Callable[[int], bytes | None]) -> Contact:
    """Return what a ``SharedContact`` means to the radio.

    Args:
        contact: As a client sent it. Any bytes will do; nothing is raised.
        user_of: Returns the ``User`` that the radio remembers of a node number.
    """
    try:
        fields = wire.scan(contact)
        user = wire.last(fields, _CONTACT_USER)
        claimed = _read_user(wire.value_bytes(contact, user))
        if user is None or claimed is None or find_violations(fields, _SHARED_CONTACT):
            return Contact.MALFORMED
        known_user = user_of(wire.value_int(wire.last(fields, _CONTACT_NUM)))
        known = _read_user(known_user or b"") or {}
    except wire.WireError:
        return Contact.MALFORMED
    known_key = known.get(_USER_PUBLIC_KEY)
    claimed_key = claimed.get(_USER_PUBLIC_KEY)
    if known_key is not None and claimed_key != known_key:
        return Contact.CONFLICTING
    changes = claimed_key != known_key or wire.value_int(wire.last(fields, _CONTACT_SHOULD_IGNORE))
    return Contact.NEW if known_user is None or changes else Contact.KNOWN


def is_own_identity(user: bytes, own_user: bytes | None) -> bool:
    """Return whether a ``User`` that would go out under the radio's number is the radio's own.

    Other nodes keep whatever name and key it carries, so an empty one is none.

    Args:
        user: As a client sent it. Any bytes will do; nothing is raised.
        own_user: The radio's own; None while that is not known.
    """
    if own_user is None:
        return False
    try:
        claimed = _read_user(user)
        own = _read_user(own_user)
    except wire.WireError:
        return False
    if claimed is None or own is None:
        return False
    same = all(claimed.get(number) == own.get(number) for number in _USER_ALWAYS_SENT)
    return same and claimed.items() <= own.items()


def _read_user(user: bytes) -> dict[int, bytes | int] | None:
    """Return the fields of a ``User`` that say something; None if they are ambiguous.

    Raises:
        wire.WireError: It is malformed.
    """
    fields = wire.scan(user)
    if find_violations(fields, _USER):
        return None
    # The address is deprecated; firmware 2.8 gives another one in its dump than when asked.
    values = {
        field.number: wire.value_bytes(user, field)
        if field.wire_type == wire.BYTES
        else field.number_value
        for field in fields
        if field.number != _USER_MACADDR
    }
    return {number: value for number, value in values.items() if value}
