"""The table of admin messages, against the schema."""

from typing import Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from hypothesis import given, strategies as st
from meshtastic.protobuf import admin_pb2
import pytest

from custom_components.meshmonitor.meshtastic import admin, wire
from custom_components.meshmonitor.meshtastic.admin import AdminClass, AdminQuery
from custom_components.meshmonitor.meshtastic.strict import Violation

ONEOF: Final = admin_pb2.AdminMessage.DESCRIPTOR.oneofs_by_name["payload_variant"]
WIRE_TYPES: Final = {
    FieldDescriptor.TYPE_BOOL: wire.VARINT,
    FieldDescriptor.TYPE_ENUM: wire.VARINT,
    FieldDescriptor.TYPE_INT32: wire.VARINT,
    FieldDescriptor.TYPE_UINT32: wire.VARINT,
    FieldDescriptor.TYPE_FIXED32: wire.FIXED32,
    FieldDescriptor.TYPE_MESSAGE: wire.BYTES,
    FieldDescriptor.TYPE_STRING: wire.BYTES,
}

# What the schema's names say about each class, so that a row in the wrong class is noticed.
READS: Final = {
    "get_channel_request",
    "get_owner_request",
    "get_config_request",
    "get_module_config_request",
    "get_canned_message_module_messages_request",
    "get_device_metadata_request",
    "get_ringtone_request",
    "get_device_connection_status_request",
    "get_node_remote_hardware_pins_request",
    "get_ui_config_request",
}
DESTRUCTIVE: Final = {
    "enter_dfu_mode_request",
    "delete_file_request",
    "restore_preferences",
    "factory_reset_device",
    "reboot_ota_seconds",
    "exit_simulator",
    "reboot_seconds",
    "shutdown_seconds",
    "factory_reset_config",
    "nodedb_reset",
    "ota_request",
    "lockdown_auth",
}


def test_every_variant_has_its_row() -> None:
    """No member of the oneof is forgotten, none is invented."""
    assert {field.number: field.name for field in ONEOF.fields} == {
        row.tag: row.name for row in admin.VARIANTS.values()
    }


@pytest.mark.parametrize("field", ONEOF.fields, ids=lambda field: field.name)
def test_row_agrees_with_the_schema(field: FieldDescriptor) -> None:
    """A row has the schema's wire type, and the class that fits the name."""
    row = admin.VARIANTS[field.number]
    assert row.wire_type == WIRE_TYPES[field.type]
    if field.name.endswith("_response"):
        expected = AdminClass.RESPONSE
    elif field.name in READS:
        expected = AdminClass.READ
    elif field.name in DESTRUCTIVE:
        expected = AdminClass.DANGEROUS
    elif field.name in {"set_time_only", "add_contact"}:
        expected = AdminClass.BENIGN
    else:
        expected = AdminClass.MUTATING
    assert row.admin_class is expected


@pytest.mark.parametrize("name", sorted(READS))
def test_every_question_has_its_answer(name: str) -> None:
    """The row of a question names the tag of its answer."""
    row = admin.VARIANTS[ONEOF.fields[[f.name for f in ONEOF.fields].index(name)].number]
    assert admin.VARIANTS[row.response].name == name.replace("_request", "_response")
    assert admin.VARIANTS[row.response].admin_class is AdminClass.RESPONSE


@pytest.mark.parametrize(
    ("message", "query"),
    [
        (admin_pb2.AdminMessage(get_channel_request=3), AdminQuery(1, 3)),
        (admin_pb2.AdminMessage(get_owner_request=True), AdminQuery(3)),
        (
            admin_pb2.AdminMessage(get_config_request=admin_pb2.AdminMessage.SECURITY_CONFIG),
            AdminQuery(5, 7),
        ),
        (
            admin_pb2.AdminMessage(get_config_request=admin_pb2.AdminMessage.DEVICE_CONFIG),
            AdminQuery(5, 0),
        ),
        (
            admin_pb2.AdminMessage(
                get_module_config_request=admin_pb2.AdminMessage.TELEMETRY_CONFIG
            ),
            AdminQuery(7, 5),
        ),
        (admin_pb2.AdminMessage(get_ringtone_request=True), AdminQuery(14)),
        (admin_pb2.AdminMessage(get_ui_config_request=True), AdminQuery(44)),
    ],
)
def test_queries(message: admin_pb2.AdminMessage, query: AdminQuery) -> None:
    """A question is known by its tag and argument, and can be asked again from these."""
    payload = message.SerializeToString()
    command = admin.parse(payload)
    assert command.violations == frozenset()
    assert command.query == query
    assert query.payload == payload


def test_equal_questions() -> None:
    """How a client writes `true` makes no other question of it."""
    assert admin.parse(wire.varint_field(14, 0)).query == admin.parse(b"\x70\x05").query


def test_passkey_is_no_variant() -> None:
    """The session's passkey stands beside the command, before or behind it."""
    message = admin_pb2.AdminMessage(reboot_seconds=-1, session_passkey=b"12345678")
    command = admin.parse(message.SerializeToString())
    assert (command.tag, command.violations) == (97, frozenset())
    passkey = wire.bytes_field(101, b"12345678")
    assert admin.parse(passkey + wire.varint_field(97, 5)).tag == 97


@pytest.mark.parametrize(
    ("payload", "violation"),
    [
        pytest.param(b"", Violation.NO_CONTENT, id="empty"),
        pytest.param(wire.bytes_field(101, b"k"), Violation.NO_CONTENT, id="passkey alone"),
        pytest.param(b"\x0a\x05x", Violation.MALFORMED, id="damaged"),
        pytest.param(
            wire.varint_field(3, 1) + wire.varint_field(94, 1),
            Violation.SEVERAL_VARIANTS,
            id="a question and a factory reset",
        ),
        pytest.param(
            wire.varint_field(3, 1) + wire.varint_field(200, 1),
            Violation.SEVERAL_VARIANTS,
            id="a question and something newer",
        ),
        pytest.param(wire.varint_field(3, 1) * 2, Violation.REPEATED_FIELD, id="twice"),
        pytest.param(
            wire.varint_field(3, 1) + wire.bytes_field(101, b"a") * 2,
            Violation.REPEATED_FIELD,
            id="two passkeys",
        ),
        pytest.param(wire.bytes_field(3, b""), Violation.WRONG_TYPE, id="bytes for a bool"),
        pytest.param(wire.varint_field(43, 1), Violation.WRONG_TYPE, id="varint for fixed32"),
        pytest.param(wire.varint_field(5, 1 << 32), Violation.NUMBER_TOO_WIDE, id="33 bits"),
    ],
)
def test_violations(payload: bytes, violation: Violation) -> None:
    """What parsers could read differently is named."""
    assert admin.parse(payload).violations == {violation}


@pytest.mark.parametrize(
    "message",
    [
        admin_pb2.AdminMessage(reboot_seconds=-5),
        admin_pb2.AdminMessage(shutdown_seconds=-5),
        admin_pb2.AdminMessage(reboot_ota_seconds=-5),
        admin_pb2.AdminMessage(factory_reset_device=-5),
        admin_pb2.AdminMessage(factory_reset_config=-5),
    ],
)
def test_negative_numbers(message: admin_pb2.AdminMessage) -> None:
    """A negative `int32` takes 64 bits on the wire, and is not too wide for that."""
    assert admin.parse(message.SerializeToString()).violations == frozenset()


TAGS: Final = st.sampled_from([*admin.VARIANTS, admin.SESSION_PASSKEY, 9, 50, 105, 200])
PARTS: Final = st.one_of(
    st.builds(wire.varint_field, TAGS, st.integers(0, (1 << 64) - 1)),
    st.builds(wire.fixed32_field, TAGS, st.integers(0, 0xFFFFFFFF)),
    st.builds(wire.bytes_field, TAGS, st.binary(max_size=20)),
)


@given(st.lists(PARTS, max_size=3).map(b"".join) | st.binary(max_size=233))
def test_unambiguous_means_that_parsers_agree(payload: bytes) -> None:
    """Any bytes are read; what has no violation is for the schema's classes the same command."""
    command = admin.parse(payload)
    if command.violations:
        return
    try:
        message = admin_pb2.AdminMessage.FromString(payload)
    except DecodeError:
        # A string that is no UTF-8, or a damaged message inside: no other command in any case.
        return
    row = admin.VARIANTS.get(command.tag)
    assert message.WhichOneof("payload_variant") == (row.name if row is not None else None)


def test_command_stays_out_of_logs() -> None:
    """What a command sets is not part of what a log line would show of it."""
    message = admin_pb2.AdminMessage(set_ringtone_message="a private tune")
    assert "private" not in repr(admin.parse(message.SerializeToString()))
