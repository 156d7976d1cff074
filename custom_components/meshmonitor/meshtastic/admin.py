"""The commands of a radio's administration, and how far each may be trusted, without I/O.

The table has a row for every member of ``AdminMessage.payload_variant`` (protobufs
``meshtastic/admin.proto``). A member that has no row is newer than this program and is refused.
"""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, NamedTuple

from . import wire
from .strict import MAX_UINT32, Violation, find_violations

PORTNUM: Final = 6
"""``ADMIN_APP``."""


class AdminClass(Enum):
    """What a command does to the node that executes it."""

    READ = auto()
    """It asks, and changes nothing."""
    RESPONSE = auto()
    """It is an answer, which only a node gives."""
    BENIGN = auto()
    """Clients send it unasked; nothing is lost when it does not reach the radio."""
    MUTATING = auto()
    """It changes a setting or the node's memory of others."""
    DANGEROUS = auto()
    """It destroys settings or takes the node off the air."""


class Variant(NamedTuple):
    """One row of the table."""

    tag: int
    name: str
    """Its name in the schema."""
    admin_class: AdminClass
    wire_type: int
    response: int = 0
    """For a `READ`: the tag of the answer."""


_READ: Final = AdminClass.READ
_RESPONSE: Final = AdminClass.RESPONSE
_BENIGN: Final = AdminClass.BENIGN
_MUTATING: Final = AdminClass.MUTATING
_DANGEROUS: Final = AdminClass.DANGEROUS
_INT: Final = wire.VARINT
_BYTES: Final = wire.BYTES

GET_CHANNEL: Final = 1
GET_OWNER: Final = 3
GET_CONFIG: Final = 5
GET_CONFIG_RESPONSE: Final = 6
GET_MODULE_CONFIG: Final = 7
GET_MODULE_CONFIG_RESPONSE: Final = 8
GET_DEVICE_METADATA: Final = 12
SET_CONFIG: Final = 34
SET_MODULE_CONFIG: Final = 35
SET_TIME_ONLY: Final = 43
GET_UI_CONFIG: Final = 44
GET_UI_CONFIG_RESPONSE: Final = 45
STORE_UI_CONFIG: Final = 46
ADD_CONTACT: Final = 66
SESSION_PASSKEY: Final = 101

DEVICE_CONFIG: Final = 1
"""The member of ``Config`` that says what kind of node it is, and in which time zone."""
_TIME_ZONE: Final = 11

_TABLE: Final = (
    Variant(GET_CHANNEL, "get_channel_request", _READ, _INT, 2),
    Variant(2, "get_channel_response", _RESPONSE, _BYTES),
    Variant(GET_OWNER, "get_owner_request", _READ, _INT, 4),
    Variant(4, "get_owner_response", _RESPONSE, _BYTES),
    Variant(GET_CONFIG, "get_config_request", _READ, _INT, GET_CONFIG_RESPONSE),
    Variant(GET_CONFIG_RESPONSE, "get_config_response", _RESPONSE, _BYTES),
    Variant(GET_MODULE_CONFIG, "get_module_config_request", _READ, _INT, 8),
    Variant(GET_MODULE_CONFIG_RESPONSE, "get_module_config_response", _RESPONSE, _BYTES),
    Variant(10, "get_canned_message_module_messages_request", _READ, _INT, 11),
    Variant(11, "get_canned_message_module_messages_response", _RESPONSE, _BYTES),
    Variant(GET_DEVICE_METADATA, "get_device_metadata_request", _READ, _INT, 13),
    Variant(13, "get_device_metadata_response", _RESPONSE, _BYTES),
    Variant(14, "get_ringtone_request", _READ, _INT, 15),
    Variant(15, "get_ringtone_response", _RESPONSE, _BYTES),
    Variant(16, "get_device_connection_status_request", _READ, _INT, 17),
    Variant(17, "get_device_connection_status_response", _RESPONSE, _BYTES),
    Variant(18, "set_ham_mode", _MUTATING, _BYTES),
    Variant(19, "get_node_remote_hardware_pins_request", _READ, _INT, 20),
    Variant(20, "get_node_remote_hardware_pins_response", _RESPONSE, _BYTES),
    Variant(21, "enter_dfu_mode_request", _DANGEROUS, _INT),
    Variant(22, "delete_file_request", _DANGEROUS, _BYTES),
    Variant(23, "set_scale", _MUTATING, _INT),
    Variant(24, "backup_preferences", _MUTATING, _INT),
    Variant(25, "restore_preferences", _DANGEROUS, _INT),
    Variant(26, "remove_backup_preferences", _MUTATING, _INT),
    Variant(27, "send_input_event", _MUTATING, _BYTES),
    Variant(32, "set_owner", _MUTATING, _BYTES),
    Variant(33, "set_channel", _MUTATING, _BYTES),
    Variant(SET_CONFIG, "set_config", _MUTATING, _BYTES),
    Variant(SET_MODULE_CONFIG, "set_module_config", _MUTATING, _BYTES),
    Variant(36, "set_canned_message_module_messages", _MUTATING, _BYTES),
    Variant(37, "set_ringtone_message", _MUTATING, _BYTES),
    Variant(38, "remove_by_nodenum", _MUTATING, _INT),
    Variant(39, "set_favorite_node", _MUTATING, _INT),
    Variant(40, "remove_favorite_node", _MUTATING, _INT),
    Variant(41, "set_fixed_position", _MUTATING, _BYTES),
    Variant(42, "remove_fixed_position", _MUTATING, _INT),
    Variant(SET_TIME_ONLY, "set_time_only", _BENIGN, wire.FIXED32),
    Variant(GET_UI_CONFIG, "get_ui_config_request", _READ, _INT, GET_UI_CONFIG_RESPONSE),
    Variant(GET_UI_CONFIG_RESPONSE, "get_ui_config_response", _RESPONSE, _BYTES),
    Variant(STORE_UI_CONFIG, "store_ui_config", _MUTATING, _BYTES),
    Variant(47, "set_ignored_node", _MUTATING, _INT),
    Variant(48, "remove_ignored_node", _MUTATING, _INT),
    Variant(49, "toggle_muted_node", _MUTATING, _INT),
    Variant(64, "begin_edit_settings", _MUTATING, _INT),
    Variant(65, "commit_edit_settings", _MUTATING, _INT),
    Variant(ADD_CONTACT, "add_contact", _BENIGN, _BYTES),
    Variant(67, "key_verification", _MUTATING, _BYTES),
    Variant(94, "factory_reset_device", _DANGEROUS, _INT),
    Variant(95, "reboot_ota_seconds", _DANGEROUS, _INT),
    Variant(96, "exit_simulator", _DANGEROUS, _INT),
    Variant(97, "reboot_seconds", _DANGEROUS, _INT),
    Variant(98, "shutdown_seconds", _DANGEROUS, _INT),
    Variant(99, "factory_reset_config", _DANGEROUS, _INT),
    Variant(100, "nodedb_reset", _DANGEROUS, _INT),
    Variant(102, "ota_request", _DANGEROUS, _BYTES),
    Variant(103, "sensor_config", _MUTATING, _BYTES),
    Variant(104, "lockdown_auth", _DANGEROUS, _BYTES),
)
VARIANTS: Final = {row.tag: row for row in _TABLE}
"""Every known member of ``payload_variant`` by its field number."""

ONCE: Final = frozenset(
    {row.tag for row in _TABLE if row.admin_class is _DANGEROUS}
    | {
        27,  # send_input_event, which presses a key
        49,  # toggle_muted_node
        65,  # commit_edit_settings, for which the node restarts
    }
)
"""What does something else when it is carried out twice."""

_KNOWN: Final = {row.tag: row.wire_type for row in _TABLE} | {SESSION_PASSKEY: wire.BYTES}
_SIGNED: Final = frozenset({94, 95, 97, 98, 99})


class AdminQuery(NamedTuple):
    """What a `READ` asks for: equal queries have equal answers."""

    tag: int
    argument: int = 0
    """Which channel (index + 1), config or module config; 0 for all other questions."""

    @property
    def payload(self) -> bytes:
        """The ``AdminMessage`` that asks it."""
        argument = self.argument if self.tag in _WITH_ARGUMENT else 1
        return wire.varint_field(self.tag, argument)


_WITH_ARGUMENT: Final = frozenset({GET_CHANNEL, GET_CONFIG, GET_MODULE_CONFIG})


@dataclass(frozen=True, slots=True)
class AdminCommand:
    """One ``AdminMessage``, read on the wire."""

    tag: int
    """The member of its oneof; 0 where there is none."""
    number: int
    """The member's value where it is a number."""
    body: bytes = field(repr=False)
    """The member's value where it is a message or a string."""
    violations: frozenset[Violation] = frozenset()
    """Why it cannot be judged."""

    @property
    def query(self) -> AdminQuery:
        """What a `READ` asks for."""
        return AdminQuery(self.tag, self.number if self.tag in _WITH_ARGUMENT else 0)


def sets_time_zone_alone(config: bytes, present: bytes | None) -> bool:
    """Return whether a ``Config`` only adds a time zone to that of a node that has none.

    Apple's app does so by itself whenever it reads such a configuration.

    Args:
        config: What a client would set. Any bytes will do; nothing is raised.
        present: The node's ``Config`` with its ``DeviceConfig``; None where it is not known.
    """
    if present is None:
        return False
    try:
        new, old = _device_config(config), _device_config(present)
    except wire.WireError:
        return False
    return (
        _TIME_ZONE in new
        and _TIME_ZONE not in old
        and ({number: value for number, value in new.items() if number != _TIME_ZONE} == old)
    )


def _device_config(config: bytes) -> dict[int, bytes | int]:
    """Return the fields of a ``DeviceConfig`` that say something.

    Raises:
        wire.WireError: It is malformed.
    """
    device = wire.value_bytes(config, wire.last(wire.scan(config), DEVICE_CONFIG))
    values = {
        field.number: wire.value_bytes(device, field)
        if field.wire_type == wire.BYTES
        else field.number_value
        for field in wire.scan(device)
    }
    return {number: value for number, value in values.items() if value}


def parse(payload: bytes) -> AdminCommand:
    """Read an ``AdminMessage``. Any bytes will do; nothing is raised."""
    try:
        fields = wire.scan(payload)
    except wire.WireError:
        return AdminCommand(0, 0, b"", frozenset({Violation.MALFORMED}))
    # All that is not the passkey may be a member of the oneof, known or not.
    members = [item for item in fields if item.number != SESSION_PASSKEY]
    violations = find_violations(fields, _KNOWN, {item.number for item in members}, _SIGNED)
    if not members:
        return AdminCommand(0, 0, b"", frozenset(violations | {Violation.NO_CONTENT}))
    member = members[-1]
    return AdminCommand(
        tag=member.number,
        number=wire.value_int(member) & MAX_UINT32,
        body=wire.value_bytes(payload, member),
        violations=frozenset(violations),
    )
