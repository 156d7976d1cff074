"""Names for the numbers of the protocol: nodes, packets, and the members of its enumerations."""

from typing import Final

from meshtastic.protobuf import config_pb2, mesh_pb2

from .hardware import board_name

_HEX_DIGITS: Final = 8
_MAX_UINT32: Final = 0xFFFFFFFF

# What the firmware calls a channel without a name (`src/DisplayFormatters.cpp`), by the value of
# `Config.LoRaConfig.ModemPreset`; 2 as apps have named it since the firmware dropped it.
_PRESET_NAMES: Final = {
    0: "LongFast",
    1: "LongSlow",
    2: "VLongSlow",
    3: "MediumSlow",
    4: "MediumFast",
    5: "ShortSlow",
    6: "ShortFast",
    7: "LongMod",
    8: "ShortTurbo",
    9: "LongTurbo",
    10: "LiteFast",
    11: "LiteSlow",
    12: "NarrowFast",
    13: "NarrowSlow",
    14: "TinyFast",
    15: "TinySlow",
    16: "MediumTurbo",
}
CUSTOM_PRESET_NAME: Final = "Custom"
"""What the firmware calls a nameless channel when the radio uses no preset."""

_HARDWARE: Final = mesh_pb2.HardwareModel.DESCRIPTOR.values_by_number
_ROLES: Final = config_pb2.Config.DeviceConfig.Role.DESCRIPTOR.values_by_number
_ROUTING_ERRORS: Final = mesh_pb2.Routing.Error.DESCRIPTOR.values_by_number


def node_id(num: int) -> str:
    """Return the id of a node: ``!`` and its number in eight hexadecimal digits."""
    return f"!{num & _MAX_UINT32:08x}"


def node_num(node_id: str) -> int:
    """Return the number of a node.

    Raises:
        ValueError: The text is no node id.
    """
    if not node_id.startswith("!"):
        raise ValueError("a node id starts with an exclamation mark")
    return _hex_number(node_id[1:])


def packet_id_to_message_id(packet_id: int) -> str:
    """Return what a message is called: its packet's number in eight hexadecimal digits."""
    return f"{packet_id & _MAX_UINT32:08x}"


def message_id_to_packet_id(message_id: str) -> int:
    """Return the packet's number of a message.

    Raises:
        ValueError: The text is no message id of this protocol.
    """
    return _hex_number(message_id)


def preset_name(number: int) -> str:
    """Return the usual spelling of a modem preset: ``LongFast``."""
    return _PRESET_NAMES.get(number, f"Preset {number}")


def hardware_name(number: int) -> str:
    """Return what people call a board, or the number of one that is too new."""
    member = _HARDWARE.get(number)
    return str(number) if member is None else board_name(member.name)


def role_name(number: int) -> str:
    """Return the role's name in lower case, or the number of one that is too new."""
    return _lower_case(_ROLES, number)


def routing_error_name(number: int) -> str:
    """Return the name of a ``Routing.Error`` in lower case, or the number of one too new."""
    return _lower_case(_ROUTING_ERRORS, number)


def _hex_number(text: str) -> int:
    # int() also takes signs, spaces and underscores.
    if len(text) != _HEX_DIGITS or not all(digit in "0123456789abcdefABCDEF" for digit in text):
        raise ValueError("eight hexadecimal digits are expected")
    return int(text, 16)


def _lower_case(values: object, number: int) -> str:
    value = values.get(number)  # type: ignore[attr-defined]
    return value.name.lower() if value is not None else str(number)
